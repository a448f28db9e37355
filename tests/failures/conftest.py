"""The clouds of a test process, empty again for each test; a laptop for each test, at the provider of its row."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.failures.stage import Clouds, Stage, opened_clouds


@pytest.fixture(scope="session")
def clouds() -> Iterator[Clouds]:
    """All three, served from this process."""
    with opened_clouds() as found:
        yield found


@pytest.fixture
def stage(clouds: Clouds, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A laptop at the provider of this row; afterwards every request and answer was as the schemas say."""
    memory = Path("/dev/shm")  # these tests sync the ledger a thousand times
    folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    stage = Stage(clouds, request.param, folder)
    stage.begin()
    yield stage
    violations = stage.control.call("violations")
    stage.control.reset()
    shutil.rmtree(folder)
    assert stage.drifts or not violations, violations
