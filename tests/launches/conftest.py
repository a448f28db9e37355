"""One test cloud for all whole launches of a test process, empty again for each; and a laptop for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cloud.client import Cloud, running
from tests.launches.laptop import Laptop


@pytest.fixture(scope="session")
def launch_cloud() -> Iterator[Cloud]:
    """The process."""
    with running() as cloud:
        yield cloud


@pytest.fixture
def cloud(launch_cloud: Cloud) -> Iterator[Cloud]:
    """The process with nothing in it."""
    yield launch_cloud
    launch_cloud.reset()


@pytest.fixture
def laptop(cloud: Cloud, tmp_path: Path) -> Iterator[Laptop]:
    """A computer of the test's own; what still runs there afterwards is ended before the cloud is emptied."""
    laptop = Laptop(cloud, tmp_path)
    yield laptop
    laptop.close()
