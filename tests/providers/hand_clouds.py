"""Lambda and Runpod, served over loopback from this process, in a world whose time passes by hand."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from providers import lambda_cloud, runpod
from providers.base import Surroundings
from providers.lambda_cloud import Lambda
from providers.runpod import Runpod
from tests.cloud import lambda_api, runpod_api
from tests.cloud.client import LAMBDA_KEY, RUNPOD_KEY
from tests.cloud.clock import HandClock
from tests.cloud.faults import Fault
from tests.cloud.http_cloud import Asked, HttpCloud, serving
from tests.cloud.lambda_life import LambdaLife
from tests.cloud.runpod_life import RunpodLife
from tests.cloud.world import World
from tests.providers.samples import surroundings

OWNER = "0123456789abcdef0123456789abcdef"
STRANGER = "fedcba9876543210fedcba9876543210"


@dataclass(frozen=True, kw_only=True)
class HandClouds:
    """The two clouds and their world. Whoever waits for his turn passes this world's time."""

    world: World
    lambda_life: LambdaLife
    runpod_life: RunpodLife
    clouds: dict[str, HttpCloud]
    urls: dict[str, str]

    def around(self, folder: Path, environ: dict[str, str], **changes: Any) -> Surroundings:
        """What a provider here knows of the world; keys that belong together keep one pace through `folder`."""
        given = {"owner_id": OWNER, "now": self.world.clock.now, "pause": self.world.pass_time, **changes}
        return surroundings(folder, environ=environ, **given)

    def lambda_environ(self, **changes: str) -> dict[str, str]:
        """What points Lambda's provider here."""
        return {"LAMBDA_API_BASE_URL": f"{self.urls['lambda']}/api/v1", "LAMBDA_API_KEY": LAMBDA_KEY, **changes}

    def runpod_environ(self, **changes: str) -> dict[str, str]:
        """What points Runpod's provider here."""
        return {"RUNPOD_API_BASE_URL": self.urls["runpod"], "RUNPOD_API_KEY": RUNPOD_KEY, **changes}

    def lambda_at(self, folder: Path, environ: dict[str, str] | None = None, **changes: Any) -> Lambda:
        """The provider under test."""
        given = self.lambda_environ() if environ is None else environ
        return lambda_cloud.connect(self.around(folder, given, **changes))

    def runpod_at(self, folder: Path, environ: dict[str, str] | None = None, **changes: Any) -> Runpod:
        """The provider under test."""
        given = self.runpod_environ() if environ is None else environ
        return runpod.connect(self.around(folder, given, **changes))

    def fault(self, operation: str, when: Any, **more: Any) -> Fault:
        """Plant one, by the cloud's own name of the call: "lambda.launch", "runpod.create"."""
        fault = Fault(operation=operation, when=when, **more)
        self.world.faults.plant(fault)
        return fault

    def calls(self, operation: str) -> list[Asked]:
        """What was asked under that name since the last reset."""
        cloud, _, name = operation.partition(".")
        return [one for one in self.clouds[cloud].calls if name in (one.operation, "*")]

    def violations(self) -> list[str]:
        """Where a request or an answer was not as the schemas say."""
        return [one for cloud in self.clouds.values() for one in cloud.violations]

    def reset(self) -> None:
        """Nothing there, nothing asked, every knob as it was; only the clock goes on."""
        self.world.reset()
        for cloud in self.clouds.values():
            cloud.calls.clear()
            cloud.violations.clear()


def until_open(url: str) -> str:
    """The same address, once somebody listens there: a server that was only just started may not yet."""
    address, patience = urlsplit(url), threading.Event()
    for _ in range(500):
        try:
            socket.create_connection((str(address.hostname), address.port or 80), timeout=1).close()
        except ConnectionRefusedError:
            patience.wait(0.02)
        else:
            return url
    raise AssertionError(f"nobody listens at {url}")


@contextlib.contextmanager
def hand_clouds() -> Iterator[HandClouds]:
    """Serve both until the block ends."""
    world = World(HandClock())
    lambda_life, runpod_life = LambdaLife(world), RunpodLife(world)
    clouds = {
        "lambda": lambda_api.application(world, lambda_life),
        "runpod": runpod_api.application(world, runpod_life),
    }
    with serving(clouds["lambda"]) as lambda_url, serving(clouds["runpod"]) as runpod_url:
        runpod_life.url = runpod_url
        urls = {"lambda": until_open(lambda_url), "runpod": until_open(runpod_url)}
        yield HandClouds(world=world, lambda_life=lambda_life, runpod_life=runpod_life, clouds=clouds, urls=urls)
    world.close()
