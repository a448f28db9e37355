"""Every row of the failure catalogue has a test for each provider to which it applies, and the README tells which."""

import pytest

from tests.failures import table
from tests.failures.stage import ALL

FOUND = tuple(table.tests())
README = table.FOLDER.parent / "cloud" / "README.md"


def test_the_catalogue_has_52_rows() -> None:
    assert list(table.ROWS) == list(range(1, 53))
    assert {one.row for one in FOUND} <= set(table.ROWS)


@pytest.mark.parametrize("number", table.ROWS)
def test_each_row_has_a_test_at_each_provider_to_which_it_applies(number: int) -> None:
    row = table.ROWS[number]
    assert {name for one in FOUND if one.row == number for name in one.providers} == set(row.applies)
    assert bool(row.why) == (row.applies != ALL)


def test_the_readme_maps_each_row_to_its_tests() -> None:
    assert table.table() in README.read_text("utf-8")
