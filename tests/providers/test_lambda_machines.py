"""Lambda's picture of a machine as ours, from its first second to after its end, whatever the picture lacks."""

import dataclasses
import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from providers.base import EndReason, Instance, InstanceState, NotFound, Ssh
from providers.cloud_init import GUARD_DIR
from providers.lambda_cloud import Lambda
from providers.lambda_machines import is_anothers, is_ours, shown
from tests.providers.hand_clouds import OWNER, STRANGER, HandClouds
from tests.providers.samples import NOW, lambda_offer, request

CANARY = "canary-jupyter"
BARE: dict[str, Any] = {
    "id": "0920582c7ff041399e34823a0be62549",
    "status": "active",
    "ssh_key_names": ["k"],
    "file_system_names": [],
    "region": {"name": "us-west-1", "description": "California, USA"},
    "instance_type": {"name": "gpu_1x_a10", "price_cents_per_hour": 75},
    "actions": {},
}
"""All that the interface promises of a machine."""
NAME = "launch-calm-fox-0001-2-01234567-a1b2c3"


@pytest.fixture
def provider(clouds: HandClouds, tmp_path: Path) -> Lambda:
    return clouds.lambda_at(tmp_path)


@pytest.fixture
def machine(provider: Lambda) -> Instance:
    return provider.create(request(lambda_offer()))


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("booting", InstanceState.PENDING),
        ("active", InstanceState.RUNNING),
        ("unhealthy", InstanceState.UNHEALTHY),
        ("preempted", InstanceState.STOPPED),
        ("terminating", InstanceState.ENDING),
        ("terminated", InstanceState.GONE),
        ("rebuilding", InstanceState.UNKNOWN),
        ("ACTIVE", InstanceState.UNKNOWN),
        ("", InstanceState.UNKNOWN),
        (None, InstanceState.UNKNOWN),
        (7, InstanceState.UNKNOWN),
    ],
)
def test_each_status_is_a_state_and_a_new_word_is_unknown(status: object, state: InstanceState) -> None:
    assert shown({**BARE, "status": status}, 22, NOW).state is state


def test_an_unknown_status_counts_as_alive(provider: Lambda, machine: Instance, clouds: HandClouds) -> None:
    clouds.world.set_knobs("lambda", {"odd_status": "rebuilding"})
    assert [(one.id, one.state) for one in provider.list()] == [(machine.id, InstanceState.UNKNOWN)]
    assert provider.get(machine).state is InstanceState.UNKNOWN


def test_a_machine_with_the_least_that_is_promised_is_shown() -> None:
    one = shown(BARE, 22, NOW)
    assert (one.id, one.region, one.instance_type) == (BARE["id"], "us-west-1", "gpu_1x_a10")
    assert (one.run_id, one.attempt, one.nonce, one.deadline, one.access) == ("", 0, "", None, None)
    assert one.created_at == NOW


@pytest.mark.parametrize("missing", sorted(set(BARE) - {"id"}))
def test_even_what_is_promised_may_be_missing(missing: str) -> None:
    whole = {name: value for name, value in BARE.items() if name != missing}
    for found in (whole, {**whole, missing: None}, {**whole, missing: "odd"}):
        assert shown(found, 22, NOW).id == BARE["id"]


def test_a_machine_without_tags_is_known_by_its_name(clouds: HandClouds, provider: Lambda, machine: Instance) -> None:
    clouds.world.set_knobs("lambda", {"no_tags": True})
    (seen,) = provider.list()
    assert (seen.run_id, seen.attempt, seen.nonce) == (machine.run_id, machine.attempt, machine.nonce)


def test_a_machine_without_a_name_is_known_by_its_tags(clouds: HandClouds, provider: Lambda, machine: Instance) -> None:
    clouds.world.set_knobs("lambda", {"no_names": True})
    (seen,) = provider.list()
    assert (seen.nonce, seen.deadline) == (machine.nonce, machine.deadline)


def test_tags_and_name_are_both_needed_to_lose_a_machine_from_the_list(
    clouds: HandClouds, provider: Lambda, machine: Instance
) -> None:
    clouds.world.set_knobs("lambda", {"no_names": True, "no_tags": True})
    assert provider.list() == ()
    assert provider.get(machine).id == machine.id


def test_only_a_mark_of_another_owner_makes_a_machine_another_owners() -> None:
    theirs = {"tags": [{"key": "launch:owner", "value": STRANGER}]}
    named = {"name": NAME.replace(OWNER[:8], STRANGER[:8])}
    ours = ({**BARE}, {**BARE, "name": "my box"}, {**BARE, "name": NAME})
    assert [is_anothers(one, OWNER) for one in ours] == [False] * 3
    others = ({**BARE, **named}, {**BARE, **theirs}, {**BARE, **theirs, "name": NAME})
    assert [is_anothers(one, OWNER) for one in others] == [True] * 3


def test_a_tag_of_another_owner_weighs_more_than_a_name_like_ours() -> None:
    tags = [{"key": "launch:owner", "value": STRANGER}]
    assert is_ours({**BARE, "name": NAME}, OWNER)
    assert not is_ours({**BARE, "name": NAME, "tags": tags}, OWNER)


@pytest.mark.parametrize(
    "tags", [None, "none", [None], [{}], [{"key": "launch:attempt", "value": "x"}], [{"key": 1, "value": 2}]]
)
def test_tags_that_make_no_sense_leave_the_name_to_speak(tags: object) -> None:
    one = shown({**BARE, "name": NAME, "tags": tags}, 22, NOW)
    assert (one.run_id, one.attempt, one.nonce) == ("calm-fox-0001", 2, "a1b2c3")


def test_where_tags_are_not_shown_the_deadline_is_the_names(clouds: HandClouds, provider: Lambda) -> None:
    asked = request(lambda_offer(), nonce="0123456789abcdef01234567")
    clouds.world.pass_time(60)
    provider.create(asked)
    clouds.world.set_knobs("lambda", {"no_tags": True})
    (seen,) = [one for one in provider.list() if one.nonce == asked.nonce]
    assert seen.deadline == asked.deadline


@pytest.mark.parametrize("edited", ["soon", "2026-11-24T12:00:00", ""])
def test_a_deadline_that_somebody_edited_is_none(edited: str) -> None:
    tags = [{"key": "launch:deadline", "value": edited}, {"key": "launch:created", "value": edited}]
    one = shown({**BARE, "tags": tags}, 22, NOW)
    assert (one.deadline, one.created_at) == (None, NOW)


def test_the_address_comes_while_it_still_boots(clouds: HandClouds, provider: Lambda) -> None:
    clouds.world.set_knobs("lambda", {"pending_seconds": 25.0, "active_seconds": 40.0})
    other = provider.create(request(lambda_offer()))
    assert provider.get(other).access is None
    clouds.world.pass_time(26)
    seen = provider.get(other)
    assert seen.state is InstanceState.PENDING
    assert isinstance(seen.access, Ssh)
    assert (seen.access.port, seen.access.user, seen.access.guard_dir) == (22, "ubuntu", GUARD_DIR)
    clouds.world.pass_time(40)
    assert provider.get(other).state is InstanceState.RUNNING


def test_a_machine_may_be_active_without_an_address(clouds: HandClouds, provider: Lambda, machine: Instance) -> None:
    clouds.world.set_knobs("lambda", {"no_address": True})
    clouds.world.pass_time(60)
    seen = provider.get(machine)
    assert (seen.state, seen.access) == (InstanceState.RUNNING, None)


def test_the_port_of_ssh_can_be_set(clouds: HandClouds, tmp_path: Path) -> None:
    provider = clouds.lambda_at(tmp_path, settings={"ssh_port": 2222})
    made = provider.create(request(lambda_offer()))
    clouds.world.pass_time(60)
    seen = provider.get(made)
    assert isinstance(seen.access, Ssh)
    assert seen.access.port == 2222


def test_the_rate_that_is_billed_is_the_machines_own(clouds: HandClouds, tmp_path: Path) -> None:
    clouds.world.set_knobs("lambda", {"own_price_factor": "1.5"})
    provider = clouds.lambda_at(tmp_path)
    made = provider.create(request(lambda_offer()))
    assert provider.get(made).billed_usd_per_hour == Decimal("1.94")


@pytest.mark.parametrize("cents", [None, 0, "129", -1])
def test_a_rate_that_is_not_told_is_unknown_and_never_nothing(cents: object) -> None:
    kind = {"name": "gpu_1x_a10", "price_cents_per_hour": cents}
    assert shown({**BARE, "instance_type": kind}, 22, NOW).billed_usd_per_hour is None


def test_an_unhealthy_machine_says_so_and_one_that_was_taken_says_why() -> None:
    ill, taken = (shown({**BARE, "status": status}, 22, NOW) for status in ("unhealthy", "preempted"))
    assert (ill.end_reason, ill.end_text) == (EndReason.NONE, "Lambda calls it unhealthy")
    assert (taken.end_reason, taken.end_text) == (EndReason.PREEMPTED, "Lambda calls it preempted")


def test_the_secrets_of_a_machines_notebook_are_never_kept(
    clouds: HandClouds, provider: Lambda, machine: Instance
) -> None:
    clouds.world.pass_time(60)
    (told,) = clouds.lambda_life.listed()
    assert told.has_address  # the answer carries the token with the address
    seen = provider.get(machine)
    assert seen.access is not None
    assert CANARY not in f"{seen!r} {json.dumps(dataclasses.asdict(seen), default=str)}"
    assert CANARY not in repr(provider.list())


def test_the_list_shows_no_machine_that_has_ended(clouds: HandClouds, provider: Lambda, machine: Instance) -> None:
    provider.terminate(machine)
    clouds.world.pass_time(5)
    assert provider.get(machine).state is InstanceState.GONE
    assert provider.list() == ()


def test_a_machine_that_is_ending_is_still_listed(clouds: HandClouds, provider: Lambda, machine: Instance) -> None:
    clouds.world.set_knobs("lambda", {"ending_seconds": 60.0})
    provider.terminate(machine)
    assert [one.state for one in provider.list()] == [InstanceState.ENDING]


def test_after_a_while_lambda_forgets_a_machine_that_has_ended(
    clouds: HandClouds, provider: Lambda, machine: Instance
) -> None:
    provider.terminate(machine)
    clouds.world.pass_time(120)
    with pytest.raises(NotFound):
        provider.get(machine)
    provider.terminate(machine)


def test_terminate_asks_for_the_end_of_one_machine(provider: Lambda, machine: Instance, clouds: HandClouds) -> None:
    provider.terminate(machine)
    assert [one.body for one in clouds.calls("lambda.terminate")] == [{"instance_ids": [machine.id]}]


def test_an_answer_that_leaves_the_machine_out_is_no_error(
    provider: Lambda, machine: Instance, clouds: HandClouds
) -> None:
    clouds.world.set_knobs("lambda", {"says_nothing_ended": 1})
    provider.terminate(machine)
    clouds.world.pass_time(5)
    assert provider.get(machine).state is InstanceState.GONE


def test_a_terminate_that_lambda_swallows_leaves_the_machine_to_be_seen(
    provider: Lambda, machine: Instance, clouds: HandClouds
) -> None:
    clouds.world.set_knobs("lambda", {"terminate_ignored": 1})
    clouds.world.pass_time(60)
    provider.terminate(machine)
    assert provider.get(machine).state is InstanceState.RUNNING


def test_a_fresh_machine_may_be_unknown_to_get_and_list(clouds: HandClouds, provider: Lambda) -> None:
    clouds.world.set_knobs("lambda", {"early_not_found_seconds": 20.0, "list_lag_seconds": 30.0})
    made = provider.create(request(lambda_offer()))
    assert provider.list() == ()
    with pytest.raises(NotFound):
        provider.get(made)
    clouds.world.pass_time(30)
    assert [one.id for one in provider.list()] == [made.id]


def test_one_call_lists_every_region(provider: Lambda, machine: Instance, clouds: HandClouds) -> None:
    assert provider.traits.one_list
    clouds.clouds["lambda"].calls.clear()
    assert [one.id for one in provider.list("us-west-2")] == [machine.id]
    assert len(clouds.calls("lambda.*")) == 1


def test_what_lambda_cannot_answer_is_answered_with_nothing(provider: Lambda, machine: Instance) -> None:
    rarer = (provider.funds(), provider.still_there(machine), provider.billed_usd(machine), provider.trial())
    assert rarer == (None, None, None, None)
    assert (provider.console(machine), provider.policy()) == ((), "")


def test_the_time_of_birth_comes_back_from_the_tag(clouds: HandClouds, provider: Lambda, machine: Instance) -> None:
    clouds.world.pass_time(600)
    (seen,) = provider.list()
    assert abs(seen.created_at - machine.created_at) < timedelta(seconds=5)
