"""What the launcher's tests share."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.fake_world import Stage


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory where there is one: these tests sync the ledger thousands of times."""
    memory = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    yield made
    with suppress(FileNotFoundError):  # a ledger that nobody holds any more may be closed meanwhile, with its files
        shutil.rmtree(made)
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def stage(folder: Path) -> Stage:
    """One laptop, one cloud."""
    return Stage(folder)
