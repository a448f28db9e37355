"""`make soak-kill`: the real program is killed so many times against the test clouds; is a promise about money broken?

python -m tests.soak_kill [--kills N] [--processes 2]    # goes on where the last part of the same commit ended
python -m tests.soak_kill --seed N    # one life, told; real processes are not to the microsecond the same twice
"""

import argparse
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

from tests.cloud.client import REPOSITORY
from tests.soak.table import commit
from tests.soak_kill import forking
from tests.soak_kill.drawn import SCALE, drawn
from tests.soak_kill.lane import HARNESS, Clouds, broken, lived
from tests.soak_kill.life import Seasoning
from tests.soak_kill.table import Kept

BROKEN = REPOSITORY / ".soak-kill" / "broken"
LANES_PER_PROCESS = 3
"""Lives at once for each core that may be used: most of a life is waiting."""


Lane = Callable[["Synchronized[int]", "Synchronized[int]", int], None]
"""Takes the next seed and counts kills, until there are so many."""


def main() -> int:
    """0 where no promise was broken."""
    said = _parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    forking.warm_up()
    if said.seed is not None:
        return _one(said.seed, said.keep or BROKEN)
    name = commit()
    kept = Kept(said.state or REPOSITORY / ".soak-kill" / f"{name}.jsonl")
    began = time.monotonic()
    keep, lanes = said.keep or BROKEN, said.processes * LANES_PER_PROCESS
    _part(kept, lambda *counts: _lane(kept, keep, said.short, *counts), said.first, said.kills, lanes)
    done = kept.read()
    if not done.lives:
        print("broken off before the first life was over")
        return 1
    print(done.text(name))
    print(f"this part: {time.monotonic() - began:.0f} s of wall time, {said.processes} processes")
    for seed in done.seeds()[:8]:
        print(f"replay: python -m tests.soak_kill --seed {seed}")
    for one in done.lives:
        for breach in one.breaches:
            print(f"seed {one.seed}: {breach['rule']} {breach['text'][:600]}")
    return 1 if done.breaches else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.soak_kill", description=__doc__)
    parser.add_argument("--kills", type=int, default=3000, help="until there are so many in all")
    parser.add_argument("--first", type=int, default=0, help="the first seed of a new file")
    parser.add_argument("--processes", type=int, default=2, help="cores to keep busy")
    parser.add_argument("--state", type=Path, default=None, help="the file (default: .soak-kill/COMMIT.jsonl)")
    parser.add_argument("--short", action="store_true", help="leave out lives of half an hour of sim time and more")
    parser.add_argument("--keep", type=Path, default=None, help="where lives that broke something are kept")
    parser.add_argument("--seed", type=int, default=None, help="only this life, told")
    return parser


def _one(seed: int, keep: Path) -> int:
    forking.adopt_orphans()
    life = drawn(seed)
    print(life)
    with Clouds() as clouds:
        return 1 if lived(life, clouds, Seasoning(), keep, print).breaches else 0


def _part(kept: Kept, lane: "Lane", first: int, kills: int, lanes: int) -> None:
    """Lanes take seed after seed until there are enough kills in the file."""
    done = kept.read()
    next_seed = max((one.seed + 1 for one in done.lives), default=first)
    seed, count = multiprocessing.Value("q", next_seed), multiprocessing.Value("q", done.kills)
    children = []
    for _ in range(lanes):
        child = os.fork()
        if child == 0:
            _in_child(lambda: lane(seed, count, kills))
        children.append(child)
    try:
        for child in children:
            os.waitpid(child, 0)
    except KeyboardInterrupt:
        for number in (signal.SIGTERM, signal.SIGINT):  # it has been said once
            signal.signal(number, signal.SIG_IGN)
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)
        for child in children:
            with suppress(ChildProcessError):
                os.waitpid(child, 0)


def _in_child(lane: Callable[[], None]) -> None:
    """Never returns."""
    code = 1
    try:
        lane()
        code = 0
    except KeyboardInterrupt:
        code = 130
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _lane(
    kept: Kept, keep: Path, short: bool, seed: "Synchronized[int]", count: "Synchronized[int]", kills: int
) -> None:
    forking.adopt_orphans()
    seasoning = Seasoning()
    with Clouds() as clouds:
        while count.value < kills:
            with seed.get_lock():
                mine = seed.value
                seed.value += 1
            life = drawn(mine)
            if short and life.scale != SCALE:
                continue
            try:
                one = lived(life, clouds, seasoning, keep)
            except HARNESS as error:
                one = broken(life, error)
            kept.add(one)
            with count.get_lock():
                count.value += len(one.kills)
            if one.breaches:
                print(f"seed {mine}: {one.breaches}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
