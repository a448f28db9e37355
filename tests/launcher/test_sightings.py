"""What all our processes have seen last: one of them asks for all, and nobody waits for one that died over it."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from launcher import sight
from launcher.creating import instance_request
from launcher.ledger import Ledger
from launcher.run import Attempt, Run
from launcher.sightings import ANSWER_SECONDS, Listing
from launcher.world import World
from providers.base import Instance, InstanceState
from tests.fake_machine import fake_offer, fake_traits
from tests.fake_world import Killed, Stage
from tests.launcher.rented import rented

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
FRESH = 15.0


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.fixture
def two(folder: Path) -> Iterator[tuple[Ledger, Ledger]]:
    """Two processes of ours on one disk."""
    ledgers = Ledger(folder / "ledger.sqlite"), Ledger(folder / "ledger.sqlite")
    yield ledgers
    for one in ledgers:
        one.close()


# Who asks


def test_one_asks_and_the_other_takes_its_answer(two: tuple[Ledger, Ledger]) -> None:
    one, other = (ledger.sightings for ledger in two)
    assert one.claim("fake", "north-1", at(0), FRESH)
    assert not other.claim("fake", "north-1", at(0), FRESH)
    assert other.listing("fake", "north-1") is None
    seen = Listing(at=at(1), machines=(machine(),))
    one.keep_listing("fake", "north-1", seen)
    assert other.listing("fake", "north-1") == seen


def machine() -> Instance:
    offer = fake_offer()
    return Instance(
        provider="fake", id="m-1", region=offer.region, zone=offer.zone, instance_type=offer.instance_type,
        market=offer.market, state=InstanceState.RUNNING, run_id="brave-otter-0001", attempt=1, nonce="n",
        created_at=NOW,
    )  # fmt: skip


@pytest.mark.parametrize(("seconds", "is_due"), [(0, False), (14.9, False), (15, True), (100, True)])
def test_what_was_seen_is_asked_for_again_once_it_is_not_fresh(
    two: tuple[Ledger, Ledger], seconds: float, is_due: bool
) -> None:
    one, other = (ledger.sightings for ledger in two)
    one.claim("fake", "", at(0), FRESH)
    one.keep_listing("fake", "", Listing(at=at(0), machines=()))
    assert other.claim("fake", "", at(seconds), FRESH) is is_due


def test_each_place_is_asked_for_by_itself(two: tuple[Ledger, Ledger]) -> None:
    one, other = (ledger.sightings for ledger in two)
    assert one.claim("fake", "north-1", at(0), FRESH)
    assert other.claim("fake", "south-1", at(0), FRESH)
    assert other.claim("other", "north-1", at(0), FRESH)


@pytest.mark.parametrize("was_seen_before", [False, True])
@pytest.mark.parametrize(("seconds", "is_due"), [(ANSWER_SECONDS - 0.1, False), (ANSWER_SECONDS, True)])
def test_one_that_died_over_its_question_is_waited_for_no_longer_than_an_answer_takes(
    two: tuple[Ledger, Ledger], was_seen_before: bool, seconds: float, is_due: bool
) -> None:
    one, other = (ledger.sightings for ledger in two)
    if was_seen_before:
        one.claim("fake", "", at(-100), 1.0)
        one.keep_listing("fake", "", Listing(at=at(-99), machines=()))
    assert one.claim("fake", "", at(0), 1.0)
    assert other.claim("fake", "", at(seconds), 1.0) is is_due


@pytest.mark.parametrize("fresh", [1.0, FRESH, 60.0])
def test_a_question_that_came_to_nothing_is_asked_again_after_the_usual_time(
    two: tuple[Ledger, Ledger], fresh: float
) -> None:
    one, other = (ledger.sightings for ledger in two)
    assert one.claim("fake", "", at(0), fresh)
    one.ask_again("fake", "", at(0), fresh)
    assert not other.claim("fake", "", at(fresh - 0.1), fresh)
    assert other.claim("fake", "", at(fresh), fresh)


@pytest.mark.parametrize("fresh", [1.0, FRESH])
def test_a_question_that_came_to_nothing_is_not_asked_again_at_once_although_the_one_before_was_answered(
    two: tuple[Ledger, Ledger], fresh: float
) -> None:
    one, other = (ledger.sightings for ledger in two)
    one.claim("fake", "", at(-fresh), fresh)
    one.keep_listing("fake", "", Listing(at=at(-fresh), machines=()))
    assert one.claim("fake", "", at(0), fresh)
    one.ask_again("fake", "", at(0), fresh)
    assert not other.claim("fake", "", at(fresh / 2), fresh)
    assert other.claim("fake", "", at(fresh), fresh)


@pytest.mark.parametrize("is_answered", [True, False])
def test_a_clock_that_is_set_back_keeps_nobody_from_asking(two: tuple[Ledger, Ledger], is_answered: bool) -> None:
    one, other = (ledger.sightings for ledger in two)
    one.claim("fake", "", at(0), FRESH)
    if is_answered:
        one.keep_listing("fake", "", Listing(at=at(0), machines=()))
    assert other.claim("fake", "", at(-3600), FRESH)


def test_a_claim_that_breaks_off_leaves_no_transaction_open(two: tuple[Ledger, Ledger]) -> None:
    one, other = (ledger.sightings for ledger in two)
    with pytest.raises(AttributeError):
        one.claim("fake", "", "no time", FRESH)  # type: ignore[arg-type]  # a bug of ours
    assert other.claim("fake", "", at(0), FRESH)


CONTEST = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from launcher.ledger import Ledger

ledger = Ledger(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
now = datetime(2026, 11, 24, 12, tzinfo=UTC)
print([place for place in range(100) if ledger.sightings.claim("fake", str(place), now, 15.0)])
"""


def test_of_three_processes_exactly_one_asks_for_each_place(folder: Path) -> None:
    argv = [sys.executable, "-c", CONTEST, str(folder / "ledger.sqlite")]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True) for _ in range(3)]
    for one in processes:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in processes:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    said = [one.communicate(timeout=60)[0] for one in processes]
    won = [int(place) for line in said for place in line.strip("[]\n").split(", ") if place]
    assert sorted(won) == list(range(100))


# What a run gets of it


def a_hundred(stage: Stage, world: World, first: Run) -> list[Run]:
    """As many runs, each with a machine of its own in the same place."""
    request = instance_request(first, first.attempt, world)
    runs = []
    for number in range(100):
        name = f"calm-newt-{number:04d}"
        its = stage.provider.create(replace(request, run_id=name, nonce=f"n{number}"))
        attempt: Attempt = replace(first.attempt, instance=its, nonce=f"n{number}")
        runs.append(replace(first, id=name, attempts=[attempt]))
    return runs


def test_a_hundred_runs_in_many_processes_make_one_list_call_a_tick(stage: Stage) -> None:
    worlds = [stage.laptop() for _ in range(5)]
    runs = a_hundred(stage, worlds[0], rented(stage, worlds[0]))
    stage.cloud.calls.clear()
    for _ in range(4):
        stage.clock.sleep(FRESH)
        for number, run in enumerate(runs):
            found = sight.look(run, worlds[number % len(worlds)], FRESH)
            assert found is not None
            assert found.state is InstanceState.RUNNING
            assert found.run_id == run.id
    assert stage.cloud.calls == ["list"] * 4


def test_one_list_call_is_enough_for_all_regions_where_a_provider_says_so(folder: Path) -> None:
    stage = Stage(folder, traits=replace(fake_traits(), one_list=True))
    world = stage.laptop()
    run = rented(stage, world)
    elsewhere = replace(run.attempt.choice, offer=replace(run.attempt.offer, region="south-1", zone="south-1a"))
    stage.cloud.calls.clear()
    assert sight.listed(run.attempt, world, FRESH) is not None
    assert sight.listed(replace(run.attempt, choice=elsewhere), world, FRESH) is not None
    assert stage.cloud.calls == ["list"]


def test_each_region_is_listed_by_itself_where_a_provider_lists_by_region(stage: Stage) -> None:
    world = stage.laptop()
    run = rented(stage, world)
    elsewhere = replace(run.attempt.choice, offer=replace(run.attempt.offer, region="south-1", zone="south-1a"))
    stage.cloud.calls.clear()
    sight.listed(run.attempt, world, FRESH)
    there = sight.listed(replace(run.attempt, choice=elsewhere), world, FRESH)
    assert stage.cloud.calls == ["list", "list"]
    assert there is not None
    assert there.machines == ()


def test_while_another_process_asks_a_list_that_is_not_too_old_still_counts(stage: Stage) -> None:
    world, other = stage.laptop(), stage.laptop()
    run = rented(stage, world)
    before = sight.listed(run.attempt, world, FRESH)
    stage.clock.sleep(2 * FRESH)
    assert other.ledger.sightings.claim("fake", run.attempt.offer.region, stage.clock(), FRESH)
    assert sight.listed(run.attempt, world, FRESH) == before


def test_a_list_that_is_stale_says_nothing(stage: Stage) -> None:
    world, other = stage.laptop(), stage.laptop()
    run = rented(stage, world)
    sight.listed(run.attempt, world, FRESH)
    stage.clock.sleep(2 * FRESH + 1)
    assert other.ledger.sightings.claim("fake", run.attempt.offer.region, stage.clock(), FRESH)
    assert sight.listed(run.attempt, world, FRESH) is None
    assert sight.look(run, world, FRESH) is None


def test_a_list_of_the_future_says_nothing(stage: Stage) -> None:
    world = stage.laptop()
    run = rented(stage, world)
    region, later = run.attempt.offer.region, stage.clock() + timedelta(hours=3)
    world.ledger.sightings.claim("fake", region, later, FRESH)
    world.ledger.sightings.keep_listing("fake", region, Listing(at=later, machines=()))
    world.ledger.sightings.claim("fake", region, stage.clock(), FRESH)
    assert sight.listed(run.attempt, world, FRESH) is None


def test_a_list_that_failed_says_nothing_and_is_asked_for_again_by_whoever_comes_next(stage: Stage) -> None:
    world, other = stage.laptop(), stage.laptop()
    run = rented(stage, world)
    stage.cloud.calls.clear()
    stage.provider.lies.reads_down = 1
    assert sight.listed(run.attempt, world, FRESH) is None
    stage.clock.sleep(FRESH)
    assert sight.listed(run.attempt, other, FRESH) is not None
    assert stage.cloud.calls == ["list", "list"]


def test_a_cloud_that_is_down_is_asked_once_a_tick_by_a_hundred_runs(stage: Stage) -> None:
    world = stage.laptop()
    runs = a_hundred(stage, world, rented(stage, world))
    assert sight.look(runs[0], world, FRESH) is not None
    stage.cloud.calls.clear()
    stage.provider.lies.reads_down = 10_000
    for _ in range(4):
        stage.clock.sleep(FRESH)
        for run in runs:
            sight.listed(run.attempt, world, FRESH)
    assert len(stage.cloud.calls) <= 4


def test_a_process_that_is_killed_while_it_asks_holds_the_others_up_for_half_a_minute_at_most(stage: Stage) -> None:
    world = stage.laptop()
    run = rented(stage, world)
    stage.cloud.before_call = lambda verb: stage.kill() if verb == "list" else None
    with pytest.raises(Killed):
        sight.listed(run.attempt, world, FRESH)
    stage.revive()
    stage.cloud.before_call = lambda verb: None
    stage.clock.sleep(ANSWER_SECONDS - 1)
    assert sight.listed(run.attempt, stage.laptop(), FRESH) is None
    stage.clock.sleep(1)
    assert sight.listed(run.attempt, stage.laptop(), FRESH) is not None
