"""The gate of `launch.yaml`: what the user set as the least that the tuned model must reach."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from launcher.receipt import Score


def wanting(settings_file: Path, scores: Sequence[Score]) -> tuple[str, ...]:
    """What the gate finds wanting, in words; empty where it passes or there is none."""
    gate = json.loads(settings_file.read_text()).get("gate") or {} if settings_file.exists() else {}
    arms = {score.arm: dict(score.metrics) for score in scores}
    return tuple(text for metric, rule in gate.items() for text in _metric_wants(metric, rule, arms))


def _metric_wants(metric: str, rule: Mapping[str, object], arms: Mapping[str, Mapping[str, float]]) -> list[str]:
    value = arms.get("tuned", {}).get(metric)
    if value is None:
        return [f"{metric} was not measured, and the gate asks for it"]
    wants = []
    least = rule.get("at_least")
    if isinstance(least, int | float) and value < least:
        wants.append(f"{metric} {value:.3f} is below the {least:g} that the gate asks for")
    other = rule.get("better_than")
    if isinstance(other, str):
        against = arms.get(other, {}).get(metric)
        if against is None:
            wants.append(f"{metric} of {other} was not measured, and the gate compares with it")
        elif value <= against:
            wants.append(f"{metric} {value:.3f} is not better than {other} ({against:.3f})")
    return wants
