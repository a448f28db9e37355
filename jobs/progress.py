"""The wire from the machine: one JSON line an event; parser and types only.

The machine is not trusted: nothing that it sends makes `parse` raise, and no text from here can drive a terminal.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from jobs.lines import LINE_CAP_BYTES, Splitter
from jobs.progress_fields import TEXT_CAP, Fields, OddError, clean
from jobs.progress_stored import Stored, stored

__all__ = [
    "LINE_CAP_BYTES",
    "TEXT_CAP",
    "Checkpoint",
    "Done",
    "Evaluated",
    "Event",
    "Heartbeat",
    "MemoryHalved",
    "Notice",
    "PhaseChange",
    "Probed",
    "Result",
    "Splitter",
    "Step",
    "Stored",
    "Unknown",
    "Validated",
    "Warned",
    "clean",
    "parse",
]

LEAST_STEP_SECONDS, MOST_STEP_SECONDS = 1e-6, 86_400.0
"""Of a probe: no step is quicker, and one of a day is no training that anybody rents by the hour."""
MOST_SPREAD = 100.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
MOST_LOSS = 1e6
MOST_ROWS_OF_A_STEP = 1 << 20
"""Of a micro-batch, and of micro-batches a step: more is no training."""


@dataclass(frozen=True, kw_only=True)
class PhaseChange:
    """A step of the job began, or ended after `seconds` (None at the beginning)."""

    at: datetime
    phase: str
    name: str
    began: bool
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """The supervisor lives. None where the machine could not tell."""

    at: datetime
    life_seconds: float | None
    lease_seconds: float | None
    disk_free_gib: float | None


@dataclass(frozen=True, kw_only=True)
class Step:
    """One optimiser step; figures that the job did not measure are None."""

    at: datetime
    step: int
    of: int
    loss: float | None
    learning_rate: float | None
    grad_norm: float | None
    tokens_per_second: float | None
    vram_gib: float | None
    epoch: float | None
    eta_seconds: float | None = None
    """To the last step, at the pace that the machine saw so far."""


@dataclass(frozen=True, kw_only=True)
class Probed:
    """The first `steps` steps after the warm-up, measured: `step_seconds` is their mean, without saves.

    `spread` is their standard deviation as a share of the mean. Who tells a probe reads `RUN/max_steps` between steps:
    its training can be shortened.
    """

    at: datetime
    step: int
    of: int
    steps: int
    step_seconds: float
    spread: float
    tokens_per_second: float | None
    tokens_per_step: float | None
    vram_gib: float | None
    save_seconds: float | None
    save_every: int

    @property
    def left(self) -> int:
        """Steps to go."""
        return self.of - self.step


@dataclass(frozen=True, kw_only=True)
class Validated:
    """The loss per answer token over the validation rows after this step; `best`: lower than at any look before."""

    at: datetime
    step: int
    loss: float
    best: bool


@dataclass(frozen=True, kw_only=True)
class MemoryHalved:
    """The machine's memory did not hold the micro-batch: it goes on with `micro_batch` rows, `accumulation` times."""

    at: datetime
    step: int
    micro_batch: int
    accumulation: int


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """So many rows of an arm are evaluated."""

    at: datetime
    arm: str
    done: int
    of: int


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A whole checkpoint lies under `checkpoints/<name>`; `sha256` is that of its manifest.json."""

    at: datetime
    name: str
    step: int
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Result:
    """An arm's scores over `n` rows."""

    at: datetime
    arm: str
    metrics: Mapping[str, float]
    n: int


@dataclass(frozen=True, kw_only=True)
class Warned:
    """Something that a person should know."""

    at: datetime
    code: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Notice:
    """The provider takes the machine back at `time` (None: it did not say), or recommends to leave ("rebalance")."""

    at: datetime
    action: str
    time: datetime | None


@dataclass(frozen=True, kw_only=True)
class Done:
    """The job is over: "succeeded", "failed" or "stopped"; `step` is the one that failed."""

    at: datetime
    outcome: str
    exit_code: int
    step: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Unknown:
    """A line that is no event of ours: why, and the cleaned beginning of it."""

    why: str
    text: str


Event = (
    PhaseChange
    | Heartbeat
    | Step
    | Probed
    | Validated
    | MemoryHalved
    | Evaluated
    | Checkpoint
    | Stored
    | Result
    | Warned
    | Notice
    | Done
    | Unknown
)


def parse(line: bytes) -> Event:
    """One line (with or without its newline) as an event; never raises, `Unknown` for all that is not one."""
    line = line.rstrip(b"\r\n")
    if len(line) > LINE_CAP_BYTES:
        return _unknown(f"longer than {LINE_CAP_BYTES} bytes", line)
    try:
        return _event(Fields(_json_object(line)))
    except OddError as error:
        return _unknown(str(error), line)


def _unknown(why: str, line: bytes) -> Unknown:
    return Unknown(why=why, text=clean(line[:200].decode("utf-8", "replace")))


def _json_object(line: bytes) -> dict[str, object]:
    try:
        found = json.loads(line.decode("utf-8"), parse_constant=_no_such_number)
    except (ValueError, RecursionError) as error:
        raise OddError("not a line of JSON") from error
    if not isinstance(found, dict):
        raise OddError("not a JSON object")
    return found


def _no_such_number(word: str) -> NoReturn:
    raise OddError(f"{word} is no number here")


def _event(fields: Fields) -> Event:
    if fields.whole("schema") != 1:
        raise OddError("not schema 1")
    read = _READERS.get(fields.text("event", cap=32))
    if read is None:
        raise OddError("an event of no known name")
    return read(fields, fields.moment("at"))


def _phase(fields: Fields, at: datetime) -> Event:
    state = fields.text("state", cap=16)
    if state not in {"begin", "end"}:
        raise OddError("state is neither begin nor end")
    return PhaseChange(
        at=at,
        phase=fields.text("phase", cap=64),
        name=fields.text("name", cap=64),
        began=state == "begin",
        seconds=fields.number("seconds"),
    )


def _heartbeat(fields: Fields, at: datetime) -> Event:
    return Heartbeat(
        at=at,
        life_seconds=fields.number("life_seconds"),
        lease_seconds=fields.number("lease_seconds"),
        disk_free_gib=fields.number("disk_free_gib"),
    )


def _step(fields: Fields, at: datetime) -> Event:
    return Step(
        at=at,
        step=fields.whole("step"),
        of=fields.whole("of"),
        loss=fields.number("loss"),
        learning_rate=fields.number("learning_rate"),
        grad_norm=fields.number("grad_norm"),
        tokens_per_second=fields.number("tokens_per_second"),
        vram_gib=fields.number("vram_gib"),
        epoch=fields.number("epoch"),
        eta_seconds=fields.number("eta_seconds"),
    )


def _probed(fields: Fields, at: datetime) -> Event:
    of = fields.whole("of", low=1)
    return Probed(
        at=at,
        step=fields.whole("step", low=1, high=of),
        of=of,
        steps=fields.whole("steps", low=1, high=of),
        step_seconds=fields.amount("step_seconds", low=LEAST_STEP_SECONDS, high=MOST_STEP_SECONDS),
        spread=fields.amount("spread", low=0, high=MOST_SPREAD),
        tokens_per_second=fields.number("tokens_per_second"),
        tokens_per_step=fields.number("tokens_per_step"),
        vram_gib=fields.number("vram_gib"),
        save_seconds=fields.number("save_seconds"),
        save_every=fields.whole("save_every"),
    )


def _validated(fields: Fields, at: datetime) -> Event:
    return Validated(
        at=at,
        step=fields.whole("step"),
        loss=fields.amount("loss", low=0, high=MOST_LOSS),
        best=fields.truth("best"),
    )


def _memory(fields: Fields, at: datetime) -> Event:
    return MemoryHalved(
        at=at,
        step=fields.whole("step"),
        micro_batch=fields.whole("micro_batch", low=1, high=MOST_ROWS_OF_A_STEP),
        accumulation=fields.whole("accumulation", low=1, high=MOST_ROWS_OF_A_STEP),
    )


def _evaluated(fields: Fields, at: datetime) -> Event:
    return Evaluated(at=at, arm=fields.text("arm", cap=64), done=fields.whole("done"), of=fields.whole("of"))


def _checkpoint(fields: Fields, at: datetime) -> Event:
    return Checkpoint(
        at=at,
        name=fields.matching("name", _NAME),
        step=fields.whole("step"),
        bytes=fields.whole("bytes"),
        sha256=fields.matching("sha256", _SHA256),
    )


def _result(fields: Fields, at: datetime) -> Event:
    return Result(at=at, arm=fields.text("arm", cap=64), metrics=fields.metrics("metrics"), n=fields.whole("n"))


def _warned(fields: Fields, at: datetime) -> Event:
    return Warned(at=at, code=fields.text("code", cap=64), text=fields.text("text"))


def _notice(fields: Fields, at: datetime) -> Event:
    has_time = fields.text("time", cap=64, default="") != ""
    return Notice(at=at, action=fields.text("action", cap=32), time=fields.moment("time") if has_time else None)


def _done(fields: Fields, at: datetime) -> Event:
    outcome = fields.text("outcome", cap=16)
    if outcome not in {"succeeded", "failed", "stopped"}:
        raise OddError("outcome is no known word")
    return Done(
        at=at,
        outcome=outcome,
        exit_code=fields.whole("exit_code", low=-256, high=256),
        step=fields.text("step", cap=64, default=""),
        text=fields.text("text", default=""),
    )


_READERS: Mapping[str, Callable[[Fields, datetime], Event]] = {
    "phase": _phase,
    "heartbeat": _heartbeat,
    "step": _step,
    "probe": _probed,
    "validation": _validated,
    "memory": _memory,
    "evaluated": _evaluated,
    "checkpoint": _checkpoint,
    "stored": stored,
    "result": _result,
    "warning": _warned,
    "notice": _notice,
    "done": _done,
}
