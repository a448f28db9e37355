"""Finds the providers by listing this package's files, and connects to one by importing it: none is named here."""

import importlib
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import cast

from providers.base import NotSetUp, Provider, Surroundings, Traits

ENTRY = "\ndef connect("
"""A provider's file defines `connect(surroundings) -> Provider` and `TRAITS`; the private modules beside it do not."""
SUFFIX = "_cloud"
"""Carried by the file of a provider whose name alone is a word of Python (`lambda_cloud.py` is `lambda`)."""


def names() -> tuple[str, ...]:
    """All providers, in alphabetical order; nothing is imported for it."""
    return tuple(sorted(_modules()))


def traits(name: str) -> Traits:
    """What a provider can do; its file imports no SDK for it. Raises `NotSetUp` for an unknown name."""
    return cast("Traits", _module(name).TRAITS)


def connect(name: str, surroundings: Surroundings) -> Provider:
    """The provider `name`, ready to be asked. Raises `NotSetUp` for an unknown name or wrong settings."""
    return cast("Provider", _module(name).connect(surroundings))


def places() -> tuple[str, ...]:
    """Variables of the environment that say where a provider is asked and as whom: its file's `PLACES`, no secrets.

    Whatever runs a command of ours in another environment hands them on; any other provider's file has none.
    """
    return tuple(sorted({name for provider in names() for name in getattr(_module(provider), "PLACES", ())}))


@cache
def _modules() -> dict[str, str]:
    files = [path for path in sorted(Path(__file__).parent.glob("*.py")) if ENTRY in path.read_text("utf-8")]
    others = [path for path in files if path.name != Path(__file__).name]
    return {path.stem.removesuffix(SUFFIX): f"{__package__}.{path.stem}" for path in others}


def _module(name: str) -> ModuleType:
    if name not in _modules():
        raise _unknown(name)
    return importlib.import_module(_modules()[name])


def _unknown(name: str) -> NotSetUp:
    import difflib  # start-up time: needed only for a wrong name

    close = difflib.get_close_matches(name.lower(), names(), n=1, cutoff=0.4)
    fix = f"did you mean {close[0]}? " if close else ""
    return NotSetUp(f"no provider is called {name!r}", fix=f"{fix}there are: {', '.join(names())}")
