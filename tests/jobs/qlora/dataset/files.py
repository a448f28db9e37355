"""Data files for tests, and what is read from them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jobs.qlora.dataset.reading import Named, Read, Wanted, read_file
from jobs.qlora.dataset.rows import Row

USER = {"role": "user", "content": "q"}
ANSWER = {"role": "assistant", "content": "a"}
GOOD = {"messages": [USER, ANSWER]}


def chat(asked: str, answer: str = "a", **more: object) -> dict[str, Any]:
    """A row of two turns."""
    return {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}], **more}


def jsonl(path: Path, rows: Iterable[object]) -> Path:
    """Rows as JSONL; a row that is text or bytes stands there as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(line(row) + b"\n" for row in rows))
    return path


def line(row: object) -> bytes:
    """One line of JSONL."""
    if isinstance(row, bytes):
        return row
    return row.encode() if isinstance(row, str) else json.dumps(row).encode()


def read(path: Path, wanted: Wanted | None = None, part: str = "train") -> Read:
    """One file, whatever is wrong with it."""
    return read_file(Named(part, path, path.name), wanted or Wanted())


def found(of: Read) -> dict[str, int]:
    """How often each kind of fault was found."""
    return {fault.code: fault.count for fault in of.faults}


def rows(*texts: str, answer: str = "a", group: str | None = None) -> list[Row]:
    """Rows that ask these texts, one below the other."""
    return [
        Row(messages=(("user", text), ("assistant", answer)), line=at, file="rows.jsonl", group=group)
        for at, text in enumerate(texts, 1)
    ]
