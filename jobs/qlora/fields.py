"""Two JSON documents compared field by field: what is right, what is wrong, missing or invented; nothing is repaired.

What counts as the same: a number is its value (1 is 1.0), text is compared after Unicode's composition (NFC) with its
case and spaces kept, `true` is not 1, `"1"` is not 1, and the order of an object's keys says nothing.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

DEEPEST = 64
"""Levels of nesting; what is deeper is not taken as JSON, so that nobody's answer overflows a stack (assumed: no
record that a person wrote comes near it)."""
MOST_PAIRED = 100_000
"""Fields of one list times fields of the other, up to which their elements are paired by likeness (0.3 s at most on a
laptop's core); beyond it by position."""


def as_json(text: str) -> tuple[bool, Any]:
    """Whether the text is JSON, and its value (numbers with a point as Decimal).

    NaN, Infinity and repeated keys are not JSON here.
    """
    try:
        value = json.loads(text, object_pairs_hook=no_repeats, parse_constant=refuse, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError):
        return False, None
    return (True, value) if levels(value) <= DEEPEST else (False, None)


def no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys stand once each."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def refuse(constant: str) -> None:
    """NaN and Infinity are Python's, not JSON's."""
    raise ValueError(constant)


def levels(value: Any) -> int:
    """How deeply lists and objects are nested, found without recursion."""
    depth, inside = 0, [value]
    while (outer := [one for one in inside if isinstance(one, dict | list)]) and depth <= DEEPEST:
        depth += 1
        inside = [inner for one in outer for inner in members(one)]
    return depth


def members(outer: dict[str, Any] | list[Any]) -> Iterator[Any]:
    """What stands in an object or a list."""
    return iter(outer.values() if isinstance(outer, dict) else outer)


def composed(text: str) -> str:
    """Unicode's canonical composition: an accent is the same whether it is typed as one sign or as two."""
    return unicodedata.normalize("NFC", text)


def frozen(value: Any) -> Hashable:
    """A value that equals another one's exactly where the two documents say the same."""
    if isinstance(value, dict):
        return "object", frozenset((composed(key), frozen(inner)) for key, inner in value.items())
    if isinstance(value, list):
        return "list", tuple(map(frozen, value))
    if isinstance(value, str):
        return "text", composed(value)
    return kind_of(value), value


def kind_of(value: Any) -> str:
    """JSON's name of a value's type; a number is a number, with a point or without."""
    kinds = {dict: "object", list: "list", str: "text", bool: "boolean", int: "number", Decimal: "number"}
    return kinds.get(type(value), "null")


@dataclass(frozen=True)
class Counts:
    """Right (tp), wrong or invented (fp) and wrong or missing (fn) leaves, by field; they can be added up.

    A field is named by its path: `customer/name`, and `items[]/price` for that of a list's elements; a "/" in a key is
    written "~1", and "~" is "~0" (RFC 6901).
    """

    tp: Counter[str] = field(default_factory=Counter)
    fp: Counter[str] = field(default_factory=Counter)
    fn: Counter[str] = field(default_factory=Counter)

    def add(self, other: Counts) -> Counts:
        """Take another one's counts in; returns itself."""
        for whole, part in ((self.tp, other.tp), (self.fp, other.fp), (self.fn, other.fn)):
            whole.update(part)
        return self

    @property
    def f1(self) -> float | None:
        """2 tp / (2 tp + fp + fn), over all fields; None where there is nothing to count."""
        right = 2 * self.tp.total()
        return right / whole if (whole := right + self.fp.total() + self.fn.total()) else None

    @property
    def precision(self) -> float | None:
        """Of what was answered, the share that is right."""
        return self.tp.total() / whole if (whole := self.tp.total() + self.fp.total()) else None

    @property
    def recall(self) -> float | None:
        """Of what was wanted, the share that was answered."""
        return self.tp.total() / whole if (whole := self.tp.total() + self.fn.total()) else None

    def of(self, name: str) -> Counts:
        """Those of one field."""
        return Counts(*(Counter({name: part[name]}) for part in (self.tp, self.fp, self.fn)))


def counted(answer: str, wanted: str) -> Counts | None:
    """The counts of one item; None where the wanted answer is neither an object nor a list.

    An answer that is no JSON misses every field and invents none.
    """
    target = structure(wanted)
    if target is None:
        return None
    good, value = as_json(answer)
    return compare(value, target) if good else Counts(fn=Counter(leaves(target)))


def structure(text: str) -> Any:
    """The object or the list that the text is; None for all else."""
    good, value = as_json(text)
    return value if good and isinstance(value, dict | list) else None


def compare(have: Any, want: Any, path: str = "") -> Counts:
    """The counts of two values at the same place."""
    if have and want and isinstance(have, dict) and isinstance(want, dict):
        return compare_objects(have, want, path)
    if have and want and isinstance(have, list) and isinstance(want, list):
        return compare_lists(have, want, f"{path}[]")
    if frozen(have) == frozen(want):
        return Counts(tp=Counter(leaves(want, path)))
    return Counts(fp=Counter(leaves(have, path)), fn=Counter(leaves(want, path)))


def compare_objects(have: dict[str, Any], want: dict[str, Any], path: str) -> Counts:
    """Key by key."""
    ours, theirs = ({composed(key): inner for key, inner in value.items()} for value in (have, want))
    found = Counts(
        fp=Counter(leaf for key in ours.keys() - theirs for leaf in leaves(ours[key], below(path, key))),
        fn=Counter(leaf for key in theirs.keys() - ours for leaf in leaves(theirs[key], below(path, key))),
    )
    for key in ours.keys() & theirs:
        found.add(compare(ours[key], theirs[key], below(path, key)))
    return found


def compare_lists(have: list[Any], want: list[Any], path: str) -> Counts:
    """A list is a bag: its order counts for an exact match only, not for its fields.

    Equal elements belong together; of the others those first that agree in most leaves (greedily; ties by position).
    """
    have, want, found = without_equal(have, want, path)
    small = sum(len(leaves(one)) for one in have) * sum(len(leaves(one)) for one in want) <= MOST_PAIRED
    near = alike(have, want, path) if small else [(at, at) for at in range(min(len(have), len(want)))]
    for at, to in near:
        found.add(compare(have[at], want[to], path))
    paired, answered = {at for at, _ in near}, {to for _, to in near}
    left = [one for at, one in enumerate(have) if at not in paired]
    missed = [one for to, one in enumerate(want) if to not in answered]
    more = Counts(
        fp=Counter(leaf for one in left for leaf in leaves(one, path)),
        fn=Counter(leaf for one in missed for leaf in leaves(one, path)),
    )
    return found.add(more)


def without_equal(have: list[Any], want: list[Any], path: str) -> tuple[list[Any], list[Any], Counts]:
    """Both lists without the elements that have an equal one in the other, and the counts of those."""
    there, rest, right = Counter(map(frozen, have)), [], Counter[str]()
    for one in want:
        if there[frozen(one)] > 0:
            there[frozen(one)] -= 1
            right.update(leaves(one, path))
        else:
            rest.append(one)
    left = []
    for one in reversed(have):
        if there[frozen(one)] > 0:
            there[frozen(one)] -= 1
            left.append(one)
    return left[::-1], rest, Counts(tp=right)


def alike(have: list[Any], want: list[Any], path: str) -> list[tuple[int, int]]:
    """Which element of `have` belongs to which of `want`; one that agrees with none in anything belongs to none."""
    every = [
        (-agreed, abs(at - to), at, to)
        for at, one in enumerate(have)
        for to, other in enumerate(want)
        if (agreed := compare(one, other, path).tp.total())
    ]
    pairs: dict[int, int] = {}
    answered: set[int] = set()
    for _, _, at, to in sorted(every):
        if at not in pairs and to not in answered:
            pairs[at] = to
            answered.add(to)
    return list(pairs.items())


def leaves(value: Any, path: str = "") -> list[str]:
    """The path of every leaf: of what is neither object nor list, or is an empty one."""
    if value and isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in leaves(inner, below(path, composed(key)))]
    if value and isinstance(value, list):
        return [leaf for inner in value for leaf in leaves(inner, f"{path}[]")]
    return [path]


def below(path: str, key: str) -> str:
    """The path of a key's value."""
    escaped = key.replace("~", "~0").replace("/", "~1")
    return f"{path}/{escaped}" if path else escaped


def missing(answer: str, wanted: str) -> tuple[str, ...]:
    """Wanted fields that the answer does not have, whatever their values; all of them where it is no JSON."""
    return tuple(sorted((Counter(paths(wanted)) - Counter(paths(answer))).elements()))


def invented(answer: str, wanted: str) -> tuple[str, ...]:
    """Fields of the answer that were not wanted, whatever their values."""
    return tuple(sorted((Counter(paths(answer)) - Counter(paths(wanted))).elements()))


def paths(text: str) -> list[str]:
    """The fields of an object or a list; none of all else."""
    value = structure(text)
    return leaves(value) if value else []


def same_shape(answer: str, wanted: str) -> bool:
    """Whether the answer is JSON with the wanted keys, no others, and values of the wanted types.

    Each element of a list is like one of the wanted list's; null may stand for a value of any type, on either side.
    """
    (good, have), (asked, want) = as_json(answer), as_json(wanted)
    return good and asked and shaped(have, want)


def shaped(have: Any, want: Any) -> bool:
    """`same_shape` of two values."""
    if have is None or want is None:
        return True
    if isinstance(have, dict) and isinstance(want, dict):
        ours, theirs = ({composed(key): inner for key, inner in value.items()} for value in (have, want))
        return ours.keys() == theirs.keys() and all(shaped(ours[key], theirs[key]) for key in ours)
    if isinstance(have, list) and isinstance(want, list):
        return not want or all(any(shaped(one, other) for other in want) for one in have)
    return kind_of(have) == kind_of(want)
