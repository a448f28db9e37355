"""One process that watches some runs of the ledger, as `watching.py` starts it: a look at each of them every tick."""

import json
import os
import sys
import threading
import time

from launcher.sight import look
from launcher.world import real_world
from providers.base import InstanceState
from tests.fake_world import Heard


def main() -> int:
    """Ready; go; then so many ticks, and how many looks showed the run's own machine at work."""
    ticks, tick_seconds, ids = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
    world = real_world(os.environ, Heard())
    runs = [world.ledger.load(id) for id in ids]
    for name, region in {(run.attempt.offer.provider, run.attempt.offer.region) for run in runs}:
        world.provider(name).list(region)  # what only the first call costs: imports, clients
    print("ready", flush=True)
    sys.stdin.readline()
    began, seen = time.monotonic(), 0
    for tick in range(ticks):
        threading.Event().wait(max(0.0, began + tick * tick_seconds - time.monotonic()))
        for run in runs:
            found = look(run, world, tick_seconds)
            seen += found is not None and found.run_id == run.id and found.state is not InstanceState.ABSENT
    print(json.dumps({"seen": seen, "seconds": time.monotonic() - began}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
