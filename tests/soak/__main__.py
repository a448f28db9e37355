"""`make soak-sim`: so many bad days on virtual time, what went wrong in them, and whether a promise was broken.

python -m tests.soak [--schedules N] [--first SEED | --fresh] [--processes 2]     # the table of docs/money-safety.md
python -m tests.soak --kills [--stride K]    # SIGKILL at every point of a launch, on every kind of cloud
python -m tests.soak --pairs [--stride K]    # at every pair of points that differ
python -m tests.soak --store             # the random days, of somebody who has a durable store
    [--keep]        # of any of these: goes on where a run at the same commit was broken off
    [--part I/N]    # of any of these the I-th of N parts, counted from 0
python -m tests.soak --seed N [--store]  # one day, told and shrunk
"""

import argparse
import gc
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from tests.soak import pairs
from tests.soak.kept import Kept
from tests.soak.pairs import Once
from tests.soak.play import play
from tests.soak.schedule import Schedule, drawn, with_store
from tests.soak.shrink import shrunk
from tests.soak.table import Tally, commit, tally, tally_of

BLOCK = 250
"""Schedules that one process takes at a time."""
LINES = 20
"""So often it is told how far it is."""
RUBBISH = 500_000
"""Values that may be made before rubbish is looked for: some ten days leave so much, which is little memory."""
FRESH = 1_000_000
"""Seeds of one date: the first of the next date is so many further on."""
Item = TypeVar("Item")


def main(words: Sequence[str] | None = None) -> int:
    """0 where no promise was broken."""
    said = _parser().parse_args(words)
    if said.seed is not None:
        return _one(_drawn(said.seed, said.store))
    first = int(f"{datetime.now(UTC):%Y%m%d}") * FRESH if said.fresh else said.first
    if said.fresh:
        print(f"first seed {first}")
    seeds = range(first, first + said.schedules)
    if said.until_breach:
        return _first_breach(seeds, said.store)
    if said.kills:
        days = _blocks(_part(list(pairs.kills(said.stride)), said.part), 50)
        found = _all(block, days, said, Tally(first=-1))
    elif said.pairs:
        second = partial(after, stride=said.stride)
        found = _all(second, _part(list(pairs.firsts(said.stride)), said.part), said, Tally(first=-1))
    else:
        mine = _part(seeds, said.part)
        work = partial(drawn_block, store=said.store)
        found = _all(work, _blocks(mine, BLOCK), said, Tally(first=mine[0] if mine else first))
    print(found.text())
    for breach_seed in found.seeds[:5]:
        if breach_seed >= 0:
            print(f"replay: python -m tests.soak --seed {breach_seed}{' --store' * said.store}")
    return 1 if found.breaches else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--schedules", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--fresh", action="store_true", help="the first seed is drawn from today's date")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=None, help="only this one, told and shrunk")
    parser.add_argument("--until-breach", action="store_true", help="stop at the first one")
    parser.add_argument("--store", action="store_true", help="of somebody who has a durable store")
    parser.add_argument("--kills", action="store_true")
    parser.add_argument("--pairs", action="store_true")
    parser.add_argument("--stride", type=int, default=1, help="only every so many of the points")
    parser.add_argument("--keep", action="store_true", help="go on where a run at the same commit was broken off")
    parser.add_argument("--part", default="0/1", help="of so many parts that one, counted from 0")
    return parser


def _part(items: Sequence[Item], said: str) -> Sequence[Item]:
    """Of so many parts in a row that one."""
    part, parts = (int(word) for word in said.split("/"))
    return items[len(items) * part // parts : len(items) * (part + 1) // parts]


def _blocks(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _all(work: Callable[[Item], Tally], items: Sequence[Item], said: argparse.Namespace, whole: Tally) -> Tally:
    """Each item is some work for one of the processes; how far it is, is told now and then."""
    kept = Kept(_file(said)) if said.keep and not commit().endswith("-dirty") else None
    done_before = {number: part for number, part in (kept.read() if kept else {}).items() if number < len(items)}
    for part in done_before.values():
        whole.add(part)
    whole.before = whole.schedules
    left = [number for number in range(len(items)) if number not in done_before]
    with ProcessPoolExecutor(said.processes, initializer=warmed) as pool:
        for done, (number, part) in enumerate(zip(left, pool.map(work, map(items.__getitem__, left)), strict=True), 1):
            whole.add(part)
            if kept is not None:
                kept.add(number, part)
            if done % max(1, len(left) // LINES) == 0:
                print(f"{done / len(left):.0%}: {whole.schedules:,} days, {whole.breaches} breaches", file=sys.stderr)
    return whole


def _file(said: argparse.Namespace) -> Path:
    # Whole blocks in a row count for a longer run as well; the last one, where it is not whole, would not.
    many = "on" if said.schedules % BLOCK == 0 and said.part == "0/1" else said.schedules
    what = "kills" if said.kills else "pairs" if said.pairs else f"{said.first}-{many}{'-store' * said.store}"
    name = f"{commit()}-{what}-{said.stride}-{said.part.replace('/', '-of-')}.jsonl"
    return Path(__file__).parents[2] / ".soak-sim" / name


def warmed() -> None:
    """What every day needs is made once, and not looked through for rubbish again and again."""
    play(drawn(0))
    gc.collect()
    gc.freeze()
    gc.set_threshold(RUBBISH)


def drawn_block(seeds: Sequence[int], *, store: bool = False) -> Tally:
    """Some schedules in a row."""
    return tally((play(_drawn(seed, store)) for seed in seeds), first=seeds[0])


def _drawn(seed: int, store: bool) -> Schedule:
    return with_store(drawn(seed)) if store else drawn(seed)


def block(days: Iterable[Schedule]) -> Tally:
    """Some days in a row."""
    return tally(map(play, days), first=-1)


def after(once: Once, stride: int) -> Tally:
    """All second deaths after a first one."""
    return tally_of(pairs.seconds(once, stride), first=-1)


def _first_breach(seeds: range, store: bool) -> int:
    for seed in seeds:
        breaches = play(_drawn(seed, store)).breaches
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
