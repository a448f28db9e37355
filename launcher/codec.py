"""Our frozen values to JSON text for the ledger, and back, checked."""

from typing import TypeVar

Value = TypeVar("Value")


def dump(value: object) -> str:
    """A dataclass as JSON text."""
    from pydantic import TypeAdapter  # here for start-up time: `ps` reads flat columns and never comes by

    return TypeAdapter(type(value)).dump_json(value).decode()


def load(kind: type[Value], text: str) -> Value:
    """The dataclass that `dump` wrote."""
    from pydantic import TypeAdapter  # here for start-up time, as above

    return TypeAdapter(kind).validate_json(text)
