"""`make bench`: one table of how fast the program is, and of what it adds to a job, each figure beside its target."""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import offers, overhead, ranking, startup, watching
from tests.bench.offers import LATE_SECONDS, Listing
from tests.bench.overhead import Overhead
from tests.bench.ranking import Ranking
from tests.bench.watching import Load, Watched
from tests.cloud.client import REPOSITORY, running

HELP_TIMES, PS_TIMES, SECONDS = 8.0, 10.0, 3.0
LISTED_SECONDS, FIRST_ROWS_MS, LISTS = 0.6, 150.0, 1.0
ESTIMATE_SECONDS, RANK_SECONDS, RANK_MIB = 0.7, 0.5, 200.0
OFFERS, FEW_OFFERS = 100_000, 2_000
LOAD = Load(runs=100, processes=4, ticks=5, tick_seconds=2.0)
LIGHT_LOAD = Load(runs=8, processes=2, ticks=2, tick_seconds=0.5)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement; a target is the most that it may be, in its own unit."""

    what: str
    value: float
    unit: str
    target: float | None = None
    note: str = ""

    def cells(self) -> tuple[str, ...]:
        """As the table shows it."""
        target = "" if self.target is None else f"<= {self.target:g} {self.unit}"
        verdict = "" if self.target is None else "ok" if self.value <= self.target else "over"
        return (self.what, f"{self.value:.2f} {self.unit}", target, verdict, self.note)


HEAD = ("what", "measured", "target", "", "")


def table(rows: Sequence[Row]) -> str:
    """The rows below each other, as wide as they need."""
    lines = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def starting(rounds: int, environ: dict[str, str]) -> list[Row]:
    """Start-up, as a ratio to a Python that does nothing."""
    commands = (startup.NOTHING, startup.launch("--help"), startup.launch("ps"))
    nothing, helped, listed = startup.medians(commands, rounds, environ)
    count = f"median of {rounds} rounds" if rounds > 1 else "one round"
    return [
        Row(what="python -c pass", value=nothing * 1000, unit="ms", note=count),
        Row(what="launch --help", value=helped / nothing, unit="x", target=HELP_TIMES, note=f"{helped * 1000:.0f} ms"),
        Row(what="launch ps", value=listed / nothing, unit="x", target=PS_TIMES, note=f"{listed * 1000:.0f} ms"),
    ]


def adding(had: Sequence[Overhead]) -> list[Row]:
    """The launch's own time, the median of all launches."""
    before = statistics.median(one.before_seconds for one in had)
    after = statistics.median(one.after_seconds for one in had)
    provider = statistics.median(one.provider_seconds for one in had)
    count = f"median of {len(had)} launches" if len(had) > 1 else "one launch"
    return [
        Row(what="SSH answers to the job's first line", value=before, unit="s", target=SECONDS, note=count),
        Row(
            what="the job's last line to TERMINATED",
            value=after, unit="s", target=SECONDS, note=f"{count}; less the provider's own {provider:.2f} s",
        ),
    ]  # fmt: skip


def listing(cold: Sequence[Listing], warm: Sequence[Listing]) -> list[Row]:
    """`launch offers`: the first rows, and all of them."""
    start = _middle(one.start_seconds for one in warm)
    early = any(one.sdk_first for one in (*cold, *warm))
    rows = Row(
        what="launch offers, first rows as last seen",
        value=_middle(one.rows_seconds for one in warm) * 1000, unit="ms", target=FIRST_ROWS_MS,
        note=f"after {start * 1000:.0f} ms of start and imports; boto3 {'WAS' if early else 'not'} imported by then",
    )  # fmt: skip
    return [rows, _listed("prices of the day kept", warm), _listed("nothing kept", cold)]


def _listed(what: str, had: Sequence[Listing]) -> Row:
    start, sdk = _middle(one.start_seconds for one in had), _middle(one.sdk_seconds for one in had)
    first, whole = _middle(one.from_first_seconds for one in had), _middle(one.whole_seconds for one in had)
    parts = f"start and imports {start:.2f}, boto3 and its client {sdk:.2f}"
    return Row(
        what=f"launch offers, three clouds {LATE_SECONDS:g} s late, {what}",
        value=_middle(one.listed_seconds for one in had), unit="s", target=LISTED_SECONDS,
        note=f"{had[-1].rows} offers; apart: {parts}; from the first cloud's request {first:.2f}, in all {whole:.2f} s",
    )  # fmt: skip


def watched(load: Load, had: Watched) -> Row:
    """Looks at many runs: the most list calls that a provider got."""
    each = ", ".join(f"{name} {count:.1f}" for name, count in had.lists.items())
    looks = f"{had.seen} of {load.runs * load.ticks} looks answered"
    return Row(
        what="list calls per provider and tick", value=max(had.lists.values()), unit="calls", target=LISTS,
        note=f"{load.runs} runs, {load.processes} processes, {load.ticks} ticks of {load.tick_seconds:g} s: {each}"
        f" (aws: per region); {looks}; {had.by_id} other calls for a machine, {had.prices} for a price",
    )  # fmt: skip


def reference(rounds: int) -> Row:
    """What this processor is worth in these minutes: a busy one makes all seconds below longer."""
    took = startup.median((sys.executable, "-c", "for at in range(10**7): at + at"), rounds, os.environ)
    return Row(
        what="10 million additions, to compare", value=took.cpu_seconds, unit="s CPU",
        note=f"{took.seconds:.2f} s by the clock",
    )  # fmt: skip


def estimating(rounds: int, home: Path) -> Row:
    """`launch estimate` from a cold start to the whole page: no account, nothing kept, no network needed."""
    bare = {"PATH": os.environ["PATH"], "HOME": str(home), "LAUNCH_HOME": str(home / "launch"), "NO_COLOR": "1"}
    job = str(REPOSITORY / "examples" / "support-json")
    took = startup.median(startup.launch("estimate", "--job", job, "--gpu", "a10g", "--budget", "5"), rounds, bare)
    return Row(
        what="launch estimate, cold start to table", value=took.seconds, unit="s", target=ESTIMATE_SECONDS,
        note=f"{took.cpu_seconds:.2f} s CPU; 960 rows of data counted, shipped prices, no account",
    )  # fmt: skip


def ranked(had: Mapping[str, Ranking]) -> list[Row]:
    """Very many offers ranked for one workload, beside gpuhunt's query of the same rows, each in its own process."""
    ours, whole, theirs = had["ranked"], had["read"], had["queried"]
    rows, ratio = f"{ours.rows:,} offers", whole.cpu_seconds / theirs.cpu_seconds
    return [
        Row(
            what="rank offers for one workload", value=ours.cpu_seconds, unit="s CPU", target=RANK_SECONDS,
            note=f"{rows} in memory: {ours.answers:,} would do; {ours.seconds:.2f} s by the clock",
        ),
        Row(what="its peak memory", value=ours.peak_mib, unit="MiB", target=RANK_MIB, note="with all offers"),
        Row(
            what="the same read from the ledger first", value=whole.cpu_seconds, unit="s CPU",
            note=f"{whole.peak_mib:.0f} MiB",
        ),
        Row(
            what="gpuhunt's query of the same rows", value=theirs.cpu_seconds, unit="s CPU",
            note=f"a local catalogue folder, read at each query: {theirs.answers:,} answers; {theirs.peak_mib:.0f} MiB",
        ),
        Row(
            what="ours / gpuhunt's", value=ours.cpu_seconds / theirs.cpu_seconds, unit="x",
            note=f"{ratio:.2f} x with reading; ours ranks by cost to finish, gpuhunt's filters and sorts by price",
        ),
    ]  # fmt: skip


def _middle(figures: Iterable[float]) -> float:
    return statistics.median(figures)


def where_from() -> str:
    """Machine, day, commit and command, without which no figure means anything."""
    commit = subprocess.run(
        ("git", "rev-parse", "--short", "HEAD"), cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    python = f"{platform.python_implementation()} {platform.python_version()}"
    machine = f"{platform.system()} {platform.machine()}, {_cpus()} CPUs, {python}"
    return f"{machine}; {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; commit {commit.stdout.strip() or 'unknown'}; make bench"


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main() -> int:
    """Measure and print; 0 whatever the figures are: a shared computer decides no build."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--fast", action="store_true", help="few rounds and one launch: only to see that it works")
    parser.add_argument("--alone", action="store_true", help="only what needs no cloud: an estimate, and the ranking")
    parser.add_argument("--steps", action="store_true", help="also where the time of each launch went")
    asked = parser.parse_args()
    if asked.alone:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            print(where_from(), "", table(alone(Path(folder), fast=asked.fast)), sep="\n")
        return 0
    had: list[Overhead] = []
    environ: Mapping[str, str] = {}
    with running() as cloud, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for number in range(1 if asked.fast else 3):
            cloud.reset()
            one, environ = overhead.launched(cloud, Path(folder) / str(number))
            had.append(one)
        rows = [*starting(1 if asked.fast else 21, dict(environ)), *adding(had)]
        rows += listing(*offers.listings(cloud, Path(folder), 1 if asked.fast else 5))
        load = LIGHT_LOAD if asked.fast else LOAD
        rows.append(watched(load, watching.watched(cloud, Path(folder), load)))
        rows += alone(Path(folder), fast=asked.fast)
    print(where_from(), "", table(rows), sep="\n")
    if asked.steps:
        print("\nseconds from the first answer of SSH on:", *(_steps(one) for one in had), sep="\n")
    return 0


def alone(folder: Path, *, fast: bool) -> list[Row]:
    """What needs no cloud."""
    rows = [reference(1 if fast else 5), estimating(1 if fast else 11, folder / "nobody")]
    return [*rows, *ranked(ranking.rankings(FEW_OFFERS if fast else OFFERS, 1 if fast else 5, folder / "offers"))]


def _steps(one: Overhead) -> str:
    return "  " + "  ".join(f"{name} {seconds:.2f}" for name, seconds in one.steps)


if __name__ == "__main__":
    sys.exit(main())
