"""`python -m tests.cloud`: the test cloud by hand. Prints what to export, then one calm line an event."""

import argparse
import json
import os
import shlex
import signal
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from tests.cloud.aws import Aws
from tests.cloud.client import Cloud
from tests.cloud.control import Control
from tests.cloud.meter import bill
from tests.cloud.scenario import Knobs
from tests.cloud.world import Event, World

BY_HAND = Knobs(pending_seconds=3, boot_seconds=4, ending_seconds=3)
"""Slow enough to be watched."""


class _Quiet(WSGIRequestHandler):
    """Requests are not logged: the world says what they did."""

    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: object) -> None:
        if type == "error":
            print(message % args if args else message, file=sys.stderr)


def main() -> None:
    """Build the world, serve it, and take it down again on Ctrl-C or when the program that asked for it is gone."""
    options = _options()
    _leave_by_exception()
    world = World(scale=options.scale, knobs=None if options.for_program else BY_HAND)
    try:
        server = make_server("127.0.0.1", options.port, Control(world, Aws(world)), True, request_handler=_Quiet)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        (_until_let_go if options.for_program else _by_hand)(world, server)
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


def _until_let_go(world: World, server: BaseWSGIServer) -> None:
    print(json.dumps({"url": f"http://127.0.0.1:{server.port}"}), flush=True)
    while os.read(0, 4096):
        pass


def _by_hand(world: World, server: BaseWSGIServer) -> None:
    with tempfile.TemporaryDirectory(prefix="cloud-by-hand-") as folder:
        cloud = Cloud(f"http://127.0.0.1:{server.port}", Path(folder))
        print("# paste this into another terminal:")
        for name, value in cloud.environ().items():
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
