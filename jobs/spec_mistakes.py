"""Who said what in a job (file or flag), and what to tell when it is wrong: where, what was meant, the nearest key."""

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

from jobs import yaml_lines
from jobs.yaml_lines import Lined, YamlError

Keys = tuple[str | int, ...]
_TEXTS = frozenset({"name", "model", "revision"})
"""`--set` takes these as they are: 1e5 may be a commit."""
_SHOWN_CHARACTERS = 60


class SpecError(Exception):
    """The job file, a flag, or a file that it names is not as it should be."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


class Said:
    """The file's values with the flags laid over them, and where each was said."""

    def __init__(self, lined: Lined, file: Path, *, default_name: str) -> None:
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", default_name).strip("-._")[:63]
        self.values: dict[str, object] = {"name": name or "run", **lined.values}
        self._lined, self._file = lined, file
        self._flags: dict[Keys, str] = {}

    def put(self, flag: str, path: Sequence[str], value: object) -> None:
        """Lay one value over the file's."""
        self._flags[tuple(path)] = flag
        inner = self.values
        for key in path[:-1]:
            below = inner.get(key)
            inner[key] = copy = dict(below) if isinstance(below, dict) else {}
            inner = copy
        inner[path[-1]] = value

    def set(self, text: str) -> None:
        """One `--set KEY=VALUE`. Raises `SpecError`."""
        key, equals, value = text.partition("=")
        path = key.strip().split(".")
        if not equals or not all(path):
            raise SpecError(f"--set {text}: not KEY=VALUE", "as `--set train.r=8`")
        try:
            self.put(f"--set {text}", path, value if path[-1] in _TEXTS else yaml_lines.scalar(value))
        except YamlError as error:
            raise SpecError(f"--set {text}: {error.message}", "as `--set train.r=8`") from error

    def where(self, path: Keys) -> str:
        """The flag that said it, else file and line."""
        flags = [flag for keys, flag in self._flags.items() if keys == path[: len(keys)] or path == keys[: len(path)]]
        return flags[-1] if flags and path else f"{self._file}, line {self.line(path)}"

    def line(self, path: Keys) -> int:
        """The line in the file, of the nearest thing above that is there."""
        return self._lined.line(path)


Models = Mapping[tuple[str, ...], type[BaseModel]]


def mistake(error: ValidationError, said: Said, models: Models) -> SpecError:
    """The first thing that is wrong, unknown keys before all: they are mostly the cause of the others."""
    found = error.errors(include_url=False)
    first = min(found, key=lambda one: (one["type"] != "extra_forbidden", said.line(_keys(one["loc"]))))
    path = _keys(first["loc"])
    where, dotted, kind = said.where(path), ".".join(str(one) for one in path), first["type"]
    if kind == "extra_forbidden":
        return _unknown_key(where, path, models)
    if kind == "missing":
        return SpecError(f"{where}: `{dotted}` is missing", "launch init     # writes a job file with every key")
    if kind == "value_error":
        return SpecError(f"{where}: {dotted}: {first['msg'].removeprefix('Value error, ')}", f"change `{dotted}`")
    expected = _expected(path, kind, first.get("ctx", {}))
    return SpecError(
        f"{where}: `{dotted}` should be {expected}, not {_shown(first['input'])}", _hint(path, kind, models)
    )


def _keys(loc: Keys) -> Keys:
    """A location without the names that pydantic gives to the branches of a union and to a mapping's keys."""
    return tuple(one for one in loc if isinstance(one, int) or re.fullmatch(r"\w+", one))


def _hint(path: Keys, kind: str, models: Models) -> str:
    if kind == "string_type":
        return "quotes make a text of a number"
    names = tuple(one for one in path if isinstance(one, str))
    model = models.get(names[:-1])
    field = model.model_fields.get(names[-1]) if model and names else None
    if field is None or field.is_required() or field.default is None or isinstance(field.default, BaseModel):
        return f"change `{'.'.join(names)}`"
    return f"without this line it is {field.default}"


def _unknown_key(where: str, path: Keys, models: Models) -> SpecError:
    above, key = path[:-1], str(path[-1])
    names = tuple(one for one in above if isinstance(one, str))
    known = sorted((models.get(names) or models[names[:1]]).model_fields)
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    inside = f" in `{'.'.join(str(one) for one in above)}`" if above else ""
    meant = f": did you mean `{near[0]}`?" if near else ""
    return SpecError(f"{where}: unknown key `{key}`{inside}{meant}", f"known here: {', '.join(known)}")


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
_LIMITS = {
    "greater_than": ("gt", "more than {}"),
    "greater_than_equal": ("ge", "{} or more"),
    "less_than": ("lt", "less than {}"),
    "less_than_equal": ("le", "{} or less"),
}


def _expected(path: Keys, kind: str, context: Mapping[str, object]) -> str:
    if path[-1:] == ("target_modules",):
        return "a list, as [q_proj, v_proj], or all-linear"
    if kind == "literal_error":
        return f"one of {context.get('expected')}"
    if kind in _LIMITS:
        key, text = _LIMITS[kind]
        limit = context.get(key)
        return text.format(int(limit) if isinstance(limit, float) and limit.is_integer() else limit)
    return _EXPECTED.get(kind, "something else")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."
