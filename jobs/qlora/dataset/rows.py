"""A row as everything here takes it: the turns of one conversation, and where they stood in the user's own file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from .report import Place

Turns = tuple[tuple[str, str], ...]
"""One conversation, as (role, text); role is "system", "user" or "assistant"."""


class DataError(ValueError):
    """Data that cannot be used: `message` says what is wrong and where, `hint` what to do about it."""

    code = "data"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


@dataclass(frozen=True)
class Row:
    """One conversation that was checked: it ends with the assistant, and no turn is empty.

    `file` is the source as it was named, `line` the line there (of a Parquet file: the row, from 1), `group` the value
    of the split's group key.
    """

    messages: Turns
    line: int
    file: str = ""
    group: str | None = None

    @cached_property
    def identity(self) -> str:
        """What makes two rows the same, to the byte."""
        return json.dumps(self.messages, ensure_ascii=False)

    @property
    def question(self) -> Turns:
        """All turns before the last: asking in training what the test asks is a leak, whatever the answer."""
        return self.messages[:-1]

    @property
    def target(self) -> str:
        """The text of the last assistant turn."""
        return self.messages[-1][1]

    @cached_property
    def asked(self) -> str:
        """The question as one text; of a single user turn just its text, else each turn behind its role."""
        if len(self.messages) == 2:
            return self.messages[0][1]
        return "\n".join(f"{role}: {text}" for role, text in self.question)

    @property
    def characters(self) -> int:
        """Of all turns."""
        return sum(len(text) for _, text in self.messages)

    @property
    def answers(self) -> int:
        """How many turns are learned from."""
        return sum(role == "assistant" for role, _ in self.messages)

    @property
    def place(self) -> Place:
        """As the report names it."""
        return Place(file=self.file, line=self.line)

    def document(self) -> dict[str, Any]:
        """The row as it is written to a part."""
        made: dict[str, Any] = {"messages": [{"role": role, "content": text} for role, text in self.messages]}
        made["source"] = {"file": self.file, "line": self.line}
        return made if self.group is None else {**made, "group": self.group}


def written(rows: Iterable[Row]) -> str:
    """Rows as JSONL."""
    return "".join(json.dumps(row.document(), ensure_ascii=False) + "\n" for row in rows)


def read_part(path: Path) -> list[Row]:
    """The rows of a part that `written` made.

    Raises:
        DataError: the file is not one of those; it was checked when it was made, so this says only where it is broken.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    return [_written_row(f"{path}:{at}", line) for at, line in enumerate(lines, 1) if line]


def _written_row(where: str, line: bytes) -> Row:
    try:
        document = json.loads(line)
        turns = tuple((turn["role"], turn["content"]) for turn in document["messages"])
        source, group = document["source"], document.get("group")
        row = Row(messages=turns, line=source["line"], file=source["file"], group=group)
    except (ValueError, KeyError, TypeError, RecursionError, AttributeError) as error:
        raise _no_part(where) from error
    texts = [row.file, *(text for turn in turns for text in turn), *([] if group is None else [group])]
    if not turns or turns[-1][0] != "assistant" or type(row.line) is not int or any(type(t) is not str for t in texts):
        raise _no_part(where)
    return row


def _no_part(where: str) -> DataError:
    hint = "delete data/report.json beside it: then the rows are checked and parted anew"
    return DataError(f"{where}: is no row of a part that was made by us", hint)
