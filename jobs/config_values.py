"""The values of a model's config.json, each checked as it is read; and the error for what cannot be measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field


class WorkloadError(Exception):
    """The job cannot be measured: what is wrong, in `hint` what to do about it, and a `code` of docs/errors.md."""

    def __init__(self, message: str, hint: str = "", *, code: str = "workload") -> None:
        super().__init__(message)
        self.message, self.hint, self.code = message, hint, code


@dataclass(frozen=True, kw_only=True)
class ConfigValues:
    """A parsed config.json. What it leaves out is as in transformers' class for its type (`defaults`).

    transformers writes no key whose value is the default of its class, so a missing key means that default.
    """

    raw: Mapping[str, object]
    where: str
    defaults: Mapping[str, object] = field(default_factory=dict)

    def size(self, *keys: str, default: int | None = None) -> int:
        """A whole number of at least 1 under the first of `keys` that is there. Raises `WorkloadError`."""
        return self._whole(keys, 1, default)

    def count(self, *keys: str, default: int | None = None) -> int:
        """The same, of at least 0."""
        return self._whole(keys, 0, default)

    def flag(self, key: str) -> bool:
        """True or false; false where neither the file nor the class says it."""
        return bool(self._value(key))

    def numbers(self, key: str) -> frozenset[int]:
        """A list of whole numbers (layer indices); empty where there is none."""
        value = self._value(key)
        return frozenset(one for one in value if isinstance(one, int)) if isinstance(value, list) else frozenset()

    def has(self, key: str) -> bool:
        """Whether a value is said, by the file or by its class."""
        return self._value(key) is not None

    def _value(self, key: str) -> object:
        """A null that stands in the file is a value of its own: it overrides the default of the class."""
        return self.raw[key] if key in self.raw else self.defaults.get(key)

    def _whole(self, keys: tuple[str, ...], least: int, default: int | None) -> int:
        value = next((self._value(key) for key in keys if self.has(key)), default)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise WorkloadError(
                f"{self.where}: config.json has no usable {keys[0]} (found {value!r})",
                hint="a decoder's config.json in the layout of transformers is needed",
                code="model-kind",
            )
        return value
