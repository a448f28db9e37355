"""Structured answers and labels in detail: which fields fail, whether the shape is right, which label for which."""

from collections import Counter
from collections.abc import Sequence

from jobs.qlora.fields import Counts, as_json, counted, invented, missing, same_shape, structure
from jobs.qlora.labels import confusion, label
from jobs.results.items import Item
from jobs.results.summary import Confusion, FieldScore, JsonHealth

MOST_FIELDS = 60
"""Listed: a page of them. Those that are wanted most often come first."""
MOST_LABELS = 50
MOST_SIGNS = 120
"""Of a field's or a label's name."""


def json_health(items: Sequence[Item]) -> JsonHealth | None:
    """Over the items whose wanted answer is an object or a list; None where there are none."""
    structured = [item for item in items if structure(item.wanted) is not None]
    if not structured:
        return None
    counts, wanted = _by_field(structured)
    names = sorted(wanted, key=lambda name: (-wanted[name], name))[:MOST_FIELDS]

    def share(holds: Sequence[bool]) -> float:
        return sum(holds) / len(structured)

    return JsonHealth(
        valid=share([as_json(item.answer)[0] for item in structured]),
        same_shape=share([same_shape(item.answer, item.wanted) for item in structured]),
        missing=share([bool(missing(item.answer, item.wanted)) for item in structured]),
        invented=share([bool(invented(item.answer, item.wanted)) for item in structured]),
        fields=tuple(_field(name, counts.of(name), wanted[name]) for name in names),
    )


def _by_field(items: Sequence[Item]) -> tuple[Counts, Counter[str]]:
    """The counts of all items together, and in how many items each field is wanted."""
    counts, wanted = Counts(), Counter[str]()
    for item in items:
        one = counted(item.answer, item.wanted) or Counts()
        for whole, part in ((counts.tp, one.tp), (counts.fp, one.fp), (counts.fn, one.fn)):
            whole.update(part)
        wanted.update(one.tp.keys() | one.fn.keys())
    return counts, wanted


def _field(name: str, counts: Counts, wanted: int) -> FieldScore:
    return FieldScore(
        field=name[:MOST_SIGNS] or "(the whole answer)",
        wanted=wanted,
        precision=counts.precision,
        recall=counts.recall,
        f1=counts.f1,
    )


def confused(items: Sequence[Item]) -> Confusion | None:
    """Which label was answered for which; None without items, or with more labels than anybody could read."""
    # Counted before: the table of 20,000 labels would fill the memory.
    if not 0 < len({label(item.wanted) for item in items}) <= MOST_LABELS:
        return None
    found = confusion((item.answer, item.wanted) for item in items)
    return Confusion(
        labels=tuple(name[:MOST_SIGNS] for name in found.labels),
        counts=found.counts,
        accuracy=found.accuracy,
        macro_f1=found.macro_f1,
    )
