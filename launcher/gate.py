"""The gate of `launch.yaml`: what the user set as the least that the tuned model must reach; decided here."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # pydantic: late, with the scoring
    from jobs.results.summary import Difference, Metric, Summary

TITLES = {"base": "base", "prompted": "the prompted base", "larger": "the larger model"}


def wanting(settings: Mapping[str, Any], found: "Summary | None") -> tuple[str, ...]:
    """What the gate finds wanting, in words; empty where it passes or there is none. `settings`: the job's."""
    gate = dict(settings.get("gate") or {})
    adjacent = gate.pop("adjacent", None)
    rules = {metric: rule for metric, rule in gate.items() if rule}
    wants = [text for metric, rule in rules.items() for text in _metric_wants(metric, rule, found)]
    if rules:
        wants += _missing_items(found)
    if adjacent or (adjacent is None and rules):
        wants += _adjacent_wants(settings, found)
    return tuple(wants)


def _metric_wants(name: str, rule: Mapping[str, Any], found: "Summary | None") -> Iterator[str]:
    metric = next((one for one in found.metrics if one.name == name), None) if found is not None else None
    tuned = metric.values.get("tuned") if metric is not None else None
    if metric is None or tuned is None:
        yield f"{name} was not measured, and the gate asks for it"
        return
    least, most, other = rule.get("at_least"), rule.get("at_most"), rule.get("better_than")
    if least is not None and tuned.value < least:
        yield f"{metric.title} {tuned.value:.3f} is below the {least:g} that the gate asks for"
    if most is not None and tuned.value > most:
        yield f"{metric.title} {tuned.value:.3f} is above the {most:g} that the gate allows"
    if other is not None:
        yield from _not_better(metric, str(other))


def _not_better(metric: "Metric", other: str) -> Iterator[str]:
    """`better_than` asks for a difference that can be told from chance: a lucky draw passes no release."""
    name, difference = TITLES.get(other, other), next((one for one in metric.differences if one.against == other), None)
    if difference is None:
        yield f"{metric.title} of tuned and {name} cannot be compared item by item, and the gate asks for it"
        return
    better = difference.value > 0 if metric.better == "higher" else difference.value < 0
    if better and difference.distinguishable:
        return
    if difference.distinguishable or difference.value == 0:
        yield f"{metric.title} is not better than {name}'s ({_told(difference)})"
    else:
        yield f"{metric.title} cannot be told from {name}'s on this test set ({_told(difference)})"


def _told(one: "Difference") -> str:
    return f"{one.value:+.3f}, 95 % {one.low:.3f} to {one.high:.3f}, n={one.n}"


def _missing_items(found: "Summary | None") -> Iterator[str]:
    """A figure over those items that a machine cared to send is none to release on."""
    tuned = next((arm for arm in found.arms if arm.name == "tuned"), None) if found is not None else None
    if tuned is not None and tuned.unfinished:
        yield f"not all of the test set was answered: {tuned.unfinished}"


def _adjacent_wants(settings: Mapping[str, Any], found: "Summary | None") -> Iterator[str]:
    measured = {task.name: task for task in found.adjacent} if found is not None else {}
    for asked in (settings.get("evaluate") or {}).get("adjacent") or ():
        task = measured.get(asked["name"])
        if task is None:
            yield f"adjacent task {asked['name']} was not measured, and the gate asks for it"
        elif task.state == "dropped":
            figures = f"{task.metric} {task.base.value:.3f} to {task.tuned.value:.3f}"
            yield f"adjacent task {task.name} dropped: {figures}, more than the {task.allow_drop:g} that it may"
