"""Reads a YAML mapping into plain values, and remembers on which line each key stands."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MOST_BYTES = 1 << 20
MOST_VALUES = 10_000
"""Anchors let a small file stand for a huge one: what it unfolds to is capped too."""

DEEPEST = 100

Path_ = tuple[str | int, ...]


class YamlError(ValueError):
    """The text is not a YAML mapping; `line` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.message, self.line = message, line


@dataclass(frozen=True, kw_only=True)
class Lined:
    """Plain values, and the line of every key and list item by its path from the top."""

    values: dict[str, object]
    lines: Mapping[Path_, int]

    def line(self, path: Sequence[str | int]) -> int:
        """The line of that path, or of the nearest thing above it that the file has."""
        parts = tuple(path)
        while parts and parts not in self.lines:
            parts = parts[:-1]
        return self.lines.get(parts, 1)


def read(path: Path) -> Lined:
    """The mapping in a file; an empty file is an empty mapping. Raises `YamlError`, and OSError for no such file."""
    with path.open("rb") as file:
        raw = file.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise YamlError(f"it is larger than {MOST_BYTES >> 20} MiB", 1)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise YamlError("it is not UTF-8 text", raw.count(b"\n", 0, error.start) + 1) from error
    return parse(text)


def parse(text: str) -> Lined:
    """The mapping in a text. Raises `YamlError`."""
    _refuse_deep(text)
    found = _load(text)
    lines: dict[Path_, int] = {}
    if found is None:
        return Lined(values={}, lines=lines)
    values = _plain(found, (), lines)
    if not isinstance(values, dict):
        raise YamlError("it should hold keys and values, as `name: my-run`", 1)
    return Lined(values=values, lines=lines)


def scalar(text: str) -> object:
    """One value as YAML reads it: 8, 2e-4, true, [a, b], or a text. Raises `YamlError`."""
    return _plain(_load(text), (), {})


def _refuse_deep(text: str) -> None:
    """The YAML library takes the square of the depth of time, and then gives up on its stack."""
    depth = 0
    for bracket in re.finditer(r"[\[{\]}]", text):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > DEEPEST:
            raise YamlError(f"brackets are nested more than {DEEPEST} deep", text.count("\n", 0, bracket.start()) + 1)


def _load(text: str) -> object:
    from ruamel.yaml import YAML  # start-up time: only who reads a job needs it
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return YAML(typ="rt", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlError(_first_line(error.problem), mark.line + 1 if mark else 1) from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise YamlError(_first_line(str(error)), 1) from error


def _first_line(text: str | None) -> str:
    return (text or "not YAML").strip().splitlines()[0]


def _plain(found: object, path: Path_, lines: dict[Path_, int]) -> object:
    if len(lines) > MOST_VALUES:
        raise YamlError(f"it unfolds to more than {MOST_VALUES} values", 1)
    if isinstance(found, dict):
        return {_key(key, lines.get(path, 1)): _below(found, key, path, lines) for key in found}
    if isinstance(found, list):
        return [_below(found, place, path, lines) for place in range(len(found))]
    if isinstance(found, bool) or found is None:
        return found
    for kind in (str, int, float):  # ruamel keeps how a number was written in types of its own
        if isinstance(found, kind):
            return kind(found)
    return str(found)


def _below(found: object, key: object, path: Path_, lines: dict[Path_, int]) -> object:
    mark = getattr(found, "lc", None)
    step = key if isinstance(key, int) else str(key)
    at = (*path, step)
    where = mark.data.get(key) if mark is not None and mark.data else None
    lines[at] = where[0] + 1 if where else lines.get(path, 1)
    return _plain(found[key], at, lines)  # type: ignore[index]  # a dict or a list, by the caller


def _key(key: object, line: int) -> str:
    if not isinstance(key, str):
        raise YamlError(f"a key is a word, not {key!r}", line)
    return key
