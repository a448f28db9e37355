"""`launch reap` and the durable store beside runs that live: none of them is given up, none of their books is lost."""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta

import pytest

from launcher import deposits, durable, flow, recover
from launcher.errors import LaunchError
from launcher.fetching import fetch
from launcher.lock import is_carried, sole_writer
from launcher.run import Outcome, State
from tests.fake_bucket import FakeBucket
from tests.fake_guest import Work
from tests.fake_world import FIRST_RUN, Killed, Stage
from tests.launcher.moments import after, when

LATE = f"runs/{FIRST_RUN}/1/checkpoint-9"
"""Of a machine that is gone: begun, and nobody heard of it."""


@pytest.fixture
def store(stage: Stage) -> FakeBucket:
    return stage.with_store()


def killed(stage: Stage, begin: Callable[[], object], after_seconds: float = 120) -> None:
    """The laptop dies a while after the job of the newest machine has begun."""
    machines, began = len(stage.site.started), stage.clock()

    def die(_: str) -> None:
        is_late = stage.clock() >= began + timedelta(seconds=after_seconds)
        if len(stage.site.started) > machines and is_late:
            stage.kill()

    stage.at_point = die
    with pytest.raises(Killed):
        begin()
    stage.at_point = lambda name: None
    stage.revive()


def cancelled(stage: Stage) -> None:
    """A run that a person stopped, and may resume."""
    stage.site.work = Work(steps=40, step_seconds=20)
    world = stage.laptop()
    run = stage.open_run(world, budget="5")
    when(stage, after(stage, 240), lambda: world.ledger.ask_stop(run.id, "save"))
    assert flow.carry(run, world, is_new=True).outcome is Outcome.CANCELLED


def at_next_call(store: FakeBucket, do: Callable[[], object]) -> None:
    """Once, as soon as the store is asked for anything."""
    before = store.due
    done: list[bool] = []

    def due() -> None:
        before()
        if not done:
            done.append(True)
            do()

    store.due = due


def test_reap_gives_up_nothing_of_a_run_that_somebody_took_up_since_it_was_listed(
    stage: Stage, store: FakeBucket
) -> None:
    cancelled(stage)
    store.uploads["late"] = LATE
    with ExitStack() as other:

        def take_up() -> None:
            other.enter_context(sole_writer(stage.folder / "home" / "runs" / FIRST_RUN, stage.clock.sleep))

        at_next_call(store, take_up)
        reaped = recover.reap(stage.laptop())
        assert "late" in store.uploads
        assert (reaped.leftovers_removed, reaped.left_alone) == ((), ())
    assert recover.reap(stage.laptop()).leftovers_removed == (f"objects of {FIRST_RUN} in mine/launch",)
    assert not store.uploads


def test_a_run_that_was_resumed_while_reap_looked_still_stores_its_results(stage: Stage, store: FakeBucket) -> None:
    cancelled(stage)
    store.uploads["late"] = LATE
    at_next_call(store, lambda: killed(stage, lambda: stage.resume(FIRST_RUN, "5")))
    recover.reap(stage.laptop())
    assert f"runs/{FIRST_RUN}/2/results" in store.uploads.values()
    stage.clock.sleep(3600)  # nobody comes by: the machine stores, and ends itself
    store.due()
    assert not stage.cloud.alive()
    recover.reap(stage.laptop())
    record = stage.laptop().ledger.find(FIRST_RUN)
    assert (record.state, record.outcome) == (State.TERMINATED, Outcome.SUCCEEDED)
    assert not store.uploads
    assert not store.content


def test_a_run_cannot_be_resumed_while_its_results_come_from_the_store(stage: Stage, store: FakeBucket) -> None:
    killed(stage, stage.launch)
    stage.clock.sleep(3600)
    seen: list[str] = []

    def resume() -> None:
        if not seen:
            with pytest.raises(LaunchError) as caught:
                stage.resume(FIRST_RUN, "9")
            seen.append(caught.value.code)

    store.at_read = resume
    assert fetch(FIRST_RUN, stage.laptop()).verified
    assert seen == ["held"]
    assert not is_carried(stage.laptop().run_folder(FIRST_RUN))


def test_pull_leaves_a_run_whose_machine_is_gone_to_who_carries_it(stage: Stage, store: FakeBucket) -> None:
    killed(stage, stage.launch)
    stage.clock.sleep(3600)
    world = stage.laptop()
    with sole_writer(world.run_folder(FIRST_RUN), stage.clock.sleep), pytest.raises(LaunchError) as caught:
        fetch(FIRST_RUN, world)
    assert caught.value.code == "held"


def test_who_asks_whether_a_run_is_over_writes_none_of_its_books(stage: Stage, store: FakeBucket) -> None:
    killed(stage, stage.launch)
    stage.clock.sleep(3600)
    world = stage.laptop()
    run, books = world.ledger.load(FIRST_RUN), world.run_folder(FIRST_RUN) / deposits.FILE
    before = books.read_bytes()
    assert durable.is_over(run, world)
    assert books.read_bytes() == before
    assert run.attempt.egress_usd == world.ledger.load(FIRST_RUN).attempt.egress_usd


def test_what_a_check_that_was_killed_left_goes_and_what_one_writes_now_stays(stage: Stage, store: FakeBucket) -> None:
    world = stage.laptop()
    old = durable.probe_key(world)
    store.uploads["old"], store.content[old] = f"{old}-left", b"sixty-four bytes"
    stage.clock.sleep(3601)
    young = durable.probe_key(world)
    store.uploads["young"], store.content[young], store.content["probe-mine"] = f"{young}-left", b"", b"a person's"
    assert recover.reap(world).leftovers_removed == ("what a check left in mine/launch",)
    assert set(store.uploads) == {"young"}
    assert set(store.content) == {young, "probe-mine"}
    assert recover.reap(world).leftovers_removed == ()


def test_objects_whose_books_are_gone_are_told_and_lie(stage: Stage, store: FakeBucket) -> None:
    stage.launch()
    world = stage.laptop()
    (world.run_folder(FIRST_RUN) / deposits.FILE).unlink()
    store.content[LATE] = b"whose?"
    reaped = recover.reap(world)
    assert reaped.leftovers_removed == ()
    assert [line.partition(":")[0] for line in reaped.left_alone] == [FIRST_RUN]
    assert LATE in store.content
