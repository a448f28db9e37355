"""Read and judge rows of chat turns; standard library only, so that a laptop can do it before anything is rented."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHAPE = '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}'


class RowError(ValueError):
    """A row that cannot be used; the text names file, line and what was expected."""


@dataclass(frozen=True)
class Row:
    """One conversation: its turns, the value of the group key, and where it stood."""

    messages: tuple[tuple[str, str], ...]
    line: int
    group: str | None = None

    @property
    def identity(self) -> str:
        """What makes two rows the same."""
        return json.dumps(self.messages, ensure_ascii=False)


def check_rows(path: Path, *, group: str | None = None) -> int:
    """Number of usable rows in a JSONL file; raises RowError for the first row that cannot be used."""
    return len(read_rows(path, group=group))


def read_rows(path: Path, *, group: str | None = None) -> list[Row]:
    """All rows of a JSONL file of chat turns, blank lines skipped; RowError names file, line and what was expected."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise RowError(f"{path}: cannot be read: {error.strerror}") from error
    rows = [read_row(f"{path}:{at}", line, at, group) for at, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise RowError(f"{path}:1: the file holds no rows; expected one JSON object a line: {SHAPE}")
    return rows


def read_row(where: str, line: bytes, at: int, group: str | None) -> Row:
    """One row from one line."""
    try:
        document = json.loads(line.decode("utf-8-sig" if at == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        raise RowError(f"{where}: not UTF-8 (byte {error.start + 1} of the line); save the file as UTF-8") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise RowError(f"{where}: not JSON ({error}); expected {SHAPE}") from error
    if not isinstance(document, dict) or not isinstance(document.get("messages"), list):
        raise RowError(f"{where}: expected an object with a list of messages: {SHAPE}")
    turns = tuple(read_turn(f"{where}: messages[{i}]", turn) for i, turn in enumerate(document["messages"]))
    check_order(where, [role for role, _ in turns])
    return Row(messages=turns, line=at, group=read_group(where, document, group))


def read_turn(where: str, turn: Any) -> tuple[str, str]:
    """Role and content of one turn."""
    if not isinstance(turn, dict):
        raise RowError(f"{where}: expected an object with role and content, got {kind(turn)}")
    role, content = turn.get("role"), turn.get("content")
    if role not in ("system", "user", "assistant"):
        raise RowError(f'{where}: role must be "user", "assistant" or "system", got {json.dumps(role)}')
    if not isinstance(content, str):
        raise RowError(f"{where}: content must be text, got {kind(content)}")
    if not content.strip():
        raise RowError(f"{where}: the content of this {role} turn is empty")
    return role, content


def check_order(where: str, roles: list[str]) -> None:
    """Turns go user, assistant, user, assistant, …; one system turn may stand before them."""
    spoken = roles[1:] if roles[:1] == ["system"] else roles
    if not spoken:
        raise RowError(f"{where}: expected at least one user turn and one assistant turn, got {len(roles)} turns")
    for at, role in enumerate(spoken):
        wanted = "an assistant" if at % 2 else "a user"
        if not wanted.endswith(role):
            raise RowError(f"{where}: messages[{at + len(roles) - len(spoken)}]: expected {wanted} turn, got {role}")
    if len(spoken) % 2:
        raise RowError(f"{where}: the last turn must be the assistant's: it is what the model learns to say")


def read_group(where: str, document: dict[str, Any], group: str | None) -> str | None:
    """The value of the group key, which a split by group needs in every row."""
    if group is None:
        return None
    if not isinstance(document.get(group), str | int):
        raise RowError(
            f"{where}: the split keeps rows of one {group} together, but this row has no text or number {group}"
        )
    return str(document[group])


def kind(value: object) -> str:
    """A JSON value's type in words."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "nothing" if value is None else type(value).__name__)
