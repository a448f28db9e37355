"""`make soak-sim`: so many bad days on virtual time, what went wrong in them, and whether a promise was broken.

python -m tests.soak [--schedules N] [--first SEED] [--processes 2]     # the table of docs/money-safety.md
python -m tests.soak --seed N            # one day, told and shrunk
python -m tests.soak --kills [--stride K] [--part I/N]    # SIGKILL at every point of a launch, on every kind of cloud
python -m tests.soak --pairs [--stride K] [--part I/N]    # at every pair of points
"""

import argparse
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import islice

from tests.soak import pairs
from tests.soak.play import play
from tests.soak.schedule import Schedule, drawn
from tests.soak.shrink import shrunk
from tests.soak.table import Tally, tally

BLOCK = 250
"""Schedules that one process takes at a time."""


def main() -> int:
    """0 where no promise was broken."""
    said = _parser().parse_args()
    if said.seed is not None:
        return _one(drawn(said.seed))
    if said.until_breach:
        return _first_breach(range(said.first, said.first + said.schedules))
    if said.kills or said.pairs:
        part, parts = (int(word) for word in said.part.split("/"))
        days: Iterable[Schedule] = pairs.kills(said.stride) if said.kills else pairs.pairs(said.stride)
        found = tally(play(day) for day in islice(days, part, None, parts))
    else:
        found = _all(range(said.first, said.first + said.schedules), said.processes)
    print(found.text())
    for breach_seed in found.seeds[:5]:
        print(f"replay: python -m tests.soak --seed {breach_seed}")
    return 1 if found.breaches else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--schedules", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=None, help="only this one, told and shrunk")
    parser.add_argument("--until-breach", action="store_true", help="stop at the first one")
    parser.add_argument("--kills", action="store_true")
    parser.add_argument("--pairs", action="store_true")
    parser.add_argument("--stride", type=int, default=1, help="only every so many of the points")
    parser.add_argument("--part", default="0/1", help="of so many parts that one, counted from 0")
    return parser


def _all(seeds: range, processes: int) -> Tally:
    blocks = [seeds[start : start + BLOCK] for start in range(0, len(seeds), BLOCK)]
    whole = Tally(first=seeds.start)
    with ProcessPoolExecutor(processes) as pool:
        for number, part in enumerate(pool.map(block, blocks), 1):
            whole.add(part)
            if sys.stderr.isatty() or number % 20 == 0:
                print(f"{number * BLOCK} schedules, {whole.breaches} breaches", file=sys.stderr)
    return whole


def block(seeds: range) -> Tally:
    """Some schedules in a row."""
    return tally(map(play, map(drawn, seeds)), first=seeds.start)


def _first_breach(seeds: range) -> int:
    for seed in seeds:
        breaches = play(drawn(seed)).breaches
        if breaches:
            print(f"seed {seed}, after {seed - seeds.start + 1} schedules: {breaches[0]}")
            return 1
    print(f"none in {len(seeds)} schedules")
    return 0


def _one(day: Schedule) -> int:
    played = play(day)
    told = partial(play, tell=True)
    if played.breaches:
        print(f"seed {day.seed} breaks {', '.join(map(str, played.breaches))}\nshrunk from {len(day.faults)} faults:")
        day = shrunk(day)
    print(replace(day, faults=()), *(f"  {fault}" for fault in day.faults), sep="\n")
    last = told(day)
    print(*last.story, *last.machines, f"billed {last.share:.1%} of the budget", *last.breaches, sep="\n")
    return 1 if last.breaches else 0


if __name__ == "__main__":
    sys.exit(main())
