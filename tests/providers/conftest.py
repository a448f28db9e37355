"""One moto cloud, and one of Lambda and Runpod, for the room; wiped before each test that asks for them."""

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.aws import Aws
from providers.aws_calls import Calls
from tests.providers.hand_clouds import HandClouds, hand_clouds
from tests.providers.moto_cloud import DENIED, MotoCloud, moto_cloud
from tests.providers.plain_server import PlainServer, plain_server
from tests.providers.samples import surroundings

CALLS: dict[str, Calls] = {}
"""Clients take long to make and hold no state of a test: one set for each server."""
IMAGE = "ami-12c6146b"
"""One of the images that moto brings along."""


@pytest.fixture(scope="session")
def served() -> Iterator[MotoCloud]:
    with moto_cloud() as cloud:
        yield cloud


@pytest.fixture
def moto(served: MotoCloud) -> MotoCloud:
    wipe = urllib.request.Request(f"{served.url}/moto-api/reset", method="POST")
    urllib.request.urlopen(wipe, timeout=10).close()
    app = served.app
    app.calls.clear()
    app.by_token.clear()
    app.answers.clear()
    app.answers["AWSPriceListService.GetProducts"] = DENIED
    app.lost = 0
    return served


@pytest.fixture
def aws(moto: MotoCloud, tmp_path: Path) -> Aws:
    return aws_on(moto, tmp_path)


def aws_on(moto: MotoCloud, state_dir: Path, owner_id: str = "me", **settings: object) -> Aws:
    """The provider under test, in two regions, with an image that moto has."""
    regions = ["us-east-1", "us-east-2"]
    given = {
        "regions": regions,
        "image": dict.fromkeys(regions, IMAGE),
        "checkip_url": f"{moto.url}/checkip",
        **settings,
    }
    around = surroundings(state_dir, environ=moto.environ, settings=given, owner_id=owner_id)
    return Aws(around, CALLS.setdefault(moto.url, Calls(moto.environ)))


@pytest.fixture(scope="session")
def both_clouds() -> Iterator[HandClouds]:
    with hand_clouds() as found:
        yield found


@pytest.fixture
def clouds(both_clouds: HandClouds) -> Iterator[HandClouds]:
    """Empty, and afterwards every request that was accepted, and every answer, was as the schemas say."""
    both_clouds.reset()
    yield both_clouds
    assert not both_clouds.violations()


@pytest.fixture
def server() -> Iterator[PlainServer]:
    with plain_server() as found:
        yield found
