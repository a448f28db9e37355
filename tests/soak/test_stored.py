"""Bad days of somebody who has a durable store: no promise breaks there, and its judge notices each one that does."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from launcher.run import Outcome, State
from providers.base import EndReason
from tests.fake_bucket import Storing
from tests.fake_guest import Started
from tests.fake_world import FIRST_RUN
from tests.soak.clouds import request_of
from tests.soak.play import play
from tests.soak.schedule import (
    DAY_SECONDS,
    OF_A_STORE,
    STORE_BY_TIME,
    STORE_DOORWAYS,
    Fault,
    Kind,
    Schedule,
    drawn,
    with_store,
)
from tests.soak.table import tally
from tests.soak.test_judge import DAY, UNTIL_DONE, Scene, scene

IN_THE_SUITE, PARTS = 400, 2
QUIET = Schedule(seed=-3, steps=40, save_every=5, store=True)
STORED = replace(DAY, store=True)
RESULTS = f"runs/{FIRST_RUN}/1/results"


@pytest.mark.parametrize("part", range(PARTS))
def test_bad_days_with_a_durable_store_break_no_promise(part: int) -> None:
    found = tally(map(play, map(with_store, map(drawn, range(part, IN_THE_SUITE, PARTS)))), first=part)
    replays = "\n".join(f"replay: python -m tests.soak --seed {seed} --store" for seed in found.seeds)
    assert found.breaches == 0, f"{found.text()}\n{replays}"
    assert all(found.fired[kind] for kind in OF_A_STORE)


@pytest.mark.parametrize("seed", [3, 33, 333])
def test_the_same_seed_is_the_same_day_with_a_store(seed: int) -> None:
    day = with_store(drawn(seed))
    assert day == with_store(drawn(seed))
    assert play(day) == play(day)


@pytest.mark.parametrize("kind", [*STORE_BY_TIME, Kind.STORE_LOST_BEGIN, Kind.STORE_SHORT])
def test_what_happens_to_a_store_happens_and_stops_nothing(kind: Kind) -> None:
    played = play(replace(QUIET, faults=(Fault(kind=kind, seconds=400, at_seconds=40),)))
    assert played.fired[kind] == 1
    assert played.breaches == ()


@pytest.mark.parametrize("verb", STORE_DOORWAYS)
def test_every_call_of_the_store_is_a_place_to_die(verb: str) -> None:
    """What is asked of the store once somebody comes back needs a death before it."""
    death, before = Fault(kind=Kind.KILL, verb=verb), Fault(kind=Kind.KILL, verb="after note_checkpoint")
    faults = (death,) if verb.endswith("begin") else (death, before)
    played = play(replace(QUIET, faults=faults, gaps_seconds=(DAY_SECONDS,) * 3, returns=("attach",) * 3))
    assert played.fired[Kind.KILL] == len(faults)
    assert played.breaches == ()


def test_who_comes_back_days_later_finds_the_results_in_the_store() -> None:
    death = Fault(kind=Kind.KILL, verb="after note_checkpoint")
    day = replace(QUIET, faults=(death,), gaps_seconds=(3 * DAY_SECONDS,), returns=("pull",))
    played = play(day, tell=True)
    assert played.breaches == ()
    assert len(played.machines) == 1
    assert str(EndReason.OWN_DEADLINE) in played.machines[0]
    assert any("Pulled" in line and "results" in line for line in played.story)


def storing_of(on_stage: Scene) -> Storing:
    """The machine was granted places, and has stored its results, and a checkpoint of step 6."""
    storing, job = on_stage.storm.storing, on_stage.storm.site.started[on_stage.machine.id]
    assert storing is not None
    storing.bucket.content[RESULTS] = b"results"
    storing.keys[on_stage.machine.id] = [RESULTS]
    told = {"event": "stored", "what": "checkpoint", "name": "step-6", "step": 6, "object": "checkpoint-1"}
    job.stored.append((on_stage.storm.clock(), told))
    return storing


def said(on_stage: Scene, *, has_reaped: bool = False) -> list[str]:
    """The rules that the store's judge finds broken."""
    return [rule for rule, _ in on_stage.judge.ends.stored.breaches(has_reaped=has_reaped)]


def closed(on_stage: Scene, outcome: Outcome) -> None:
    """The ledger says that the run is over."""
    with closing(sqlite3.connect(on_stage.storm.ledger_path)) as books, books:
        ending = json.dumps({"outcome": str(outcome)})
        books.execute("UPDATE runs SET state=?, ending=? WHERE id=?", (State.TERMINATED, ending, FIRST_RUN))


def test_an_end_of_a_machine_whose_results_lie_in_the_store_is_none_without_results(tmp_path: Path) -> None:
    on_stage = scene(tmp_path, UNTIL_DONE, STORED)
    storing_of(on_stage)
    on_stage.bring_checkpoint(6)
    assert on_stage.end() == []
    assert said(on_stage) == []


def test_stored_results_that_are_removed_before_they_are_home_are_a_breach(tmp_path: Path) -> None:
    on_stage = scene(tmp_path, UNTIL_DONE, STORED)
    del storing_of(on_stage).bucket.content[RESULTS]
    assert said(on_stage) == ["R5"]
    on_stage.bring_results()
    assert said(on_stage) == []


def test_a_machine_that_ended_itself_without_having_stored_its_results_is_a_breach(tmp_path: Path) -> None:
    on_stage = scene(tmp_path, UNTIL_DONE, STORED)
    on_stage.storm.site.grants[on_stage.machine.id] = {"slots": [], "end": True, "every_seconds": 60}
    on_stage.machine.end(on_stage.storm.clock(), EndReason.OWN_DEADLINE)
    assert said(on_stage) == ["R5"]


def test_what_is_left_in_the_store_of_a_run_that_has_succeeded_is_a_breach(tmp_path: Path) -> None:
    on_stage = scene(tmp_path, UNTIL_DONE, STORED)
    storing_of(on_stage)
    on_stage.bring_results()
    closed(on_stage, Outcome.LOST)
    assert said(on_stage, has_reaped=True) == []  # `pull` may still want them
    closed(on_stage, Outcome.SUCCEEDED)
    assert said(on_stage, has_reaped=True) == ["R1"]


def test_an_upload_that_nobody_gave_up_is_a_breach(tmp_path: Path) -> None:
    on_stage = scene(tmp_path, UNTIL_DONE, STORED)
    on_stage.bring_results()
    bucket = storing_of(on_stage).bucket
    del bucket.content[RESULTS]
    bucket.begin(RESULTS)
    assert said(on_stage, has_reaped=True) == []  # a machine that is still there may use it
    closed(on_stage, Outcome.LOST)
    assert said(on_stage, has_reaped=True) == ["R1"]


def test_a_machine_that_begins_before_what_the_store_holds_is_a_breach(tmp_path: Path) -> None:
    on_stage = scene(tmp_path, UNTIL_DONE, STORED)
    storing_of(on_stage)
    storm = on_stage.storm
    on_stage.machine.end(storm.clock(), EndReason.PREEMPTED)
    on_stage.bring_results()
    storm.clock.sleep(60)
    made = storm.provider.create(request_of(storm.provider, storm.clock(), run_id=FIRST_RUN, nonce="b" * 24))
    storm.site.started[made.id] = Started(storm.site.work, storm.clock(), 6)
    assert said(on_stage) == []
    storm.site.started[made.id].first_step = 5
    assert said(on_stage) == ["R4"]
