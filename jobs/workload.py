"""Measures a job: the model's shape, the data's tokens and the settings, as the one value that the estimator needs."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.model_config import Model, find
from jobs.shapes import WorkloadError
from pricing.workload import Method, Workload

if TYPE_CHECKING:
    from jobs.spec import LoadedSpec

__all__ = ["Settings", "WorkloadError", "measure", "measure_spec"]

GIB = 1024**3
CHARACTERS_PER_TOKEN = 3.2
"""Of English text with some JSON, and on the short side, so that a guess is rather too many tokens (assumed)."""
TEMPLATE_TOKENS = 5
"""What a chat template adds to a turn (Mistral's [INST] ... [/INST] and the end of turn are 4 to 6)."""
ADAPTER_BYTES = 4
"""An adapter's parameter as it is saved."""
OTHER_RESULTS_BYTES = 12_000_000
"""Tokenizer, evaluation, logs."""
JOB_BYTES = 1_000_000
"""Our own programs, packed."""
NEW_TOKENS_SLACK = 16
COUNTED, GUESSED = "counted", "guessed from characters"

Count = Callable[[Sequence[str]], list[int]]
"""Texts to the number of tokens of each."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What of `launch.yaml` decides how much work there is; words and defaults are those of `jobs/spec.py`."""

    model: str
    revision: str
    method: Method
    r: int
    target_modules: tuple[str, ...]
    epochs: float
    max_steps: int
    max_length: int
    per_device_train_batch_size: int
    gradient_accumulation_steps: int
    max_new_tokens: int
    arms: int
    validation: float
    test: float

    def __post_init__(self) -> None:
        counts = (self.r, self.max_length, self.per_device_train_batch_size, self.gradient_accumulation_steps)
        if min(counts) < 1 or self.epochs <= 0 or not 0 <= self.validation + self.test < 1:
            raise WorkloadError("launch.yaml: ranks, lengths, batches and epochs must be positive, a split below 1")


@dataclass(frozen=True, kw_only=True)
class _Data:
    """Rows as the job sees them: one for each answer of the assistant. Lengths are in tokens, prompt included."""

    lengths: tuple[int, ...]
    answers: tuple[int, ...]


def measure_spec(loaded: "LoadedSpec", *, environ: Mapping[str, str], cache: Path | None) -> Workload:
    """`measure` for a `launch.yaml` that `jobs.spec` has read."""
    from jobs.spec import data_files  # pydantic: start-up time

    return measure(loaded.spec.settings(), loaded.folder, data_files(loaded), environ=environ, cache=cache)


def measure(
    settings: Mapping[str, object],
    folder: Path,
    data: Mapping[str, Path],
    *,
    environ: Mapping[str, str],
    cache: Path | None,
) -> Workload:
    """What the job asks of a machine. `data` names its files: "train", and "validation" and "test" where there are any.

    Raises `WorkloadError`: unknown model (nearest names), no causal language model, rows that are no chat turns.
    """
    wanted = _settings(settings)
    model = find(wanted.model, wanted.revision, folder, environ=environ, cache=cache)
    count = _tokenizer(model)
    rows = {name: _rows(path, count or _guess) for name, path in data.items() if name in {"train", "test"}}
    if "train" not in rows or not rows["train"].lengths:
        raise WorkloadError("there are no training rows", hint="data.train must name a JSONL file with chat turns")
    shipped = JOB_BYTES + sum(path.stat().st_size for path in data.values())
    return _workload(wanted, model, rows, shipped, COUNTED if count else GUESSED)


def _workload(wanted: Settings, model: Model, rows: Mapping[str, _Data], shipped: int, tokens_are: str) -> Workload:
    train, test = _split(wanted, rows)
    decoder = model.decoder
    lora_parameters = decoder.lora_parameters(wanted.r, wanted.target_modules)
    model_bytes = decoder.parameters * decoder.bytes_per_parameter
    is_shipped = model.is_local and model.folder is not None
    lengths = [min(length, wanted.max_length) for length in train.lengths]
    return Workload(
        shape=decoder.shape(model.name, model.source),
        method=wanted.method,
        lora_rank=wanted.r,
        lora_parameters=lora_parameters,
        examples=len(lengths),
        tokens_per_epoch=sum(lengths),
        longest_tokens=max(lengths),
        epochs=_epochs(wanted, len(lengths)),
        max_length=wanted.max_length,
        micro_batch=wanted.per_device_train_batch_size,
        accumulation=wanted.gradient_accumulation_steps,
        evaluated_examples=len(test.lengths),
        evaluated_new_tokens=wanted.max_new_tokens or max(test.answers, default=0) + NEW_TOKENS_SLACK,
        arms=wanted.arms,
        download_gib=0.0 if is_shipped else model_bytes / GIB,
        shipped_gib=(shipped + (_folder_bytes(model.folder) if is_shipped else 0)) / GIB,
        result_gib=(lora_parameters * ADAPTER_BYTES + OTHER_RESULTS_BYTES) / GIB,
        tokens_are=tokens_are,
    )


def _epochs(wanted: Settings, examples: int) -> float:
    """As in transformers: `max_steps`, where it is positive, wins over epochs."""
    if wanted.max_steps <= 0:
        return wanted.epochs
    steps_per_epoch = ceil(examples / (wanted.per_device_train_batch_size * wanted.gradient_accumulation_steps))
    return wanted.max_steps / steps_per_epoch


def _split(wanted: Settings, rows: Mapping[str, _Data]) -> tuple[_Data, _Data]:
    """Training and test rows; where they are shares of one file, the first so many stand for them."""
    train = rows["train"]
    whole = len(train.lengths)
    tested = rows.get("test") or _first(train, ceil(whole * wanted.test))
    return _first(train, max(1, whole - ceil(whole * wanted.validation) - ceil(whole * wanted.test))), tested


def _first(data: _Data, rows: int) -> _Data:
    return _Data(lengths=data.lengths[:rows], answers=data.answers[:rows])


def _rows(path: Path, count: Count) -> _Data:
    """Each assistant turn is a row of its own: all turns before it are its prompt."""
    chats = list(_chats(path))
    counted = iter(count([text for chat in chats for _, text in chat]))
    lengths, answers = [], []
    for chat in chats:
        so_far = 0
        for role, _ in chat:
            tokens = next(counted) + TEMPLATE_TOKENS
            so_far += tokens
            if role == "assistant":
                lengths.append(so_far)
                answers.append(tokens)
    return _Data(lengths=tuple(lengths), answers=tuple(answers))


def _chats(path: Path) -> Iterator[list[tuple[str, str]]]:
    """The turns of each line, as (role, text)."""
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _turns(line, f"{path}:{number}")
    except (OSError, UnicodeDecodeError) as error:
        raise WorkloadError(f"cannot read {path}: {error}", hint="data files are JSON lines in UTF-8") from error


def _turns(line: str, where: str) -> list[tuple[str, str]]:
    expected = '{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}'
    try:
        row = json.loads(line)
        return [(str(turn["role"]), str(turn["content"])) for turn in row["messages"]]
    except (ValueError, KeyError, TypeError) as error:
        raise WorkloadError(f"{where}: this line is no chat", hint=f"each line is {expected}") from error


def _guess(texts: Sequence[str]) -> list[int]:
    return [ceil(len(text) / CHARACTERS_PER_TOKEN) for text in texts]


def _tokenizer(model: Model) -> Count | None:
    """Counts with the model's own tokenizer.json, where it lies here and the library is installed."""
    path = None if model.folder is None else model.folder / "tokenizer.json"
    if path is None or not path.is_file():
        return None
    try:
        from tokenizers import Tokenizer  # start-up time; and it is there only with the `local` extra
    except ImportError:
        return None
    tokenizer = Tokenizer.from_file(str(path))
    return lambda texts: [len(one.ids) for one in tokenizer.encode_batch(list(texts), add_special_tokens=False)]


def _folder_bytes(folder: Path | None) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder else 0


def _settings(raw: Mapping[str, object]) -> Settings:
    train, evaluate = _part(raw, "train"), _part(raw, "evaluate")
    split = _part(_part(raw, "data"), "split")
    try:
        return Settings(
            model=str(raw["model"]),
            revision=str(raw.get("revision") or ""),
            method=Method(str(train.get("method") or Method.QLORA)),
            r=_int(train, "r", 16),
            target_modules=_targets(train),
            epochs=_float(train, "epochs", 3.0),
            max_steps=_int(train, "max_steps", 0),
            max_length=_int(train, "max_length", 2048),
            per_device_train_batch_size=_int(train, "per_device_train_batch_size", 4),
            gradient_accumulation_steps=_int(train, "gradient_accumulation_steps", 4),
            max_new_tokens=_int(evaluate, "max_new_tokens", 0),
            arms=2 + bool(evaluate.get("prompted")),
            validation=_float(split, "validation", 0.0),
            test=_float(split, "test", 0.0),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise WorkloadError(f"launch.yaml: cannot measure this job ({error})", hint="launch estimate -v") from error


def _targets(train: Mapping[str, object]) -> tuple[str, ...]:
    """A list, or one name (as "all-linear")."""
    targets = train.get("target_modules") or ["q_proj", "v_proj"]
    return (
        tuple(str(one) for one in targets)
        if isinstance(targets, Sequence | set) and not isinstance(targets, str)
        else (str(targets),)
    )


def _part(raw: Mapping[str, object], key: str) -> Mapping[str, object]:
    part = raw.get(key)
    return part if isinstance(part, Mapping) else {}


def _int(part: Mapping[str, object], key: str, default: int) -> int:
    value = part.get(key)
    return default if value is None else int(str(value))


def _float(part: Mapping[str, object], key: str, default: float) -> float:
    value = part.get(key)
    return default if value is None else float(str(value))
