"""Our frozen values to JSON text for the ledger, and back, checked."""

from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Value = TypeVar("Value")


def dump(value: object) -> str:
    """A dataclass as JSON text."""
    kind: Any = type(value)
    return _adapter(kind).dump_json(value).decode()


def load(kind: type[Value], text: str) -> Value:
    """The dataclass that `dump` wrote."""
    known: Any = kind
    value: Value = _adapter(known).validate_json(text)
    return value


@cache
def _adapter(kind: Any) -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter  # here for start-up time: `ps` reads flat columns and never comes by

    return TypeAdapter(kind)
