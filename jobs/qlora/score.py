"""Compare an answer with the wanted one: exactly, and field by field; nothing is repaired."""

from __future__ import annotations

import json
from typing import Any


def as_json(text: str) -> tuple[bool, Any]:
    """Whether the text is JSON, and its value; NaN and repeated keys are not JSON here."""
    try:
        return True, json.loads(text, object_pairs_hook=no_repeats, parse_constant=refuse)
    except (ValueError, RecursionError):
        return False, None


def no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys stand once each."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def refuse(constant: str) -> None:
    """NaN and Infinity are Python's, not JSON's."""
    raise ValueError(constant)


def canonical(text: str) -> str:
    """JSON with sorted keys and no spaces; other text without the spaces around it."""
    good, value = as_json(text)
    return json.dumps(value, sort_keys=True, separators=(",", ":")) if good else text.strip()


def exact(answer: str, wanted: str) -> bool:
    """Whether the two say the same: as JSON where the wanted one is JSON, else as text."""
    return canonical(answer) == canonical(wanted)


def partial(answer: str, wanted: str) -> float:
    """F1 of the fields (path and value) where the wanted answer is a JSON object; else 1 for the same text, or 0."""
    good, target = as_json(wanted)
    if not good or not isinstance(target, dict):
        return float(exact(answer, wanted))
    want, have = fields(target), fields(as_json(answer)[1])
    if not want:
        return float(exact(answer, wanted))
    return 2 * len(want & have) / (len(want) + len(have))


def fields(value: Any, path: str = "") -> set[tuple[str, str]]:
    """Every leaf of an object with its path; what is no object has none."""
    if isinstance(value, dict) and (value or not path):
        return {leaf for key, inner in value.items() for leaf in fields(inner, f"{path}/{key}")}
    return {(path, json.dumps(value, sort_keys=True))} if path else set()
