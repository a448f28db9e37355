"""What the launcher's tests share."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_world import Stage


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory where there is one: these tests sync the ledger thousands of times."""
    memory = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def stage(folder: Path) -> Stage:
    """One laptop, one cloud."""
    return Stage(folder)
