"""Machines as OpenSSH and user-data see them: they really boot, really let in, and really end."""

import json
import os
import select
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.cloud.client import Machine, running
from tests.cloud.processes import BOX_MARK, marked
from tests.cloud.tenant import Tenant


def ended(tenant: Tenant, machine: Machine) -> Machine:
    return tenant.reached(machine.id, lambda one: one.state == "terminated")


def test_a_login_with_the_right_key_runs_commands_and_gives_their_exit_code(tenant: Tenant) -> None:
    machine = tenant.rent_ready()
    done = tenant.ssh(machine, "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 7)


def test_streams_are_binary_clean_both_ways_and_the_egress_is_metered(tenant: Tenant) -> None:
    machine, data = tenant.rent_ready(), os.urandom(2_000_000)
    done = tenant.ssh(machine, "cat > file; cat file", input=data)
    assert done.stdout == data
    assert tenant.cloud.machine(machine.id).egress_bytes == len(data)


def test_a_terminal_is_a_terminal(tenant: Tenant) -> None:
    done = tenant.ssh(tenant.rent_ready(), "tty && test -t 0 && echo yes", "-tt")
    assert done.stdout.endswith(b"yes\r\n")


def test_many_commands_go_over_one_connection(tenant: Tenant) -> None:
    machine, path = tenant.rent_ready(), tenant.folder / "control"
    options = ["-o", f"ControlPath={path}", "-o", "ControlMaster=auto", "-o", "ControlPersist=20"]
    assert (
        tenant.ssh(
            machine, "echo 1", *options, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, capture_output=False
        ).returncode
        == 0
    )
    assert tenant.ssh(machine, "echo 2", *options).stdout == b"2\n"
    assert sum(one["kind"] == "login" for one in tenant.cloud.call("events") if one["machine"] == machine.id) == 1
    tenant.ssh(machine, "", "-O", "exit", "-o", f"ControlPath={path}")


def test_another_host_key_than_the_pinned_one_is_noticed_by_the_client(tenant: Tenant) -> None:
    tenant.cloud.knobs(wrong_host_key=True)
    done = tenant.ssh(tenant.rent_ready(), "true")
    assert (done.returncode, b"Host key verification failed" in done.stderr) == (255, True)


def test_another_user_and_a_key_that_is_not_wanted_stay_outside(tenant: Tenant) -> None:
    machine = tenant.rent_ready()
    assert b"Permission denied" in tenant.ssh(machine, "true", user="root").stderr
    tenant.cloud.knobs(auth_fail=True)
    assert b"Permission denied" in tenant.ssh(machine, "true").stderr


def test_a_security_group_without_our_address_lets_nobody_in(tenant: Tenant) -> None:
    machine = tenant.rent_ready()
    rules = tenant.ec2.describe_security_groups(GroupIds=[tenant.group])["SecurityGroups"][0]["IpPermissions"]
    tenant.ec2.revoke_security_group_ingress(GroupId=tenant.group, IpPermissions=rules)
    assert tenant.ssh(machine, "true").returncode == 255


def test_bootcmd_runs_before_ssh_and_files_and_runcmd_are_carried_out(tenant: Tenant) -> None:
    user_data = tenant.user_data(
        bootcmd=["mkdir -p /var/lib/launch", ["sh", "-c", "cat /proc/uptime > /var/lib/launch/life"]],
        write_files=[{"path": "/etc/launch.conf", "content": "here", "permissions": "0600"}],
        runcmd=["cat /var/lib/launch/life > /home/ubuntu/late"],
    )
    machine = tenant.rent_ready(UserData=user_data)
    assert tenant.ssh(machine, "cloud-init status --wait; cat late").stdout.startswith(b"status: done\n")
    assert float(tenant.ssh(machine, "cat /var/lib/launch/life").stdout.split()[0]) >= 0
    assert (machine.root / "etc/launch.conf").read_text() == "here"
    kinds = [one["kind"] for one in tenant.cloud.call("events") if one["machine"] == machine.id]
    assert kinds.index("bootcmd") < kinds.index("ssh")


def test_the_gpu_is_the_one_of_the_type_and_can_break(tenant: Tenant) -> None:
    machine = tenant.rent_ready()
    asked = "nvidia-smi --query-gpu=name,memory.total --format=csv,noheader,nounits"
    assert tenant.ssh(machine, asked).stdout == b"NVIDIA A10G, 23028\n"
    tenant.cloud.knobs(gpu="broken")
    assert tenant.ssh(machine, asked).returncode == 9


def test_a_dead_man_ends_his_machine_from_inside(tenant: Tenant) -> None:
    dead_man = ["systemd-run", "--unit=dead", "--on-active=1s", "/sbin/shutdown", "-P", "now"]
    machine = ended(tenant, tenant.rent_ready(UserData=tenant.user_data(bootcmd=[dead_man])))
    assert machine.reason == "Client.InstanceInitiatedShutdown"
    assert machine.ended is not None
    assert machine.started is not None
    assert 1 <= machine.ended - machine.started < 10


def test_a_terminated_machine_takes_its_detached_processes_along(tenant: Tenant) -> None:
    machine = tenant.rent_ready()
    tenant.ssh(machine, "setsid sleep 600 >/dev/null 2>&1 </dev/null &")
    assert list(marked(BOX_MARK, machine.id))
    tenant.ec2.terminate_instances(InstanceIds=[machine.id])
    tenant.cloud.wait_for(lambda: any(one["kind"] == "off" for one in of(tenant, machine)))
    assert list(marked(BOX_MARK, machine.id)) == []
    assert tenant.ssh(machine, "true").returncode == 255


def of(tenant: Tenant, machine: Machine) -> list[dict[str, str]]:
    return [one for one in tenant.cloud.call("events") if one["machine"] == machine.id]


def test_a_cut_line_does_not_end_what_was_started_apart_from_it(tenant: Tenant) -> None:
    machine = tenant.rent_ready()
    started = "setsid sh -c 'sleep 600' >/dev/null 2>&1 </dev/null & echo up; cat"
    with subprocess.Popen(
        tenant.ssh_argv(machine, started), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"up\n"
        tenant.cloud.drop(machine.id)
        assert client.wait(timeout=10) == 255
    assert list(marked(BOX_MARK, machine.id))
    assert tenant.ssh(machine, "echo back").stdout == b"back\n"


def test_a_reclaimed_machine_is_told_by_its_metadata_and_then_goes(tenant: Tenant) -> None:
    machine = tenant.rent_ready()
    ask = 'url=$AWS_EC2_METADATA_SERVICE_ENDPOINT; echo "$url"'
    base = tenant.ssh(machine, ask).stdout.decode().strip()

    def metadata(path: str) -> str:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        headers = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        token = opener.open(urllib.request.Request(f"{base}/latest/api/token", method="PUT", headers=headers)).read()
        request = urllib.request.Request(f"{base}/latest/meta-data/{path}")
        request.add_header("X-aws-ec2-metadata-token", token.decode())
        return str(opener.open(request, timeout=5).read().decode())

    assert metadata("instance-id") == machine.id
    assert metadata("instance-life-cycle") == "spot"
    with pytest.raises(urllib.error.HTTPError, match="404"):
        metadata("spot/instance-action")
    tenant.cloud.preempt(machine.id, notice_seconds=2)
    assert json.loads(metadata("spot/instance-action"))["action"] == "terminate"
    assert ended(tenant, machine).reason == "Server.SpotInstanceTermination"


def test_on_a_fast_clock_a_machine_sleeps_counts_and_is_billed_fast(tmp_path: Path) -> None:
    with running(scale=50) as cloud:
        tenant = Tenant(cloud, tmp_path)
        machine = tenant.rent_ready()
        said = "from time import *; a = monotonic(); sleep(100); print(monotonic() - a)"
        done = tenant.ssh(machine, f"sleep 100; python3 -c '{said}'")
        assert 100 <= float(done.stdout) < 1000
        tenant.ec2.terminate_instances(InstanceIds=[machine.id])
        machine = ended(tenant, machine)
        assert machine.started is not None
        assert machine.ended is not None
        assert 200 <= machine.ended - machine.started == pytest.approx(float(machine.bill["seconds"]), abs=1e-5)


def test_nothing_of_the_world_survives_its_sudden_death(tmp_path: Path) -> None:
    with running() as cloud:
        tenant = Tenant(cloud, tmp_path)
        machine = tenant.rent_ready()
        tenant.ssh(machine, "setsid sleep 600 >/dev/null 2>&1 </dev/null &")
        pids = list(marked(BOX_MARK, machine.id))
        watched = [os.pidfd_open(pid) for pid in pids]
        cloud.kill()
        for one in watched:
            assert select.select([one], [], [], 20)[0], "a process of the box outlived its world"
            os.close(one)
    assert pids
