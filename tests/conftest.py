"""What every room's tests may ask for: one Chromium, started when the first test wants it."""

from collections.abc import Iterator

import pytest

from tests.browser import Browser


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One for all tests of a worker; mark them `xdist_group("browser")`, and all of them share one worker."""
    with Browser() as started:
        yield started
