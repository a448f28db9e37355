"""`launch` as typed, in a world in memory, and what it said."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from launcher.cli import main
from launcher.world import Console, World
from tests.fake_world import Stage

Launch = Callable[..., int]
Capture = pytest.CaptureFixture[str]


def typing(stage: Stage) -> Launch:
    """The command; keywords are environment variables. Like the real one, a pause ends when somebody asks to stop."""

    def world(environ: Mapping[str, str], console: Console) -> World:
        made = stage.laptop()

        def sleep(seconds: float) -> None:
            stage.clock.sleep(seconds)
            made.interrupt.check()

        return replace(made, console=console, environ=environ, sleep=sleep)

    def run(*argv: str, **environ: str) -> int:
        around = {"LAUNCH_HOME": str(stage.folder), "PATH": os.environ["PATH"], **environ}
        return main(list(argv), make_world=world, environ=around)

    return run


def words(text: str) -> str:
    """Without line ends and columns."""
    return " ".join(text.split())


def document(capsys: Capture) -> dict[str, Any]:
    """The one JSON document that was printed."""
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found
