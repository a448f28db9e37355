"""`python -m tests.soak.hunt`: plays schedules of a spoiled copy of the product until a promise is broken.

What `teeth` and `mutants` start inside such a copy. Exit codes: 0 nothing was noticed, 1 something was, 2 the copy does
not even load; a schedule that takes longer than `MOST_SECONDS` of the processor ends the process by SIGPROF.
"""

import argparse
import importlib
import resource
import signal
import sys
import traceback

MOST_SECONDS = 20.0
"""Of the processor, for one schedule: hundreds of times what the longest one takes."""
MOST_BYTES = 8 * 2**30
NOTHING, NOTICED, NO_PRODUCT = 0, 1, 2


def main() -> int:
    """See above."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.hunt")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--schedules", type=int, required=True)
    said = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    try:
        importlib.import_module("tests.soak.play")  # here: a spoiled product may not load
    except Exception as error:
        print(f"does not load: {type(error).__name__}: {error}"[:200])
        return NO_PRODUCT
    return hunted(range(said.first, said.first + said.schedules))


def hunted(seeds: range) -> int:
    """Play until something is noticed: a broken promise, or the simulation itself falling over the product."""
    play = importlib.import_module("tests.soak.play").play
    drawn = importlib.import_module("tests.soak.schedule").drawn
    for seed in seeds:
        print(f"seed {seed}", flush=True)  # where this process is ended, it is known at which one
        signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
        try:
            breaches = play(drawn(seed)).breaches
            words = str(breaches[0]) if breaches else ""
        except Exception:
            words = f"crash: {traceback.format_exc().splitlines()[-1]}"
        if words:
            print(f"seed {seed}: {words[:160]}")
            return NOTICED
    print(f"nothing up to seed {seeds.stop - 1}")
    return NOTHING


if __name__ == "__main__":
    sys.exit(main())
