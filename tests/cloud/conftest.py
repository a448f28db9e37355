"""One test cloud for all tests of the cloud itself, empty again for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cloud.client import Cloud, running
from tests.cloud.tenant import Tenant


@pytest.fixture(scope="session")
def whole_cloud() -> Iterator[Cloud]:
    """The process."""
    with running() as cloud:
        yield cloud


@pytest.fixture
def cloud(whole_cloud: Cloud) -> Iterator[Cloud]:
    """The process with nothing in it."""
    yield whole_cloud
    whole_cloud.reset()


@pytest.fixture
def tenant(cloud: Cloud, tmp_path: Path) -> Tenant:
    """A customer of it."""
    return Tenant(cloud, tmp_path)
