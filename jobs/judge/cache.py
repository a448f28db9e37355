"""Every call and its answer in one file of the run, so that it can go on where it stopped, and nothing is paid twice.

A call is written down, with what it may cost at worst, before it is sent. So a process that is killed in between
leaves a call without an ending, which counts at its worst: the cap holds over any number of tries.

The file lies in the folder that we keep of a run, not among what its machine sent: a rented machine could else answer
in the judge's place. A copy for reading goes to `eval/`.
"""

import hashlib
import json
import os
import threading
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jobs.judge.failures import BookDamaged
from jobs.spec_evaluate import Endpoint

Messages = tuple[tuple[str, str], ...]
"""Turns as (role, content)."""


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Asked(_Line):
    """A call that is about to be sent."""

    event: Literal["asked"] = "asked"
    call: str
    key: str
    worst_usd: Decimal = Field(ge=0)


class Answer(_Line):
    """A call that was answered; the transcript."""

    event: Literal["answer"] = "answer"
    call: str
    key: str
    endpoint: str
    model: str
    messages: Messages
    max_tokens: int
    text: str
    ended: bool
    """Whether the model came to its end, rather than to `max_tokens`."""
    prompt_tokens: int = Field(ge=0)
    new_tokens: int = Field(ge=0)
    counted_by: Literal["endpoint", "us"]
    """Whose count of tokens it is: ours, at the worst case, where the endpoint's cannot be."""
    seconds: float = Field(ge=0)
    cost_usd: Decimal = Field(ge=0)


class Failed(_Line):
    """A call that was not."""

    event: Literal["failed"] = "failed"
    call: str
    key: str
    why: str
    cost_usd: Decimal = Field(ge=0)


_KINDS: dict[str, type[Asked | Answer | Failed]] = {"asked": Asked, "answer": Answer, "failed": Failed}


def key_of(to: Endpoint, messages: Messages, parameters: dict[str, Any]) -> str:
    """Under what an answer is kept: a hash of endpoint, model, prompt and parameters."""
    said = json.dumps([to.endpoint, to.model, messages, parameters], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()


class Book:
    """The calls of one endpoint in one run. Used by several threads; one process at a time (the run's lock).

    Raises `BookDamaged` where a line before the last cannot be read. A torn last line is what a crash leaves: it is cut
    off, and the call that it would have ended counts at its worst.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._answers: dict[str, Answer] = {}
        self._worst_usd: dict[str, Decimal] = {}
        self._ended_usd: dict[str, Decimal] = {}
        self._tried: set[str] = set()
        for line in self._lines():
            self._take(line)

    @property
    def spent_usd(self) -> Decimal:
        """By all calls so far; those without an ending at their worst."""
        with self._lock:
            lost = (usd for call, usd in self._worst_usd.items() if call not in self._ended_usd)
            return sum(self._ended_usd.values(), Decimal(0)) + sum(lost, Decimal(0))

    def find(self, key: str) -> Answer | None:
        """The answer that is kept under that key."""
        with self._lock:
            return self._answers.get(key)

    def was_tried(self, key: str) -> bool:
        """Whether a call under that key came to an end, well or not."""
        with self._lock:
            return key in self._tried

    def answers(self, keys: Sequence[str]) -> list[Answer]:
        """Those that are there, in this order."""
        with self._lock:
            return [self._answers[key] for key in keys if key in self._answers]

    def note(self, line: Asked | Answer | Failed) -> None:
        """Onto the disk before it counts. Raises `OSError`."""
        data = (line.model_dump_json() + "\n").encode()
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self._take(line)

    def _take(self, line: Asked | Answer | Failed) -> None:
        if isinstance(line, Asked):
            self._worst_usd[line.call] = line.worst_usd
            return
        self._ended_usd[line.call] = line.cost_usd
        self._tried.add(line.key)
        if isinstance(line, Answer):
            self._answers[line.key] = line

    def _lines(self) -> list[Asked | Answer | Failed]:
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return []
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.truncate(self.path, whole)
        return [self._read(number, line) for number, line in enumerate(data[:whole].splitlines(), 1)]

    def _read(self, number: int, line: bytes) -> Asked | Answer | Failed:
        try:
            values = json.loads(line)
            return _KINDS[values["event"]].model_validate_json(line)
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            raise BookDamaged(
                f"{self.path}, line {number}: no call that we wrote, so what was spent is not known",
                f"mv {self.path} {self.path}.damaged     # begins anew, with the whole cap",
            ) from error
