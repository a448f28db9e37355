"""Measures a job: the model's shape, the data's tokens and the settings, as the one value that the estimator needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, inf
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.config_values import WorkloadError
from jobs.evaluation_work import Prompts, Rows, asked
from jobs.hub import HubError
from jobs.matrices import Kind, Matrix
from jobs.model_config import TABLE, Model, find, tokenizer
from jobs.padding import packed, padded_tokens
from jobs.template_check import TEMPLATE_CODE, examiner
from jobs.tokens import GUESSED, MOST_TOO_LONG, Tally, Tokenizer, tally
from pricing.workload import Attention, Method, Optimizer, Quantisation, Recipe, Workload

if TYPE_CHECKING:
    from jobs.spec import LoadedSpec

__all__ = ["JOB_RECIPE", "Settings", "WorkloadError", "measure", "measure_spec", "remarks"]

GIB = 1024**3
ADAPTER_BYTES = 4
"""An adapter's parameter as it is saved."""
OTHER_RESULTS_BYTES = 12_000_000
"""Tokenizer, evaluation, logs."""
HALF_BYTES = 2
PROMPTS, SYSTEM_TEXT = "prompts/", "prompts/system-"
JOB_BYTES = 1_000_000
"""Our own programs, packed."""
DEFAULT_MAX_LENGTH = 2048
"""Of jobs/spec.py. Where nobody chose it, a model of fewer positions is no mistake as long as the rows are short."""
DEFAULT_SAVE_STEPS = 50
JOB_RECIPE = Recipe(
    quantisation=Quantisation.NF4_DOUBLE,
    optimizer=Optimizer.PAGED_ADAMW_8BIT,
    attention=Attention.FUSED,
    checkpointing=True,
    fused_loss=True,
    packed=False,
)
"""What jobs/qlora does on a CUDA GPU. base.py: NF4 with double quantisation, SDPA. train.py: paged_adamw_8bit, gradient
checkpointing, no packing: rows are padded to the longest of their micro-batch. TRL 1.16's SFTTrainer puts a fused head
on every model, also under PEFT (`add_fused_lm_head` in trl/trainer/utils.py): it makes logits in chunks, and for the
answer's tokens only, since our rows are prompt and completion."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What of `launch.yaml` decides how much work there is; words and defaults are those of `jobs/spec.py`."""

    model: str
    revision: str
    method: Method
    r: int
    lora_dropout: float
    target_modules: tuple[str, ...]
    epochs: float
    max_steps: int
    max_length: int
    per_device_train_batch_size: int
    gradient_accumulation_steps: int
    save_steps: int
    eval_steps: int
    packing: bool
    use_dora: bool
    max_new_tokens: int
    merged: bool
    validation: float
    test: float

    def __post_init__(self) -> None:
        batches = (self.per_device_train_batch_size, self.gradient_accumulation_steps)
        if (
            min(self.r, self.max_length, self.save_steps, *batches) < 1
            or not 0 < self.epochs < inf
            or not 0 <= self.validation + self.test < 1
        ):
            raise WorkloadError(
                "launch.yaml: ranks, lengths, batches and epochs must be positive, a split below 1", code="settings"
            )


def measure_spec(loaded: "LoadedSpec", *, environ: Mapping[str, str], cache: Path | None) -> Workload:
    """`measure` for a `launch.yaml` that `jobs.spec` has read."""
    from jobs.spec import data_files, prompt_files  # pydantic: start-up time

    data = {**data_files(loaded), **{f"prompts/{name}": path for name, path in prompt_files(loaded).items()}}
    return measure(loaded.spec.settings(), loaded.folder, data, environ=environ, cache=cache)


def measure(
    settings: Mapping[str, object],
    folder: Path,
    data: Mapping[str, Path],
    *,
    environ: Mapping[str, str],
    cache: Path | None,
) -> Workload:
    """What the job asks of a machine.

    `data` names its files: "train", and where there are any "validation", "test", "adjacent/<name>", and
    "prompts/system-<n>" for the texts of the prompted arm.
    Raises `WorkloadError`: unknown model (nearest names), no causal language model, rows that are no chat turns.
    """
    wanted = _settings(settings)
    model = find(wanted.model, wanted.revision, folder, environ=environ, cache=cache)
    _check(wanted, model)
    wanted = replace(wanted, max_length=min(wanted.max_length, model.decoder.positions or wanted.max_length))
    texts = [path for name, path in sorted(data.items()) if name.startswith(SYSTEM_TEXT)]
    parts = {name: path for name, path in data.items() if not name.startswith(PROMPTS)}
    rows, why = _counted(model, parts, environ, cache)
    if "train" not in rows or not rows["train"].lengths:
        raise WorkloadError(
            "there are no training rows", hint="data.train must name a JSONL file with chat turns", code="data"
        )
    shipped = JOB_BYTES + sum(path.stat().st_size for path in data.values())
    evaluate = _part(settings, "evaluate")
    return _workload(wanted, model, _Counted(rows, why, shipped, evaluate, Prompts.of(evaluate, texts)))


@dataclass(frozen=True)
class _Counted:
    """What was read of the job's files: rows by part, why they are guessed if they are, bytes to ship, what to ask."""

    rows: Mapping[str, Tally]
    why: str
    shipped: int
    evaluate: Mapping[str, object]
    prompts: Prompts


def remarks(workload: Workload) -> tuple[str, ...]:
    """A line for each part of the measure that is not what model and data themselves say, or surprises."""
    shape, lines = workload.shape, []
    if shape.source.startswith(TABLE):
        lines.append(f"model: dimensions from the {shape.source}")
    if workload.tokens_are.startswith(GUESSED):
        lines.append(
            f"tokens: {workload.tokens_are}; in 80 % of cases the truth lies within a factor of "
            f"{workload.token_spread:g}"
        )
    if workload.repeated_examples:
        lines.append(f"data: {workload.repeated_examples:,} conversations are repeats, and are trained on all the same")
    kept = shape.parameters - shape.embedding_parameters - shape.quantisable
    if workload.quantisation is not Quantisation.NONE and kept > shape.quantisable:
        lines.append(
            f"model: {kept / shape.parameters:.0%} of its weights are experts, which stay in 16 bits: only linear "
            "layers are quantised"
        )
    return tuple(lines)


def _check(wanted: Settings, model: Model) -> None:
    """Settings that the model cannot follow, before anything is counted or spent."""
    decoder, positions = model.decoder, model.decoder.positions
    if decoder.refused:
        raise WorkloadError(f"{model.name}: {decoder.refused}", hint="choose another model", code="model-kind")
    if positions is not None and wanted.max_length > positions and wanted.max_length != DEFAULT_MAX_LENGTH:
        raise WorkloadError(
            f"max_length {wanted.max_length:,}: {model.name} was made for sequences of at most {positions:,} tokens",
            hint=f"--set train.max_length={positions}",
            code="settings",
        )
    matrices = decoder.targeted(wanted.target_modules)
    _check_rank(wanted.r, matrices)
    if wanted.lora_dropout and any(one.kind is not Kind.LINEAR for one in matrices):
        raise WorkloadError(
            "target_modules: peft puts adapters on a mixture's experts and router only without dropout",
            hint="--set train.lora_dropout=0.0     # or leave them out: --set 'train.target_modules=[q_proj, v_proj]'",
            code="settings",
        )


def _check_rank(rank: int, matrices: Sequence[Matrix]) -> None:
    """A rank above the smaller side of a matrix adds parameters and no freedom.

    Routers and gates are as narrow as they have experts (or one output), and peft adapts them all the same.
    """
    wide = [one for one in matrices if one.kind is Kind.LINEAR and one.outputs > 1]
    narrow = min(wide, key=lambda one: min(one.inputs, one.outputs), default=None)
    if narrow is None or rank <= (least := min(narrow.inputs, narrow.outputs)):
        return
    raise WorkloadError(
        f"r {rank}: {narrow.name} has {narrow.inputs} x {narrow.outputs}, so a rank above {least} adds nothing",
        hint=f"--set train.r={least}",
        code="settings",
    )


def _workload(wanted: Settings, model: Model, counted: _Counted) -> Workload:
    train, test, validation = _split(wanted, counted.rows)
    decoder, why = model.decoder, counted.why
    lora_parameters = decoder.lora_parameters(wanted.r, wanted.target_modules)
    model_bytes = decoder.parameters * decoder.bytes_per_parameter
    is_shipped = model.is_local and model.folder is not None
    lengths = _fitting(train, wanted)
    sequences = packed(lengths, wanted.max_length) if wanted.packing else lengths
    ask = Rows(parts=counted.rows, test=test, validation=validation, max_new_tokens=wanted.max_new_tokens)
    return Workload(
        shape=decoder.shape(model.name, model.source),
        method=wanted.method,
        lora_rank=wanted.r,
        lora_parameters=lora_parameters,
        examples=len(lengths),
        tokens_per_epoch=sum(lengths),
        longest_tokens=max(sequences),
        epochs=_epochs(wanted, len(sequences)),
        max_length=wanted.max_length,
        micro_batch=wanted.per_device_train_batch_size,
        accumulation=wanted.gradient_accumulation_steps,
        evaluated_examples=len(test.lengths),
        evaluated_new_tokens=ask.new_tokens(test),
        arms=3 if counted.prompts.texts else 2,
        download_gib=0.0 if is_shipped else model_bytes / GIB,
        shipped_gib=(counted.shipped + (_folder_bytes(model.folder) if is_shipped else 0)) / GIB,
        result_gib=(lora_parameters * ADAPTER_BYTES + OTHER_RESULTS_BYTES) / GIB,
        tokens_are=f"{train.are} ({why})" if why else train.are,
        token_spread=train.spread,
        recipe=replace(JOB_RECIPE, packed=wanted.packing, dora=wanted.use_dora),
        padded_tokens_per_epoch=padded_tokens(sequences, wanted.per_device_train_batch_size),
        repeated_examples=train.repeated,
        save_steps=wanted.save_steps,
        packed_examples=len(sequences) if wanted.packing else None,
        asked=asked(counted.evaluate, counted.prompts, ask),
        validation_tokens=0 if validation is None else sum(validation.lengths),
        validation_steps=wanted.eval_steps or wanted.save_steps,
        merged_gib=decoder.parameters * HALF_BYTES / GIB if wanted.merged else 0.0,
    )


def _fitting(train: Tally, wanted: Settings) -> list[int]:
    """The rows that the job keeps: it drops those longer than `max_length`, and gives up where they are too many.

    That is refused here, before anything is rented; of guessed lengths only where even the shortest guess is too long.
    """
    kept = [length for length in train.lengths if length <= wanted.max_length]
    certain = sum(length / train.spread > wanted.max_length for length in train.lengths) / len(train.lengths)
    if certain > MOST_TOO_LONG or not kept:
        raise WorkloadError(
            f"{1 - len(kept) / len(train.lengths):.0%} of the training rows are longer than max_length "
            f"{wanted.max_length:,} and would be left out (at most {MOST_TOO_LONG:.0%} may be); "
            f"the longest has {max(train.lengths):,} tokens, {train.are}",
            hint=f"--set train.max_length={max(train.lengths)}     # or shorten the rows",
            code="data",
        )
    return kept


def _epochs(wanted: Settings, examples: int) -> float:
    """As in transformers: `max_steps`, where it is positive, wins over epochs."""
    if wanted.max_steps <= 0:
        return wanted.epochs
    steps_per_epoch = ceil(examples / (wanted.per_device_train_batch_size * wanted.gradient_accumulation_steps))
    return wanted.max_steps / steps_per_epoch


def _split(wanted: Settings, rows: Mapping[str, Tally]) -> tuple[Tally, Tally, Tally | None]:
    """Training, test and validation rows; where they are shares of one file, the job draws them by lot."""
    train, validation = rows["train"], rows.get("validation")
    whole = len(train.lengths)
    tested, validated = _share(whole, wanted.test), _share(whole, wanted.validation)
    if validation is None and validated:
        validation = train.tested(validated)
    trained = train.trained(max(1, whole - tested - validated))
    return trained, rows.get("test") or train.tested(tested), validation


def _share(whole: int, share: float) -> int:
    """How many rows jobs/qlora/dataset/split.py takes out for a part: at least one, never all."""
    return min(whole - 1, max(1, round(share * whole))) if share else 0


def _counted(
    model: Model, parts: Mapping[str, Path], environ: Mapping[str, str], cache: Path | None
) -> tuple[dict[str, Tally], str]:
    """The rows of each part, counted with the model's own template and tokenizer; else guessed, and why."""
    try:
        own = examiner(model, environ=environ, cache=cache)
    except HubError:
        return _counted_by_turns(model, parts, environ, cache)
    except WorkloadError as unusable:
        if unusable.code != TEMPLATE_CODE:
            raise
        return _counted_by_turns(model, parts, environ, cache)
    found = {name: own.examine(path, name).tally for name, path in parts.items()}
    return found, "" if own.counts else "its tokenizer.json is not understood"


def _counted_by_turns(
    model: Model, parts: Mapping[str, Path], environ: Mapping[str, str], cache: Path | None
) -> tuple[dict[str, Tally], str]:
    """The same where the template could not be read: each turn by itself."""
    try:
        own = Tokenizer(content=tokenizer(model, environ=environ, cache=cache), folder=cache)
    except HubError as missing:
        return {name: tally(path, None) for name, path in parts.items()}, missing.why
    counted = {name: own.tally(path) for name, path in parts.items()}
    whole = {name: rows for name, rows in counted.items() if rows is not None}
    if len(whole) == len(counted):
        return whole, ""
    return {name: tally(path, None) for name, path in parts.items()}, "its tokenizer.json is not understood"


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
            lora_dropout=_float(train, "lora_dropout", 0.05),
            target_modules=_targets(train),
            epochs=_float(train, "epochs", 3.0),
            max_steps=_int(train, "max_steps", 0),
            max_length=_int(train, "max_length", DEFAULT_MAX_LENGTH),
            per_device_train_batch_size=_int(train, "per_device_train_batch_size", 4),
            gradient_accumulation_steps=_int(train, "gradient_accumulation_steps", 4),
            save_steps=_int(train, "save_steps", DEFAULT_SAVE_STEPS),
            eval_steps=_int(train, "eval_steps", 0),
            packing=bool(train.get("packing")),
            use_dora=bool(train.get("use_dora")),
            max_new_tokens=_int(evaluate, "max_new_tokens", 0),
            merged=bool(_part(raw, "export").get("merged")),
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
