"""What a run's evaluation says, scored on this computer from what came home: when it settles, and again on asking."""

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launcher.receipt import Gain, Receipt, ReceiptPhase, Score, Task

if TYPE_CHECKING:  # pydantic and numpy: who only shows a receipt should not wait for them
    from jobs.results.serving import Paid
    from jobs.results.summarise import Besides
    from jobs.results.summary import Metric, Summary

SECONDS_PER_HOUR = Decimal(3600)


def scored(out_dir: Path, run_folder: Path, paid: "Paid", besides: "Besides | None" = None) -> "Summary | None":
    """Write `eval/summary.json` in `out_dir` and give it back; None where nothing was evaluated.

    `run_folder`: where we keep what the run was started with. `besides`: what a judge or people said, if that is new;
    what was said before is kept. Raises `OSError` where the summary cannot be written.
    """
    from jobs.results.sent import sent_rows  # all of these late, for start-up time: numpy
    from jobs.results.summarise import summarise

    return summarise(out_dir, settings_of(run_folder), data=sent_rows(run_folder), paid=paid, besides=besides)


def settings_of(run_folder: Path) -> dict[str, Any]:
    """The job's settings as we wrote them down ourselves before anything was rented; {} where they are gone."""
    try:
        found = json.loads((run_folder / "settings.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def paid_of(paper: Receipt) -> "Paid":
    """What the run cost, and its machine's price while it evaluated, by its receipt: for scoring it again later."""
    return paid_for(paper.spent_usd, paper.phases, f"{paper.provider} {paper.instance_type}")


def paid_for(spent_usd: Decimal, phases: Sequence[ReceiptPhase], machine: str) -> "Paid":
    """The same from its parts. A machine that nobody bills has no price: its electricity is not known."""
    from jobs.results.serving import Paid  # late, with the rest of the scoring

    if spent_usd <= 0:
        return Paid(machine=machine)
    evaluated = [phase for phase in phases if phase.name == "evaluate"] or list(phases)
    seconds = Decimal(str(sum(phase.seconds for phase in evaluated)))
    usd = sum((phase.usd for phase in evaluated), Decimal(0))
    rate = usd / seconds * SECONDS_PER_HOUR if seconds > 0 and usd > 0 else None
    return Paid(training_usd=spent_usd, usd_per_hour=rate, machine=machine)


# What of it stands on the receipt


def scores_of(found: "Summary") -> tuple[Score, ...]:
    """Each arm's figures."""
    return tuple(
        Score(
            arm=arm.name,
            metrics=tuple((one.name, one.values[arm.name].value) for one in found.metrics if arm.name in one.values),
            n=arm.n,
        )
        for arm in found.arms
    )


def gains_of(found: "Summary") -> tuple[Gain, ...]:
    """Tuned against the others, of every metric, the verdict's own metric first."""
    return tuple(gain for metric in found.metrics for gain in _gains(metric))


def _gains(metric: "Metric") -> list[Gain]:
    return [
        Gain(
            metric=metric.name,
            title=metric.title,
            against=one.against,
            value=one.value,
            low=one.low,
            high=one.high,
            n=one.n,
            distinguishable=one.distinguishable,
        )
        for one in metric.differences
    ]


def tasks_of(found: "Summary") -> tuple[Task, ...]:
    """The adjacent tasks, before and after."""
    return tuple(
        Task(name=one.name, metric=one.metric, base=one.base.value, tuned=one.tuned.value, state=one.state)
        for one in found.adjacent
    )
