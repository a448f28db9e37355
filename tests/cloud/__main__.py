"""`python -m tests.cloud`: the test cloud by hand. Prints what to export, then one calm line an event."""

import argparse
import json
import os
import shlex
import signal
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from tests.cloud.aws import Aws
from tests.cloud.client import Cloud
from tests.cloud.clock import SimClock
from tests.cloud.meter import bill
from tests.cloud.scenario import Knobs
from tests.cloud.serving import served
from tests.cloud.world import Event, World

BY_HAND = Knobs(pending_seconds=3, boot_seconds=4, ending_seconds=3)
"""Slow enough to be watched."""


def main() -> None:
    """Build the world, serve it, and take it down again on Ctrl-C or when the program that asked for it is gone."""
    options = _options()
    _leave_by_exception()
    world = World(SimClock(options.scale))
    aws = Aws(world)
    if not options.for_program:
        aws.life.knobs = BY_HAND
    try:
        with served(world, aws, options.port) as urls:
            (_until_let_go if options.for_program else _by_hand)(world, urls)
    except KeyboardInterrupt:
        pass
    finally:
        world.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.cloud", description="a cloud to try launch against")
    parser.add_argument("--scale", type=float, default=1.0, help="sim seconds in one real second (default 1)")
    parser.add_argument("--port", type=int, default=0, help="of the API, on 127.0.0.1 (default: any free one)")
    parser.add_argument("--for-program", action="store_true", help="say the address as JSON; end with standard input")
    return parser.parse_args()


def _leave_by_exception() -> None:
    """SIGTERM leaves like Ctrl-C, so that everything is taken down."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)  # a shell that starts it with `&` had it ignored


def _until_let_go(world: World, urls: Mapping[str, str]) -> None:
    del world
    print(json.dumps(dict(urls)), flush=True)
    while os.read(0, 4096):
        pass


def _by_hand(world: World, urls: Mapping[str, str]) -> None:
    with tempfile.TemporaryDirectory(prefix="cloud-by-hand-") as folder:
        cloud = Cloud(urls, Path(folder))
        cloud.hurried()
        print("# paste this into another terminal:")
        for name, value in cloud.environ(*urls).items():
            print(f"export {name}={shlex.quote(value)}")
        print("# then:  launch --budget 5 --gpu a10g        launch ps        launch ssh")
        print(
            f"# and:   curl -s {cloud.url}/_sim/state        (tests/cloud/README.md lists the knobs; Ctrl-C ends all)"
        )
        sys.stdout.flush()
        world.watcher = lambda event: _log(world, event)
        threading.Event().wait()


def _log(world: World, event: Event) -> None:
    at = world.clock.at(event.at).strftime("%H:%M:%S")
    text = event.text
    if event.kind == "terminated":
        costs = bill(world.machines[event.machine].metered, event.at)
        text += f"; bill {costs.total_usd:.4f} USD for {costs.seconds:.0f} s"
    print(f"{at}  {event.machine:19}  {event.kind:10}  {text}", flush=True)


if __name__ == "__main__":
    main()
