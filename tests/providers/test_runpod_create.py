"""The create call at Runpod, as it goes over the wire, and what is known of a pod whose call got no answer."""

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from providers import marks
from providers.base import Ambiguous, BootFile, ContractBroken, Instance, InstanceState, NoCapacity
from providers.runpod import Runpod
from providers.runpod_boot import ARGS, MOST_BODY_BYTES
from tests.cloud.client import RUNPOD_KEY
from tests.providers.hand_clouds import OWNER, HandClouds
from tests.providers.plain_server import PlainServer, document
from tests.providers.samples import boot, request, runpod_offer


@pytest.fixture
def provider(clouds: HandClouds, tmp_path: Path) -> Runpod:
    return clouds.runpod_at(tmp_path)


def sent(clouds: HandClouds) -> dict[str, Any]:
    """The body of the only create call."""
    (only,) = clouds.calls("runpod.create")
    body: dict[str, Any] = only.body
    return body


def create(provider: Runpod, **changes: Any) -> Instance:
    return provider.create(request(changes.pop("offer", runpod_offer()), **changes))


def test_a_pod_is_asked_for_in_one_call_in_the_place_of_the_offer(provider: Runpod, clouds: HandClouds) -> None:
    asked = request(runpod_offer(), attempt=2)
    provider.create(asked)
    body = sent(clouds)
    assert body["name"] == f"launch-calm-fox-0001-2-01234567-{asked.nonce}"
    assert body["gpu"] == {"id": "NVIDIA GeForce RTX 4090", "count": 1, "minCudaVersion": "12.8"}
    assert (body["cloud"], body["dataCenterIds"]) == ("SECURE", ["US-KS-2"])
    assert [one.operation for one in clouds.calls("runpod.*")] == ["create"]


def test_nothing_is_sent_that_the_interface_does_not_know_or_that_never_worked(
    provider: Runpod, clouds: HandClouds
) -> None:
    """No bid, no server-side end, no account keys: strangers are refused with 422, or taken and ignored."""
    create(provider)
    assert set(sent(clouds)) == {
        "name",
        "image",
        "gpu",
        "cloud",
        "dataCenterIds",
        "disk",
        "env",
        "ports",
        "args",
    }


def test_ssh_is_the_only_port(provider: Runpod, clouds: HandClouds) -> None:
    create(provider)
    assert sent(clouds)["ports"] == ["22/tcp"]


def test_image_and_cuda_are_the_users_own_to_set(clouds: HandClouds, tmp_path: Path) -> None:
    create(clouds.runpod_at(tmp_path, settings={"image": "me/mine:1", "min_cuda": "13.0"}))
    assert (sent(clouds)["image"], sent(clouds)["gpu"]["minCudaVersion"]) == ("me/mine:1", "13.0")


@pytest.mark.parametrize(("asked", "disk"), [(1, 40), (40, 40), (123, 123)])
def test_a_disk_is_never_so_small_that_few_hosts_are_left(
    provider: Runpod, clouds: HandClouds, asked: int, disk: int
) -> None:
    create(provider, disk_gib=asked)
    assert sent(clouds)["disk"] == disk


def test_a_private_host_is_asked_for_without_a_place(provider: Runpod, clouds: HandClouds) -> None:
    made = create(provider, offer=runpod_offer(region="community", vetted=False))
    body = sent(clouds)
    assert (body["cloud"], "dataCenterIds" in body) == ("COMMUNITY", False)
    assert made.region == "community"


def test_a_card_that_is_nowhere_free_costs_no_request(provider: Runpod, clouds: HandClouds) -> None:
    with pytest.raises(NoCapacity) as caught:
        create(provider, offer=runpod_offer(region="any"))
    assert caught.value.code == "sold-out"
    assert clouds.calls("runpod.*") == []


def test_the_pods_own_start_script_comes_by_its_environment(provider: Runpod, clouds: HandClouds) -> None:
    create(provider)
    body = sent(clouds)
    assert body["args"] == ARGS == "sh -c 'eval \"$LAUNCH_BOOT\"'"
    assert "sshd" in body["env"]["LAUNCH_BOOT"]


def test_dead_man_lease_and_host_key_are_with_the_pod_from_its_first_second(
    provider: Runpod, clouds: HandClouds
) -> None:
    data = boot(lease_seconds=4321)
    create(provider, boot=data)
    env = sent(clouds)["env"]
    assert (env["LAUNCH_DEADMAN"], env["LAUNCH_LEASE"]) == (data.deadman, "4321")
    assert "runpodctl" in env["LAUNCH_END"]
    assert env["LAUNCH_API"] == clouds.urls["runpod"]
    assert env["LAUNCH_HOST_KEY"] == data.host_key_private.strip()
    assert env["PUBLIC_KEY"] == data.authorized_key


def test_a_pod_is_told_when_it_was_asked_for_by_runpods_own_clock(provider: Runpod, clouds: HandClouds) -> None:
    clouds.world.set_knobs("runpod", {"clock_skew_seconds": 600})
    provider.list()
    create(provider)
    born = int(sent(clouds)["env"]["LAUNCH_BORN"])
    assert abs(born - (clouds.world.clock.now() + timedelta(seconds=600)).timestamp()) < 5


def test_marks_and_deadline_stand_in_the_environment_too(provider: Runpod, clouds: HandClouds) -> None:
    asked = request(runpod_offer())
    provider.create(asked)
    env = sent(clouds)["env"]
    assert (env["LAUNCH_OWNER"], env["LAUNCH_RUN"], env["LAUNCH_ATTEMPT"]) == (OWNER, asked.run_id, "1")
    assert (env["LAUNCH_NONCE"], env["LAUNCH_DEADLINE"]) == (asked.nonce, asked.deadline.isoformat())


def test_runpods_own_names_are_left_to_runpod(provider: Runpod, clouds: HandClouds) -> None:
    create(provider)
    env = sent(clouds)["env"]
    assert not [name for name in env if name.startswith("RUNPOD_")]
    assert len(env) <= 50


def test_no_key_of_the_account_and_no_other_secret_travels(clouds: HandClouds, tmp_path: Path) -> None:
    create(clouds.runpod_at(tmp_path, clouds.runpod_environ(HF_TOKEN="hf_canary")))
    text = json.dumps(sent(clouds))
    assert not [secret for secret in (RUNPOD_KEY, "hf_canary") if secret in text]


def test_what_is_sent_has_room_to_grow(provider: Runpod, clouds: HandClouds) -> None:
    create(provider, boot=boot(host_key_private="k" * 420))
    assert len(json.dumps(sent(clouds))) < 20_000


def test_an_environment_beyond_what_the_service_takes_is_refused_before_the_call(
    provider: Runpod, clouds: HandClouds
) -> None:
    with pytest.raises(ContractBroken, match=str(MOST_BODY_BYTES)):
        create(provider, boot=boot(deadman="x" * MOST_BODY_BYTES))
    assert clouds.calls("runpod.create") == []


def test_files_that_a_pod_could_not_be_given_are_refused_before_the_call(provider: Runpod, clouds: HandClouds) -> None:
    with pytest.raises(ContractBroken) as caught:
        create(provider, boot=boot(files=(BootFile(path="/x", content="y"),)))
    assert caught.value.code == "files"
    assert clouds.calls("runpod.create") == []


def test_the_answer_is_a_pod_with_its_rate(provider: Runpod) -> None:
    asked = request(runpod_offer())
    made = provider.create(asked)
    assert (made.state, made.region, made.nonce) == (InstanceState.PENDING, "US-KS-2", asked.nonce)
    assert made.billed_usd_per_hour == Decimal("0.69")
    assert made.access is None


def test_two_pods_of_one_request_bear_one_mark(provider: Runpod) -> None:
    asked = request(runpod_offer())
    assert provider.create(asked).id != provider.create(asked).id
    assert [one.nonce for one in provider.list()] == [asked.nonce] * 2


@pytest.mark.parametrize("answer", [None, [], {}, {"id": ""}, {"id": 7}, "pod"])
def test_an_answer_that_names_no_pod_is_unclear(
    clouds: HandClouds, server: PlainServer, tmp_path: Path, answer: object
) -> None:
    server.says(document(answer, 201))
    provider = clouds.runpod_at(tmp_path, clouds.runpod_environ(RUNPOD_API_BASE_URL=server.url))
    with pytest.raises(Ambiguous):
        create(provider)


def test_the_marks_of_a_pod_are_read_back_from_its_name(provider: Runpod, clouds: HandClouds) -> None:
    asked = request(runpod_offer())
    provider.create(asked)
    mark = marks.parse(sent(clouds)["name"])
    assert mark is not None
    assert (mark.run_id, mark.attempt, mark.nonce) == (asked.run_id, asked.attempt, asked.nonce)


def test_the_version_that_is_gone_is_never_asked(provider: Runpod, clouds: HandClouds) -> None:
    made = create(provider)
    provider.list()
    provider.get(made)
    provider.console(made)
    provider.terminate(made)
    assert clouds.calls("runpod.v1") == []
    assert {one.path.split("/")[1] for one in clouds.calls("runpod.*")} == {"v2"}
