"""Runpod's picture of a pod as ours: states, ways in, what it costs, and its end, whatever the picture lacks."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from providers import marks
from providers.base import ContractBroken, EndReason, Instance, InstanceState, Leftover, NotFound, Ssh, Unavailable
from providers.runpod import MOST_PAGES, Runpod
from providers.runpod_boot import GUARD_DIR
from providers.runpod_pods import is_anothers, is_ours, shown
from tests.providers.hand_clouds import OWNER, STRANGER, HandClouds
from tests.providers.plain_server import PlainServer, Said, document
from tests.providers.samples import NOW, machine, request, runpod_offer

NAME = "launch-calm-fox-0001-2-01234567-a1b2c3"
POD: dict[str, Any] = {
    # as recorded in a public trace of 2026-08-20 (facts/runpod.md, section 2), less what is of no use here
    "id": "5xpma5eg46tqjq",
    "name": NAME,
    "status": "RUNNING",
    "env": {"LAUNCH_OWNER": OWNER, "LAUNCH_DEADLINE": "2026-08-20T12:00:00+00:00"},
    "gpu": {"id": "NVIDIA RTX PRO 4500 Blackwell", "count": 1},
    "cloud": "SECURE",
    "dataCenterId": "EU-RO-1",
    "ssh": {
        "proxy": {"host": "ssh.runpod.io", "port": 22, "username": "5xpma5eg46tqjq-64411eb2", "command": "ssh"},
        "direct": {"host": "213.173.104.74", "port": 35558, "username": "root", "command": "ssh"},
    },
    "cost": Decimal("0.72"),
    "runtime": {
        "uptime": 3,
        "ports": [
            {"private": 19123, "public": 60821, "type": "http", "ip": "100.65.14.155"},
            {"private": 22, "public": 35558, "type": "tcp", "ip": "213.173.104.74"},
        ],
    },
    "createdAt": "2026-08-20T10:00:00Z",
    "startedAt": "2026-08-20T10:00:40Z",
}
PROXY_ONLY = {"proxy": POD["ssh"]["proxy"], "direct": None}


@pytest.fixture
def provider(clouds: HandClouds, tmp_path: Path) -> Runpod:
    return clouds.runpod_at(tmp_path)


@pytest.fixture
def pod(provider: Runpod) -> Instance:
    return provider.create(request(runpod_offer()))


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("PROVISIONING", InstanceState.PENDING),
        ("STARTING", InstanceState.PENDING),
        ("RUNNING", InstanceState.RUNNING),
        ("EXITED", InstanceState.STOPPED),
        ("ERROR", InstanceState.STOPPED),
        ("TERMINATED", InstanceState.GONE),
        ("MIGRATING", InstanceState.UNKNOWN),
        ("running", InstanceState.UNKNOWN),
        (None, InstanceState.UNKNOWN),
        (7, InstanceState.UNKNOWN),
    ],
)
def test_each_status_is_a_state_and_a_new_word_is_unknown(status: object, state: InstanceState) -> None:
    assert shown({**POD, "status": status}, NOW).state is state


def test_a_pod_is_read_as_it_was_once_recorded() -> None:
    one = shown(POD, NOW)
    assert (one.id, one.region, one.instance_type) == ("5xpma5eg46tqjq", "EU-RO-1", "NVIDIA RTX PRO 4500 Blackwell")
    assert (one.run_id, one.attempt, one.nonce) == ("calm-fox-0001", 2, "a1b2c3")
    assert one.created_at == datetime(2026, 8, 20, 10, tzinfo=UTC)
    assert one.deadline == datetime(2026, 8, 20, 12, tzinfo=UTC)
    assert one.billed_usd_per_hour == Decimal("0.72")
    assert one.access == Ssh(host="213.173.104.74", port=35558, user="root", guard_dir=GUARD_DIR)


@pytest.mark.parametrize("missing", sorted(set(POD) - {"id"}))
def test_all_but_the_id_may_be_missing(missing: str) -> None:
    whole = {name: value for name, value in POD.items() if name != missing}
    for found in (whole, {**whole, missing: None}, {**whole, missing: "odd"}, {**whole, missing: []}):
        assert shown(found, NOW).id == POD["id"]


def test_a_pod_that_was_stopped_or_failed_says_so() -> None:
    stopped, failed = (shown({**POD, "status": status}, NOW) for status in ("EXITED", "ERROR"))
    assert (stopped.end_reason, stopped.end_text) == (EndReason.NONE, "Runpod calls it EXITED")
    assert (failed.end_reason, failed.end_text) == (EndReason.FAILED, "Runpod calls it ERROR")


@pytest.mark.parametrize("cost", [None, 0, Decimal(0), "0.72", -1])
def test_a_rate_that_is_not_told_is_unknown_and_never_nothing(cost: object) -> None:
    assert shown({**POD, "cost": cost}, NOW).billed_usd_per_hour is None


def test_running_does_not_mean_reachable() -> None:
    one = shown({**POD, "ssh": PROXY_ONLY, "runtime": None}, NOW)
    assert (one.state, one.access) == (InstanceState.RUNNING, None)


def test_the_mapping_of_port_22_is_the_way_in_where_no_direct_one_is_told() -> None:
    assert shown({**POD, "ssh": PROXY_ONLY}, NOW).access == shown(POD, NOW).access


@pytest.mark.parametrize(
    "port",
    [
        {"private": 22, "public": 60821, "type": "http", "ip": "100.65.14.155"},
        {"private": 8888, "public": 35558, "type": "tcp", "ip": "213.173.104.74"},
        {"private": 22, "public": None, "type": "tcp", "ip": "213.173.104.74"},
        {"private": 22, "public": 35558, "type": "tcp", "ip": None},
        {"private": 22, "public": 0, "type": "tcp", "ip": "213.173.104.74"},
        {"private": 22, "public": 70000, "type": "tcp", "ip": "213.173.104.74"},
        {"private": 22, "public": True, "type": "tcp", "ip": "213.173.104.74"},
        None,
    ],
)
def test_no_other_port_is_taken_for_the_way_in(port: object) -> None:
    assert shown({**POD, "ssh": PROXY_ONLY, "runtime": {"ports": [port]}}, NOW).access is None


def test_a_pod_is_ours_by_what_it_was_started_with_and_else_by_its_name() -> None:
    theirs = {**POD, "env": {"LAUNCH_OWNER": STRANGER}}
    assert [is_ours(one, OWNER) for one in (POD, {**POD, "env": None}, theirs)] == [True, True, False]
    assert not is_ours({**POD, "env": {}, "name": "my pod"}, OWNER)


def test_only_a_mark_of_another_owner_makes_a_pod_another_owners() -> None:
    bare = {**POD, "env": None, "name": "my pod"}
    named = {"name": f"launch-calm-fox-0001-1-{STRANGER[:8]}-a1"}
    by_env = [{**bare, "env": {"LAUNCH_OWNER": owner}} for owner in (OWNER, STRANGER)]
    assert [is_anothers(one, OWNER) for one in (bare, {**bare, **named}, *by_env)] == [False, True, False, True]


def test_a_pod_that_was_renamed_is_known_by_its_environment() -> None:
    told = {"LAUNCH_OWNER": OWNER, "LAUNCH_RUN": "calm-fox-0001", "LAUNCH_ATTEMPT": "3", "LAUNCH_NONCE": "n"}
    one = shown({**POD, "name": "my pod", "env": told}, NOW)
    assert (one.run_id, one.attempt, one.nonce) == ("calm-fox-0001", 3, "n")


def test_where_the_environment_is_not_shown_the_deadline_is_the_names() -> None:
    asked = request(runpod_offer(), nonce="0123456789abcdef01234567")
    one = shown({**POD, "name": marks.name_of(asked, OWNER, 190), "env": None}, NOW)
    assert (one.nonce, one.deadline) == (asked.nonce, asked.deadline)


def test_the_way_in_comes_after_running(clouds: HandClouds, provider: Runpod) -> None:
    clouds.world.set_knobs("runpod", {"pending_seconds": 5.0, "pull_seconds": 60.0, "ports_seconds": 30.0})
    made = provider.create(request(runpod_offer()))
    seen = [provider.get(made)]
    for seconds in (10, 60, 40):
        clouds.world.pass_time(seconds)
        seen.append(provider.get(made))
    assert [(one.state, one.access is not None) for one in seen] == [
        (InstanceState.PENDING, False),
        (InstanceState.PENDING, False),
        (InstanceState.RUNNING, False),
        (InstanceState.RUNNING, True),
    ]


def test_an_address_that_changes_is_the_one_that_is_shown(clouds: HandClouds, provider: Runpod, pod: Instance) -> None:
    clouds.world.pass_time(30)
    before = provider.get(pod).access
    clouds.runpod_life.move(clouds.runpod_life.pods[pod.id])
    after = provider.get(pod).access
    assert before is not None
    assert after is not None
    assert before != after


def test_a_stopped_pod_is_still_there_and_billed_for_its_disk(
    clouds: HandClouds, provider: Runpod, pod: Instance
) -> None:
    clouds.world.pass_time(30)
    clouds.runpod_life.stop(clouds.runpod_life.pods[pod.id], "stopped")
    assert [one.state for one in provider.list()] == [InstanceState.STOPPED]


def test_terminate_is_one_delete_after_which_the_pod_is_not_found(
    clouds: HandClouds, provider: Runpod, pod: Instance
) -> None:
    provider.terminate(pod)
    assert [(one.method, one.path) for one in clouds.calls("runpod.delete")] == [("DELETE", f"/v2/pods/{pod.id}")]
    assert provider.list() == ()
    with pytest.raises(NotFound):
        provider.get(pod)


@pytest.mark.parametrize("status", [409, 400, 422])
def test_a_pod_that_may_not_be_deleted_is_ended_by_its_own_action(
    clouds: HandClouds, provider: Runpod, pod: Instance, status: int
) -> None:
    clouds.fault("runpod.delete", "before", status=status)
    provider.terminate(pod)
    assert [one.body for one in clouds.calls("runpod.action")] == [{"action": "terminate"}]
    assert provider.list() == ()


def test_a_pod_that_went_between_the_two_ways_to_end_it_is_as_good_as_ended(
    clouds: HandClouds, provider: Runpod, pod: Instance
) -> None:
    clouds.fault("runpod.delete", "before", status=409)
    clouds.fault("runpod.action", "before", status=404, message="pod not found")
    provider.terminate(pod)


def test_a_delete_that_is_swallowed_leaves_the_pod_to_be_seen(
    clouds: HandClouds, provider: Runpod, pod: Instance
) -> None:
    clouds.world.set_knobs("runpod", {"terminate_ignored": 1})
    provider.terminate(pod)
    assert [one.id for one in provider.list()] == [pod.id]


def test_a_pod_that_lingers_after_its_delete_is_shown_as_running(
    clouds: HandClouds, provider: Runpod, pod: Instance
) -> None:
    clouds.world.set_knobs("runpod", {"lingers_seconds": 60.0})
    clouds.world.pass_time(30)
    provider.terminate(pod)
    assert provider.get(pod).state is InstanceState.RUNNING
    clouds.world.pass_time(60)
    assert provider.list() == ()


def test_a_fresh_pod_may_be_unknown_to_get_and_list(clouds: HandClouds, provider: Runpod) -> None:
    clouds.world.set_knobs("runpod", {"early_not_found_seconds": 20.0, "list_lag_seconds": 30.0})
    made = provider.create(request(runpod_offer()))
    assert provider.list() == ()
    with pytest.raises(NotFound):
        provider.get(made)
    clouds.world.pass_time(30)
    assert [one.id for one in provider.list()] == [made.id]


def test_nothing_stays_beside_a_pod(provider: Runpod, pod: Instance) -> None:
    assert provider.leftovers() == ()
    left = Leftover(provider="runpod", kind="volume", id="v", region="", run_id=pod.run_id, billed=True)
    with pytest.raises(ContractBroken):
        provider.remove(left)


def test_a_list_in_pages_is_read_to_its_end(clouds: HandClouds, provider: Runpod) -> None:
    made = {provider.create(request(runpod_offer())).id for _ in range(5)}
    clouds.world.set_knobs("runpod", {"pages": 2})
    assert {one.id for one in provider.list()} == made
    assert len(clouds.calls("runpod.list")) == 3


@pytest.mark.parametrize("name", ["nextCursor", "next_cursor", "cursor"])
def test_a_next_page_is_found_by_any_of_its_names(
    clouds: HandClouds, server: PlainServer, tmp_path: Path, name: str
) -> None:
    pages = {
        "/v2/pods": {"pods": [{**POD, "id": "a", "cost": None}], name: "x y&z"},
        "/v2/pods?cursor=x+y%26z": {"pods": [{**POD, "id": "b", "cost": None}], name: None},
    }
    server.script = lambda heard: document(pages[heard.path.replace("%20", "+")])
    provider = clouds.runpod_at(tmp_path, clouds.runpod_environ(RUNPOD_API_BASE_URL=server.url))
    assert [one.id for one in provider.list()] == ["a", "b"]


def test_a_list_without_an_end_is_no_list(clouds: HandClouds, server: PlainServer, tmp_path: Path) -> None:
    server.says(document({"pods": [], "nextCursor": "again"}))
    provider = clouds.runpod_at(tmp_path, clouds.runpod_environ(RUNPOD_API_BASE_URL=server.url))
    with pytest.raises(Unavailable, match="does not end"):
        provider.list()
    assert len(server.heard) == MOST_PAGES


def test_half_a_list_is_no_list(clouds: HandClouds, server: PlainServer, tmp_path: Path) -> None:
    server.says(document({"pods": [{**POD, "cost": None}], "nextCursor": "2"}), document({}, 500))
    provider = clouds.runpod_at(tmp_path, clouds.runpod_environ(RUNPOD_API_BASE_URL=server.url))
    with pytest.raises(Unavailable):
        provider.list()


def test_the_console_is_what_the_container_printed(clouds: HandClouds, provider: Runpod, pod: Instance) -> None:
    clouds.world.pass_time(30)
    assert provider.console(provider.get(pod)) == ("launch: dead-man armed", "launch: sshd starts")
    assert [one.query for one in clouds.calls("runpod.logs")] == ["source=container&tail=100"]


def test_before_there_is_a_container_the_console_tells_how_its_image_comes(
    clouds: HandClouds, provider: Runpod
) -> None:
    clouds.world.set_knobs("runpod", {"pull_seconds": 600.0})
    made = provider.create(request(runpod_offer()))
    clouds.world.pass_time(10)
    assert any("pulling" in line for line in provider.console(provider.get(made)))


def test_the_console_of_a_pod_that_is_gone_is_not_found(provider: Runpod, pod: Instance) -> None:
    provider.terminate(pod)
    with pytest.raises(NotFound):
        provider.console(pod)


def test_events_that_make_no_sense_are_left_out_of_the_console(
    clouds: HandClouds, server: PlainServer, tmp_path: Path
) -> None:
    events = (
        'id: 1\ndata: {"line": "one"}\n\n: a comment\n\ndata: {"line": 7}\n\ndata: {"line"\n\ndata: []\n\n'
        'data: {"line": ""}\n\nevent: end\ndata: {"source": "container", "line": "two\\u001b[2J"}\n\n'
    )
    server.says(Said(body=events.encode(), headers={"Content-Type": "text/event-stream"}))
    provider = clouds.runpod_at(tmp_path, clouds.runpod_environ(RUNPOD_API_BASE_URL=server.url))
    assert provider.console(machine(provider="runpod")) == ("one", "two [2J")


def test_what_a_pod_has_cost_is_told_once_the_books_have_come_so_far(
    clouds: HandClouds, provider: Runpod, pod: Instance
) -> None:
    clouds.world.pass_time(300)
    assert provider.billed_usd(pod) is None
    clouds.world.pass_time(3300)
    billed = provider.billed_usd(pod)
    assert billed is not None
    assert Decimal("0.69") < billed < Decimal("0.75")


def test_the_books_are_added_up_over_their_hours(clouds: HandClouds, server: PlainServer, tmp_path: Path) -> None:
    hours = [{"podId": "p1", "totalAmount": usd} for usd in (0.1, 0.2, None, 0)]
    strange = [{"podId": "p2", "totalAmount": 5}, {"totalAmount": 7}]
    server.says(document({"records": [*hours, *strange]}))
    provider = clouds.runpod_at(tmp_path, clouds.runpod_environ(RUNPOD_API_BASE_URL=server.url))
    assert provider.billed_usd(machine(id="p1")) == Decimal("0.3")
    assert "podId=p1" in server.heard[0].path
    assert "lastN" not in server.heard[0].path


@pytest.mark.parametrize(("lives_hours", "later_hours"), [(100, 1), (1, 100)])
def test_a_long_or_an_old_run_is_told_its_whole_bill(
    clouds: HandClouds, provider: Runpod, pod: Instance, lives_hours: int, later_hours: int
) -> None:
    clouds.world.set_knobs("runpod", {"balance_usd": "1000"})
    clouds.world.pass_time(lives_hours * 3600)
    provider.terminate(pod)
    clouds.world.pass_time(later_hours * 3600)
    billed = provider.billed_usd(pod)
    assert billed is not None
    real = clouds.world.meter.total_usd(clouds.world.clock.seconds())
    assert abs(billed - real) < Decimal("0.001")


@pytest.mark.parametrize(
    "said",
    [document({"records": []}), document({"records": None}), document({}, 403), Said(body=b"<html>"), document([])],
)
def test_books_that_do_not_say_are_unknown_and_never_nothing(
    clouds: HandClouds, server: PlainServer, tmp_path: Path, said: Said
) -> None:
    server.says(said)
    provider = clouds.runpod_at(tmp_path, clouds.runpod_environ(RUNPOD_API_BASE_URL=server.url))
    assert provider.billed_usd(machine()) is None
