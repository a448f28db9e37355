"""A long run that was broken off goes on where it was, and its table says the same as one that was not."""

from pathlib import Path

import pytest

from tests.soak.__main__ import drawn_block
from tests.soak.kept import Kept
from tests.soak.table import Tally


def said(tally: Tally) -> list[str]:
    """Its table, but for the times."""
    return [line for line in tally.text().splitlines() if "time" not in line]


def test_what_is_kept_comes_to_the_same_table(tmp_path: Path) -> None:
    kept, whole, again = Kept(tmp_path / "soak" / "some.jsonl"), Tally(), Tally()
    for number, seeds in enumerate((range(4), range(4, 8))):
        tally = drawn_block(seeds)
        whole.add(tally)
        kept.add(number, tally)
    found = Kept(kept.file).read()
    assert sorted(found) == [0, 1]
    for tally in found.values():
        again.add(tally)
    assert said(again) == said(whole)
    assert again.schedules == 8


def test_a_piece_that_was_cut_off_is_played_again(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "some.jsonl")
    kept.add(0, Tally(schedules=3))
    kept.add(1, Tally(schedules=5))
    kept.file.write_bytes(kept.file.read_bytes()[:-9])
    again = Kept(kept.file)
    assert [tally.schedules for tally in again.read().values()] == [3]
    again.add(1, Tally(schedules=5))
    assert [tally.schedules for tally in again.read().values()] == [3, 5]


def test_wall_time_is_told_for_what_was_played_now() -> None:
    tally = Tally(schedules=100, before=90)
    assert "a schedule, for the last 10 |" in tally.text()


@pytest.mark.parametrize("word", ["cores", "Python"])
def test_the_table_names_the_machine(word: str) -> None:
    assert word in Tally(schedules=1).text()
