"""The time that money is counted by, over more than one process: a clock set back loses nothing that was lived."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from launcher.ledger import Ledger
from launcher.run import State
from launcher.world import SteadyClock
from tests.fake_world import FIRST_RUN, Killed, Stage

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


def test_a_process_begins_no_earlier_than_what_the_books_of_an_open_run_know() -> None:
    wall, ticks = [NOON - timedelta(days=1)], [100.0]
    clock = SteadyClock(lambda: wall[0], lambda: ticks[0], since=NOON)
    assert clock() == NOON
    ticks[0] += 5
    assert clock() == NOON + timedelta(seconds=5)
    wall[0] = NOON + timedelta(hours=1)
    assert clock() == wall[0], "the clock that is right again counts"


def test_a_clock_that_was_not_set_back_is_taken_as_it_is() -> None:
    assert SteadyClock(lambda: NOON, lambda: 0.0, since=NOON - timedelta(hours=3))() == NOON


def test_the_books_know_the_last_instant_while_a_run_is_open(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    before = stage.cloud.before_call
    stage.cloud.before_call = lambda verb: stage.kill() if len(stage.cloud.calls) > 60 else before(verb)
    with pytest.raises(Killed):
        stage.launch()
    books = Ledger(tmp_path / "home" / "ledger.sqlite")
    at = books.latest()
    assert at is not None
    assert timedelta() <= stage.clock() - at < timedelta(seconds=60)


def test_books_without_an_open_run_know_none(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    assert Ledger(tmp_path / "new.sqlite").latest() is None
    assert stage.launch().run == FIRST_RUN
    books = Ledger(tmp_path / "home" / "ledger.sqlite")
    assert books.runs()[0].state is State.TERMINATED
    assert books.latest() is None, "a clock that was wrong in an old run harms no new one"
