"""`launch.yaml` and the flags that change it, as one checked value; every mistake is told with its file and line."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from jobs import yaml_lines
from jobs.yaml_lines import Lined, YamlError

FILE = "launch.yaml"
PARTS = ("train", "validation", "test")
SHARE = 0.1
"""Of the rows, for validation and test each, where a job file names neither a test file nor a split (a habit)."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)


class SpecError(Exception):
    """The job file, a flag, or a file that it names is not as it should be."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


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
    lined = _read(file)
    flags = _Flags(lined.values, Path(file.parent.resolve().name).name)
    if data is not None:
        flags.put("--data", ("data",), _data_of(Path(data)))
    if model is not None:
        flags.put("--model", ("model",), str(Path(model).resolve()) if _is_local(model, Path()) else model)
        flags.values.pop("revision", None)  # it belonged to the other model
    for text in sets:
        flags.set(text)
    spec = _checked(flags, lined, file)
    loaded = LoadedSpec(spec=spec, folder=file.parent, file=file, model_folder=_model_folder(spec, file.parent))
    _need_files(loaded, lined)
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


class _Flags:
    """The file's values with the flags laid over them, and which flag said what."""

    def __init__(self, values: Mapping[str, object], folder_name: str) -> None:
        default = re.sub(r"[^A-Za-z0-9._-]+", "-", folder_name).strip("-._")[:63]
        self.values: dict[str, object] = {"name": default or "run", **values}
        self.said: dict[tuple[str, ...], str] = {}

    def put(self, flag: str, path: tuple[str, ...], value: object) -> None:
        """Lay one value over the file's."""
        self.said[path] = flag
        inner = self.values
        for key in path[:-1]:
            below = inner.get(key)
            inner[key] = dict(below) if isinstance(below, dict) else {}
            inner = inner[key]  # type: ignore[assignment]  # made a dict one line above
        inner[path[-1]] = value

    def set(self, text: str) -> None:
        """One `--set KEY=VALUE`."""
        key, equals, value = text.partition("=")
        path = tuple(key.strip().split("."))
        if not equals or not all(path):
            raise SpecError(f"--set {text}: not KEY=VALUE", "as `--set train.r=8`")
        try:
            is_text = path[-1] in {"name", "model", "revision"}  # 1e5 may be a commit
            self.put(f"--set {text}", path, value if is_text else yaml_lines.scalar(value))
        except YamlError as error:
            raise SpecError(f"--set {text}: {error.message}", "as `--set train.r=8`") from error


def _data_of(path: Path) -> dict[str, object]:
    if not path.is_dir():
        return {"train": str(path.resolve())}
    found = {part: str((path / f"{part}.jsonl").resolve()) for part in PARTS if (path / f"{part}.jsonl").is_file()}
    if "train" not in found:
        raise SpecError(f"--data {path}: there is no train.jsonl in it", "name the training file itself")
    return dict(found)


def _checked(flags: _Flags, lined: Lined, file: Path) -> JobSpec:
    try:
        return JobSpec.model_validate(flags.values)
    except ValidationError as error:
        found = error.errors(include_url=False)
        first = min(found, key=lambda one: (one["type"] != "extra_forbidden", lined.line(_keys(one["loc"]))))
        raise _mistake(first, flags, lined, file) from None  # the cause would only show pydantic's words


def _keys(loc: Sequence[str | int]) -> tuple[str | int, ...]:
    """A location without the names that pydantic gives to the branches of a union and to a mapping's keys."""
    return tuple(one for one in loc if isinstance(one, int) or re.fullmatch(r"\w+", one))


def _mistake(error: Mapping[str, object], flags: _Flags, lined: Lined, file: Path) -> SpecError:
    loc = error["loc"]
    path = _keys(loc if isinstance(loc, tuple) else ())
    dotted = ".".join(str(one) for one in path)
    where = _flag(flags, path) or f"{file}, line {lined.line(path)}"
    kind = str(error["type"])
    if kind == "extra_forbidden":
        return _unknown_key(where, path)
    if kind == "missing":
        return SpecError(f"{where}: `{dotted}` is missing", f"add it, or give `--set {dotted}=...`")
    if kind == "value_error":
        said = str(error["msg"]).removeprefix("Value error, ")
        return SpecError(f"{where}: {dotted}: {said}", "launch init     # shows every key with its meaning")
    return SpecError(
        f"{where}: `{dotted}` should be {_expected(kind, error)}, not {_shown(error['input'])}",
        "quotes make a text of a number" if kind == "string_type" else f"correct `{dotted}`",
    )


def _flag(flags: _Flags, path: Sequence[str | int]) -> str:
    found = [flag for said, flag in flags.said.items() if tuple(path[: len(said)]) == said or said[: len(path)] == path]
    return found[-1] if found else ""


def _unknown_key(where: str, path: tuple[str | int, ...]) -> SpecError:
    above, key = path[:-1], str(path[-1])
    known = sorted(_known(above))
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    inside = f" in `{'.'.join(str(one) for one in above)}`" if above else ""
    meant = f": did you mean `{near[0]}`?" if near else ""
    return SpecError(f"{where}: unknown key `{key}`{inside}{meant}", f"known here: {', '.join(known)}")


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


def _known(above: Sequence[str | int]) -> Iterator[str]:
    names = tuple(one for one in above if isinstance(one, str))
    model = _MODELS.get(names) or _MODELS.get(names[:1], JobSpec)
    yield from model.model_fields


_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "a text",
    "string_too_short": "a text that is not empty",
    "string_too_long": "a shorter text",
    "string_pattern_mismatch": "letters, digits, `-`, `_` and `.`, at most 63",
    "list_type": "a list, as [a, b]",
    "too_short": "a list that is not empty",
    "dict_type": "a block of keys",
    "model_type": "a block of keys",
}


def _expected(kind: str, error: Mapping[str, object]) -> str:
    context = error.get("ctx")
    limits = context if isinstance(context, dict) else {}
    match kind:
        case "literal_error":
            return f"one of {limits.get('expected')}"
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            limit = next(iter(limits.values()), "")
            return f"{'more' if kind.startswith('greater') else 'less'} than {'or ' if 'equal' in kind else ''}{limit}"
        case _:
            return _EXPECTED.get(kind, "something else")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _path(folder: Path, name: str) -> Path:
    return folder / Path(name).expanduser()


def _is_local(model: str, folder: Path) -> bool:
    """A path by its look, or because a folder of that name lies there; else an id of the Hub."""
    return model.startswith((".", "/", "~")) or _path(folder, model).is_dir()


def _model_folder(spec: JobSpec, folder: Path) -> Path | None:
    if not _is_local(spec.model, folder):
        if not _HUB_ID.fullmatch(spec.model):
            raise SpecError(f"model: {spec.model!r} is neither a folder nor an id of the Hub", "as `owner/name`")
        return None
    found = _path(folder, spec.model)
    if not (found / "config.json").is_file():
        raise SpecError(
            f"model: {found} holds no config.json", "name a folder that `save_pretrained` wrote, or an id of the Hub"
        )
    return found


def _need_files(loaded: LoadedSpec, lined: Lined) -> None:
    for part, path in data_files(loaded).items():
        if not path.is_file():
            where = f"{loaded.file}, line {lined.line(('data', part))}"
            raise SpecError(f"{where}: data.{part}: there is no file {path}", "paths start at the job file's folder")
