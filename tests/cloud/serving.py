"""Puts the clouds of one world on loopback ports: AWS with the control API, Lambda, Runpod."""

import contextlib
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from email.utils import format_datetime

from werkzeug.serving import WSGIRequestHandler, make_server

from tests.cloud import lambda_api, runpod_api
from tests.cloud.aws import Aws
from tests.cloud.control import Control
from tests.cloud.http_cloud import serving
from tests.cloud.lambda_life import LambdaLife
from tests.cloud.runpod_life import RunpodLife
from tests.cloud.world import World


def _door(world: World, aws: Aws) -> type[WSGIRequestHandler]:
    """Requests are not logged (the world says what they did), and the time is told by the world's clock."""

    class Door(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, type: str, message: str, *args: object) -> None:
            if type == "error":
                print(message % args if args else message, file=sys.stderr)

        def date_time_string(self, timestamp: float | None = None) -> str:
            del timestamp
            now = world.clock.now() + timedelta(seconds=aws.life.knobs.clock_skew_seconds)
            return format_datetime(now, usegmt=True)

    return Door


@contextlib.contextmanager
def served(world: World, aws: Aws, port: int = 0) -> Iterator[dict[str, str]]:
    """All three, until the block ends; their addresses by the name of the cloud."""
    lambda_life, runpod_life = LambdaLife(world), RunpodLife(world)
    others = {
        "lambda": lambda_api.application(world, lambda_life),
        "runpod": runpod_api.application(world, runpod_life),
    }
    server = make_server("127.0.0.1", port, Control(world, aws, others), True, request_handler=_door(world, aws))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        with serving(others["lambda"]) as lambda_url, serving(others["runpod"]) as runpod_url:
            runpod_life.url = runpod_url
            yield {"aws": f"http://127.0.0.1:{server.port}", "lambda": lambda_url, "runpod": runpod_url}
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
