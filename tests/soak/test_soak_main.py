"""The command line of the simulation: its parts make up the whole, and the table says what it took."""

from collections import Counter

import pytest

from tests.soak import __main__ as command
from tests.soak.schedule import Kind
from tests.soak.table import Tally, tally_of


@pytest.mark.parametrize("count", [0, 1, 7, 100])
@pytest.mark.parametrize("parts", [1, 3, 8])
def test_the_parts_are_the_whole_and_nothing_twice(count: int, parts: int) -> None:
    items = range(1000, 1000 + count)
    found = [one for part in range(parts) for one in command._part(items, f"{part}/{parts}")]
    assert found == list(items)


def test_a_part_names_its_own_seeds_and_tells_processor_time_beside_wall_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command.main(["--schedules", "12", "--part", "2/4", "--processes", "1"]) == 0
    shown = capsys.readouterr()
    assert "3 (seeds 6 to 8)" in shown.out
    assert "processor time" in shown.out
    assert "100%: 3 days, 0 breaches" in shown.err


def test_fresh_seeds_begin_where_the_date_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command.main(["--schedules", "1", "--fresh", "--until-breach"]) == 0
    assert "first seed 20" in capsys.readouterr().out


def test_what_was_not_played_is_counted_with_what_stands_for_it() -> None:
    found = tally_of(())
    found.stand_for = 2524
    assert "all that differ of 2,524 pairs of points" in found.text()


def test_faults_that_no_day_could_have_are_no_rows() -> None:
    kills = Tally(first=-1, fired=Counter({Kind.KILL: 3})).text()
    assert str(Kind.KILL) in kills
    assert str(Kind.SSH_HANG) not in kills
    drawn_days = Tally(first=0, fired=Counter({Kind.KILL: 3})).text()
    assert f"{Kind.SSH_HANG:<24} | 0 |" in drawn_days
    assert str(Kind.STORE_AWAY) not in drawn_days


def test_days_with_a_durable_store_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--schedules", "40", "--store", "--processes", "1"]) == 0
    assert str(Kind.STORE_AWAY) in capsys.readouterr().out
