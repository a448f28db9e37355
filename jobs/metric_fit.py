"""Whether what is to be measured can be measured on these rows: asked before money is spent, answered by the rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from jobs.qlora.dataset.rows import read_part
from jobs.qlora.score import FIGURES, misfit
from jobs.qlora.template import pairs
from jobs.spec import LoadedSpec, SpecError

METRIC_OF = {figure: metric for metric, figures in FIGURES.items() for figure in figures}
"""The metric of `evaluate.metrics` that brings a figure."""
ALWAYS = ("loss",)
"""Figures that are measured whatever is asked for."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The job with metrics that fit its rows, what was left out or added, and why it would be refused (None: not)."""

    loaded: LoadedSpec
    notes: tuple[str, ...] = ()
    misfit: SpecError | None = None


def fit(loaded: LoadedSpec) -> Fit:
    """Metrics that the user named must fit the test rows; of the default ones those that do not are left out.

    A figure of the gate must fit too, and be measured: a default list is extended by it, a named one is refused
    without it. The metric of an adjacent task must fit the rows of that task. `loaded`: with its parts made.
    """
    evaluate, targets = loaded.spec.evaluate, _answers(loaded, "test")
    why = {metric: misfit(metric, targets) for metric in FIGURES}
    named = "metrics" in evaluate.model_fields_set
    for wrong in (*(_named(loaded, why) if named else ()), *_gate(loaded, why, named=named), *_adjacent(loaded)):
        return Fit(loaded=loaded, misfit=wrong)
    if named:
        return Fit(loaded=loaded)
    kept = [metric for metric in evaluate.metrics if not why[metric]]
    asked = [METRIC_OF[figure] for figure in loaded.spec.gate.rules() if figure not in ALWAYS]
    added = [metric for metric in dict.fromkeys(asked) if metric not in kept]
    notes = [f"metrics: {metric} is left out: {why[metric]}" for metric in evaluate.metrics if why[metric]]
    notes += [f"metrics: {metric} is added: the gate asks for it" for metric in added]
    measured = evaluate.model_copy(update={"metrics": [*kept, *added]})
    return Fit(
        loaded=replace(loaded, spec=loaded.spec.model_copy(update={"evaluate": measured})) if notes else loaded,
        notes=tuple(notes),
    )


def _answers(loaded: LoadedSpec, part: str) -> list[str]:
    """What is wanted in each item of a part: every answer of each conversation."""
    path = loaded.parts.get(part)
    rows = [] if path is None else read_part(path)
    return [pair["completion"][0]["content"] for row in rows for pair in pairs(row.messages)]


def _named(loaded: LoadedSpec, why: dict[str, str]) -> Iterator[SpecError]:
    metrics = loaded.spec.evaluate.metrics
    left = [metric for metric in metrics if not why[metric]] or ["exact"]
    for metric in metrics:
        if why[metric]:
            yield SpecError(f"{_where(loaded, 'evaluate.metrics')}: evaluate.metrics: {why[metric]}", _measuring(left))


def _gate(loaded: LoadedSpec, why: dict[str, str], *, named: bool) -> Iterator[SpecError]:
    metrics = loaded.spec.evaluate.metrics
    for figure in loaded.spec.gate.rules():
        metric, key = METRIC_OF[figure], f"gate.{figure}"
        if figure in ALWAYS:
            continue
        if why[metric]:
            yield SpecError(f"{_where(loaded, key)}: {key}: {why[metric]}", f"take the rule out: --set {key}=null")
        elif named and metric not in metrics:
            what = f"the gate asks for {figure}, which is measured by {metric}, and evaluate.metrics does not name that"
            yield SpecError(f"{_where(loaded, key)}: {key}: {what}", _measuring([*metrics, metric]))


def _adjacent(loaded: LoadedSpec) -> Iterator[SpecError]:
    for task in loaded.spec.evaluate.adjacent:
        if task.data is None:
            continue
        wrong = misfit(METRIC_OF[task.metric], _answers(loaded, f"adjacent/{task.name}"))
        if wrong:
            where = _where(loaded, "evaluate.adjacent")
            yield SpecError(
                f"{where}: evaluate.adjacent, {task.name}: {task.metric} does not fit: {wrong}",
                "write `metric: exact` there, or take the line `metric` out",
            )


def _where(loaded: LoadedSpec, key: str) -> str:
    return loaded.places.get(key, str(loaded.file))


def _measuring(metrics: Sequence[str]) -> str:
    return f"--set 'evaluate.metrics=[{','.join(metrics)}]'"
