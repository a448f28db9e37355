"""`python -m tests.soak.mutants [--fresh]`: mutants of the money-critical modules, drawn by cosmic-ray and a seed.

Each is judged by the first schedules of `make test`, then by its module's own unit tests, which take less time than the
other schedules, which come last; what all let live is explained in `equivalent.toml`, or a hole. Decision 0020 says why
this tool, and what is left out. Verdicts are kept: who is broken off goes on where they were.
"""

import argparse
import ast
import hashlib
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache, partial
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

from tests.soak.copies import IN_THE_SUITE, NICE, hunted, sound, spoilable
from tests.soak.executed import executed
from tests.soak.notebook import Notebook, digest
from tests.soak.table import commit
from tests.source import REPOSITORY

SEED = 20
"""What `make soak-teeth` draws; each night another one (`--fresh`: the date)."""
COUNT = 56
"""At least as many as there are planted bugs (the issue's R10: 40 and more)."""
PLAYED = {
    "launcher/teardown.py": (
        "launcher/test_teardown.py",
        "launcher/test_intents.py",
        "launcher/test_two_laptops.py",
        "launcher/test_full_disk.py",
    ),
    "launcher/ledger.py": ("launcher/test_recover.py", "launcher/test_schema.py", "launcher/test_story.py"),
    "launcher/books.py": ("launcher/test_begun_step.py", "launcher/test_story.py", "launcher/test_pulling.py"),
    "launcher/watch.py": ("launcher/test_watch.py", "launcher/test_sight.py"),
    "launcher/provision.py": ("launcher/test_creating.py", "launcher/test_again.py", "launcher/test_two_laptops.py"),
    "launcher/creating.py": ("launcher/test_creating.py", "launcher/test_again.py"),
    "launcher/intents.py": ("launcher/test_intents.py",),
    "launcher/recover.py": ("launcher/test_recover.py", "launcher/test_elsewhere.py", "launcher/test_two_laptops.py"),
    "launcher/strays.py": ("launcher/test_strays.py", "launcher/test_recover.py"),
    "launcher/settle.py": ("launcher/test_story.py", "launcher/test_gate.py"),
    "launcher/boot.py": ("launcher/test_boot.py",),
    "launcher/pulling.py": ("launcher/test_pulling.py", "launcher/test_full_disk.py"),
    "pricing/budget.py": ("pricing/test_budget.py", "pricing/test_fit_budget.py"),
}
"""The modules, each with the tests that hold it by themselves."""
ON_THE_MACHINE = {
    "jobs/guest/guard.py": ("jobs/guest/test_supervise.py", "jobs/guest/test_verbs.py", "jobs/guest/test_deadman.py"),
    "jobs/guest/supervise.py": ("jobs/guest/test_supervise.py",),
}
"""What runs on the machine, which the simulation plays by a fake of its protocol: unit tests alone judge it."""
LEASE = frozenset({"Supervisor._watch", "Supervisor._attend", "Supervisor._seconds", "Supervisor._not_done"})
"""The part of the supervisor that keeps the lease."""
LEFT_OUT = re.compile(
    r"Bit|Shift|Pow|Invert|RemoveDecorator|Variable|Comparison\w*_Is(Not)?_(Eq|NotEq|Lt|Gt)\w*"
)  # fmt: skip
"""Operators that spoil types (`int | None`), fall over at once on amounts and on None, or need to be told names."""
SMALL = 10.0
"""A larger number that is off by one is another tuning, no bug."""
FIRST_SCHEDULES = 100
"""What is played before the unit tests are asked: most of what a schedule notices is noticed by then (measured)."""
TEST_SECONDS = 900
KEPT = REPOSITORY / ".soak-teeth" / "verdicts.jsonl"
PAGE = REPOSITORY / "docs" / "soak-teeth.md"
A_TEST = re.compile(r"(?:FAILED|ERROR) tests/(\S+::.*)")
EXPLAINED = Path(__file__).parent / "equivalent.toml"


class Fate(StrEnum):
    """What became of a mutant."""

    PLAYED = "killed by the simulation"
    TESTED = "killed by unit tests"
    EXPLAINED = "equivalent"
    SURVIVED = "SURVIVED"
    BROKEN = "does not load"


SURVIVED = Fate.SURVIVED


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One mutation. The first five fields name it as long as its line stays as it is."""

    module: str
    function: str
    operator: str
    line: str
    nth: int
    """Of the operator's places in this line, and in those of the same function that read the same."""
    occurrence: int
    """Of the operator's places in the module."""
    at: tuple[int, int]

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """What `equivalent.toml` knows it by."""
        return self.module, self.function, self.operator, self.line, self.nth

    def __str__(self) -> str:
        operator = self.operator.removeprefix("Replace").replace("Operator", "")
        return f"{self.module} {self.function}, {operator} #{self.nth}: `{self.line}`"

    def spoil(self, tree: Path) -> None:
        """Put it into a copy of the source."""
        path = tree / self.module
        mutated = mutate_code(path.read_text("utf-8"), get_operator(f"core/{self.operator}")(), self.occurrence)
        assert mutated is not None, f"{self} is not to be made any more"
        path.write_text(mutated, "utf-8")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of it, and by what."""

    mutant: Mutant
    fate: Fate
    words: str

    def __str__(self) -> str:
        where = str(self.mutant).replace("|", "\\|")
        return f"| {where} | {self.fate} | {self.words.replace('|', chr(92) + '|')} |"


def seed_of_today() -> int:
    """Other mutants each night."""
    return int(f"{datetime.now(UTC):%Y%m%d}")


# Drawing


def drawn(seed: int, lines: dict[str, set[int]], root: Path = REPOSITORY) -> Iterator[Mutant]:
    """All mutants, in an order that a seed gives: a place by lot, then what is done to it, by lot.

    A lot hangs on the text of its line and not on where that stands: an edit elsewhere changes nothing here.
    """
    places: dict[tuple[str, tuple[int, int]], list[Mutant]] = defaultdict(list)
    for module in (*PLAYED, *ON_THE_MACHINE):
        for mutant in mutants_of(module, (root / module).read_text("utf-8")):
            if _is_run(mutant, lines):
                places[module, mutant.at].append(mutant)
    for some in sorted(places.values(), key=lambda some: _lot(seed, *some[0].key[:2], some[0].line, some[0].at[1])):
        yield min(some, key=lambda one: _lot(seed, *one.key))


def _lot(*words: object) -> bytes:
    return hashlib.sha256(repr(words).encode()).digest()


def _is_run(mutant: Mutant, lines: dict[str, set[int]]) -> bool:
    """Whether the simulation runs that line; a constant is run as its module is loaded."""
    if mutant.module == "jobs/guest/supervise.py":
        return mutant.function in LEASE
    return not mutant.function or mutant.module in ON_THE_MACHINE or mutant.at[0] in lines[mutant.module]


@cache
def mutants_of(module: str, source: str) -> tuple[Mutant, ...]:
    """All that the tool makes of that source, but for what is left out."""
    lines, functions = source.splitlines(), _functions(source)
    nodes = list(ast_nodes(get_ast(source)))
    found: list[Mutant] = []
    for name in _operators():
        operator = get_operator(f"core/{name}")()
        places = [start for node in nodes for start, _ in operator.mutation_positions(node)]
        texts = [(functions.get(row, ""), lines[row - 1].strip()) for row, _ in places]
        for occurrence, (row, column) in enumerate(places):
            if lines[row - 1].lstrip().startswith("@"):
                continue
            if name == "NumberReplacer" and _number(lines[row - 1][column:]) > SMALL:
                continue
            function, line = texts[occurrence]
            found.append(
                Mutant(
                    module=module, function=function, operator=name, line=line,
                    nth=texts[:occurrence].count(texts[occurrence]), occurrence=occurrence, at=(row, column),
                )
            )  # fmt: skip
    return tuple(found)


@cache
def _operators() -> tuple[str, ...]:
    names = (name.removeprefix("core/") for name in operator_names() if name.startswith("core/"))
    return tuple(name for name in names if not LEFT_OUT.search(name))


def _number(text: str) -> float:
    digits = text[: next((at for at, sign in enumerate(text) if sign not in "0123456789_.e"), len(text))]
    return float(digits.replace("_", "") or 0)


def _functions(source: str) -> dict[int, str]:
    """The innermost function of every line that is in one."""
    found: dict[int, str] = {}

    def walk(node: ast.AST, path: str) -> None:
        for child in ast.iter_child_nodes(node):
            inner = path
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                inner = f"{path}.{child.name}".lstrip(".")
                if isinstance(child, ast.FunctionDef):
                    found.update(dict.fromkeys(range(child.lineno, (child.end_lineno or child.lineno) + 1), inner))
            walk(child, inner)

    walk(ast.parse(source), "")
    return found


# Judging


def judged_all(whole: Path, seed: int, pool: Executor, notebook: Notebook, count: int = COUNT) -> list[Verdict]:
    """So many mutants that load, each with what became of it."""
    candidates = drawn(seed, executed(tuple(PLAYED)))
    found: list[Verdict] = []
    while len(found) < count:
        some = [one for one, _ in zip(candidates, range(count - len(found)), strict=False)]
        if not some:
            break
        for verdict in pool.map(partial(judged, whole=whole, notebook=notebook), some):
            if verdict.fate is not Fate.BROKEN:
                print(verdict, flush=True)
                found.append(verdict)
    return found


def judged(mutant: Mutant, whole: Path, notebook: Notebook) -> Verdict:
    """Explained, or known, or played and tested now."""
    reason = explained().get(mutant.key)
    if reason is not None:
        return Verdict(mutant=mutant, fate=Fate.EXPLAINED, words=reason)
    known = notebook.verdict(str(mutant))
    if known is None:
        with spoilable(whole) as tree:
            mutant.spoil(tree)
            fate, words = _asked(mutant, tree, whole, notebook.hint(str(mutant)))
        known = notebook.add(str(mutant), fate, words)
    return Verdict(mutant=mutant, fate=Fate(known.fate), words=known.words)


def _asked(mutant: Mutant, tree: Path, whole: Path, hint: str) -> tuple[Fate, str]:
    """Who noticed it last time; the first schedules; the tests; the other schedules."""
    tests, is_played = (PLAYED | ON_THE_MACHINE)[mutant.module], mutant.module in PLAYED
    one_test = A_TEST.fullmatch(hint)
    words = _tested(tree, whole, (one_test[1],)) if one_test is not None else ""
    if words:
        return Fate.TESTED, words
    if is_played:
        hunt = hunted(tree, whole, schedules=FIRST_SCHEDULES, hint=hint)
        if hunt.noticed or not hunt.loads:
            return Fate.PLAYED if hunt.loads else Fate.BROKEN, hunt.words
    words = _tested(tree, whole, tests)
    if words:
        return Fate.TESTED, words
    if is_played:
        hunt = hunted(tree, whole, first=FIRST_SCHEDULES)
        if hunt.noticed:
            return Fate.PLAYED, hunt.words
    by_itself = _control(whole, tests)
    return Fate.SURVIVED, f"the tests fail by themselves ({by_itself})" if by_itself else "nothing noticed it"


def _tested(tree: Path, whole: Path, tests: tuple[str, ...]) -> str:
    """The first test that fails there, and does not fail by itself."""
    trouble = tested(tree, tests)
    return "" if trouble and _control(whole, tests) else trouble


def tested(tree: Path, tests: tuple[str, ...]) -> str:
    """The first test that fails there; empty where none does."""
    command = [*NICE, sys.executable, "-m", "pytest", "-x", "-q", "-n0", *(f"tests/{name}" for name in tests)]
    try:
        done = subprocess.run(command, cwd=tree, check=False, capture_output=True, text=True, timeout=TEST_SECONDS)
    except subprocess.TimeoutExpired:
        return f"hangs: the tests take more than {TEST_SECONDS} s"
    if done.returncode == 0:
        return ""
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return failed[0].split(" - ")[0] if failed else "the tests do not run"


@cache
def _control(whole: Path, tests: tuple[str, ...]) -> str:
    """What fails without any mutant."""
    return tested(whole, tests)


@cache
def explained() -> dict[tuple[str, str, str, str, int], str]:
    """Survivors that change nothing, and why."""
    entries = tomllib.loads(EXPLAINED.read_text("utf-8")).get("equivalent", [])
    return {(e["module"], e["function"], e["operator"], e["line"], e["nth"]): e["reason"] for e in entries}


def unfitting() -> list[str]:
    """Explanations of mutants that the source as it is does not give any more."""
    entries = explained()
    sources = {key[0]: (REPOSITORY / key[0]).read_text("utf-8") for key in entries}
    made = {one.key for module, source in sources.items() for one in mutants_of(module, source)}
    return [str(key) for key in entries if key not in made]


def table(verdicts: list[Verdict]) -> list[str]:
    """As Markdown."""
    counts = ", ".join(f"{sum(one.fate is fate for one in verdicts)} {fate}" for fate in list(Fate)[:4])
    head = [f"{len(verdicts)} mutants drawn: {counts} (within {IN_THE_SUITE:,} schedules).", ""]
    return [*head, "| mutant | what became of it | by what |", "| --- | --- | --- |", *map(str, verdicts)]


def main() -> int:
    """0 where none survived."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.mutants", description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--fresh", action="store_true", help="a seed by today's date")
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--processes", type=int, default=2, help="how many are judged at the same time")
    parser.add_argument("--state", type=Path, default=KEPT, help="the file with the verdicts so far")
    said = parser.parse_args()
    seed = seed_of_today() if said.fresh else said.seed
    with sound() as whole, ThreadPoolExecutor(said.processes) as pool:
        verdicts = judged_all(whole, seed, pool, Notebook(said.state, digest(whole), PAGE), said.count)
    print(f"seed {seed}, commit {commit()}")
    print(*table(verdicts), sep="\n")
    return 1 if any(one.fate is Fate.SURVIVED for one in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
