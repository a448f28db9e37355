"""Train, validation and test are made before anything else, by a draw that later versions must not change."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.qlora.dataset.rows import DataError, Row
from jobs.qlora.dataset.split import parted
from jobs.qlora.job import Split
from tests.jobs.qlora.dataset.files import rows


def asked(parts: dict[str, list[Row]], part: str) -> list[str]:
    return [row.asked for row in parts[part]]


def many(count: int) -> list[Row]:
    return rows(*(f"q{at}" for at in range(count)))


def test_given_files_are_kept_as_given() -> None:
    given = {"train": rows("a", "b"), "validation": rows("c"), "test": rows("d")}
    assert parted(given, Split(validation=0.5, test=0.5), 1) == given


def test_the_draw_is_the_one_that_it_always_was() -> None:
    parts = parted({"train": many(20)}, Split(validation=0.1, test=0.15), 17)
    assert {part: asked(parts, part) for part in ("validation", "test")} == {
        "validation": ["q4", "q12"],
        "test": ["q15", "q17", "q19"],
    }, "a seed in a job file must go on meaning the same rows: these are of the first version"


def test_rows_of_one_group_stay_together() -> None:
    given = [Row(row.messages, row.line, row.file, group=str(row.line % 10)) for row in many(100)]
    parts = parted({"train": given}, Split(validation=0.2, test=0.1, group="customer"), 1)
    groups = {part: {row.group for row in of} for part, of in parts.items()}
    assert {part: len(names) for part, names in groups.items()} == {"train": 7, "validation": 2, "test": 1}
    assert not groups["train"] & groups["test"]
    assert not groups["train"] & groups["validation"]
    assert not groups["validation"] & groups["test"]


def test_equal_rows_go_to_the_same_part() -> None:
    parts = parted({"train": [*many(30), *many(30)]}, Split(test=0.3), 3)
    assert not set(asked(parts, "train")) & set(asked(parts, "test"))
    assert len(asked(parts, "test")) == 18


@settings(max_examples=100, deadline=None)
@given(
    numbers=st.lists(st.integers(0, 30), min_size=1, max_size=60),
    shares=st.tuples(st.floats(0, 0.49), st.floats(0, 0.49)),
    seed=st.integers(0, 5),
)
def test_the_parts_cover_all_rows_once_and_the_order_does_not_matter(
    numbers: Sequence[int], shares: tuple[float, float], seed: int
) -> None:
    given = rows(*(f"q{number}" for number in numbers))
    split = Split(validation=shares[0], test=shares[1])
    try:
        parts = parted({"train": given}, split, seed)
    except DataError:
        wanted = 1 + (shares[0] > 0) + (shares[1] > 0)
        assert len(set(numbers)) < max(wanted, 4)
        return
    assert sorted(row.line for of in parts.values() for row in of) == list(range(1, len(numbers) + 1))
    seen = {part: set(asked(parts, part)) for part in parts}
    assert not seen["train"] & (seen["test"] | seen["validation"])
    assert not seen["validation"] & seen["test"]
    assert all(seen[part] for part, share in (("validation", shares[0]), ("test", shares[1])) if share)
    shuffled = random.Random(seed).sample(given, len(given))
    assert {part: set(asked(parted({"train": shuffled}, split, seed), part)) for part in seen} == seen


def test_the_split_depends_on_the_seed() -> None:
    one, other = (parted({"train": many(50)}, Split(test=0.2), seed) for seed in (1, 2))
    assert len(asked(one, "test")) == len(asked(other, "test")) == 10
    assert asked(one, "test") != asked(other, "test")


def test_a_small_share_still_gives_a_row() -> None:
    parts = parted({"train": many(5)}, Split(validation=0.1, test=0.01), 1)
    assert {part: len(of) for part, of in parts.items()} == {"train": 3, "validation": 1, "test": 1}


def test_too_few_rows_for_the_split_say_how_many_there_are_and_are_needed() -> None:
    with pytest.raises(DataError) as error:
        parted({"train": rows("a", "b", "b")}, Split(validation=0.1, test=0.2), 1)
    assert error.value.message == (
        "rows.jsonl: 2 different rows (3 rows in all) are too few for a split into 20% test and 10% validation and "
        "train: the smallest possible has one row in each part, so 3 in all"
    )
    assert error.value.hint == "bring at least 3, or hold out less: --set data.split.validation=0"


def test_too_few_groups_are_counted_as_groups() -> None:
    with pytest.raises(DataError, match=r"1 different groups of customer \(4 rows in all\) .* one group in each part"):
        parted({"train": rows("a", "b", "c", "d", group="x")}, Split(test=0.2, group="customer"), 1)


def test_shares_that_leave_nothing_get_a_split_that_works() -> None:
    with pytest.raises(DataError) as error:
        parted({"train": rows("a", "b", "c")}, Split(validation=0.39, test=0.6), 1)
    assert error.value.hint.endswith("--set data.split.test=0.33 --set data.split.validation=0.33")
    parts = parted({"train": rows("a", "b", "c")}, Split(validation=0.33, test=0.33), 1)
    assert {part: len(of) for part, of in parts.items()} == {"train": 1, "validation": 1, "test": 1}


@pytest.mark.parametrize(("part", "other"), [("test", "train"), ("validation", "train"), ("validation", "test")])
def test_a_file_that_is_part_of_another_is_refused(part: str, other: str) -> None:
    given = {"train": rows("a", "b", "c"), other: rows("x", "y", "z", "a"), part: rows("x", "y", "u")}
    with pytest.raises(DataError) as error:
        parted(given, Split(), 1)
    assert f"the {part} file is part of the {'training' if other == 'train' else other} file" in error.value.message
    assert "2 of its 3 rows stand there" in error.value.message
    assert f"--set data.split.{part}=0.1" in error.value.hint


def test_a_test_file_that_shares_some_rows_is_left_to_the_search_for_leaks() -> None:
    given = {"train": rows("a", "b", "c"), "test": rows("a", "x")}
    assert parted(given, Split(), 1)["test"] == given["test"]
    other_answer = rows("a", "b", answer="other")
    assert parted({"train": rows("a", "b"), "test": other_answer}, Split(), 1)["test"] == other_answer
