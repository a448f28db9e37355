"""The create call on AWS, as it goes over the wire, and the boot data that it carries."""

import base64
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pricing.offer import Market
from providers import cloud_init
from providers.aws import Aws
from providers.aws_create import END, MOST_USER_DATA_BYTES, Chosen, Records, parameters, token_of
from providers.base import Ambiguous, Boot, BootFile, ContractBroken, NoCapacity, NotSetUp, OfferQuery, Throttled
from providers.carried import Carried
from providers.cloud_init import ARM, GUARD_DIR
from tests.programs import program
from tests.providers.conftest import IMAGE, aws_on
from tests.providers.moto_cloud import MotoCloud
from tests.providers.samples import NOW, aws_offer, boot, on_demand, request

SECRET = "hf_PlantedSecretThatMustNotTravel"


def user_data(data: Boot) -> str:
    return cloud_init.user_data(data, END, MOST_USER_DATA_BYTES)


def sent(moto: MotoCloud) -> Mapping[str, str]:
    (only,) = moto.app.made()
    return only


def config(text: str) -> dict[str, Any]:
    first, _, rest = text.partition("\n")
    assert first == "#cloud-config"
    found: dict[str, Any] = json.loads(rest)
    return found


def test_a_spot_machine_is_asked_for_once_and_ends_when_taken_or_switched_off(aws: Aws, moto: MotoCloud) -> None:
    aws.create(request(aws_offer()))
    call = sent(moto)
    assert call["InstanceMarketOptions.MarketType"] == "spot"
    assert call["InstanceMarketOptions.SpotOptions.SpotInstanceType"] == "one-time"
    assert call["InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior"] == "terminate"
    assert call["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert (call["MinCount"], call["MaxCount"]) == ("1", "1")


def test_the_worst_price_of_the_offer_is_sent_as_its_max_price(aws: Aws, moto: MotoCloud) -> None:
    aws.create(request(aws_offer(worst_usd_per_hour=Decimal("0.75"))))
    assert sent(moto)["InstanceMarketOptions.SpotOptions.MaxPrice"] == "0.75"


def test_an_on_demand_machine_carries_no_spot_option_and_no_spot_tag(aws: Aws, moto: MotoCloud) -> None:
    aws.create(request(on_demand(aws_offer())))
    call = sent(moto)
    assert not [key for key in call if key.startswith("InstanceMarketOptions")]
    assert "spot-instances-request" not in call.values()


def test_machine_disk_interface_and_spot_request_are_all_tagged_as_ours(aws: Aws, moto: MotoCloud) -> None:
    asked = request(aws_offer())
    aws.create(asked)
    call = sent(moto)
    kinds = [call[f"TagSpecification.{number}.ResourceType"] for number in range(1, 5)]
    assert kinds == ["instance", "volume", "network-interface", "spot-instances-request"]
    for number in range(1, 5):
        start = f"TagSpecification.{number}.Tag"
        tags = {call[f"{start}.{one}.Key"]: call[f"{start}.{one}.Value"] for one in range(1, 7)}
        assert tags == {
            "Name": asked.name,
            "launch:owner": "me",
            "launch:run": asked.run_id,
            "launch:attempt": "1",
            "launch:nonce": asked.nonce,
            "launch:deadline": asked.deadline.isoformat(),
        }


def test_metadata_needs_a_token_and_does_not_leave_the_machine(aws: Aws, moto: MotoCloud) -> None:
    aws.create(request(aws_offer()))
    call = sent(moto)
    assert call["MetadataOptions.HttpTokens"] == "required"
    assert call["MetadataOptions.HttpPutResponseHopLimit"] == "1"


def test_an_image_larger_than_the_priced_disk_is_refused_and_priced_from_then_on(aws: Aws, moto: MotoCloud) -> None:
    with pytest.raises(NotSetUp, match=r"image takes \d+ GiB of disk, and 1 GiB were priced"):
        aws.create(request(aws_offer(), disk_gib=1))
    assert moto.app.made() == []
    assert aws.traits.minimum_disk_gib > 1
    assert aws._records.image_gib() == aws.traits.minimum_disk_gib, "the next process knows it, too"


def test_who_carries_a_machine_is_a_tag_that_comes_back(aws: Aws) -> None:
    until = datetime(2026, 11, 28, 12, 9, tzinfo=UTC)
    machine = aws.create(request(aws_offer()))
    assert machine.carried is None
    aws.mark(machine, Carried(epoch=3, place="1e55", host="Ann's laptop", until=until))
    assert aws.get(machine).carried == Carried(epoch=3, place="1e55", host="Ann-s-laptop", until=until)
    aws.mark(machine, Carried(epoch=4, place="2e55", host="desk", until=until))
    assert [one.carried.epoch for one in aws.list() if one.carried] == [4]
    assert "ec2:CreateTags" in aws.policy()


def test_a_machine_has_no_role_in_the_account(aws: Aws, moto: MotoCloud) -> None:
    aws.create(request(aws_offer()))
    assert [key for key in sent(moto) if key.startswith("IamInstanceProfile")] == []
    assert "iam:PassRole" not in aws.policy()


def test_the_disk_is_encrypted_gp3_goes_with_the_machine_and_holds_the_image(aws: Aws, moto: MotoCloud) -> None:
    aws.create(request(aws_offer(), disk_gib=101))
    call = sent(moto)
    disk = {key.rpartition(".")[2]: value for key, value in call.items() if key.startswith("BlockDeviceMapping.1.Ebs")}
    assert (disk["VolumeType"], disk["Encrypted"], disk["DeleteOnTermination"]) == ("gp3", "true", "true")
    assert int(disk["VolumeSize"]) == 101, "as it was priced"
    assert call["BlockDeviceMapping.1.DeviceName"].startswith("/dev/")


def test_the_interface_has_a_public_address_in_the_zones_subnet_and_goes_too(aws: Aws, moto: MotoCloud) -> None:
    instance = aws.create(request(aws_offer(zone="us-east-1c")))
    call = sent(moto)
    assert instance.zone == "us-east-1c"
    assert call["NetworkInterface.1.AssociatePublicIpAddress"] == "true"
    assert call["NetworkInterface.1.DeleteOnTermination"] == "true"


def test_ssh_is_open_to_the_callers_address_alone(aws: Aws, moto: MotoCloud) -> None:
    aws.create(request(aws_offer()))
    (rule,) = [one for one in moto.app.calls if one["Action"] == "AuthorizeSecurityGroupIngress"]
    ranges = {key: value for key, value in rule.items() if "Cidr" in key}
    assert list(ranges.values()) == ["198.51.100.7/32"]
    assert (rule["IpPermissions.1.FromPort"], rule["IpPermissions.1.ToPort"]) == ("22", "22")


def test_one_security_group_serves_all_machines_and_forgets_an_old_address(moto: MotoCloud, tmp_path: Path) -> None:
    first = aws_on(moto, tmp_path, caller_cidr="203.0.113.9/32")
    first.create(request(aws_offer()))
    moved = aws_on(moto, tmp_path)
    moved.create(request(aws_offer()))
    actions = [one["Action"] for one in moto.app.calls]
    assert actions.count("CreateSecurityGroup") == 1
    (revoked,) = [one for one in moto.app.calls if one["Action"] == "RevokeSecurityGroupIngress"]
    assert "203.0.113.9/32" in revoked.values()


def test_a_laptop_that_moves_is_let_in_where_it_is_and_the_old_address_is_shut(moto: MotoCloud, tmp_path: Path) -> None:
    instance = aws_on(moto, tmp_path, caller_cidr="203.0.113.9/32").create(request(aws_offer()))
    moved = aws_on(moto, tmp_path)
    assert moved.let_in(instance) == "198.51.100.7/32"
    actions = [one["Action"] for one in moto.app.calls]
    (revoked,) = [one for one in moto.app.calls if one["Action"] == "RevokeSecurityGroupIngress"]
    assert "203.0.113.9/32" in revoked.values()
    assert actions.count("AuthorizeSecurityGroupIngress") == 2
    assert moved.let_in(instance) == "", "a second look changes nothing"
    assert [one["Action"] for one in moto.app.calls].count("AuthorizeSecurityGroupIngress") == 2


def test_an_address_that_nobody_tells_opens_nothing_and_makes_nothing(moto: MotoCloud, tmp_path: Path) -> None:
    provider = aws_on(moto, tmp_path, checkip_url=f"{moto.url}/nowhere")
    with pytest.raises(NotSetUp) as caught:
        provider.create(request(aws_offer()))
    assert "caller_cidr" in caught.value.fix
    assert not moto.app.made()


def test_a_network_wider_than_an_office_is_refused_as_caller(moto: MotoCloud, tmp_path: Path) -> None:
    with pytest.raises(NotSetUp, match="no wider than"):
        aws_on(moto, tmp_path, caller_cidr="0.0.0.0/0")


def test_a_repeat_from_another_process_is_the_same_to_the_byte(moto: MotoCloud, tmp_path: Path) -> None:
    asked = request(aws_offer())
    first = aws_on(moto, tmp_path).create(asked)
    later = aws_on(moto, tmp_path, image={"us-east-1": "ami-of-tomorrow"}, caller_cidr="203.0.113.9/32")
    assert later.create(asked).id == first.id
    one, two = moto.app.made()
    assert one == two


def test_what_is_chosen_lies_on_disk_before_the_call_is_made(moto: MotoCloud, tmp_path: Path) -> None:
    moto.app.refuse("RunInstances", "InternalError", status=500)
    asked = request(aws_offer())
    with pytest.raises(Ambiguous):
        aws_on(moto, tmp_path).create(asked)
    kept = Records(tmp_path / "aws" / "creates").chosen(token_of(asked))
    assert kept is not None
    assert (kept.image, kept.region) == (IMAGE, "us-east-1")


def test_without_a_place_to_write_it_down_nothing_is_created(moto: MotoCloud, tmp_path: Path) -> None:
    (tmp_path / "aws").write_text("a file where the folder should be")
    with pytest.raises(NotSetUp) as caught:
        aws_on(moto, tmp_path).create(request(aws_offer()))
    assert caught.value.code == "disk"
    assert not moto.app.made()


def test_a_region_ever_created_in_is_listed_though_the_settings_forgot_it(moto: MotoCloud, tmp_path: Path) -> None:
    instance = aws_on(moto, tmp_path).create(request(aws_offer(region="us-east-2", zone="us-east-2a")))
    forgetful = aws_on(moto, tmp_path, regions=["us-east-1"])
    assert [one.id for one in forgetful.list()] == [instance.id]


@pytest.mark.parametrize(
    "change",
    [
        {"zone": "us-east-1b"},
        {"region": "us-west-2"},
        {"instance_type": "g5.2xlarge"},
        {"market": Market.ON_DEMAND},
    ],
)
def test_the_token_is_the_intents_own_and_short_enough(change: dict[str, Any]) -> None:
    asked = request(aws_offer())
    other = replace(asked, offer=replace(asked.offer, **change))
    assert token_of(asked) == token_of(replace(asked, deadline=NOW + timedelta(days=1)))
    assert token_of(asked) != token_of(other)
    assert token_of(asked) != token_of(replace(asked, nonce="another"))
    assert len(token_of(asked)) <= 64


def test_a_zone_without_a_subnet_is_left_out_of_the_offers_and_refused(moto: MotoCloud, tmp_path: Path) -> None:
    plain = aws_on(moto, tmp_path)
    subnet, _ = plain._places.subnet("us-east-1", "us-east-1a")  # what a person would copy from the console
    provider = aws_on(moto, tmp_path, subnet={"us-east-1a": subnet}, regions=["us-east-1"])
    assert {one.zone for one in provider.offers(OfferQuery(gpus=("A10G",)))} == {"us-east-1a"}
    with pytest.raises(NoCapacity):
        provider.create(request(aws_offer(zone="us-east-1b")))


def test_no_default_vpc_is_said_with_the_command_that_makes_one(aws: Aws, moto: MotoCloud) -> None:
    moto.app.answers["DescribeVpcs"] = ("200 OK", b"<DescribeVpcsResponse><vpcSet/></DescribeVpcsResponse>")
    with pytest.raises(NotSetUp) as caught:
        aws.create(request(aws_offer()))
    assert "aws ec2 create-default-vpc --region us-east-1" in caught.value.fix


def test_a_security_group_that_is_not_known_yet_is_a_refusal_to_repeat(aws: Aws, moto: MotoCloud) -> None:
    moto.app.refuse("RunInstances", "InvalidGroup.NotFound")
    with pytest.raises(Throttled):
        aws.create(request(aws_offer()))


def test_the_dead_man_is_the_first_thing_that_a_machine_does() -> None:
    data = boot(lease_seconds=4321)
    first = config(user_data(data))["bootcmd"][0]
    assert next(iter(config(user_data(data)))) == "bootcmd"
    assert first[:4] == ["sh", "-c", ARM, "arm"]
    assert first[4:] == [GUARD_DIR, "4321", data.deadman, "shutdown", "-P", "now"]


def test_the_machines_host_key_is_ours_and_all_others_go() -> None:
    data = boot(files=(BootFile(path="/etc/x", content="a: 'b'\n", mode=0o600),))
    found = config(user_data(data))
    assert found["ssh_deletekeys"] is True
    assert found["ssh_keys"] == {"ed25519_private": data.host_key_private, "ed25519_public": data.host_key_public}
    assert found["ssh_authorized_keys"] == [data.authorized_key]
    assert found["write_files"] == [
        {"path": "/etc/x", "content": "a: 'b'\n", "permissions": "0600", "owner": "root:root"}
    ]


def test_boot_data_beyond_the_limit_of_ec2_is_refused_before_the_call(aws: Aws, moto: MotoCloud) -> None:
    big = boot(files=(BootFile(path="/x", content="y" * 17_000),))
    with pytest.raises(ContractBroken, match="16384"):
        aws.create(request(aws_offer(), boot=big))
    assert not moto.app.made()


def test_with_the_real_dead_man_half_of_the_room_is_left() -> None:
    assert len(user_data(boot(host_key_private="k" * 420)).encode()) < 10_000


def test_no_secret_of_the_environment_travels(moto: MotoCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    aws_on(moto, tmp_path).create(request(aws_offer()))
    call = sent(moto)
    plain = base64.b64decode(call["UserData"]).decode() + json.dumps(dict(call))
    assert SECRET not in plain
    assert moto.environ["AWS_SECRET_ACCESS_KEY"] not in plain
    kept = [one.read_text() for one in (tmp_path / "aws").rglob("*") if one.is_file()]
    assert not [text for text in kept if "PRIVATE KEY" in text or SECRET in text]


def test_equal_requests_give_equal_parameters() -> None:
    asked = request(aws_offer())
    chosen = Chosen(region="r", image="i", root_device="/dev/sda1", disk_gib=100, subnet="s", group="g")
    assert json.dumps(parameters(asked, chosen, "me")) == json.dumps(parameters(asked, chosen, "me"))


def test_cloud_init_itself_finds_the_boot_data_valid(tmp_path: Path) -> None:
    file = tmp_path / "user-data"
    file.write_text(user_data(boot(files=(BootFile(path="/etc/x", content="y"),))))
    done = subprocess.run(
        (program("cloud-init", "cloud-init"), "schema", "--config-file", str(file)),
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Valid" in done.stdout + done.stderr


def stubbed(tmp_path: Path, **commands: str) -> dict[str, str]:
    """An environment whose first commands are these shell scripts; each call is noted in `calls`."""
    for name, body in {"sleep": "exec /bin/sleep 0.02", **commands}.items():
        file = tmp_path / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f'#!/bin/sh\n[ {name} = sleep ] || echo {name} "$@" >> {tmp_path}/calls\n{body}\n')
        file.chmod(0o755)
    return {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}


def arm(tmp_path: Path, environ: dict[str, str], deadman: str) -> str:
    """Run the first boot command as cloud-init would, and give back what the stubs were called with."""
    first = config(user_data(boot(deadman=deadman, lease_seconds=90)))["bootcmd"][0]
    argv = [str(tmp_path / "guard") if part == GUARD_DIR else part for part in first]
    subprocess.run(argv, env=environ, check=True, timeout=30, capture_output=True)
    calls = tmp_path / "calls"
    return calls.read_text() if calls.exists() else ""


STARTS = 'while [ "${1#--}" != "$1" ]; do shift; done; "$@" &'
WORKS = 'echo $$ > "$1/pid"\n'


def test_the_dead_man_is_started_by_systemd_which_starts_it_again_if_it_dies(tmp_path: Path) -> None:
    calls = arm(tmp_path, stubbed(tmp_path, **{"systemd-run": STARTS, "shutdown": "true"}), WORKS)
    assert "--property=Restart=always" in calls
    assert "--property=DefaultDependencies=no" in calls
    assert "--no-block" in calls
    assert "shutdown" not in calls.replace("shutdown -P now", "")


def test_the_dead_man_runs_by_itself_where_systemd_does_not_start_it(tmp_path: Path) -> None:
    calls = arm(tmp_path, stubbed(tmp_path, **{"systemd-run": "exit 1", "shutdown": "true"}), WORKS)
    assert (tmp_path / "guard" / "pid").exists()
    assert "\nshutdown" not in calls


def test_a_dead_man_that_does_not_come_up_leaves_a_fixed_end_behind(tmp_path: Path) -> None:
    calls = arm(tmp_path, stubbed(tmp_path, **{"systemd-run": "exit 1", "shutdown": "true"}), "exit 1\n")
    assert "\nshutdown -P +2\n" in calls


def test_where_even_a_planned_shutdown_fails_the_machine_waits_and_switches_itself_off(tmp_path: Path) -> None:
    refuses = f'[ "$2" = now ] && echo off > {tmp_path}/off; [ "$2" = now ]'
    arm(tmp_path, stubbed(tmp_path, **{"systemd-run": "exit 1", "shutdown": refuses}), "exit 1\n")
    wait = f"for _ in $(seq 200); do [ -e {tmp_path}/off ] && exit 0; /bin/sleep 0.05; done; exit 1"
    assert subprocess.run(("sh", "-c", wait), check=False, timeout=30).returncode == 0
