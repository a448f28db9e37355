"""What a file gives before anything is made of it: one record with its line, or why there is none on that line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from .rows import DataError

MOST_LINE_BYTES = 16 << 20
"""Of one row: some four million tokens, which no model is trained on (assumed)."""


@dataclass(frozen=True)
class Bad:
    """What is wrong with a record: the code of a kind in `faults.py`, and what exactly it is here."""

    code: str
    detail: str
    shown: str = ""
    """The text to look at, where it is not the row's question."""


@dataclass(frozen=True)
class Record:
    """The keys and values of one record, or why it has none (with the beginning of what stands there)."""

    line: int
    value: dict[str, Any] | None = None
    bad: Bad | None = None
    raw: bytes = b""


def readable(path: Path) -> BinaryIO:
    """The file, open for reading bytes. Raises `DataError`."""
    try:
        return path.open("rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}", "paths start at the job file's folder") from error


def parsed_json(text: bytes) -> Any:
    """The JSON value, or None for what is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def kind(value: object) -> str:
    """A value's type in words."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "nothing" if value is None else type(value).__name__)
