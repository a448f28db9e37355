"""How well twenty measured steps foretell the rest: the shipped job trains for real, and the forecast is compared.

    python -m tests.accuracy.probe [RUNS]     # trains on this machine's CPU, writes probe.csv, prints the table

What is compared is what a person is shown after the probe, the forecast of the training by the program's own code
from the events of the job, with when the last step was over. Beside it stands the same in seconds of processor time:
on a machine that others use too, that tells what the method misses by from what the neighbours do.
"""

import csv
import json
import os
import platform
import sys
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median

from jobs import progress
from launcher.forecast import pace
from launcher.tracker import Tracker
from tests.jobs.qlora.workplace import EXAMPLE, Workplace

RECORD = Path(__file__).with_name("probe.csv")
STEPS = {1: 120, 2: 240}
"""Rows of a step to the steps of a run: a minute or so each on two cores."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One run: what was foretold at the probe for the steps after it, and what they took; the machine's load then."""

    date: str
    processor: str
    steps: int
    rows_a_step: int
    probed: int
    spread: float
    foretold_seconds: float
    off: float
    actual_seconds: float
    foretold_cpu_seconds: float
    actual_cpu_seconds: float
    load: float

    @property
    def error(self) -> float:
        """Foretold over actual, less one, by the clock on the wall."""
        return self.foretold_seconds / self.actual_seconds - 1

    @property
    def cpu_error(self) -> float:
        """The same in processor time."""
        return self.foretold_cpu_seconds / self.actual_cpu_seconds - 1

    @property
    def is_inside(self) -> bool:
        """Whether it came to lie within the P10 and P90 that were shown."""
        return abs(self.actual_seconds / self.foretold_seconds - 1) <= self.off


def shoot(folder: Path, steps: int, rows_a_step: int) -> Shot:
    """Train once, and see. Raises `AssertionError` where the job fails or tells no probe."""
    train = {
        "max_steps": steps, "save_steps": 50, "learning_rate": 0.01, "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": rows_a_step, "max_length": 256,
    }  # fmt: skip
    work = Workplace(run=folder, settings={"train": train}).lay_out(data=EXAMPLE / "data")
    for step in ("download", "prepare"):
        work.step(step)
    spent = trained(work)
    lines = (folder / "progress.jsonl").read_bytes().splitlines()
    return judged([progress.parse(line) for line in lines], spent, rows_a_step)


def trained(work: Workplace) -> list[float]:
    """Train, and note after each step how much processor time it has taken so far."""
    process = work.start("train", PYTHONUNBUFFERED="1")
    assert process.stdout is not None
    spent = [cpu_seconds(process.pid) for line in process.stdout if line.startswith("{'loss'")]
    assert process.wait() == 0
    return spent


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and its threads; the last figure that was seen where it is over."""
    fields_behind_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields_behind_name[11]) + int(fields_behind_name[12])) / os.sysconf("SC_CLK_TCK")


def judged(events: list[progress.Event], spent: list[float], rows_a_step: int) -> Shot:
    """The forecast at the moment of the probe, and the truth; `spent` is processor time after each step."""
    tracker, found = Tracker(), None
    for event in events:
        if isinstance(event, progress.Unknown):
            continue
        tracker.take(event, event.at)
        if isinstance(event, progress.Probed):
            measured = pace(tracker)
            assert measured is not None
            found = event, measured
    assert found is not None, "the job told no probe"
    assert tracker.last_step is not None
    probe, measured = found
    first = spent[probe.step - 1] - spent[probe.step - 1 - probe.steps]
    return Shot(
        date=f"{probe.at:%Y-%m-%d}",
        processor=f"{platform.machine()}, {os.cpu_count()} cores",
        steps=probe.of,
        rows_a_step=8 * rows_a_step,
        probed=probe.steps,
        spread=round(probe.spread, 3),
        foretold_seconds=round(measured.left(probe.left).expected, 2),
        off=round(measured.off, 3),
        actual_seconds=round((tracker.last_step.at - probe.at).total_seconds(), 2),
        foretold_cpu_seconds=round(first / probe.steps * probe.left, 2),
        actual_cpu_seconds=round(spent[-1] - spent[probe.step - 1], 2),
        load=round(os.getloadavg()[0], 1),
    )


def recorded() -> list[Shot]:
    """What was measured, and kept."""
    with RECORD.open(newline="", encoding="utf-8") as file:
        return [_shot(row) for row in csv.DictReader(file)]


def _shot(row: dict[str, str]) -> Shot:
    kinds = {one.name: one.type for one in fields(Shot)}
    return Shot(**{name: kinds[name](text) for name, text in row.items()})  # type: ignore[operator]  # types of a dataclass without string annotations are types


def table(shots: list[Shot]) -> str:
    """Markdown, one line a run, and the sum of it."""
    lines = [
        "| steps | rows a step | spread of steps | foretold | took | error | in processor time | in P10-P90 | load |",
        "|---:|---:|---:|---:|---:|---:|---:|---|---:|",
    ]
    lines += [
        f"| {one.steps} | {one.rows_a_step} | {one.spread:.1%} | {one.foretold_seconds:.1f} s"
        f" | {one.actual_seconds:.1f} s | {one.error:+.1%} | {one.cpu_error:+.1%} | {'yes' if one.is_inside else 'no'}"
        f" | {one.load} |"
        for one in shots
    ]
    walls, cpus = [abs(one.error) for one in shots], [abs(one.cpu_error) for one in shots]
    summary = (
        f"{len(shots)} runs ({shots[-1].processor}, {shots[-1].date}), {shots[-1].probed} steps measured in each."
        f" Median absolute error by the clock {median(walls):.1%} (largest {max(walls):.1%}), in processor time"
        f" {median(cpus):.1%} (largest {max(cpus):.1%}); {sum(one.is_inside for one in shots)} inside P10-P90."
    )
    return "\n".join([*lines, "", summary])


def main(runs: int) -> None:
    """So many runs, kept instead of those before."""
    shots = []
    for number in range(runs):
        rows, steps = list(STEPS.items())[number % len(STEPS)]
        with tempfile.TemporaryDirectory() as folder:
            shots.append(shoot(Path(folder), steps, rows))
        print(json.dumps(asdict(shots[-1])), f"{shots[-1].error:+.1%} {shots[-1].cpu_error:+.1%}", flush=True)
    with RECORD.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [one.name for one in fields(Shot)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(one) for one in shots)
    print(table(shots))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 6)
