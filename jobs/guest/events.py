"""Writes the supervisor's events and its state, and goes on when the disk is full."""

from __future__ import annotations

import contextlib
import json
import os
from datetime import datetime, timezone
from typing import Any

from .keep import Redactor
from .places import Run, append_line, write_whole

RESERVE_BYTES = 1 << 20
"""Given back when the disk is full, so that the last words still find room."""
LINE_BYTES = 4096


class Teller:
    """Appends events to progress.jsonl and replaces status.json; nothing here raises for want of disk."""

    def __init__(self, run: Run, redactor: Redactor) -> None:
        self._run, self._redactor = run, redactor
        self._state: dict[str, Any] = {"schema": 1}
        self._lost = 0
        with contextlib.suppress(OSError):
            write_whole(run.reserve, b"\0" * RESERVE_BYTES)

    def tell(self, event: str, **fields: Any) -> bool:
        """One event; whether it is on disk."""
        at = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = _line({"schema": 1, "event": event, "at": at, **fields})
        return self._write(lambda: append_line(self._run.progress, self._redactor.redact(line)))

    def state(self, **fields: Any) -> bool:
        """Change some fields of status.json; whether the change is on disk."""
        self._state.update(fields)
        text = json.dumps(self._state, sort_keys=True).encode()
        return self._write(lambda: write_whole(self._run.status, self._redactor.redact(text)))

    def warn(self, code: str, text: str) -> None:
        """Something that a person should know."""
        self.tell("warning", code=code, text=text)

    def _write(self, act: Any) -> bool:
        for _ in range(2):
            try:
                act()
            except OSError:
                self._lost += 1
                with contextlib.suppress(OSError):
                    os.unlink(self._run.reserve)
            else:
                return True
        return False


def _line(fields: dict[str, Any]) -> bytes:
    """At most LINE_BYTES with its newline; a long text is cut in the middle of the event, not the event."""
    line = json.dumps(fields).encode()
    if len(line) < LINE_BYTES:
        return line
    over = len(line) - LINE_BYTES + 16
    text = str(fields.get("text", ""))
    return json.dumps({**fields, "text": text[: max(0, len(text) - over)].encode("ascii", "replace").decode()}).encode()
