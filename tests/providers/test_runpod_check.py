"""What doctor is told of Runpod: key and rights, balance, clock, interface, the second door, and what guards a pod."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from providers.base import Finding, Level
from providers.funds import Funds
from tests.cloud.client import RUNPOD_KEY, RUNPOD_READ_ONLY_KEY
from tests.cloud.http_cloud import Asked
from tests.providers.hand_clouds import HandClouds
from tests.providers.plain_server import Heard, PlainServer, Said, closed_port, document
from tests.providers.samples import machine, request, runpod_offer

Environ = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One whole check, which starts the `runpod` package twice: several tests look at one."""

    by_subject: dict[str, Finding]
    calls: list[Asked]


def checked(clouds: HandClouds, folder: Path, environ: Environ | None = None, **around: Any) -> Checked:
    """By subject; each subject once."""
    clouds.clouds["runpod"].calls.clear()
    found = clouds.runpod_at(folder, environ, **around).check()
    assert len({one.subject for one in found}) == len(found)
    return Checked(by_subject={one.subject: one for one in found}, calls=list(clouds.calls("runpod.*")))


@pytest.fixture(scope="module")
def healthy(both_clouds: HandClouds, tmp_path_factory: pytest.TempPathFactory) -> Checked:
    """An account with money, a key that may do all, and a right clock."""
    both_clouds.reset()
    return checked(both_clouds, tmp_path_factory.mktemp("healthy"))


@pytest.fixture(scope="module")
def troubled(both_clouds: HandClouds, tmp_path_factory: pytest.TempPathFactory) -> Checked:
    """Little money, a wrong clock, a pod in a state that nobody knows, and a create call that fails."""
    both_clouds.reset()
    folder = tmp_path_factory.mktemp("troubled")
    both_clouds.world.set_knobs("runpod", {"balance_usd": "0.9"})
    both_clouds.runpod_at(folder).create(request(runpod_offer()))
    both_clouds.world.set_knobs("runpod", {"odd_status": "MIGRATING", "clock_skew_seconds": -300})
    both_clouds.fault("runpod.create", "before", status=503)
    return checked(both_clouds, folder)


@pytest.fixture(scope="module")
def without_graphql(both_clouds: HandClouds, tmp_path_factory: pytest.TempPathFactory) -> Checked:
    """As it will be in 2027."""
    both_clouds.reset()
    both_clouds.world.set_knobs("runpod", {"graphql_gone": True})
    return checked(both_clouds, tmp_path_factory.mktemp("later"))


def test_all_is_well_but_for_what_is_not_proven(healthy: Checked) -> None:
    assert list(healthy.by_subject) == [
        "credentials",
        "balance",
        "clock",
        "rights",
        "interface",
        "prices",
        "pace",
        "second look",
        "guard",
    ]
    assert {name for name, one in healthy.by_subject.items() if one.level is not Level.OK} == {"guard"}


def test_whose_key_it_is_is_told_and_never_the_key(healthy: Checked) -> None:
    assert "the key of user_tests is accepted" in healthy.by_subject["credentials"].text
    assert RUNPOD_KEY not in repr(healthy.by_subject)


def test_balance_spending_and_limit_are_told(healthy: Checked) -> None:
    assert healthy.by_subject["balance"].text.startswith("100.00, spending 0.00/h now, limit 80.00/h")


def test_the_right_to_create_is_tried_with_a_call_that_can_create_nothing(healthy: Checked) -> None:
    (tried,) = [one for one in healthy.calls if one.operation == "create"]
    assert (tried.body, tried.status) == ({}, 422)
    assert healthy.by_subject["rights"].text == "the key may create pods"


def test_the_second_look_is_named_with_its_version(healthy: Checked) -> None:
    assert "`runpod` package 1." in healthy.by_subject["second look"].text


def test_what_guards_a_pod_is_a_warning_until_it_is_proven(healthy: Checked) -> None:
    guard = healthy.by_subject["guard"]
    assert guard.level is Level.WARNING
    assert "launch doctor --live" in guard.fix


def test_looking_changes_nothing(healthy: Checked) -> None:
    assert {(one.method, one.operation) for one in healthy.calls if one.method != "GET"} == {
        ("POST", "create"),
        ("POST", "graphql"),
    }
    assert not [one for one in healthy.calls if one.operation == "graphql" and "mutation" in one.body["query"]]


def test_little_money_is_a_warning_that_keeps_auto_pay_off(troubled: Checked) -> None:
    balance = troubled.by_subject["balance"]
    assert balance.level is Level.WARNING
    assert balance.text.startswith("0.90, spending 0.69/h now")
    assert "keep auto-pay off" in balance.fix


def test_a_clock_that_differs_is_a_warning(troubled: Checked) -> None:
    assert troubled.by_subject["clock"].level is Level.WARNING
    assert "a pod compares its own" in troubled.by_subject["clock"].fix


def test_a_status_that_launch_does_not_know_is_drift(troubled: Checked) -> None:
    found = troubled.by_subject["interface"]
    assert (found.level, found.text) == (Level.WARNING, "not understood: a pod's status 'MIGRATING'")


def test_rights_that_could_not_be_tried_are_no_missing_rights(troubled: Checked) -> None:
    assert troubled.by_subject["rights"].level is Level.WARNING
    assert "could not be tried" in troubled.by_subject["rights"].text


def test_a_balance_that_nobody_tells_is_unknown_and_no_error(without_graphql: Checked) -> None:
    balance = without_graphql.by_subject["balance"]
    assert balance.level is Level.WARNING
    assert "unknown" in balance.text


def test_a_second_door_that_is_closed_is_told_and_no_error(without_graphql: Checked) -> None:
    assert without_graphql.by_subject["second look"].level is Level.WARNING
    assert {one.level for one in without_graphql.by_subject.values()} == {Level.OK, Level.WARNING}


def test_a_key_that_may_only_read_is_an_error_that_names_the_missing_right(clouds: HandClouds, tmp_path: Path) -> None:
    found = checked(clouds, tmp_path, clouds.runpod_environ(RUNPOD_API_KEY=RUNPOD_READ_ONLY_KEY)).by_subject
    assert found["credentials"].level is Level.OK
    assert (found["rights"].level, found["rights"].text) == (
        Level.ERROR,
        "this key may create nothing (access denied)",
    )
    assert "may write" in found["rights"].fix


def test_an_empty_call_that_is_accepted_is_an_error_that_says_where_to_look(
    clouds: HandClouds, server: PlainServer, tmp_path: Path
) -> None:
    def script(heard: Heard) -> Said:
        accepted = document({"id": "p", "name": "x"}, 201)
        return accepted if heard.method == "POST" else document({"pods": [], "gpus": []})

    server.script = script
    found = checked(clouds, tmp_path, clouds.runpod_environ(RUNPOD_API_BASE_URL=server.url)).by_subject
    assert found["rights"].level is Level.ERROR
    assert "delete it" in found["rights"].fix


def test_a_key_that_is_not_accepted_is_an_error_with_where_to_make_one(clouds: HandClouds, tmp_path: Path) -> None:
    found = checked(clouds, tmp_path, clouds.runpod_environ(RUNPOD_API_KEY="rpa_canary")).by_subject
    assert list(found) == ["credentials", "guard"]
    assert found["credentials"].level is Level.ERROR
    assert "console.runpod.io" in found["credentials"].fix
    assert "rpa_canary" not in repr(found)


def test_no_key_means_that_runpod_is_not_used_and_not_asked(clouds: HandClouds, tmp_path: Path) -> None:
    found = checked(clouds, tmp_path, {"RUNPOD_API_BASE_URL": clouds.urls["runpod"]})
    assert {name: one.level for name, one in found.by_subject.items()} == {"credentials": Level.UNUSED}
    assert found.calls == []


def test_nobody_at_the_address_is_a_matter_of_the_network(clouds: HandClouds, tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{closed_port()}"
    found = checked(clouds, tmp_path, clouds.runpod_environ(RUNPOD_API_BASE_URL=address)).by_subject
    assert list(found) == ["reachability", "guard"]
    assert address in found["reachability"].text


@pytest.mark.parametrize("when", ["before", "html", "empty", "reset", "badjson"])
@pytest.mark.parametrize("operation", ["runpod.list", "runpod.gpus"])
def test_no_usable_answer_is_a_matter_of_the_network_too(
    clouds: HandClouds, tmp_path: Path, operation: str, when: str
) -> None:
    clouds.fault(operation, when)
    assert checked(clouds, tmp_path).by_subject["reachability"].level is Level.ERROR


@pytest.mark.parametrize("answer", [{}, {"pods": {}}, {"pods": None}, [], {"pods": [], "gpus": None}])
def test_lists_that_are_none_are_told_as_an_interface_that_changed(
    clouds: HandClouds, server: PlainServer, tmp_path: Path, answer: object
) -> None:
    server.says(document(answer))
    found = checked(clouds, tmp_path, clouds.runpod_environ(RUNPOD_API_BASE_URL=server.url)).by_subject
    assert list(found) == ["interface", "guard"]
    assert found["interface"].level is Level.ERROR


def funds_said(clouds: HandClouds, server: PlainServer, folder: Path, said: Said) -> Funds | None:
    server.says(said)
    return clouds.runpod_at(folder, clouds.runpod_environ(RUNPOD_API_BASE_URL=server.url)).funds()


def test_what_the_account_holds_goes_down_with_what_is_spent(clouds: HandClouds, tmp_path: Path) -> None:
    provider = clouds.runpod_at(tmp_path)
    assert provider.funds() == Funds(balance_usd=Decimal(100), limit_usd_per_hour=Decimal(80))
    provider.create(request(runpod_offer()))
    clouds.world.pass_time(3600)
    held = provider.funds()
    assert held is not None
    assert Decimal(99) < held.balance_usd < Decimal("99.4")
    assert held.spending_usd_per_hour == Decimal("0.69")


def test_funds_are_asked_by_a_query_that_changes_nothing(clouds: HandClouds, tmp_path: Path) -> None:
    clouds.runpod_at(tmp_path).funds()
    (asked,) = clouds.calls("runpod.*")
    assert asked.body == {"query": "query { myself { id clientBalance currentSpendPerHr spendLimit } }"}


@pytest.mark.parametrize("balance", [0, 0.0])
def test_an_empty_account_holds_nothing_which_is_not_unknown(
    clouds: HandClouds, server: PlainServer, tmp_path: Path, balance: float
) -> None:
    held = funds_said(clouds, server, tmp_path, document({"data": {"myself": {"clientBalance": balance}}}))
    assert held == Funds(balance_usd=Decimal(0))


def test_an_account_in_debt_holds_less_than_nothing_which_is_not_unknown(
    clouds: HandClouds, server: PlainServer, tmp_path: Path
) -> None:
    held = funds_said(clouds, server, tmp_path, document({"data": {"myself": {"clientBalance": -0.25}}}))
    assert held is not None
    assert held.balance_usd <= 0


@pytest.mark.parametrize(
    "said",
    [
        Said(status=410, body=b""),
        document({"errors": [{"message": "no"}], "data": None}),
        document({"errors": [{"message": "no"}]}, 401),
        document({"data": {"myself": None}}),
        document({"data": {"myself": {"clientBalance": "much"}}}),
        document([]),
        Said(status=502, body=b"<html>"),
    ],
)
def test_a_balance_that_is_not_told_is_unknown(
    clouds: HandClouds, server: PlainServer, tmp_path: Path, said: Said
) -> None:
    assert funds_said(clouds, server, tmp_path, said) is None


def test_a_closed_door_and_a_missing_key_tell_no_balance_either(clouds: HandClouds, tmp_path: Path) -> None:
    closed = clouds.runpod_environ(RUNPOD_API_BASE_URL=f"http://127.0.0.1:{closed_port()}")
    assert clouds.runpod_at(tmp_path, closed).funds() is None
    assert clouds.runpod_at(tmp_path, {"RUNPOD_API_BASE_URL": clouds.urls["runpod"]}).funds() is None


def test_the_second_look_sees_a_pod_that_is_there_and_not_one_that_is_not(clouds: HandClouds, tmp_path: Path) -> None:
    provider = clouds.runpod_at(tmp_path)
    made = provider.create(request(runpod_offer()))
    assert provider.still_there(made) is True
    assert provider.still_there(machine(id="gone")) is False


def test_the_second_look_does_not_know_where_its_door_is_closed(clouds: HandClouds, tmp_path: Path) -> None:
    clouds.world.set_knobs("runpod", {"graphql_gone": True})
    assert clouds.runpod_at(tmp_path).still_there(machine()) is None


def test_the_second_look_does_not_know_without_a_key(clouds: HandClouds, tmp_path: Path) -> None:
    assert clouds.runpod_at(tmp_path, {"RUNPOD_API_BASE_URL": clouds.urls["runpod"]}).still_there(machine()) is None
