"""The figures of an arm from what it answered; standard library only, so that a laptop finds the same ones again."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from .fields import Counts, as_json, composed, counted, frozen, structure
from .labels import confusion, label
from .rouge import rouge_l, words

__all__ = [
    "FIGURES",
    "LOWER_IS_BETTER",
    "NORMALISED",
    "Counts",
    "as_json",
    "confusion",
    "counted",
    "exact",
    "field_counts",
    "label",
    "metrics_of",
    "misfit",
    "partial",
    "perplexity",
    "rouge_l",
    "value_of",
]

Item = Mapping[str, Any]
"""One line of eval/<arm>.jsonl; read here: "answer", "wanted", "loss" (per token of the wanted answer), "tokens"."""

FIGURES = {
    "exact": ("exact",),
    "json_fields": ("field_f1", "partial", "json_valid"),
    "classification": ("accuracy", "macro_f1"),
    "rouge_l": ("rouge_l",),
    "loss": ("loss",),
}
"""What each metric of `evaluate.metrics` is measured by; the first is the one that decides."""
LOWER_IS_BETTER = frozenset({"loss"})
NORMALISED = {
    "exact": "JSON is compared as JSON (the order of keys and spaces say nothing, that of a list counts, 1 is 1.0); "
    "other text without the spaces around it, case kept",
    "partial": "the mean over items of the F1 of fields; values as they stand, 1 is 1.0, a list's order says nothing",
    "field_f1": "fields of all items together; values as they stand, 1 is 1.0, a list's order says nothing",
    "json_valid": "the whole answer is JSON; nothing is cut out of it or repaired",
    "accuracy": "labels without case, runs of spaces, quotes around them, and a full stop after them",
    "macro_f1": "labels without case, runs of spaces, quotes around them, and a full stop after them",
    "rouge_l": "lower-case words, punctuation left out, no stemming",
    "loss": "",
}
"""How texts are made comparable before they are compared, in words for people."""
LABELS, UNIQUE_SHARE, FEW_ROWS = 50, 0.5, 10
"""A classification has at most so many labels, on so few rows each that they repeat; below FEW_ROWS nobody can tell."""
PLACES = 6
"""Decimals of a figure."""


def exact(answer: str, wanted: str) -> bool:
    """Whether the two say the same: as JSON where the wanted one is JSON, else as text without the spaces around it."""
    is_json, target = as_json(wanted)
    if not is_json:
        return composed(answer.strip()) == composed(wanted.strip())
    good, value = as_json(answer)
    return good and frozen(value) == frozen(target)


def partial(answer: str, wanted: str) -> float:
    """F1 of the fields where the wanted answer is an object or a list; else 1 for the same text, or 0."""
    counts = counted(answer, wanted)
    return float(exact(answer, wanted)) if counts is None else counts.f1 or 0.0


def value_of(item: Item, figure: str) -> float | None:
    """One item's share in a figure that is a mean over items; None where it has none.

    field_f1 and macro_f1 are no means: `counted` and `confusion` have what they are made of.
    """
    answer, wanted = item["answer"], item["wanted"]
    ways: dict[str, Callable[[], float | None]] = {
        "exact": lambda: float(exact(answer, wanted)),
        "partial": lambda: partial(answer, wanted),
        "json_valid": lambda: float(as_json(answer)[0]) if as_json(wanted)[0] else None,
        "accuracy": lambda: float(label(answer) == label(wanted)),
        "rouge_l": lambda: rouge_l(answer, wanted),
        "loss": lambda: float(item["loss"]),
    }
    return ways[figure]() if figure in ways else None


def metrics_of(items: Sequence[Item], wanted_metrics: Sequence[str]) -> dict[str, float]:
    """The figures of the metrics, and the loss where it was measured; what no item has a share in is left out."""
    figures = dict.fromkeys(figure for metric in wanted_metrics for figure in FIGURES[metric])
    found = {figure: figure_of(items, figure) for figure in [*figures, "loss"]}
    return {figure: round(value, PLACES) for figure, value in found.items() if value is not None}


def figure_of(items: Sequence[Item], figure: str) -> float | None:
    """One figure over all items; None where they have nothing to measure it by."""
    if not items:
        return None
    if figure == "loss":
        return mean_loss(items)
    if figure == "field_f1":
        return field_counts(items).f1
    if figure == "macro_f1":
        return confusion((item["answer"], item["wanted"]) for item in items).macro_f1
    values = [value for item in items if (value := value_of(item, figure)) is not None]
    return fmean(values) if values else None


def field_counts(items: Sequence[Item]) -> Counts:
    """Right, wrong and missing fields of all items together."""
    counts = Counts()
    for item in items:
        if one := counted(item["answer"], item["wanted"]):
            counts.add(one)
    return counts


def mean_loss(items: Sequence[Item]) -> float | None:
    """Nats for each token of the wanted answers, a long one weighing more; None where it was not measured."""
    known = [item for item in items if item.get("loss") is not None and item.get("tokens")]
    tokens = sum(item["tokens"] for item in known)
    return sum(item["loss"] * item["tokens"] for item in known) / tokens if tokens else None


def perplexity(loss: float) -> float:
    """How many tokens the model hesitated between: e to the loss; infinite where that is too large for a number."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


def misfit(metric: str, targets: Sequence[str]) -> str:
    """Why a metric of `evaluate.metrics` says nothing about such wanted answers, in a sentence; "" where it fits."""
    if not targets:
        return ""
    if metric == "json_fields":
        good = sum(structure(target) is not None for target in targets)
        if 2 * good < len(targets):
            return f"json_fields counts the fields of JSON objects, and {good} of {len(targets)} answers are some"
    if metric == "classification":
        return no_classes({label(target) for target in targets}, len(targets))
    if metric == "rouge_l" and not any(map(words, targets)):
        return "rouge_l compares words, and no wanted answer has any"
    return ""


def no_classes(labels: set[str], rows: int) -> str:
    """Why these are not the labels of a classification."""
    many = len(labels) > LABELS or (rows >= FEW_ROWS and len(labels) > UNIQUE_SHARE * rows)
    text = f"classification counts how often each label is right, and {rows} rows have {len(labels)} different answers"
    return text if many else ""
