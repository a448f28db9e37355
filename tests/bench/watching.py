"""What it costs to watch many runs: the list calls that three clouds get while several processes look at them all."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import cycle, islice
from pathlib import Path

from launcher.creating import create_for
from launcher.price import price
from launcher.request import Request
from launcher.run import Run, State
from launcher.world import World, real_world
from pricing.plan import Choice
from tests.bench.one_listing import WHERE
from tests.cloud.client import REGIONS, REPOSITORY, Cloud
from tests.fake_world import Heard
from tests.launches.laptop import write_job

PLACES = {"aws": REGIONS, "lambda": ("",), "runpod": ("",)}
"""What one list call of a provider shows: a region at AWS, all that there is elsewhere."""
SPOT_QUOTA = "L-3819A6DF"
BUDGET_USD = Decimal(50)
BOUND_SECONDS = 120.0
Child = subprocess.Popen[str]


@dataclass(frozen=True, kw_only=True)
class Load:
    """So many runs, watched by so many processes, each of which looks at all of its own at every tick."""

    runs: int
    processes: int
    ticks: int
    tick_seconds: float


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What the clouds were asked meanwhile."""

    lists: Mapping[str, float]
    """By provider: its list calls in one tick; AWS's in one tick and region."""
    by_id: int
    """Calls for one machine by its id: what a gap in a list would cost."""
    prices: int
    """AWS tells what a machine costs by another call: at most once a minute for each type, zone and process."""
    seen: int
    """So many of all looks showed the run's own machine."""


def watched(cloud: Cloud, folder: Path, load: Load) -> Watched:
    """Rent a machine for each run, and count what is asked while all are watched."""
    cloud.reset()
    cloud.hurried()
    for region in REGIONS:
        cloud.quota(region, SPOT_QUOTA, 1_000_000)
    cloud.knobs(cloud="runpod", balance_usd="1000000", spend_limit_usd=1_000_000)
    environ = {**os.environ, **cloud.environ(*WHERE), "LAUNCH_HOME": str(folder / "home")}
    world = real_world(environ, Heard())
    try:
        ids = _rented(world, folder, load.runs)
    finally:
        world.ledger.close()
    with _watchers(ids, environ, load) as watchers:
        before = _counted(cloud)
        seen, seconds = _looked(watchers)
    asked = {what: count - before[what] for what, count in _counted(cloud).items()}
    cloud.reset()
    ticks = max(load.ticks, int(seconds / load.tick_seconds) + 1)  # more, where this computer is too slow for so many
    return Watched(
        lists={name: asked[f"{name} list"] / ticks / len(places) for name, places in PLACES.items()},
        by_id=sum(asked[f"{name} get"] for name in PLACES),
        prices=asked["aws prices"],
        seen=seen,
    )


def _rented(world: World, folder: Path, runs: int) -> list[str]:
    """The ids of so many runs, each with a machine of its own, spread evenly over all places."""
    job = write_job(folder / "job")
    request = Request(budget_usd=BUDGET_USD, job=job, yes=True, accept_unguarded=True)
    choices = [choice for name in PLACES for choice in _choices(name, request, world)]
    ids = []
    for number, choice in enumerate(islice(cycle(choices), runs)):
        run = Run(
            id=f"calm-newt-{number:04d}", name="bench", created_at=world.now(), budget_usd=BUDGET_USD,
            deadline_at=None, out_dir=folder / "out", state=State.PLANNED,
        )  # fmt: skip
        world.ledger.open_run(run, request="", plan="")
        world.ledger.advance(run, State.PROVISIONING, world.now())
        refused = create_for(run, choice, choice.lease_seconds, world)
        assert refused is None, refused
        ids.append(run.id)
    return ids


def _choices(name: str, request: Request, world: World) -> list[Choice]:
    """The best one of a provider in each of its places."""
    ranked = price(replace(request, providers=(name,)), world).plan.choices
    return [next(one for one in ranked if place in ("", one.offer.region)) for place in PLACES[name]]


@contextmanager
def _watchers(ids: Sequence[str], environ: Mapping[str, str], load: Load) -> Iterator[list[Child]]:
    """Processes that are ready to look, each at its share of the runs, which are in all places."""
    share = -(-len(ids) // load.processes)
    argv = (sys.executable, "-m", "tests.bench.one_watcher", str(load.ticks), str(load.tick_seconds))
    pipe = subprocess.PIPE
    with ExitStack() as stack:
        children = [
            stack.enter_context(
                subprocess.Popen((*argv, *part), cwd=REPOSITORY, env=dict(environ), stdin=pipe, stdout=pipe, text=True)
            )
            for part in (ids[start : start + share] for start in range(0, len(ids), share))
        ]
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        yield children


def _looked(watchers: Sequence[Child]) -> tuple[int, float]:
    """Let all look, at the same moments: how many looks showed the machine, and how long the slowest took for all."""
    for child in watchers:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    said = [child.communicate(timeout=BOUND_SECONDS)[0] for child in watchers]
    assert all(child.returncode == 0 for child in watchers), said
    told = [json.loads(line) for line in said]
    return sum(one["seen"] for one in told), max(one["seconds"] for one in told)


def _counted(cloud: Cloud) -> dict[str, int]:
    """All calls of the kinds that watching makes."""
    described = cloud.call("calls", operation="DescribeInstances")
    by_id = [form for form in described if "InstanceId.1" in form]
    return {
        "aws list": len(described) - len(by_id),
        "aws get": len(by_id),
        "aws prices": len(cloud.call("calls", operation="DescribeSpotPriceHistory")),
        **{f"{name} {verb}": len(cloud.call("calls", operation=f"{name}.{verb}"))
           for name in ("lambda", "runpod") for verb in ("list", "get")},
    }  # fmt: skip
