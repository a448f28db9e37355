"""`python -m tests.soak_kill.teeth [NAME...]`: whether deaths show the bugs of `tests/soak/planted/` that they can.

Each bug is planted in a copy of the source, where a few lives made for such bugs are played, and drawn ones after them,
until a promise is broken. What only a power cut, a spoiled file or a price can show is the simulation's to find.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.soak.copies import copied
from tests.soak.teeth import applied
from tests.soak_kill import forking
from tests.soak_kill.drawn import Life, Moment, Step, Trouble, drawn
from tests.soak_kill.lane import HARNESS, Clouds, broken, lived
from tests.soak_kill.life import Seasoning

SHOWN = (
    "accepted-is-ended", "blind-retry-without-token", "cancelled-needs-no-teardown", "create-repeated-below-us",
    "end-before-the-pull", "end-is-not-proven", "intent-after-the-call", "lock-not-taken", "no-settle-window",
    "one-absence-is-an-end", "open-intent-overlooked", "pulled-and-not-verified",
)  # fmt: skip
"""Bugs that a death, or a cloud's bad habit beside one, can show."""
DRAWN, FIRST = 12, 500_000
"""Drawn lives after the sharp ones, and the seed of the first."""
AT_THE_CREATE = Moment(point="call", nth=1, operation="RunInstances", applied=True)
AT_THE_END = Moment(point="call", nth=1, operation="TerminateInstances", applied=True)
ATTACH, REAP, LAUNCH = ("attach", "--json"), ("reap", "--json"), ("launch",)


def sharp() -> Iterator[Life]:
    """Lives in which a death meets what makes it dangerous."""
    late, early = _habit("listed late", list_lag_seconds=60), _habit("early 404", early_not_found_seconds=60)
    deaf = _habit("terminate ignored", terminate_ignored=1)
    lost = Trouble(
        name="answer lost", verb="fault", asked={"operation": "RunInstances", "when": "reset", "applied": True}
    )
    yield _life(1, (late,), Step(words=LAUNCH, moment=AT_THE_CREATE), _step(ATTACH), _step(ATTACH))
    yield _life(2, (), Step(words=LAUNCH, moment=AT_THE_CREATE), _step(ATTACH), _step(REAP))
    yield _life(3, (deaf,), _step(LAUNCH))
    yield _life(4, (lost,), _step(LAUNCH, Moment(point="ledger", nth=90)), _step(ATTACH))
    yield _life(5, (early, late), _step(LAUNCH, AT_THE_END), _step(ATTACH), _step(REAP))
    yield _life(6, (), _step(("launch", "--detach")), _step(ATTACH, Moment(point="time", seconds=0.6)), _step(REAP))
    yield _life(7, (), _step(LAUNCH, Moment(point="time", seconds=3.5)), _step(("stop", "--now", "--json")))
    yield _life(8, (deaf,), _step(LAUNCH, AT_THE_END), _step(ATTACH))
    reclaims = tuple(
        Trouble(name="reclaim", verb="preempt", asked={"notice_seconds": 0}, at_seconds=at) for at in (6, 9, 12)
    )
    two = _life(9, reclaims, _step(("launch", "--detach")), _step(ATTACH), _step(ATTACH))
    words = tuple(word.replace("--on-demand", "--spot") for word in two.words)
    yield replace(two, words=words, job={"steps": 200, "seconds": 1.0, "save_every": 5})


def _habit(name: str, **knobs: object) -> Trouble:
    return Trouble(name=name, verb="knobs", asked={"cloud": "aws", **knobs})


def _step(words: tuple[str, ...], moment: Moment | None = None) -> Step:
    return Step(words=words, moment=moment)


def _life(number: int, troubles: tuple[Trouble, ...], *steps: Step) -> Life:
    detach = tuple(word for word in steps[0].words if word == "--detach")
    words = ("--budget", "1", "--gpu", "a10g", "--yes", "--json", "--provider", "aws", "--on-demand", *detach)
    return Life(
        seed=number, cloud="aws", words=words, budget_usd="1", job={"steps": 8, "seconds": 1.0, "save_every": 3},
        troubles=troubles, steps=steps, is_seasoned=True, returns=True,
    )  # fmt: skip


def play(lives: int) -> int:
    """In the copy: 1 as soon as a promise is broken, which is told."""
    forking.warm_up()
    forking.adopt_orphans()
    seasoning, deaths = Seasoning(), 0
    with Clouds() as clouds, tempfile.TemporaryDirectory(prefix="kept-") as keep:
        for life in (*sharp(), *map(drawn, range(FIRST, FIRST + lives))):
            try:
                one = lived(life, clouds, seasoning, Path(keep))
            except HARNESS as error:
                one = broken(life, error)
            deaths += len(one.kills)
            if one.breaches:
                found = one.breaches[0]
                print(f"life {life.seed}, {deaths} kills: {found['rule']} {found['text'][:120]}".replace("\n", " "))
                return 1
    print(f"nothing in {deaths} kills")
    return 0


def bitten(name: str, lives: int) -> tuple[bool, str]:
    """Whether the bug was noticed, and by what; no name: the source as it is."""
    with copied() as tree:
        if name:
            applied(name, tree)
        command = [sys.executable, "-m", "tests.soak_kill.teeth", "--play", "--lives", str(lives)]
        done = subprocess.run(command, cwd=tree, check=False, capture_output=True, text=True)
    said = (done.stdout.strip() or done.stderr.strip() or "?").splitlines()[-1]
    return done.returncode != 0, said


def main() -> int:
    """0 where each is noticed, and the source as it is breaks nothing."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak_kill.teeth", description=__doc__)
    parser.add_argument("names", nargs="*", help="planted bugs; those that deaths can show where none is named")
    parser.add_argument("--lives", type=int, default=DRAWN, help="drawn lives after the sharp ones")
    parser.add_argument("--play", action="store_true", help="play the lives here, on the source as it is")
    said = parser.parse_args()
    if said.play:
        return play(said.lives)
    holes = 0
    for name in said.names or ("", *SHOWN):
        caught, words = bitten(name, said.lives if name else 0)
        holes += caught == (not name)
        print(f"| {name or 'nothing planted'} | {'caught' if caught else 'not caught'} | {words} |", flush=True)
    return 1 if holes else 0


if __name__ == "__main__":
    sys.exit(main())
