"""Reads a provider's own part of `config.yaml` key by key; what does not belong is refused, with key and reason."""

import difflib
import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from providers.base import NotSetUp

Reader = Callable[[str, object], Any]
"""Takes the full name of a key and its value; gives the value checked, or calls `wrong`."""
LAST_PORT = 65535
WIDEST_PREFIX = 24
"""The widest network that may reach a machine's SSH port: an office, never the whole internet."""
LONGEST_PAUSE_SECONDS = 60.0


def read(provider: str, raw: Mapping[str, object], readers: Mapping[str, Reader]) -> dict[str, Any]:
    """Each key's value by its reader. Raises `NotSetUp` that names the key, and what was expected."""
    for key in raw:
        if key not in readers:
            close = difflib.get_close_matches(key, readers, n=1)
            there = f"did you mean {close[0]}" if close else f"there are {', '.join(readers)}"
            wrong(f"providers.{provider}.{key}", f"is no setting; {there}")
    return {key: readers[key](f"providers.{provider}.{key}", value) for key, value in raw.items()}


def wrong(key: str, text: str) -> NoReturn:
    """Refuse the setting `key`."""
    raise NotSetUp(f"{key} {text}", code="settings", fix="correct it in config.yaml (`launch doctor` shows the file)")


def text(key: str, value: object) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        wrong(key, f"must be a text, not {value!r}")
    return value


def version(key: str, value: object) -> str:
    """A version of two numbers, in quotes: YAML would read 12.80 as 12.8."""
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,3}\.[0-9]{1,3}", value):
        wrong(key, f"must be a version such as '12.8', not {value!r}")
    return value


def texts(key: str, value: object) -> tuple[str, ...]:
    """At least one name."""
    if not isinstance(value, list | tuple) or not value:
        wrong(key, f"must be a list of names, not {value!r}")
    return tuple(text(key, one) for one in value)


def names_to_texts(key: str, value: object) -> dict[str, str]:
    """A mapping of texts to texts."""
    if not isinstance(value, Mapping):
        wrong(key, f"must be a mapping such as {{us-east-2a: id}}, not {value!r}")
    return {text(key, place): text(key, one) for place, one in value.items()}


def port(key: str, value: object) -> int:
    """A TCP port."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LAST_PORT:
        wrong(key, f"must be a port number, not {value!r}")
    return value


def flag(key: str, value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        wrong(key, f"must be true or false, not {value!r}")
    return value


def seconds(key: str, value: object) -> float:
    """A short time between two requests, from 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LONGEST_PAUSE_SECONDS:
        wrong(key, f"must be a number of seconds from 0 to {LONGEST_PAUSE_SECONDS:g}, not {value!r}")
    return float(value)


def cidr(key: str, value: object) -> str:
    """An IPv4 network that is not too wide."""
    try:
        network = ipaddress.IPv4Network(text(key, value), strict=False)
    except ValueError:
        wrong(key, f"must be an IPv4 network such as 203.0.113.7/32, not {value!r}")
    if network.prefixlen < WIDEST_PREFIX:
        wrong(key, f"may be no wider than /{WIDEST_PREFIX}, and is /{network.prefixlen}")
    return str(network)


def one_of(*words: str) -> Reader:
    """A reader for one of some words."""

    def read_word(key: str, value: object) -> str:
        if value not in words:
            wrong(key, f"must be one of {', '.join(words)}, not {value!r}")
        return str(value)

    return read_word
