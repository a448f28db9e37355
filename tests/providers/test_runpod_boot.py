"""How a pod starts, by its own script and a real shell: the dead-man before all, then the keys, then SSH for ever."""

import os
import shlex
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from providers.base import Boot
from providers.runpod_boot import ARGS, environment
from tests.programs import program
from tests.providers.plain_server import PlainServer
from tests.providers.samples import boot, request, runpod_offer
from tests.providers.shells import Machine, modes

KEY = "rpa_canary_0123"
BORN = 1_800_000_000
LEASE = 3600
ASLEEP = '[ "$(grep -c ^sleep "$CALLS")" -lt 3 ] || kill -KILL $PPID'
"""The third pause of a loop without an end is its last: the container is killed."""

ARMED = """\
tries=0
until grep -q ^setsid "$CALLS" || [ $tries -ge 500 ]; do /bin/sleep 0.02; tries=$((tries + 1)); done
[ $tries -lt 500 ] || { echo "no dead-man was started before this"; exit 1; }
"""
"""The dead-man is started in the background: who comes after him in the script waits here until he is seen."""


class Pod:
    """A container that has not started yet; its clock stands still."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.data = boot(lease_seconds=LEASE)
        self.changes: dict[str, str] = {}
        self.api = "https://api.example.com"
        machine.environ["CALLS"] = str(machine.calls)
        machine.stub("setsid")
        machine.stub("sshd")
        machine.stub("ssh-keygen", f"{ARMED}echo '256 SHA256:abc run (ED25519)'")
        machine.stub("sleep", ASLEEP)
        self.clock(BORN)

    def clock(self, seconds: int) -> None:
        """What time it is in there."""
        self.machine.stub("date", f"echo {seconds}", told=False)

    def environ(self) -> dict[str, str]:
        """What the container is started with."""
        born = datetime.fromtimestamp(BORN, UTC)
        sent = environment(request(runpod_offer(), boot=self.data), "me", self.api, born)
        moved = {name: self.machine.own(sent[name]) for name in ("LAUNCH_BOOT", "LAUNCH_END")}
        return {**sent, **moved, "RUNPOD_POD_ID": "p1", "RUNPOD_API_KEY": KEY, **self.changes}

    def start(self) -> tuple[int, str]:
        """Run the container's main process until it is killed; its code, and what the container printed."""
        return self.machine.run(*shlex.split(ARGS), **self.environ())

    @property
    def ssh(self) -> Path:
        """Where the host key goes."""
        return self.machine.root / "etc/ssh"

    @property
    def armed(self) -> str:
        """How the dead-man was started."""
        (line,) = self.machine.called("setsid")
        return line


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return Pod(Machine(tmp_path / "machine"))


def test_a_pod_starts_its_dead_man_with_its_lease_before_any_other_program(pod: Pod) -> None:
    said = pod.start()[1]
    guard = pod.machine.guard
    assert pod.armed == f"setsid nohup sh {guard}/deadman.sh {guard} {LEASE} sh {guard}/end.sh"
    assert "no dead-man" not in said


def test_no_key_of_ssh_is_laid_down_before_the_dead_man_is_started(pod: Pod) -> None:
    script = pod.environ()["LAUNCH_BOOT"]
    assert script.index("setsid") < script.index("$LAUNCH_HOST_KEY") < script.index("$PUBLIC_KEY")


def test_dead_man_and_end_lie_there_as_they_were_sent(pod: Pod) -> None:
    pod.start()
    assert (pod.machine.guard / "deadman.sh").read_text() == pod.data.deadman
    assert "podTerminate" in (pod.machine.guard / "end.sh").read_text()


@pytest.mark.parametrize(
    ("now", "left"),
    [(BORN, LEASE), (BORN + 100, LEASE - 100), (BORN - 500, LEASE), (BORN + LEASE - 1, 1), (BORN + 9 * LEASE, 1)],
)
def test_a_container_that_starts_late_has_that_much_less_of_its_lease(pod: Pod, now: int, left: int) -> None:
    pod.clock(now)
    said = pod.start()[1]
    assert f"deadman.sh {pod.machine.guard} {left} sh " in pod.armed
    assert f"launch: {left} s of the lease are left, the dead-man is started" in said


@pytest.mark.parametrize("broken", ["ssh-keygen", "sshd"])
def test_the_dead_man_is_armed_whatever_fails_afterwards(pod: Pod, broken: str) -> None:
    pod.machine.stub(broken, f"{ARMED}exit 1")
    pod.start()
    assert pod.armed


@pytest.mark.parametrize("path", ["etc", "root/.ssh", "run"])
def test_the_dead_man_is_armed_although_a_folder_cannot_be_made(pod: Pod, path: str) -> None:
    (pod.machine.root / path).write_text("a file where a folder should be")
    pod.start()
    assert pod.armed


def test_a_container_never_exits_by_itself(pod: Pod) -> None:
    pod.machine.stub("sshd", "exit 255")
    code, _ = pod.start()
    assert code == -signal.SIGKILL  # ours, in its third pause
    assert len(pod.machine.called("sshd")) == 3


def test_the_host_key_is_ours_and_for_root_alone(pod: Pod) -> None:
    pod.start()
    key = pod.ssh / "ssh_host_ed25519_key"
    assert key.read_text() == pod.data.host_key_private.strip() + "\n"
    assert modes(key) == {"ssh_host_ed25519_key": "600"}


def test_who_may_log_in_is_the_runs_own_key(pod: Pod) -> None:
    pod.start()
    allowed = pod.machine.root / "root/.ssh/authorized_keys"
    assert allowed.read_text() == f"{pod.data.authorized_key}\n"
    assert modes(allowed) == {"authorized_keys": "600"}


def test_what_the_end_needs_is_kept_for_root_alone(pod: Pod) -> None:
    pod.start()
    kept = pod.machine.guard / "pod.env"
    assert modes(kept) == {"pod.env": "600"}
    assert kept.read_text().splitlines() == [
        "RUNPOD_POD_ID='p1'",
        f"RUNPOD_API_KEY='{KEY}'",
        "LAUNCH_API='https://api.example.com'",
    ]


def test_a_pod_without_a_key_of_its_own_starts_all_the_same(pod: Pod) -> None:
    pod.changes["RUNPOD_API_KEY"] = ""
    pod.start()
    assert "RUNPOD_API_KEY=''" in (pod.machine.guard / "pod.env").read_text()
    assert pod.machine.called("sshd")


def test_no_key_is_printed_or_stands_in_a_command_line(pod: Pod) -> None:
    said = pod.start()[1]
    told = said + "".join(pod.machine.called())
    assert not [secret for secret in (KEY, "PRIVATE KEY", pod.data.authorized_key) if secret in told]


def test_the_fingerprint_is_printed_for_who_reads_the_log(pod: Pod) -> None:
    assert "SHA256:abc" in pod.start()[1]
    assert pod.machine.called("ssh-keygen") == [f"ssh-keygen -lf {pod.ssh}/ssh_host_ed25519_key"]


def test_ssh_uses_that_host_key_no_passwords_and_shows_the_images_programs(pod: Pod) -> None:
    pod.changes["LD_LIBRARY_PATH"] = "/usr/local/cuda/lib64"
    pod.start()
    path = pod.machine.environ["PATH"]
    assert pod.machine.called("sshd")[0] == (
        f"sshd -D -e -h {pod.ssh}/ssh_host_ed25519_key -o PasswordAuthentication=no"
        f" -o SetEnv=PATH={path} LD_LIBRARY_PATH=/usr/local/cuda/lib64"
    )


def test_what_was_told_to_the_start_alone_is_not_told_to_ssh(pod: Pod) -> None:
    pod.machine.stub("sshd", "env")
    names = {line.partition("=")[0] for line in pod.start()[1].splitlines()}
    assert "PUBLIC_KEY" in names
    assert not names & {"LAUNCH_HOST_KEY", "LAUNCH_BOOT", "LAUNCH_DEADMAN", "LAUNCH_END"}


def test_the_start_is_the_same_however_the_service_takes_its_line_apart(pod: Pod) -> None:
    first, second, third = shlex.split(ARGS)
    assert (first, second) == ("sh", "-c")
    assert subprocess.run(("sh", "-c", third), env={"LAUNCH_BOOT": "exit 7"}, check=False, timeout=10).returncode == 7
    assert pod.data.deadman


@pytest.fixture
def keys(tmp_path: Path) -> Boot:
    """Boot data with a real key of the host."""
    file = tmp_path / "host"
    argv = (program("ssh-keygen", "openssh-client"), "-q", "-t", "ed25519", "-N", "", "-C", "run", "-f", str(file))
    subprocess.run(argv, check=True, timeout=30, stdin=subprocess.DEVNULL)
    public = (tmp_path / "host.pub").read_text().strip()
    return boot(lease_seconds=LEASE, host_key_private=file.read_text(), host_key_public=public)


def test_the_printed_fingerprint_is_that_of_the_key_that_we_know(pod: Pod, keys: Boot, tmp_path: Path) -> None:
    (pod.machine.root / "bin/ssh-keygen").unlink()
    pod.data = keys
    ours = subprocess.run(
        ("ssh-keygen", "-lf", str(tmp_path / "host.pub")), capture_output=True, text=True, check=True, timeout=30
    )
    assert ours.stdout.split()[1] in pod.start()[1]


def test_the_real_sshd_takes_the_words_that_it_is_started_with(pod: Pod, keys: Boot) -> None:
    real = program("sshd", "openssh-server")
    pod.data, pod.changes["LD_LIBRARY_PATH"] = keys, "/usr/local/cuda/lib64"
    pod.machine.stub("sshd", f'shift; exec {real} -T -f /dev/null "$@"')
    said = pod.start()[1].splitlines()
    assert "passwordauthentication no" in said
    assert f"hostkey {pod.ssh}/ssh_host_ed25519_key" in said
    assert "setenv LD_LIBRARY_PATH=/usr/local/cuda/lib64" in said


def test_a_real_dead_man_goes_to_the_first_door_when_the_lease_is_over(pod: Pod, server: PlainServer) -> None:
    machine = pod.machine
    machine.stub("setsid", 'exec "$@"')  # in our own group, so that the test can end it
    machine.stub("sleep", "exec /bin/sleep 0.05", told=False)
    machine.stub("sshd", "read _ <over", told=False)  # for ever
    os.mkfifo(machine.root / "over")
    pod.data, pod.api = boot(lease_seconds=1), server.url
    process = machine.start(*shlex.split(ARGS), **pod.environ())
    try:
        assert server.first(20) == ("DELETE", "/v2/pods/p1")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
