"""The command line of the simulation: its parts make up the whole, and the table says what it took."""

import pytest

from tests.soak import __main__ as command
from tests.soak.table import tally_of


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
