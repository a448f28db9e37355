"""`launch.yaml` and the flags that change it, as one checked value; every mistake is told with its file and line."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from jobs import yaml_lines
from jobs.spec_mistakes import Said, SpecError, mistake
from jobs.yaml_lines import Lined, YamlError

__all__ = ["FILE", "JobSpec", "LoadedSpec", "SpecError", "data_files", "load", "load_flags"]

FILE = "launch.yaml"
PARTS = ("train", "validation", "test")
SHARE = 0.1
"""Of the rows, for validation and test each, where a job file names neither a test file nor a split (a habit)."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


Text = Annotated[str, Field(min_length=1, max_length=1000)]
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class Split(_Part):
    """Shares of the training file that are held out before anything else; rows with the same `group` stay together."""

    validation: Share = 0.0
    test: Share = 0.0
    group: Text | None = None

    @model_validator(mode="after")
    def _leaves_rows(self) -> "Split":
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together leave nothing to train on")
        return self


class Data(_Part):
    """JSONL files of chat turns, from the job file's folder on; without a test file a share of `train` is held out."""

    train: Text
    validation: Text | None = None
    test: Text | None = None
    split: Split | None = None

    @model_validator(mode="before")
    @classmethod
    def _held_out(cls, raw: object) -> object:
        if isinstance(raw, dict) and raw.get("test") is None and raw.get("split") is None:
            return {**raw, "split": {"test": SHARE, "validation": 0.0 if raw.get("validation") else SHARE}}
        return raw

    @model_validator(mode="after")
    def _each_once(self) -> "Data":
        shares = self.split or Split()
        if (self.test is None) != (shares.test > 0):
            raise ValueError("test rows come from a `test` file or from `split.test`: name one of the two")
        if self.validation is not None and shares.validation > 0:
            raise ValueError("validation rows come from a `validation` file or from `split.validation`, not from both")
        return self


class Train(_Part):
    """How to tune, in the words of transformers, peft and TRL; the defaults suit a small QLoRA run on one card."""

    method: Literal["qlora", "lora"] = "qlora"
    r: Annotated[int, Field(ge=1, le=1024)] = 16
    lora_alpha: Count = 32
    lora_dropout: Share = 0.05
    target_modules: Annotated[list[Text], Field(min_length=1)] | Literal["all-linear"] = ["q_proj", "v_proj"]
    epochs: Annotated[float, Field(gt=0, le=1000)] = 3.0
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 2e-4
    max_length: Annotated[int, Field(ge=16, le=1 << 20)] = 2048
    per_device_train_batch_size: Count = 4
    gradient_accumulation_steps: Count = 4
    max_steps: Count | None = None
    save_steps: Count = 50
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 17


class Prompted(_Part):
    """The untuned model with a written prompt and examples: what tuning has to beat."""

    system: Text
    shots: Annotated[int, Field(ge=0)] = 0


class Adjacent(_Part):
    """A task that the model was not tuned for, and by how much it may get worse there."""

    name: Text
    data: Text
    metric: Text
    allow_drop: Share


class Evaluate(_Part):
    """What is measured on the test rows, before and after."""

    metrics: Annotated[list[Literal["exact", "json_fields"]], Field(min_length=1)] = ["exact", "json_fields"]
    max_new_tokens: Count | None = None
    prompted: Prompted | None = None
    adjacent: list[Adjacent] = []

    @model_validator(mode="after")
    def _not_yet(self) -> "Evaluate":
        for key in ("prompted", "adjacent"):
            if getattr(self, key):
                raise ValueError(f"`{key}` is understood, but this version does not run that arm yet: take it out")
        return self


class Rule(_Part):
    """What a metric of the tuned model must reach for the run to count as a success."""

    at_least: float | None = None
    better_than: Literal["base", "prompted"] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "Rule":
        if self.better_than == "prompted":
            raise ValueError("`better_than: prompted` needs the prompted arm, which this version does not run yet")
        if self.at_least is None and self.better_than is None:
            raise ValueError("a gate says `at_least` or `better_than`")
        return self


class JobSpec(_Part):
    """One job: CONTRACT.md's `launch.yaml`."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    model: Text
    revision: Text | None = None
    data: Data
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    gate: dict[Literal["exact", "partial", "loss"], Rule] = {}

    def settings(self) -> dict[str, object]:
        """As JSON takes it, all defaults spelled out: what job.json carries to the machine."""
        return self.model_dump(mode="json")


@dataclass(frozen=True, kw_only=True)
class LoadedSpec:
    """A job and where it was read; its paths start at `folder`. `model_folder`: a base model that lies here, if any."""

    spec: JobSpec
    folder: Path
    file: Path
    model_folder: Path | None = None


def data_files(loaded: LoadedSpec) -> dict[str, Path]:
    """The data files that there are, by "train", "validation", "test"."""
    named = {part: getattr(loaded.spec.data, part) for part in PARTS}
    return {part: _path(loaded.folder, name) for part, name in named.items() if name is not None}


def load(path: Path, *, sets: Sequence[str] = (), model: str | None = None, data: str | None = None) -> LoadedSpec:
    """Read a job: `path` is the file, or the folder of a launch.yaml.

    `sets` are `--set KEY=VALUE`; `model` and `data` are the flags (paths from the current folder; `data` is a training
    file, or a folder with train.jsonl and the like). Raises `SpecError`.
    """
    file = path / FILE if path.is_dir() else path
    return _loaded(Said(_read(file), file, default_name=file.resolve().parent.name), file, sets, (model, data))


def load_flags(model: str, data: str, *, sets: Sequence[str] = ()) -> LoadedSpec:
    """A job without a file: model and data as the flags say them, all else as the defaults. Raises `SpecError`."""
    said = Said(Lined(values={}, lines={}), Path(FILE), default_name=Path(data).stem)
    return _loaded(said, Path(FILE), sets, (model, data))


def _loaded(said: Said, file: Path, sets: Sequence[str], flags: tuple[str | None, str | None]) -> LoadedSpec:
    """What was said in the file, with the flags (model, data) and `sets` laid over it, checked."""
    model, data = flags
    if data is not None:
        said.put(f"--data {data}", ("data",), _data_of(Path(data)))
    if model is not None:
        said.put(f"--model {model}", ("model",), str(Path(model).resolve()) if _is_local(model, Path()) else model)
        said.values.pop("revision", None)  # it belonged to the other model
    for text in sets:
        said.set(text)
    spec = _checked(said)
    model_folder = _model_folder(spec, file.parent, said)
    loaded = LoadedSpec(spec=spec, folder=file.parent, file=file, model_folder=model_folder)
    _need_files(loaded, said)
    return loaded


def _read(file: Path) -> Lined:
    try:
        return yaml_lines.read(file)
    except FileNotFoundError as error:
        raise SpecError(f"there is no job file {file}", "launch init     # writes one") from error
    except OSError as error:
        raise SpecError(f"{file} cannot be read: {error.strerror}", "check its permissions") from error
    except YamlError as error:
        raise SpecError(
            f"{file}, line {error.line}: {error.message}", "YAML: `key: value`, two spaces a level"
        ) from error


def _data_of(path: Path) -> dict[str, object]:
    if not path.is_dir():
        return {"train": str(path.resolve())}
    found = {part: str((path / f"{part}.jsonl").resolve()) for part in PARTS if (path / f"{part}.jsonl").is_file()}
    if "train" not in found:
        raise SpecError(f"--data {path}: there is no train.jsonl in it", "name the training file itself")
    return dict(found)


def _checked(said: Said) -> JobSpec:
    try:
        return JobSpec.model_validate(said.values)
    except ValidationError as error:
        raise mistake(error, said, _MODELS) from None  # the cause would only show pydantic's words


_MODELS: Mapping[tuple[str, ...], type[BaseModel]] = {
    (): JobSpec,
    ("data",): Data,
    ("data", "split"): Split,
    ("train",): Train,
    ("evaluate",): Evaluate,
    ("evaluate", "prompted"): Prompted,
    ("evaluate", "adjacent"): Adjacent,
    ("gate",): Rule,
}
"""Which keys belong where; in `gate` the keys below a metric."""


def _path(folder: Path, name: str) -> Path:
    return folder / Path(name).expanduser()


def _is_local(model: str, folder: Path) -> bool:
    """A path by its look, or because a folder of that name lies there; else an id of the Hub."""
    return model.startswith((".", "/", "~")) or _path(folder, model).is_dir()


def _model_folder(spec: JobSpec, folder: Path, said: Said) -> Path | None:
    where = said.where(("model",))
    if not _is_local(spec.model, folder):
        if not _HUB_ID.fullmatch(spec.model):
            raise SpecError(
                f"{where}: model: {spec.model!r} is neither a folder nor an id of the Hub", "as `owner/name`"
            )
        return None
    found = _path(folder, spec.model)
    if not (found / "config.json").is_file():
        hint = "name a folder that `save_pretrained` wrote, or an id of the Hub"
        raise SpecError(f"{where}: model: {found} holds no config.json", hint)
    return found


def _need_files(loaded: LoadedSpec, said: Said) -> None:
    for part, path in data_files(loaded).items():
        if not path.is_file():
            where = said.where(("data", part))
            raise SpecError(f"{where}: data.{part}: there is no file {path}", "paths start at the job file's folder")
