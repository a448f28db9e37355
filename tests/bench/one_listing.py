"""One `launch offers` in a process of its own, as `offers.py` starts it: the command itself, and when it did what."""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

if TYPE_CHECKING:  # what the command imports is a part of what is timed: nothing of it may be imported before
    from launcher.world import Console, World
    from pricing.offer import Offer
    from providers.base import OfferQuery, Provider

SDK = ("boto3", "botocore")
WHERE = {"aws": "AWS_ENDPOINT_URL", "lambda": "LAMBDA_API_BASE_URL", "runpod": "RUNPOD_API_BASE_URL"}
"""The variables that hold the address of each cloud."""

IMPORTS = ("launcher.cli", "launcher.listing", "launcher.tables", "launcher.wire", "launcher.moving", "launcher.world")
"""What the command imports at its own pace: all of it first, so that its start and its work are two figures."""
DRAWS = ("rich.console", "rich.live", "rich.text")
"""What it imports besides where somebody looks."""


class Marks:
    """Instants by name, on the clock that all processes of this computer share; of each name the first one counts."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.at: dict[str, float] = {}
        self.sdk_first = False
        """Whether AWS's SDK was imported before the first rows were shown."""
        self._clouds = {urlsplit(environ[variable]).port: name for name, variable in WHERE.items()}

    def note(self, what: str) -> None:
        """Now."""
        self.at.setdefault(what, time.monotonic())

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        """The interpreter's own hook: a provider's first request begins where it first connects to its cloud."""
        if event == "socket.connect" and isinstance(args[1], tuple) and args[1][1] in self._clouds:
            self.note(f"asked {self._clouds[args[1][1]]}")

    def shown(self) -> None:
        """The command turns to the first provider: the rows that were seen last have been shown."""
        if "shown" not in self.at:
            self.sdk_first = any(name in sys.modules for name in SDK)
            self.note("shown")


class Timed:
    """A provider as it is, whose answer is noted."""

    def __init__(self, provider: "Provider", marks: Marks) -> None:
        self._provider, self._marks = provider, marks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

    def offers(self, query: "OfferQuery") -> "tuple[Offer, ...]":
        """The provider's."""
        found = self._provider.offers(query)
        self._marks.note(f"answered {self._provider.name}")
        return found


def main() -> int:
    """The command; then, in the file that was named, its marks as JSON."""
    report = Path(sys.argv[1])
    marks = Marks(os.environ)
    sys.addaudithook(marks.audit)
    for name in (*IMPORTS, *DRAWS):
        import_module(name)
    from launcher import cli  # here, so that it is timed

    words = [word for name in WHERE for word in ("--provider", name)]
    code = cli.main(["offers", *words], make_world=_watched(marks))
    marks.note("page")
    report.write_text(json.dumps({"at": marks.at, "sdk_first": marks.sdk_first, "code": code}))
    return code


def _watched(marks: Marks) -> "Callable[[Mapping[str, str], Console], World]":
    from launcher.world import real_world  # here, as above

    def make(environ: "Mapping[str, str]", console: "Console") -> "World":
        marks.note("ready")
        world = real_world(environ, console)

        def provider(name: str) -> "Provider":
            marks.shown()
            return cast("Provider", Timed(world.provider(name), marks))

        return replace(world, provider=provider)

    return make


if __name__ == "__main__":
    sys.exit(main())
