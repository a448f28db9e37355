"""The wire from the machine: one JSON line an event; parser and types only.

The machine is not trusted: nothing that it sends makes `parse` raise, and no text from here can drive a terminal.
"""

import json
import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn

from jobs.lines import LINE_CAP_BYTES, Splitter

__all__ = [
    "LINE_CAP_BYTES",
    "Checkpoint",
    "Done",
    "Evaluated",
    "Event",
    "Heartbeat",
    "Notice",
    "PhaseChange",
    "Probed",
    "Result",
    "Splitter",
    "Step",
    "Unknown",
    "Warned",
    "clean",
    "parse",
]

TEXT_CAP = 600
"""Characters of a free text that are kept."""
MOST_METRICS = 32
LEAST_STEP_SECONDS, MOST_STEP_SECONDS = 1e-6, 86_400.0
"""Of a probe: no step is quicker, and one of a day is no training that anybody rents by the hour."""
MOST_SPREAD = 100.0


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


Event = PhaseChange | Heartbeat | Step | Probed | Evaluated | Checkpoint | Result | Warned | Notice | Done | Unknown


class _OddError(ValueError):
    """A field is not what the wire says."""


_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\x9c|$)"  # OSC, DCS, SOS, PM, APC up to their end
    r"|\x9b[0-?]*[ -/]*[@-~]|\x9d.*?(?:\x07|\x9c|$)"  # the same, begun by one 8-bit character
    r"|\x1b[ -/]*[0-~]?",
    re.DOTALL,
)
_SPACES = frozenset("\t\n\r\v\f\u2028\u2029\x85")
_NEVER = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Control, format (bidirectional marks, invisible characters), lone surrogates, separators of lines."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def clean(text: str) -> str:
    """`text` on one line, without terminal escapes, control and invisible characters."""
    bare = "".join(" " if one in _SPACES else one for one in _ESCAPES.sub("", text))
    return "".join(one for one in bare if unicodedata.category(one) not in _NEVER)


def parse(line: bytes) -> Event:
    """One line (with or without its newline) as an event; never raises, `Unknown` for all that is not one."""
    line = line.rstrip(b"\r\n")
    if len(line) > LINE_CAP_BYTES:
        return _unknown(f"longer than {LINE_CAP_BYTES} bytes", line)
    try:
        return _event(_Fields(_json_object(line)))
    except _OddError as error:
        return _unknown(str(error), line)


def _unknown(why: str, line: bytes) -> Unknown:
    return Unknown(why=why, text=clean(line[:200].decode("utf-8", "replace")))


def _json_object(line: bytes) -> dict[str, object]:
    try:
        found = json.loads(line.decode("utf-8"), parse_constant=_no_such_number)
    except (ValueError, RecursionError) as error:
        raise _OddError("not a line of JSON") from error
    if not isinstance(found, dict):
        raise _OddError("not a JSON object")
    return found


def _no_such_number(word: str) -> NoReturn:
    raise _OddError(f"{word} is no number here")


class _Fields:
    """The fields of one line, each read with its type and bounds."""

    def __init__(self, raw: Mapping[str, object]) -> None:
        self._raw = raw

    def text(self, key: str, *, cap: int = TEXT_CAP, default: str | None = None) -> str:
        found = self._raw.get(key, default)
        if not isinstance(found, str):
            raise _OddError(f"{key} is not a text")
        return clean(found[: 4 * cap])[:cap]

    def matching(self, key: str, pattern: re.Pattern[str]) -> str:
        found = self._raw.get(key)
        if not isinstance(found, str) or not pattern.fullmatch(found):
            raise _OddError(f"{key} is not as agreed")
        return found

    def whole(self, key: str, *, low: int = 0, high: int = 2**53) -> int:
        found = self._raw.get(key)
        if isinstance(found, bool) or not isinstance(found, int) or not low <= found <= high:
            raise _OddError(f"{key} is not a whole number between {low} and {high}")
        return found

    def number(self, key: str) -> float | None:
        return None if self._raw.get(key) is None else _real(key, self._raw[key])

    def amount(self, key: str, *, low: float, high: float) -> float:
        found = _real(key, self._raw.get(key))
        if not low <= found <= high:
            raise _OddError(f"{key} is not between {low:g} and {high:g}")
        return found

    def moment(self, key: str) -> datetime:
        try:
            found = datetime.fromisoformat(self.text(key, cap=64))
            if found.tzinfo is None:
                raise _OddError(f"{key} has no time zone")
            return found.astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise _OddError(f"{key} is not a moment") from error

    def metrics(self, key: str) -> dict[str, float]:
        found = self._raw.get(key)
        if not isinstance(found, dict) or len(found) > MOST_METRICS:
            raise _OddError(f"{key} is not an object of at most {MOST_METRICS} numbers")
        return {clean(str(name))[:64]: _real(key, value) for name, value in found.items()}


def _real(key: str, found: object) -> float:
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise _OddError(f"{key} is not a number")
    if abs(found) > 1e15 or not math.isfinite(found):
        raise _OddError(f"{key} is out of bounds")
    return float(found)


def _event(fields: _Fields) -> Event:
    if fields.whole("schema") != 1:
        raise _OddError("not schema 1")
    read = _READERS.get(fields.text("event", cap=32))
    if read is None:
        raise _OddError("an event of no known name")
    return read(fields, fields.moment("at"))


def _phase(fields: _Fields, at: datetime) -> Event:
    state = fields.text("state", cap=16)
    if state not in {"begin", "end"}:
        raise _OddError("state is neither begin nor end")
    return PhaseChange(
        at=at,
        phase=fields.text("phase", cap=64),
        name=fields.text("name", cap=64),
        began=state == "begin",
        seconds=fields.number("seconds"),
    )


def _heartbeat(fields: _Fields, at: datetime) -> Event:
    return Heartbeat(
        at=at,
        life_seconds=fields.number("life_seconds"),
        lease_seconds=fields.number("lease_seconds"),
        disk_free_gib=fields.number("disk_free_gib"),
    )


def _step(fields: _Fields, at: datetime) -> Event:
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
    )


def _probed(fields: _Fields, at: datetime) -> Event:
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


def _evaluated(fields: _Fields, at: datetime) -> Event:
    return Evaluated(at=at, arm=fields.text("arm", cap=32), done=fields.whole("done"), of=fields.whole("of"))


def _checkpoint(fields: _Fields, at: datetime) -> Event:
    return Checkpoint(
        at=at,
        name=fields.matching("name", _NAME),
        step=fields.whole("step"),
        bytes=fields.whole("bytes"),
        sha256=fields.matching("sha256", _SHA256),
    )


def _result(fields: _Fields, at: datetime) -> Event:
    return Result(at=at, arm=fields.text("arm", cap=32), metrics=fields.metrics("metrics"), n=fields.whole("n"))


def _warned(fields: _Fields, at: datetime) -> Event:
    return Warned(at=at, code=fields.text("code", cap=64), text=fields.text("text"))


def _notice(fields: _Fields, at: datetime) -> Event:
    has_time = fields.text("time", cap=64, default="") != ""
    return Notice(at=at, action=fields.text("action", cap=32), time=fields.moment("time") if has_time else None)


def _done(fields: _Fields, at: datetime) -> Event:
    outcome = fields.text("outcome", cap=16)
    if outcome not in {"succeeded", "failed", "stopped"}:
        raise _OddError("outcome is no known word")
    return Done(
        at=at,
        outcome=outcome,
        exit_code=fields.whole("exit_code", low=-256, high=256),
        step=fields.text("step", cap=64, default=""),
        text=fields.text("text", default=""),
    )


_READERS: Mapping[str, Callable[[_Fields, datetime], Event]] = {
    "phase": _phase,
    "heartbeat": _heartbeat,
    "step": _step,
    "probe": _probed,
    "evaluated": _evaluated,
    "checkpoint": _checkpoint,
    "result": _result,
    "warning": _warned,
    "notice": _notice,
    "done": _done,
}
