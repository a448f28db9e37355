"""What rows are filled up with."""

from itertools import combinations
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.padding import packed, padded_tokens

LENGTHS = st.lists(st.integers(1, 5000), min_size=1, max_size=60)


@pytest.mark.parametrize("rows", [1, 2, 3, 5])
def test_the_expectation_is_the_mean_over_all_batches_that_there_are(rows: int) -> None:
    lengths = [3, 10, 10, 25, 400, 70]
    batches = list(combinations(lengths, rows))
    assert padded_tokens(lengths, rows) == round(len(lengths) * fmean(max(batch) for batch in batches))


@given(lengths=LENGTHS, rows=st.integers(1, 64))
def test_rows_are_never_filled_beyond_the_longest_and_never_cut(lengths: list[int], rows: int) -> None:
    assert sum(lengths) <= padded_tokens(lengths, rows) <= len(lengths) * max(lengths)


@given(lengths=LENGTHS, rows=st.integers(1, 63))
def test_larger_batches_are_never_filled_less(lengths: list[int], rows: int) -> None:
    assert padded_tokens(lengths, rows) <= padded_tokens(lengths, rows + 1)


def test_one_row_at_a_time_and_rows_of_one_length_need_no_filling() -> None:
    assert padded_tokens([5, 7, 9], 1) == 21
    assert padded_tokens([7] * 100, 8) == 700


def test_many_rows_are_quick_and_do_not_underflow() -> None:
    lengths = list(range(1, 200_001))
    assert padded_tokens(lengths, 4) == pytest.approx(
        200_000 * 160_001, rel=1e-4
    )  # the mean of the longest of 4 is 4/5


@given(st.lists(st.integers(1, 512), min_size=1, max_size=200))
def test_packed_sequences_hold_every_token_once_and_none_is_too_full(lengths: list[int]) -> None:
    filled = packed(lengths, 512)
    assert sum(filled) == sum(lengths)
    assert max(filled) <= 512
    # Best fit decreasing never needs more than 11/9 of the least number, plus four (Johnson 1973).
    assert len(filled) <= 11 / 9 * -(-sum(lengths) // 512) * 2 + 4


def test_rows_are_packed_into_the_fullest_sequence_with_room() -> None:
    assert sorted(packed([6, 4, 7, 3, 5], 10)) == [5, 10, 10]
    assert packed([10, 10], 10) == [10, 10]
