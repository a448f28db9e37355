"""The test's side of the test cloud: starts it as a process, points the product at it, asks and steers it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
REGIONS = ("us-east-1", "us-east-2")
BOUND_SECONDS = 30.0
FAST_SECONDS = 0.02
LAMBDA_KEY = "secret_tests_0123456789abcdef0123456789abcdef.onlyForTheTestCloud"
RUNPOD_KEY = "rpa_ONLYFORTHETESTCLOUD0123456789ABCDEFGHIJ"
OTHER_LAMBDA_KEY = "secret_other_0123456789abcdef0123456789abcdef.ofAnotherAccount"
OTHER_RUNPOD_KEY = "rpa_OFANOTHERACCOUNT0123456789ABCDEFGHIJKLMN"
"""Of accounts in which nothing is rented."""
RUNPOD_READ_ONLY_KEY = "rpa_MAYONLYREAD0123456789ABCDEFGHIJKLMNOPQ"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """One machine as the cloud sees it; instants are sim seconds since the world began."""

    cloud: str
    id: str
    region: str
    zone: str
    instance_type: str
    spot: bool
    state: str
    reason: str
    address: str
    port: int
    ssh: bool
    root: Path
    """Its folder on this computer; `home/ubuntu` below it is the login folder."""
    tags: Mapping[str, str]
    created: float
    started: float | None
    ended: float | None
    egress_bytes: int
    usd: Decimal
    bill: Mapping[str, str]
    user_data: str


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What the meter says of the machines with one tag, or of all."""

    total_usd: Decimal
    alive: tuple[str, ...]
    peak: int
    """The most machines at one instant."""
    machines: int


class CloudError(Exception):
    """The cloud could not do what the test asked of it."""


class Cloud:
    """A running test cloud."""

    def __init__(self, urls: Mapping[str, str], folder: Path, process: int | None = None) -> None:
        self.urls, self.folder, self._process = dict(urls), folder, process
        self.url = self.urls["aws"]

    def environ(self, *clouds: str) -> dict[str, str]:
        """What `launch` needs to take this for those clouds (AWS alone, where none is named).

        Its state lies in this cloud's folder. The others are asked faster than in reality: `hurried` turns their knobs.
        """
        config = self.folder / "config.yaml"
        config.write_text(json.dumps({"providers": self._settings()}, indent=1) + "\n")  # JSON is YAML
        keys = {
            "aws": {
                "AWS_ENDPOINT_URL": self.url,
                "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
                "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                "AWS_REGION": REGIONS[0],
                "AWS_DEFAULT_REGION": REGIONS[0],
                "AWS_EC2_METADATA_DISABLED": "true",
            },
            "lambda": {"LAMBDA_API_BASE_URL": f"{self.urls['lambda']}/api/v1", "LAMBDA_API_KEY": LAMBDA_KEY},
            "runpod": {"RUNPOD_API_BASE_URL": self.urls["runpod"], "RUNPOD_API_KEY": RUNPOD_KEY},
        }
        return {
            **{name: value for cloud in clouds or ("aws",) for name, value in keys[cloud].items()},
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "LAUNCH_CONFIG": str(config),
            "LAUNCH_HOME": str(self.folder / "home"),
            "NO_PROXY": "127.0.0.0/8,localhost",
        }

    def _settings(self) -> dict[str, object]:
        fast = {"seconds_between_requests": FAST_SECONDS}
        return {
            "aws": {"ssh_port": 2222, "regions": list(REGIONS), "checkip_url": f"{self.url}/checkip"},
            "lambda": {"ssh_port": 2222, "seconds_between_launches": FAST_SECONDS, **fast},
            "runpod": {**fast},
        }

    def hurried(self) -> None:
        """Lambda and Runpod let themselves be asked as fast as the settings of `environ` ask them."""
        self.knobs(cloud="lambda", requests_every_seconds=0, launches_every_seconds=0)
        self.knobs(cloud="runpod", requests_a_minute=10_000)

    @property
    def process(self) -> int:
        """The id of its process. Raises `CloudError` for one that was not started from here."""
        if self._process is None:
            raise CloudError("this cloud was not started from here")
        return self._process

    def call(self, verb: str, **asked: object) -> Any:
        """One verb of the control API; README.md lists them. Raises `CloudError` with the cloud's sentence."""
        data = json.dumps(asked).encode()
        request = urllib.request.Request(f"{self.url}/_sim/{verb}", data=data, method="POST")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=BOUND_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise CloudError(f"{verb}: {error.read().decode()}") from error

    def machines(self) -> tuple[Machine, ...]:
        """All machines since the last reset, oldest first."""
        return tuple(_machine(one) for one in self.call("state")["machines"])

    def machine(self, id: str) -> Machine:
        """One machine."""
        return next(one for one in self.machines() if one.id == id)

    def meter(self, tag: str | None = None, value: str | None = None) -> Reading:
        """What the machines with that tag cost so far."""
        said = self.call("meter", tag=tag, value=value)
        return Reading(
            total_usd=Decimal(said["total_usd"]),
            alive=tuple(said["alive"]),
            peak=said["peak"],
            machines=said["machines"],
        )

    def fault(self, operation: str, when: str, times: int = 1, **more: object) -> None:
        """Plant a fault; see `faults.Fault`."""
        self.call("fault", operation=operation, when=when, times=times, **more)

    def fired(self) -> int:
        """How often planted faults have fired since the last reset."""
        return sum(one["fired"] for one in self.call("faults"))

    def capacity(self, pool: str, units: int | None) -> None:
        """So many machines are left in "zone/type/spot" or "zone/type/on-demand"; None: any number."""
        self.call("capacity", pool=pool, units=units)

    def price(self, zone: str, instance_type: str, usd_per_hour: str) -> None:
        """Move a spot price."""
        self.call("price", zone=zone, instance_type=instance_type, usd_per_hour=usd_per_hour)

    def quota(self, region: str, code: str, vcpus: float) -> None:
        """Set a vCPU quota."""
        self.call("quota", region=region, code=code, value=vcpus)

    def knobs(self, **changes: object) -> None:
        """Turn knobs; see `scenario.Knobs`."""
        self.call("knobs", **changes)

    def pace(self, factor: float, machine: str | None = None) -> None:
        """Everything takes so many times as long: on that machine, or on the next one that boots."""
        self.call("pace", factor=factor, **({} if machine is None else {"machine": machine}))

    def preempt(self, machine: str, notice_seconds: float = 120) -> None:
        """Reclaim a spot machine."""
        self.call("preempt", machine=machine, notice_seconds=notice_seconds)

    def drop(self, machine: str | None = None) -> None:
        """Cut SSH connections."""
        self.call("drop", machine=machine)

    def kill(self) -> None:
        """Kill -9 of the cloud itself, where it is a process that this one started."""
        os.kill(self.process, signal.SIGKILL)

    def reset(self) -> None:
        """End all machines and forget everything: prices, faults, knobs, bills."""
        self.call("reset")

    def wait_for(self, what: Callable[[], Any], bound_seconds: float = BOUND_SECONDS) -> Any:
        """Ask `what` after every event (and each half second) until it says something true; that is returned."""
        until = time.monotonic() + bound_seconds
        while not (found := what()):
            if time.monotonic() > until:
                events = "\n".join(f"{one['kind']} {one['machine']} {one['text']}" for one in self.call("events")[-30:])
                raise CloudError(f"did not happen within {bound_seconds} s; the last events:\n{events}")
            self.call("wait", after=self.call("state")["last_event"], seconds=0.5)
        return found


def _machine(said: Mapping[str, Any]) -> Machine:
    return Machine(**{**said, "root": Path(said["root"]), "usd": Decimal(said["usd"])})


@contextlib.contextmanager
def running(scale: float = 1.0, **knobs: object) -> Iterator[Cloud]:
    """A test cloud of one's own. It ends with the block, and also when this process dies in whatever way."""
    argv = [sys.executable, "-m", "tests.cloud", "--for-program", "--scale", str(scale)]
    with tempfile.TemporaryDirectory(prefix="cloud-client-") as folder:
        pipe = subprocess.PIPE
        child = subprocess.Popen(argv, cwd=REPOSITORY, stdin=pipe, stdout=pipe, text=True)
        try:
            cloud = Cloud(_ready(child), Path(folder), child.pid)
            if knobs:
                cloud.knobs(**knobs)
            yield cloud
        finally:
            _end(child)


def _ready(child: "subprocess.Popen[str]") -> dict[str, str]:
    """The addresses that the cloud says on its first line once it listens."""
    line = child.stdout.readline()  # type: ignore[union-attr]  # it was asked for as a pipe
    if not line:
        raise CloudError("the test cloud ended before it listened; its standard error says why")
    return dict(json.loads(line))


def _end(child: "subprocess.Popen[str]") -> None:
    for stream in (child.stdin, child.stdout):
        stream.close()  # type: ignore[union-attr]  # end of file tells it to go
    try:
        child.wait(timeout=20)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
