"""What lies in a run's folder, as values: a rented machine wrote most of it, so it is schema-checked and bounded."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from jobs.qlora.dataset.report import DataReport
from jobs.report.files import MOST_BYTES, MOST_LOG_BYTES, ReportError, is_plain, parsed, read
from jobs.results.summary import ARMS, Summary

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\- ]{1,40}$")]
Finite = Annotated[float, Field(allow_inf_nan=False, ge=-1e30, le=1e30)]
"""What can be drawn: beyond it is no loss, no speed and no memory, and sums of them are no numbers any more."""
Step = Annotated[int, Field(ge=0, le=10**9)]

MOST_SUMMARY_BYTES = 16 << 20
"""Of the summary and of the data report, which hold texts of rows (assumed: a hundred long samples are 1 MiB)."""
MOST_ITEMS_BYTES = 256 << 20
"""Of one arm's items, as in `jobs.results.items`; a longer file is read by nobody."""
MOST_ITEM_BYTES = 4 << 20
MOST_LOGS = 8
"""That are looked through for a training log: a machine may send hundreds."""
MOST_FACTS = 200
"""Of one log that is a list of names and values."""
LONGEST_FACT = 400
LONGEST_ANSWER_TOKENS = 1 << 14
"""Longer than what anybody wants at once from `try.py` (assumed); a machine says how long the wanted answers are."""


class ArmScore(BaseModel):
    """One arm of the evaluation, as `eval/<arm>.json` has it: metrics over `n` test rows."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    arm: Name
    n: Annotated[int, Field(ge=0, le=10**9)]
    metrics: Annotated[dict[Name, Finite], Field(max_length=32)]


class LogLine(BaseModel):
    """One line of the training log: of a step, or of a look at the validation rows; other keys are left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    step: Step
    loss: Finite | None = None
    validation_loss: Finite | None = Field(default=None, validation_alias=AliasChoices("validation_loss", "eval_loss"))
    learning_rate: Finite | None = None
    grad_norm: Finite | None = None
    tokens_per_second: Finite | None = None
    vram_gib: Finite | None = None


class Trained(BaseModel):
    """What training.json says of the whole training, as far as the page speaks of it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    last_step: Step
    of: Step
    stopped_early: bool = False
    best_step: Step | None = None
    best_loss: Finite | None = None
    adapter_of: Annotated[str, Field(max_length=100)] = ""
    micro_batch: Step | None = None
    accumulation: Step | None = None
    ran_out_of_memory: Annotated[list[object], Field(max_length=100)] = []
    trainable_parameters: Annotated[int, Field(ge=0, le=10**15)] | None = None
    parameters: Annotated[int, Field(ge=0, le=10**15)] | None = None


class _Item(BaseModel):
    """One line of the per-item results: of it, the tokens of the wanted answer."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    tokens: Annotated[int, Field(ge=1, le=LONGEST_ANSWER_TOKENS)]


Points = tuple[tuple[int, float], ...]
"""Steps and values."""


@dataclass(frozen=True, kw_only=True)
class TrainLog:
    """The curves of a training, by step; () where one was not written."""

    loss: Points = ()
    validation: Points = ()
    learning_rate: Points = ()
    grad_norm: Points = ()
    tokens_per_second: Points = ()
    vram_gib: Points = ()

    @property
    def best(self) -> tuple[int, float] | None:
        """Step and loss of the lowest validation loss, the earliest of equals."""
        return min(self.validation, key=lambda point: (point[1], point[0]), default=None)


Facts = tuple[tuple[str, str], ...]
"""Names (with dots) and values of a log."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """All that lies in a run's folder and is sound; `unsound` says what is not, and why."""

    scores: tuple[ArmScore, ...] = ()
    summary: Summary | None = None
    data: DataReport | None = None
    log: TrainLog = TrainLog()
    environment: Facts = ()
    prepared: Facts = ()
    training: Facts = ()
    trained: "Trained | None" = None
    longest_answer: int | None = None
    """Of the wanted answers of the test, in tokens."""
    has_adapter: bool = False
    unsound: tuple[str, ...] = ()


def read_scores(folder: Path) -> tuple[ArmScore, ...]:
    """The arms that were evaluated, base first; () where nothing was. Raises `ReportError` on an unsound file."""
    paths = [folder / "eval" / f"{arm}.json" for arm in ARMS]
    return tuple(_score(path) for path in paths if is_plain(path))


def _score(path: Path) -> ArmScore:
    try:
        return ArmScore.model_validate_json(read(path, MOST_SUMMARY_BYTES))
    except ValidationError as error:
        raise _unsound(path, error) from error


def _unsound(path: Path, error: ValidationError) -> ReportError:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])[:LONGEST_FACT]
    return ReportError(f"{path}: {place or 'the file'}: {first['msg']}", "launch logs")


Value = TypeVar("Value")


class _Reader:
    """Reads one file after the other, and notes which of them are unsound."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.unsound: list[str] = []

    def take(self, what: Callable[[], Value], otherwise: Value) -> Value:
        """What `what` reads; where that is unsound, it is noted, and `otherwise`."""
        try:
            return what()
        except ReportError as error:
            self.unsound.append(error.message.replace(f"{self.folder}/", ""))
            return otherwise

    def scores(self) -> tuple[ArmScore, ...]:
        """As `read_scores`, file by file."""
        paths = [self.folder / "eval" / f"{arm}.json" for arm in ARMS]
        read = [self.take(partial(_score, path), None) for path in paths if is_plain(path)]
        return tuple(score for score in read if score is not None)

    def facts(self, name: str) -> Facts:
        """The JSON object in logs/NAME, flat."""
        path = self.folder / "logs" / name
        return self.take(lambda: _facts(path), ()) if is_plain(path) else ()


def read_all(folder: Path) -> Found:
    """What lies in the folder of a run. Never raises on what a machine may have sent."""
    reader = _Reader(folder)
    return Found(
        scores=reader.scores(),
        summary=reader.take(lambda: _summary(folder / "eval" / "summary.json"), None),
        data=reader.take(lambda: _data(folder / "data" / "report.json"), None),
        log=reader.take(lambda: read_log(folder / "logs"), TrainLog()),
        environment=reader.facts("environment.json"),
        prepared=reader.facts("data.json"),
        training=reader.facts("training.json"),
        trained=reader.take(lambda: _trained(folder / "logs" / "training.json"), None),
        longest_answer=reader.take(lambda: _longest_answer(folder / "eval" / "tuned.jsonl"), None),
        has_adapter=is_plain(folder / "adapter" / "adapter_config.json"),
        unsound=tuple(reader.unsound),
    )


def _summary(path: Path) -> Summary | None:
    if not is_plain(path):
        return None
    try:
        return Summary.model_validate_json(read(path, MOST_SUMMARY_BYTES))
    except ValidationError as error:
        raise _unsound(path, error) from error


def _data(path: Path) -> DataReport | None:
    """The data report that this computer made before anything was rented."""
    if not is_plain(path):
        return None
    try:
        return TypeAdapter(DataReport).validate_json(read(path, MOST_SUMMARY_BYTES))
    except ValidationError as error:
        raise _unsound(path, error) from error


def read_log(logs: Path) -> TrainLog:
    """The curves of the training log; lines that are not sound are passed over. Raises `ReportError`: too long."""
    others = sorted(logs.glob("*.jsonl"))[:MOST_LOGS] if logs.is_dir() else ()
    named = [logs / "train_log.jsonl", *others]
    for path in named:
        lines = list(_lines(path)) if is_plain(path) else []
        if any(line.loss is not None for line in lines):
            return _curves(lines)
    return TrainLog()


def _trained(path: Path) -> Trained | None:
    if not is_plain(path):
        return None
    try:
        return Trained.model_validate_json(read(path, MOST_BYTES))
    except ValidationError as error:
        raise _unsound(path, error) from error


def _longest_answer(path: Path) -> int | None:
    """Lines that are not sound are passed over; a large test set may have any number of them."""
    if not is_plain(path) or path.stat().st_size > MOST_ITEMS_BYTES:
        return None
    longest = 0
    with path.open("rb") as lines:
        while line := lines.readline(MOST_ITEM_BYTES):  # what is longer comes in pieces, which are not sound
            with suppress(ValidationError):
                longest = max(longest, _Item.model_validate_json(line).tokens)
    return longest or None


def _lines(path: Path) -> Iterator[LogLine]:
    for line in read(path, MOST_LOG_BYTES).splitlines():
        try:
            yield LogLine.model_validate_json(line)
        except ValidationError:
            continue


def _curves(lines: list[LogLine]) -> TrainLog:
    """By step; of a step that was told twice (a run that began again before it) the later one."""

    def curve(name: str) -> Points:
        told: dict[int, float] = {line.step: value for line in lines if (value := getattr(line, name)) is not None}
        return tuple(sorted(told.items()))

    return TrainLog(
        loss=curve("loss"),
        validation=curve("validation_loss"),
        learning_rate=curve("learning_rate"),
        grad_norm=curve("grad_norm"),
        tokens_per_second=curve("tokens_per_second"),
        vram_gib=curve("vram_gib"),
    )


def _facts(path: Path) -> Facts:
    found = parsed(path, MOST_BYTES)
    if not isinstance(found, Mapping):
        raise ReportError(f"{path}: this is not a JSON object", "launch logs")
    return flat(found)


def flat(values: Mapping[str, object]) -> Facts:
    """An object of objects as names with dots and texts, bounded."""
    rows: list[tuple[str, str]] = []
    for name, value in _walk("", values):
        rows.append((name[:LONGEST_FACT], value[:LONGEST_FACT]))
        if len(rows) == MOST_FACTS:
            break
    return tuple(rows)


def _walk(name: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _walk(f"{name}.{key}" if name else str(key), inner)
    elif isinstance(value, list | tuple):
        yield name, ", ".join(str(one) for one in value[:MOST_FACTS])
    else:
        yield name, "unknown" if value is None else str(value)
