"""Our frozen values to JSON text for the ledger, and back, checked."""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Value = TypeVar("Value")


def dump(value: object) -> str:
    """A dataclass as JSON text."""
    kind: Any = type(value)
    return _adapter(kind).dump_json(value).decode()


def dump_beside(value: object, known: Mapping[str, str]) -> str:
    """As `dump`, where the JSON of some of its fields is known already; they come first."""
    kind: Any = type(value)
    rest = _adapter(kind).dump_json(value, exclude=set(known)).decode()
    head = ",".join(f'"{name}":{text}' for name, text in known.items())
    return f"{{{head},{rest[1:]}" if rest != "{}" else f"{{{head}}}"


def load(kind: type[Value], text: str) -> Value:
    """The dataclass that `dump` wrote."""
    known: Any = kind
    value: Value = _adapter(known).validate_json(text)
    return value


@cache
def _adapter(kind: Any) -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter  # here for start-up time: `ps` reads flat columns and never comes by

    return TypeAdapter(kind)
