"""The figures that an arm can have: what each is called, which way is better, and how it comes from the items."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from jobs.qlora import score
from jobs.qlora.fields import Counts, counted
from jobs.qlora.labels import label
from jobs.results.items import ArmItems, Item
from jobs.results.resample import Figure, Floats

MOST_EXPONENT = 50.0
"""A loss beyond it is no model's; e to it is still a number."""

Columns = Callable[[Sequence[Item]], tuple[list[int], Figure]]
"""From the items: the places of those that have a share in the figure, and the figure over these."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One figure. `binary`: each item is right or wrong, so that Wilson and McNemar apply."""

    name: str
    title: str
    columns: Columns
    binary: bool = False

    @property
    def better(self) -> Literal["higher", "lower"]:
        """Which way."""
        return "lower" if self.name in score.LOWER_IS_BETTER or self.name == "perplexity" else "higher"

    @property
    def sign(self) -> int:
        """What makes a higher figure the better one."""
        return 1 if self.better == "higher" else -1

    @property
    def is_share(self) -> bool:
        """Whether the figure lies between 0 and 1."""
        return self.better == "higher"

    @property
    def normalised(self) -> str:
        """How texts are made comparable, in words for people."""
        return score.NORMALISED.get(self.name, "")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One figure of one arm, over those `numbers` of its items that have a share in it."""

    kind: Kind
    arm: ArmItems
    numbers: tuple[int, ...]
    figure: Figure
    clusters: tuple[int, ...]

    @property
    def places(self) -> Mapping[int, int]:
        """Where the item of a number stands."""
        return {number: at for at, number in enumerate(self.numbers)}

    @property
    def clustered(self) -> bool:
        """Whether some items belong together: then they are drawn together, and no test counts them one by one."""
        return len(set(self.clusters)) < len(self.clusters)


def measure(kind: Kind, arm: ArmItems) -> Measured | None:
    """None where no item of the arm has a share in the figure."""
    places, figure = kind.columns(arm.items)
    if not places:
        return None
    chosen = [arm.items[at] for at in places]
    return Measured(
        kind=kind,
        arm=arm,
        numbers=tuple(item.number for item in chosen),
        figure=figure,
        clusters=tuple(item.cluster for item in chosen),
    )


def of_item(name: str, item: Item) -> float | None:
    """One item's own score, the higher the better; of a figure that is no mean, that of its nearest one."""
    nearest = {"field_f1": "partial", "macro_f1": "accuracy", "perplexity": "loss"}.get(name, name)
    if nearest == "loss":
        return None if item.loss is None else -item.loss
    return score.value_of(item.as_line(), nearest)


def _mean(name: str, items: Sequence[Item]) -> tuple[list[int], Figure]:
    values = [(at, value) for at, item in enumerate(items) if (value := of_item(name, item)) is not None]
    return [at for at, _ in values], _ratio([(value, 1.0) for _, value in values])


def _ratio(parts: Sequence[tuple[float, float]]) -> Figure:
    """Summed numerators over summed denominators; 0 where there is nothing to divide by."""
    return Figure(parts=np.asarray(parts, dtype=np.float64).reshape(-1, 2), of=_divided)


def _divided(sums: Floats) -> Floats:
    below = sums[..., 1]
    return np.divide(sums[..., 0], below, out=np.zeros_like(below), where=below > 0)


def _loss(items: Sequence[Item]) -> tuple[list[int], Figure]:
    """Per token of the wanted answers, over all of them together."""
    known = [(at, item.loss, item.tokens) for at, item in enumerate(items) if item.loss is not None and item.tokens]
    return [at for at, _, _ in known], _ratio([(loss * tokens, float(tokens)) for _, loss, tokens in known])


def _perplexity(items: Sequence[Item]) -> tuple[list[int], Figure]:
    """The exponential of the loss."""
    places, loss = _loss(items)
    return places, Figure(parts=loss.parts, of=lambda sums: np.exp(np.minimum(_divided(sums), MOST_EXPONENT)))


def _field_f1(items: Sequence[Item]) -> tuple[list[int], Figure]:
    """Over the fields of all items together: 2 tp / (2 tp + fp + fn)."""
    counts = [(at, one) for at, item in enumerate(items) if (one := counted(item.answer, item.wanted)) is not None]
    return [at for at, _ in counts], _ratio([_f1_parts(one) for _, one in counts])


def _f1_parts(counts: Counts) -> tuple[float, float]:
    right = 2 * counts.tp.total()
    return float(right), float(right + counts.fp.total() + counts.fn.total())


MOST_CLASSES = 200
"""Wanted labels: beyond, the answers are texts, and a table of items times labels would fill the memory (assumed)."""


def _macro_f1(items: Sequence[Item]) -> tuple[list[int], Figure]:
    """The mean of the wanted labels' F1: for each label twice the right answers, over the wanted and the said ones.

    Not measured where there are more than `MOST_CLASSES`.
    """
    pairs = [(label(item.wanted), label(item.answer)) for item in items]
    at = {name: place for place, name in enumerate(sorted({wanted for wanted, _ in pairs}))}
    if len(at) > MOST_CLASSES:
        return [], _ratio([])
    parts = np.zeros((len(items), len(at), 3))
    for row, (wanted, said) in enumerate(pairs):
        parts[row, at[wanted]] += (2 * (wanted == said), 1, 1)
        if said in at:
            parts[row, at[said], 1] += 1
    return list(range(len(items))), Figure(parts=parts.reshape(len(items), -1), of=partial(_macro_of, len(at)))


def _macro_of(labels: int, sums: Floats) -> Floats:
    """Over the labels that a draw holds; a mean over labels that it does not hold would only measure the draw."""
    each = sums.reshape(*sums.shape[:-1], labels, 3)
    below, there = each[..., 1], each[..., 2] > 0
    f1 = np.divide(each[..., 0], below, out=np.zeros_like(below), where=there)
    return np.asarray(f1.sum(axis=-1) / np.maximum(there.sum(axis=-1), 1))


KINDS = {
    kind.name: kind
    for kind in (
        Kind(name="exact", title="exact match", columns=partial(_mean, "exact"), binary=True),
        Kind(name="partial", title="partial match", columns=partial(_mean, "partial")),
        Kind(name="json_valid", title="valid JSON", columns=partial(_mean, "json_valid"), binary=True),
        Kind(name="field_f1", title="field F1", columns=_field_f1),
        Kind(name="accuracy", title="accuracy", columns=partial(_mean, "accuracy"), binary=True),
        Kind(name="macro_f1", title="macro F1", columns=_macro_f1),
        Kind(name="rouge_l", title="ROUGE-L", columns=partial(_mean, "rouge_l")),
        Kind(name="loss", title="loss", columns=_loss),
        Kind(name="perplexity", title="perplexity", columns=_perplexity),
    )
}
"""By the name that a gate knows; perplexity is for reading only."""


def asked_kinds(words: Sequence[str]) -> tuple[Kind, ...]:
    """The figures that a job asks for, the deciding one first, and loss and perplexity, which every run has."""
    names = dict.fromkeys(name for word in [*words, "loss"] for name in score.FIGURES.get(word, ()))
    return tuple(KINDS[name] for name in (*names, "perplexity") if name in KINDS)
