"""Runs of one's own make the next estimate better, on runs that were measured and published by others."""

from itertools import pairwise

import pytest

from tests.accuracy.own_runs import COUNTS, worth


def test_on_published_runs_the_error_shrinks_with_every_few_runs_of_the_same_user() -> None:
    errors = [worth(count).median_error for count in COUNTS]
    assert all(fewer >= more - 0.01 for fewer, more in pairwise(errors))
    assert worth(5).median_error < 0.8 * worth(0).median_error


@pytest.mark.parametrize("count", [one for one in COUNTS if one])
def test_on_published_runs_the_corrected_interval_stays_honest(count: int) -> None:
    assert 0.75 <= worth(count).inside <= 0.92
