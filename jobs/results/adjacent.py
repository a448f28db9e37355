"""Tasks that were not trained, before and after: held, improved, dropped, or perhaps dropped."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jobs.results.compare import NORMAL_95, Comparison, compared, family, of_figures, value
from jobs.results.items import ArmItems, Asked, Told, asked, read_arm
from jobs.results.kinds import KINDS, measure
from jobs.results.summary import Adjacent, Difference, Value

Better = Literal["higher", "lower"]
State = Literal["held", "improved", "may have dropped", "dropped"]
FALLING = ("perplexity", "loss", "bits_per_byte", "ter")
"""Parts of the names of a harness's figures that are the better the lower they are."""


@dataclass(frozen=True, kw_only=True)
class _Task:
    """One task, compared; `state` waits until all of them are read together."""

    name: str
    metric: str
    better: Better
    base: Value
    tuned: Value
    found: Comparison
    allow_drop: float


def adjacent(
    folder: Path, tasks: Sequence[Mapping[str, Any]], data: Path | None, warnings: list[str]
) -> tuple[Adjacent, ...]:
    """The tasks of the job's settings as they came home into `folder`/adjacent; what is odd goes to `warnings`.

    `data`: our own rows, in adjacent/<name>.jsonl.
    """
    found = [one for task in tasks if (one := _task(folder / "adjacent", task, data, warnings)) is not None]
    return tuple(_judged(one, difference) for one, difference in zip(found, family_of(found), strict=True))


def family_of(found: Sequence[_Task]) -> tuple[Difference, ...]:
    """All tasks are one family of tests: of twenty, one would seem to drop by chance."""
    return family([one.found for one in found])


def _task(folder: Path, task: Mapping[str, Any], data: Path | None, warnings: list[str]) -> _Task | None:
    name = str(task["name"])
    ours: tuple[Asked, ...] | None = None
    if data is not None and task.get("harness") is None:
        ours = asked(data / "adjacent" / f"{name}.jsonl", task.get("limit"))
    arms = {arm: read_arm(folder, f"{name}.{arm}", arm, ours) for arm in ("base", "tuned")}
    base, tuned = arms["base"], arms["tuned"]
    if base is None or tuned is None:
        warnings.append(f"adjacent task {name} was not measured before and after")
        return None
    if task.get("harness") is not None:
        return _of_harness(task, base.told, tuned.told, warnings)
    warnings.extend(dict.fromkeys(base.warnings + tuned.warnings))
    return _of_items(task, base, tuned, warnings)


def _of_items(task: Mapping[str, Any], base: ArmItems, tuned: ArmItems, warnings: list[str]) -> _Task | None:
    name, kind = str(task["name"]), KINDS[str(task.get("metric", "exact"))]
    before, after = measure(kind, base), measure(kind, tuned)
    found = None if before is None or after is None else compared(after, before)
    if before is None or after is None or found is None:
        warnings.append(f"adjacent task {name}: {kind.title} cannot be compared, for want of items")
        return None
    if found.note:
        warnings.append(f"adjacent task {name}: {found.note}")
    return _Task(
        name=name, metric=kind.name, better=kind.better, base=value(before), tuned=value(after), found=found,
        allow_drop=float(task.get("allow_drop", 0.0)),
    )  # fmt: skip


def _of_harness(task: Mapping[str, Any], base: Told, tuned: Told, warnings: list[str]) -> _Task | None:
    name, metric = str(task["name"]), str(task.get("metric", "exact"))
    before, after = _figure(base, metric), _figure(tuned, metric)
    if before is None or after is None:
        known = ", ".join(sorted(tuned.metrics)) or "none"
        warnings.append(f"adjacent task {name}: the harness told no {metric} (it told: {known})")
        return None
    (one, one_error), (two, two_error) = before, after
    return _Task(
        name=name, metric=metric, better="lower" if any(word in metric for word in FALLING) else "higher",
        base=one, tuned=two, found=of_figures(two, one, (two_error, one_error), ("tuned", "base")),
        allow_drop=float(task.get("allow_drop", 0.0)),
    )  # fmt: skip


def _figure(told: Told, metric: str) -> tuple[Value, float] | None:
    """A harness's figure and its standard error: as it was told, else that of a share."""
    figure = told.metrics.get(metric)
    if figure is None:
        return None
    error = told.stderr.get(metric, -1.0)
    if error < 0:
        share = min(1.0, max(0.0, figure))
        error = math.sqrt(share * (1 - share) / max(1, told.n))
    half = NORMAL_95 * error
    return Value(value=figure, low=figure - half, high=figure + half, n=told.n), error


def _judged(task: _Task, difference: Difference) -> Adjacent:
    return Adjacent(
        name=task.name, metric=task.metric, better=task.better, base=task.base, tuned=task.tuned,
        difference=difference, allow_drop=task.allow_drop, state=_state(task, difference),
    )  # fmt: skip


def _state(task: _Task, difference: Difference) -> State:
    """A drop within `allow_drop` holds; beyond it, it counts as one where it can be told from chance."""
    gain = difference.value if task.better == "higher" else -difference.value
    if gain < -task.allow_drop:
        return "dropped" if difference.distinguishable else "may have dropped"
    return "improved" if gain > 0 and difference.distinguishable else "held"
