"""`launch.yaml` and the flags that change it, as one checked value; every mistake is told with its file and line."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from jobs import yaml_lines
from jobs.spec_data import PARTS, Columns, Data, Deduplicate, Split
from jobs.spec_evaluate import GATED, Adjacent, Evaluate, Gate, Judge, Larger, Prompted, Rule
from jobs.spec_mistakes import Said, SpecError, mistake
from jobs.spec_parts import Part, Text
from jobs.spec_train import Export, Train
from jobs.yaml_lines import Lined, YamlError

__all__ = [
    "FILE",
    "JobSpec",
    "LoadedSpec",
    "SpecError",
    "data_files",
    "hub_data",
    "load",
    "load_flags",
    "prompt_files",
    "with_parts",
]

FILE = "launch.yaml"
DATA_SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_HUB_DATA = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(:[\w./-]+)?", re.ASCII)


class JobSpec(Part):
    """One job: CONTRACT.md's `launch.yaml`."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    model: Text
    revision: Text | None = None
    data: Data
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    gate: Gate = Gate()
    export: Export = Export()
    privacy: Literal["public", "private"] = "public"
    """`private`: no private hosts, no judge or other outside model, no tracker sees the data."""

    @model_validator(mode="after")
    def _keeps_to_itself(self) -> "JobSpec":
        if self.privacy == "private" and (why := _seen_outside(self)):
            raise ValueError(why)
        compared = {rule.better_than for rule in self.gate.rules().values()}
        for arm in ("prompted", "larger"):
            if arm in compared and getattr(self.evaluate, arm) is None:
                raise ValueError(f"the gate says `better_than: {arm}`, but there is no `evaluate.{arm}`")
        return self

    def settings(self) -> dict[str, object]:
        """As JSON takes it, all defaults spelled out: what job.json carries to the machine."""
        made = self.model_dump(mode="json")
        made["gate"] = self.gate.model_dump(mode="json", exclude_none=True)
        return made


@dataclass(frozen=True, kw_only=True)
class LoadedSpec:
    """A job and where it was read; its paths start at `folder`. `model_folder`: a base model that lies here, if any."""

    spec: JobSpec
    folder: Path
    file: Path
    model_folder: Path | None = None
    parts: Mapping[str, Path] = field(default_factory=dict)
    """The rows as they are shipped, by name as in `data_files`; empty until they were checked and parted."""
    places: Mapping[str, str] = field(default_factory=dict)
    """Where the keys stand (file and line, or the flag) that are checked against the rows, and so later: `_LATER`."""


def data_files(loaded: LoadedSpec) -> dict[str, Path]:
    """The data files here, by "train", "validation", "test" and "adjacent/<name>": the made parts, else as given."""
    if loaded.parts:
        return dict(loaded.parts)
    here = {what: name for what, name in _data_names(loaded.spec).items() if not _is_hub_data(name, loaded.folder)}
    return {what: _path(loaded.folder, name) for what, name in here.items()}


def hub_data(loaded: LoadedSpec) -> dict[str, str]:
    """The data sets of the Hub that the job names, as `owner/name` or `owner/name:path`, by the same names."""
    return {what: name for what, name in _data_names(loaded.spec).items() if _is_hub_data(name, loaded.folder)}


def prompt_files(loaded: LoadedSpec) -> dict[str, Path]:
    """The system texts that the job names, by the name that they are shipped under."""
    prompted, larger = loaded.spec.evaluate.prompted, loaded.spec.evaluate.larger
    texts = [] if prompted is None else prompted.files
    found = {f"system-{number}": _path(loaded.folder, name) for number, name in enumerate(texts)}
    if larger is not None and larger.system is not None:
        found["larger"] = _path(loaded.folder, larger.system)
    return found


def with_parts(loaded: LoadedSpec, parts: Mapping[str, Path]) -> LoadedSpec:
    """The job with its rows made into parts: nothing is left to split, select or take out."""
    off = Deduplicate(by="off")
    done = {"split": None, "select": None, "deduplicate": off, "columns": None, "shape": "messages"}
    data = loaded.spec.data.model_copy(update=done)
    return replace(loaded, spec=loaded.spec.model_copy(update={"data": data}), parts=dict(parts))


def made_private(loaded: LoadedSpec) -> LoadedSpec:
    """The job as if it said `privacy: private`. Raises `SpecError` where it lets others see the data."""
    if why := _seen_outside(loaded.spec):
        raise SpecError(f"{loaded.file}: {why}")
    return replace(loaded, spec=loaded.spec.model_copy(update={"privacy": "private"}))


def _seen_outside(spec: JobSpec) -> str:
    """Why private data would not stay so; "" where it does."""
    asked = [name for name in ("judge", "larger") if getattr(spec.evaluate, name) is not None]
    return f"`privacy: private` and `evaluate.{asked[0]}` exclude each other: it would see the data" if asked else ""


def _data_names(spec: JobSpec) -> dict[str, str]:
    named: dict[str, str | None] = {part: getattr(spec.data, part) for part in PARTS}
    named |= {f"adjacent/{one.name}": one.data for one in spec.evaluate.adjacent}
    return {what: name for what, name in named.items() if name is not None}


def _is_hub_data(name: str, folder: Path) -> bool:
    """By its look; what lies here, or has the ending of a data file, is a file."""
    here = name.startswith((".", "/", "~")) or name.endswith(DATA_SUFFIXES) or _path(folder, name).exists()
    return bool(_HUB_DATA.fullmatch(name)) and (":" in name or not here)


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
    places = {".".join(path): said.where(path) for path in _LATER}
    loaded = LoadedSpec(spec=spec, folder=file.parent, file=file, model_folder=model_folder, places=places)
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
        return {"train": str(path) if _is_hub_data(str(path), Path()) else str(path.resolve())}
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
    ("data", "columns"): Columns,
    ("data", "deduplicate"): Deduplicate,
    ("train",): Train,
    ("evaluate",): Evaluate,
    ("evaluate", "prompted"): Prompted,
    ("evaluate", "adjacent"): Adjacent,
    ("evaluate", "judge"): Judge,
    ("evaluate", "larger"): Larger,
    ("export",): Export,
    ("gate",): Gate,
    **{("gate", metric): Rule for metric in GATED},
}
"""Which keys belong where."""
_LATER = (("evaluate", "metrics"), ("evaluate", "adjacent"), *(("gate", metric) for metric in GATED))
"""Keys that only the rows can prove wrong (`jobs/metric_fit.py`)."""


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
    """Every file that is named lies there."""
    for what, path in data_files(loaded).items():
        keys: tuple[str, ...] = ("data", what) if what in PARTS else ("evaluate", "adjacent")
        _need_file(path, said.where(keys), ".".join(keys))
    for name, path in prompt_files(loaded).items():
        keys = ("evaluate", "larger" if name == "larger" else "prompted", "system")
        _need_file(path, said.where(keys), ".".join(keys))


def _need_file(path: Path, where: str, key: str) -> None:
    if not path.is_file():
        raise SpecError(f"{where}: {key}: there is no file {path}", "paths start at the job file's folder")
