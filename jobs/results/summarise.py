"""From what came home to `eval/summary.json`: items checked, figures made anew, arms compared, the verdict."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from jobs.progress import clean
from jobs.results.adjacent import adjacent
from jobs.results.compare import Comparison, compared, family, value
from jobs.results.health import confused, json_health
from jobs.results.items import ArmItems, asked, is_plain, read_arm
from jobs.results.kinds import KINDS, Kind, Measured, asked_kinds, measure
from jobs.results.samples import samples
from jobs.results.serving import Paid, serving
from jobs.results.summary import ARMS, Arm, Judging, Metric, Summary, Value, Votes
from jobs.results.verdict import Evidence, opponent, unknown, verdict
from jobs.whole_files import write_below

FILE = "eval/summary.json"
TITLES = {"base": "base", "prompted": "prompted base", "tuned": "fine-tuned", "larger": "larger model"}
DEFAULT_METRICS = ("exact", "json_fields")
"""Of a run that was started before job files spoke of metrics."""
AGREES = 0.005
"""A figure of the machine's that differs by more from ours is told: it rounds to at least 3 decimals."""
MOST_FIGURE = 1e6
"""Of a loss; nobody's is larger."""
MOST_SUMMARY_BYTES = 64 << 20
MOST_SYSTEM_SIGNS = 8000
MOST_SAID_SIGNS = 300


@dataclass(frozen=True, kw_only=True)
class Besides:
    """What judges and people said of the same answers; None or (): as the last summary of these answers had it."""

    judging: Judging | None = None
    votes: tuple[Votes, ...] = ()


def summarise(
    folder: Path,
    settings: Mapping[str, Any],
    *,
    data: Path | None,
    paid: Paid | None = None,
    besides: Besides | None = None,
) -> Summary | None:
    """Score what lies in `folder`/eval, write `eval/summary.json`, and give it back; None where nothing was evaluated.

    `settings`: the job's, as we wrote them down before anything was rented. `data`: the folder of the rows that we
    sent (test.jsonl, validation.jsonl, adjacent/<name>.jsonl); None: not known any more. Raises nothing about what a
    machine wrote: that becomes warnings. Raises `OSError` where the summary cannot be written.
    """
    evaluate = settings.get("evaluate") or {}
    arms, warnings = _arms(folder / "eval", data)
    tasks = adjacent(folder / "eval", evaluate.get("adjacent") or [], data, warnings)
    if not arms and not tasks:
        return None
    paid = paid or Paid()
    metrics, first = _metrics(asked_kinds(evaluate.get("metrics") or DEFAULT_METRICS), arms, warnings)
    served = serving(list(arms.values()), paid)
    kept = _kept(folder, metrics, besides or Besides())
    evidence = Evidence(
        kind=KINDS[metrics[0].name] if metrics else None, comparisons=first, metrics=metrics, adjacent=tasks,
        serving={one.arm: one for one in served}, paid=paid, judging=kept.judging, votes=kept.votes,
    )  # fmt: skip
    structured = {name: json_health(arm.items) for name, arm in arms.items()} if _asks(evaluate, "json_fields") else {}
    labelled = {name: confused(arm.items) for name, arm in arms.items()} if _asks(evaluate, "classification") else {}
    with_items = {name: arm for name, arm in arms.items() if arm.items}
    found = Summary(
        arms=tuple(_arm(arm, settings) for arm in arms.values()),
        metrics=metrics,
        json_health={name: one for name, one in structured.items() if one is not None},
        confusion={name: one for name, one in labelled.items() if one is not None},
        adjacent=tasks,
        judging=kept.judging,
        votes=kept.votes,
        serving=served,
        verdict=verdict(evidence) if with_items else unknown(_told_only(arms, metrics)),
        samples=samples(evidence.kind, with_items, opponent(list(first))) if evidence.kind and with_items else (),
        warnings=tuple(dict.fromkeys(clean(text)[:600] for text in warnings)),
    )
    write_below(folder, FILE, json.dumps(found.model_dump(mode="json", by_alias=True), indent=1) + "\n")
    return found


def read_summary(folder: Path) -> Summary | None:
    """The summary that was written last; None where there is none, or none that can be read."""
    path = folder / FILE
    try:
        if not is_plain(path) or path.stat().st_size > MOST_SUMMARY_BYTES:
            return None
        return Summary.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _arms(folder: Path, data: Path | None) -> tuple[dict[str, ArmItems], list[str]]:
    """The arms that came home, in their order, and what is odd about them."""
    warnings: list[str] = []
    ours = None
    if data is not None:
        ours = asked(data / "test.jsonl") or asked(data / "validation.jsonl")
    found = {arm: one for arm in ARMS if (one := read_arm(folder, arm, arm, ours)) is not None}
    for one in found.values():
        warnings += one.warnings
    bare = [arm for arm, one in found.items() if not one.items]
    if bare:
        warnings.append(f"no sound per-item results of {', '.join(bare)}: the machine's own figures are all there is")
    if ours is None and len(bare) < len(found):
        warnings.append("our own test rows are not here: whether the machine was asked these questions is not known")
    return found, warnings


def _asks(evaluate: Mapping[str, Any], metric: str) -> bool:
    return metric in (evaluate.get("metrics") or ())


def _metrics(
    kinds: Sequence[Kind], arms: Mapping[str, ArmItems], warnings: list[str]
) -> tuple[tuple[Metric, ...], dict[str, Comparison]]:
    """The figures over all arms, and the comparisons of the first one by the arm that tuned is compared with."""
    found: list[Metric] = []
    first: dict[str, Comparison] = {}
    for kind in kinds:
        measured = {name: one for name, arm in arms.items() if (one := measure(kind, arm)) is not None}
        values = {name: value(one) for name, one in measured.items()}
        for arm in arms.values():
            _hold_against_told(kind, arm, values, warnings)
        if not values:
            _say_unmeasured(kind, arms, warnings)
            continue
        comparisons = _comparisons(kind, measured)
        warnings += [one.note for one in comparisons.values() if one.note]
        if not found:
            first = comparisons
        found.append(
            Metric(
                name=kind.name,
                title=kind.title,
                better=kind.better,
                normalised=kind.normalised,
                values={name: values[name] for name in arms if name in values},
                differences=family(list(comparisons.values())),
            )
        )
    return tuple(found), first


def _say_unmeasured(kind: Kind, arms: Mapping[str, ArmItems], warnings: list[str]) -> None:
    """A figure that was asked for and that these answers do not have; loss and perplexity nobody needs to ask for."""
    if any(arm.items for arm in arms.values()) and kind.name not in ("loss", "perplexity"):
        warnings.append(f"{kind.title} cannot be measured on these wanted answers: see evaluate.metrics")


def _comparisons(kind: Kind, measured: Mapping[str, Measured]) -> dict[str, Comparison]:
    """Tuned with each other arm: one family of tests. Perplexity is the loss once more, and compares nothing itself."""
    tuned = measured.get("tuned")
    if tuned is None or kind.name == "perplexity":
        return {}
    others = ((name, compared(tuned, other)) for name, other in measured.items() if name != "tuned")
    return {name: one for name, one in others if one is not None}


def _hold_against_told(kind: Kind, arm: ArmItems, values: dict[str, Value], warnings: list[str]) -> None:
    """The machine's own figure: a difference from ours is told; without items it is all that there is."""
    told = arm.told.metrics.get(kind.name)
    if told is None:
        return
    if not 0 <= told <= (1 if kind.is_share else MOST_FIGURE):
        warnings.append(f"{arm.arm}: the machine says {kind.title} {told:.4g}, which cannot be")
        return
    ours = values.get(arm.arm)
    if ours is None:
        if not arm.items:
            values[arm.arm] = Value(value=told, n=arm.told.n)
    elif abs(ours.value - told) > AGREES * max(1.0, abs(told)):
        warnings.append(
            f"{arm.arm}: the machine says {kind.title} {told:.4f}, its items come to {ours.value:.4f}: ours counts"
        )


def _told_only(arms: Mapping[str, ArmItems], metrics: Sequence[Metric]) -> str:
    if not arms:
        return "no arm was evaluated"
    said = [f"{name} {one.value:.2f}" for name, one in metrics[0].values.items()] if metrics else []
    figures = f" ({metrics[0].title}: {', '.join(said)})" if said else ""
    return f"no sound per-item results came home, only the machine's own figures{figures}"


def _arm(arm: ArmItems, settings: Mapping[str, Any]) -> Arm:
    told, n = arm.told, len(arm.items) or arm.told.n
    lacking = arm.of is not None and 0 < len(arm.items) < arm.of
    ours = arm.arm == "larger"  # its files are written here; what a machine says of itself is text of a stranger
    model = told.model if ours else str(settings.get("model") or "")
    return Arm(
        name=arm.arm,
        title=TITLES[arm.arm],
        n=n,
        model=model,
        system=told.prompt.system[:MOST_SYSTEM_SIGNS] if told.prompt else "",
        shots=sum(turn.role == "assistant" for turn in told.prompt.shots) if told.prompt else 0,
        chosen_from=len(told.prompt.tried) if told.prompt else 0,
        new_tokens=told.new_tokens,
        seconds=told.seconds,
        cost_usd=told.cost_usd if ours else None,
        unfinished=clean(told.unfinished)[:MOST_SAID_SIGNS]
        or (f"{len(arm.items)} of {arm.of} items came home" if lacking else ""),
    )


def _kept(folder: Path, metrics: Sequence[Metric], besides: Besides) -> Besides:
    """What was said before stays, as long as it is about the same answers."""
    last = read_summary(folder)
    if last is None or _figures(last.metrics) != _figures(metrics):
        return besides
    return Besides(judging=besides.judging or last.judging, votes=besides.votes or last.votes)


def _figures(metrics: Sequence[Metric]) -> list[tuple[str, str, float, int]]:
    """Of the arms that the machine answered for."""
    return [
        (metric.name, arm, round(one.value, 6), one.n)
        for metric in metrics
        for arm, one in metric.values.items()
        if arm != "larger"
    ]
