"""`python -m tests.soak.teeth [NAME...]`: whether the simulation notices the bugs that are kept in `planted/`.

    python -m tests.soak.teeth                          # all planted bugs
    python -m tests.soak.teeth --all [--fresh]          # and mutants, drawn by a tool (`mutants.py`)
    python -m tests.soak.teeth --all --page docs/soak-teeth.md

What was found is kept in `.soak-teeth/verdicts.jsonl` as it is found: the same command goes on where it was broken off,
as long as the source stays as it is. Where it changed, what noticed a bug the last time is only asked first.

Each patch is applied to a copy of the source in a temporary folder, where schedules are played until a promise is
broken, at most as many as in `make test`. A bug that none of them notices is a hole in the harness.
"""

import argparse
import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from tests.soak import mutants
from tests.soak.copies import IN_THE_SUITE, hunted, sound, spoilable
from tests.soak.notebook import Notebook, digest
from tests.soak.table import commit
from tests.source import REPOSITORY

PLANTED = Path(__file__).parent / "planted"
CAUGHT = "caught"
PAGE = """# Whether the simulation has teeth

A harness that finds nothing proves little. This one is fed bugs: {planted} that are planted by hand, one a patch in
`tests/soak/planted/`, and mutants that [cosmic-ray](https://github.com/sixty-north/cosmic-ray) makes of the modules on
which money depends ([decision 0020](decisions/0020-mutants-are-drawn-by-a-tool.md)). A planted bug counts as caught
where one of the first {schedules:,} schedules of `make test` breaks a promise that it does not break without the bug. A
mutant is killed where such a schedule breaks one, or where a unit test of its module fails; what survives both is
listed with the reason why it changes nothing, or it is a hole.

`make soak-teeth` plants all of it; `make soak-teeth TEETH='--page docs/soak-teeth.md'` writes this page anew, and goes
on where it was broken off. The seed, or the test, that a row names is asked first the next time: it is one that notices
the bug, not always the first.

{text}
"""


@dataclass(frozen=True, kw_only=True)
class Bite:
    """What became of one planted bug."""

    name: str
    caught: bool
    words: str

    def __str__(self) -> str:
        return f"| {self.name} | {CAUGHT if self.caught else '**not caught**'} | {self.words} |"


def planted() -> list[str]:
    """The names of all planted bugs."""
    return sorted(path.stem for path in PLANTED.glob("*.patch"))


def applied(name: str, tree: Path) -> None:
    """Plant the bug. Raises `CalledProcessError` where the source has moved on: then the patch is to be made anew."""
    subprocess.run(_patch(name), cwd=tree, check=True, capture_output=True)


def fits(name: str) -> bool:
    """Whether the source is still as the patch knows it."""
    done = subprocess.run([*_patch(name), "--dry-run"], cwd=REPOSITORY, check=False, capture_output=True)
    return done.returncode == 0


def _patch(name: str) -> list[str]:
    return ["patch", "-p1", "--no-backup-if-mismatch", "--silent", "-i", str(PLANTED / f"{name}.patch")]


def bitten(name: str, whole: Path, schedules: int = IN_THE_SUITE, hint: str = "") -> Bite:
    """Plant it in a copy of `whole`, and play until a promise is broken."""
    with spoilable(whole) as tree:
        applied(name, tree)
        found = hunted(tree, whole, schedules=schedules, hint=hint)
    return Bite(name=name, caught=found.noticed, words=found.words)


def _known_or_bitten(name: str, whole: Path, notebook: Notebook) -> Bite:
    patch = hashlib.sha256((PLANTED / f"{name}.patch").read_bytes()).hexdigest()[:8]
    known = notebook.verdict(f"{name} {patch}")
    if known is None:
        bite = bitten(name, whole, hint=notebook.hint(f"{name} {patch}") or notebook.hint(name))
        known = notebook.add(f"{name} {patch}", CAUGHT if bite.caught else "", bite.words)
    return Bite(name=name, caught=known.fate == CAUGHT, words=known.words)


def main() -> int:
    """0 where all are caught, and all mutants killed or explained."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.teeth", description=__doc__)
    parser.add_argument("names", nargs="*", help="planted bugs; all where none is named")
    parser.add_argument("--all", action="store_true", help="mutants, too")
    parser.add_argument("--fresh", action="store_true", help="other mutants, by today's date")
    parser.add_argument("--page", type=Path, help="write the tables there")
    parser.add_argument("--processes", type=int, default=2, help="how many are judged at the same time")
    parser.add_argument("--state", type=Path, default=mutants.KEPT, help="the file with what was found so far")
    said = parser.parse_args()
    seed = mutants.seed_of_today() if said.fresh else mutants.SEED
    lines = [f"`make soak-teeth`, {datetime.now(UTC):%Y-%m-%d}, commit {commit()}, seed {seed}.", ""]
    with sound() as whole, ThreadPoolExecutor(said.processes) as pool:
        notebook, bites = Notebook(said.state, digest(whole), mutants.PAGE), []
        for bite in pool.map(partial(_known_or_bitten, whole=whole, notebook=notebook), said.names or planted()):
            print(bite, flush=True)
            bites.append(bite)
        lines += _table(bites)
        verdicts = mutants.judged_all(whole, seed, pool, notebook) if said.all else []
    lines += mutants.table(verdicts) if said.all else []
    print(*lines, sep="\n")
    if said.page:
        said.page.write_text(PAGE.format(planted=len(bites), schedules=IN_THE_SUITE, text="\n".join(lines)))
    holes = [bite.name for bite in bites if not bite.caught] + [one for one in verdicts if one.fate is mutants.SURVIVED]
    return 1 if holes else 0


def _table(bites: list[Bite]) -> list[str]:
    caught = sum(bite.caught for bite in bites)
    head = [f"{caught} of {len(bites)} planted bugs caught within {IN_THE_SUITE:,} schedules.", ""]
    return [*head, "| planted bug | | what noticed it |", "| --- | --- | --- |", *map(str, bites), ""]


if __name__ == "__main__":
    sys.exit(main())
