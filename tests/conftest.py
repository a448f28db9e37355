"""What every room's tests may ask for: one Chromium, started when the first test wants it."""

import os
from collections.abc import Iterator

import pytest

from tests.browser import Browser

# Read when torch is loaded. Its threads spin while they wait, and on two cores that several workers share a training
# took six times the processor time that it takes when they sleep. The job's own `run.py` says the same.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One for all tests of a worker; mark them `xdist_group("browser")`, and all of them share one worker."""
    with Browser() as started:
        yield started
