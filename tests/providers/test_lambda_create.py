"""The launch call at Lambda, as it goes over the wire, and the key that is in the account before it."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from providers import marks
from providers.base import (
    Ambiguous,
    AuthFailed,
    BootFile,
    ContractBroken,
    Instance,
    InstanceState,
    NoCapacity,
    Throttled,
)
from providers.cloud_init import GUARD_DIR
from providers.lambda_cloud import Lambda
from tests.cloud import userdata
from tests.cloud.client import LAMBDA_KEY
from tests.providers.hand_clouds import OWNER, HandClouds
from tests.providers.plain_server import Heard, PlainServer, Said, document
from tests.providers.samples import boot, lambda_offer, request

DEADMAN_KEY = "secret_deadman_canary"
KEY_NAME = "launch-01234567-calm-fox-0001"


@pytest.fixture
def provider(clouds: HandClouds, tmp_path: Path) -> Lambda:
    return clouds.lambda_at(tmp_path)


def sent(clouds: HandClouds) -> dict[str, Any]:
    """The body of the only launch call."""
    (only,) = clouds.calls("lambda.launch")
    body: dict[str, Any] = only.body
    return body


def operations(clouds: HandClouds) -> list[str]:
    return [one.operation for one in clouds.calls("lambda.*")]


def config(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text.partition("\n")[2])
    return found


def create(provider: Lambda, **changes: Any) -> Instance:
    return provider.create(request(changes.pop("offer", lambda_offer()), **changes))


def test_a_launch_is_one_call_with_all_that_finds_the_machine_again(provider: Lambda, clouds: HandClouds) -> None:
    asked = request(lambda_offer(), attempt=2)
    provider.create(asked)
    body = sent(clouds)
    assert (body["region_name"], body["instance_type_name"]) == ("us-east-1", "gpu_1x_a10")
    assert body["name"] == f"launch-calm-fox-0001-2-01234567-{asked.nonce}"
    tags = {one["key"]: one["value"] for one in body["tags"]}
    assert clouds.world.clock.at(0) <= datetime.fromisoformat(tags.pop("launch:created")) <= clouds.world.clock.now()
    assert tags == {
        "launch:owner": OWNER,
        "launch:run": "calm-fox-0001",
        "launch:attempt": "2",
        "launch:nonce": asked.nonce,
        "launch:deadline": asked.deadline.isoformat(),
    }


def test_what_lambda_takes_no_more_is_not_sent(provider: Lambda, clouds: HandClouds) -> None:
    create(provider)
    assert set(sent(clouds)) == {
        "region_name",
        "instance_type_name",
        "ssh_key_names",
        "name",
        "image",
        "user_data",
        "tags",
    }


def test_the_image_is_named_since_the_default_differs_by_region(clouds: HandClouds, tmp_path: Path) -> None:
    create(clouds.lambda_at(tmp_path, settings={"image_family": "lambda-stack-22-04"}))
    assert sent(clouds)["image"] == {"family": "lambda-stack-22-04"}


def test_the_answer_is_a_machine_that_boots_in_the_place_that_was_asked_for(provider: Lambda) -> None:
    asked = request(lambda_offer())
    made = provider.create(asked)
    assert (made.state, made.region, made.instance_type) == (InstanceState.PENDING, "us-east-1", "gpu_1x_a10")
    assert (made.run_id, made.attempt, made.nonce, made.deadline) == (
        asked.run_id,
        asked.attempt,
        asked.nonce,
        asked.deadline,
    )
    assert made.access is None


def test_create_and_list_tell_the_same_time_of_birth(provider: Lambda) -> None:
    made = create(provider)
    assert [one.created_at for one in provider.list()] == [made.created_at]


def test_a_name_that_does_not_fit_makes_nothing(provider: Lambda, clouds: HandClouds) -> None:
    with pytest.raises(ContractBroken, match="at most 64"):
        create(provider, run_id="a-run-with-a-name-that-goes-on-and-on")
    assert operations(clouds) == []


def test_a_type_that_is_sold_out_everywhere_costs_no_request(provider: Lambda, clouds: HandClouds) -> None:
    with pytest.raises(NoCapacity) as caught:
        create(provider, offer=lambda_offer(region="any"))
    assert caught.value.code == "sold-out"
    assert operations(clouds) == []


def test_the_runs_key_is_in_the_account_before_the_launch_that_names_it(provider: Lambda, clouds: HandClouds) -> None:
    create(provider)
    assert operations(clouds) == ["keys", "addkey", "launch"]
    (added,) = clouds.calls("lambda.addkey")
    assert added.body == {"name": KEY_NAME, "public_key": boot().authorized_key}
    assert sent(clouds)["ssh_key_names"] == [KEY_NAME]


def test_the_same_runs_next_machine_uses_the_key_that_is_there(
    provider: Lambda, clouds: HandClouds, tmp_path: Path
) -> None:
    create(provider)
    clouds.world.pass_time(60)
    create(provider, attempt=2)
    clouds.world.pass_time(60)
    create(clouds.lambda_at(tmp_path), attempt=3)  # another process of ours
    assert [one["name"] for one in clouds.lambda_life.keys.values()] == [KEY_NAME]
    assert len(clouds.calls("lambda.addkey")) == 1


def test_a_key_of_that_name_with_other_signs_is_replaced(provider: Lambda, clouds: HandClouds) -> None:
    clouds.lambda_life.keys["old"] = {"id": "old", "name": KEY_NAME, "public_key": "ssh-ed25519 AAAAother run"}
    create(provider)
    assert [one["public_key"] for one in clouds.lambda_life.keys.values()] == [boot().authorized_key]


def test_a_key_that_differs_in_its_comment_alone_is_the_same(provider: Lambda, clouds: HandClouds) -> None:
    same = f"{' '.join(boot().authorized_key.split()[:2])} someone@elsewhere"
    clouds.lambda_life.keys["old"] = {"id": "old", "name": KEY_NAME, "public_key": same}
    create(provider)
    assert "old" in clouds.lambda_life.keys


def test_keys_of_other_people_stay_as_they_are(provider: Lambda, clouds: HandClouds) -> None:
    clouds.lambda_life.keys["theirs"] = {"id": "theirs", "name": "laptop", "public_key": "ssh-ed25519 AAAAtheirs me"}
    create(provider)
    assert {one["name"] for one in clouds.lambda_life.keys.values()} == {"laptop", KEY_NAME}
    assert [one.text for one in provider.leftovers()] == [KEY_NAME]


@pytest.mark.parametrize("when", ["after", "html", "reset", "badjson", "empty"])
def test_a_key_whose_coming_is_unclear_is_a_refusal_to_repeat_and_no_machine(
    provider: Lambda, clouds: HandClouds, when: str
) -> None:
    clouds.fault("lambda.addkey", when, applied=True)
    with pytest.raises(Throttled, match="not in the account yet"):
        create(provider)
    assert clouds.calls("lambda.launch") == []
    create(provider)
    assert len(clouds.lambda_life.keys) == 1


def test_a_key_that_somebody_removed_is_put_there_again_at_the_next_try(provider: Lambda, clouds: HandClouds) -> None:
    create(provider)
    clouds.lambda_life.keys.clear()
    clouds.world.pass_time(60)
    with pytest.raises(Throttled):
        create(provider, attempt=2)
    clouds.world.pass_time(60)
    create(provider, attempt=2)
    assert len(clouds.world.machines) == 2


@pytest.mark.parametrize("changes", [{"instance_type": "gpu_1x_z9"}, {"region": "us-north-1"}])
def test_a_type_or_place_that_is_gone_is_the_next_choices_turn(
    provider: Lambda, clouds: HandClouds, changes: dict[str, str]
) -> None:
    with pytest.raises(NoCapacity, match="does not know what was asked for"):
        create(provider, offer=lambda_offer(**changes))
    assert len(clouds.calls("lambda.launch")) == 1


def test_a_stale_key_whose_end_is_unclear_leaves_no_machine_in_doubt(provider: Lambda, clouds: HandClouds) -> None:
    clouds.lambda_life.keys["old"] = {"id": "old", "name": KEY_NAME, "public_key": "ssh-ed25519 AAAAother run"}
    clouds.fault("lambda.dropkey", "before")
    with pytest.raises(Throttled):
        create(provider)


def test_keys_that_cannot_be_listed_leave_no_machine_in_doubt(provider: Lambda, clouds: HandClouds) -> None:
    clouds.fault("lambda.keys", "before")
    with pytest.raises(Throttled):
        create(provider)


def test_a_second_launch_within_its_12_seconds_is_not_sent(provider: Lambda, clouds: HandClouds) -> None:
    create(provider)
    with pytest.raises(Throttled) as caught:
        create(provider, attempt=2)
    assert caught.value.code == "pace"
    assert 8 < caught.value.wait_seconds < 12.6
    assert len(clouds.calls("lambda.launch")) == 1


def test_the_dead_man_runs_first_and_its_end_is_our_script(provider: Lambda, clouds: HandClouds) -> None:
    create(provider, boot=boot(lease_seconds=4321))
    first = config(sent(clouds)["user_data"])["bootcmd"][0]
    assert first[4:6] == [GUARD_DIR, "4321"]
    assert first[-2:] == ["sh", f"{GUARD_DIR}/end.sh"]


def test_what_ends_the_machine_lies_on_it_beside_the_runs_own_files(provider: Lambda, clouds: HandClouds) -> None:
    create(provider, boot=boot(files=(BootFile(path="/etc/x", content="y"),)))
    files = {one.path: one for one in userdata.parse(sent(clouds)["user_data"].encode()).files}
    assert set(files) == {"/etc/x", f"{GUARD_DIR}/end.sh"}
    assert files[f"{GUARD_DIR}/end.sh"].mode == 0o755
    assert files[f"{GUARD_DIR}/end.sh"].content.startswith(b"#!/bin/sh\n")


def test_no_key_of_the_account_and_no_other_secret_travels(clouds: HandClouds, tmp_path: Path) -> None:
    environ = clouds.lambda_environ(HF_TOKEN="hf_canary", LAMBDA_DEADMAN_API_KEY=DEADMAN_KEY)
    create(clouds.lambda_at(tmp_path, environ))
    text = json.dumps([one.body for one in clouds.calls("lambda.*")])
    assert not [secret for secret in (LAMBDA_KEY, "hf_canary", DEADMAN_KEY) if secret in text]


def test_who_opts_in_has_the_key_made_for_it_on_the_machine_for_root_alone(clouds: HandClouds, tmp_path: Path) -> None:
    environ = clouds.lambda_environ(LAMBDA_DEADMAN_API_KEY=f" {DEADMAN_KEY}\n")
    create(clouds.lambda_at(tmp_path, environ, settings={"deadman": "api-key"}))
    body = sent(clouds)
    (told,) = [one for one in config(body["user_data"])["write_files"] if one["path"] == f"{GUARD_DIR}/end.json"]
    assert (told["permissions"], told["owner"]) == ("0600", "root:root")
    assert json.loads(told["content"]) == {
        "url": f"{clouds.urls['lambda']}/api/v1",
        "key": DEADMAN_KEY,
        "name": body["name"],
    }
    assert LAMBDA_KEY not in json.dumps(body)


def test_who_opts_in_without_such_a_key_gets_no_machine(clouds: HandClouds, tmp_path: Path) -> None:
    provider = clouds.lambda_at(tmp_path, settings={"deadman": "api-key"})
    with pytest.raises(AuthFailed) as caught:
        create(provider)
    assert caught.value.code == "no-deadman-key"
    assert "LAMBDA_DEADMAN_API_KEY" in caught.value.fix
    assert clouds.calls("lambda.launch") == []


@pytest.mark.parametrize("is_filed", [False, True])
def test_the_key_with_which_launch_rents_goes_on_no_machine(clouds: HandClouds, tmp_path: Path, is_filed: bool) -> None:
    environ = clouds.lambda_environ(LAMBDA_DEADMAN_API_KEY=LAMBDA_KEY, HOME=str(tmp_path))
    if is_filed:
        del environ["LAMBDA_API_KEY"]
        (tmp_path / ".lambda_cloud").mkdir()
        (tmp_path / ".lambda_cloud" / "lambda_keys").write_text(f"api_key = {LAMBDA_KEY}\n")
    with pytest.raises(AuthFailed, match="is the key with which launch rents") as caught:
        create(clouds.lambda_at(tmp_path, environ, settings={"deadman": "api-key"}))
    assert "for this alone" in caught.value.fix
    assert LAMBDA_KEY not in caught.value.text
    assert clouds.calls("lambda.launch") == []


def test_boot_data_beyond_a_megabyte_is_refused_before_the_call(provider: Lambda, clouds: HandClouds) -> None:
    with pytest.raises(ContractBroken, match="1000000"):
        create(provider, boot=boot(files=(BootFile(path="/x", content="y" * 1_000_000),)))
    assert clouds.calls("lambda.launch") == []


@pytest.mark.parametrize(
    "answer",
    [{"instance_ids": []}, {"instance_ids": ["a", "b"]}, {"instance_ids": None}, {"instance_ids": [7]}, {}, [], None],
)
def test_an_answer_that_names_no_machine_or_several_is_unclear(
    clouds: HandClouds, server: PlainServer, tmp_path: Path, answer: object
) -> None:
    def script(heard: Heard) -> Said:
        return document({"data": answer if heard.path.endswith("/launch") else []})

    server.script = script
    provider = clouds.lambda_at(tmp_path, clouds.lambda_environ(LAMBDA_API_BASE_URL=server.url))
    with pytest.raises(Ambiguous):
        create(provider)


def test_the_key_goes_with_the_run(provider: Lambda, clouds: HandClouds) -> None:
    create(provider)
    (left,) = provider.leftovers()
    assert (left.kind, left.run_id, left.billed) == ("ssh key", "calm-fox-0001", False)
    provider.remove(left)
    assert clouds.lambda_life.keys == {}
    assert provider.leftovers() == ()


def test_a_run_whose_key_was_removed_makes_it_anew(provider: Lambda, clouds: HandClouds) -> None:
    create(provider)
    provider.remove(provider.leftovers()[0])
    clouds.world.pass_time(60)
    create(provider, attempt=2)
    assert [one["name"] for one in clouds.lambda_life.keys.values()] == [KEY_NAME]


def test_only_keys_are_removed(provider: Lambda, clouds: HandClouds) -> None:
    create(provider)
    (left,) = provider.leftovers()
    with pytest.raises(ContractBroken):
        provider.remove(type(left)(**{**vars(left), "kind": "volume"}))
    assert len(clouds.lambda_life.keys) == 1


def test_the_marks_of_a_machine_are_read_back_from_its_name(provider: Lambda, clouds: HandClouds) -> None:
    asked = request(lambda_offer())
    provider.create(asked)
    mark = marks.parse(sent(clouds)["name"])
    assert mark is not None
    assert (mark.run_id, mark.attempt, mark.nonce) == (asked.run_id, asked.attempt, asked.nonce)
