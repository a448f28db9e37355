"""Everything outside that the story touches, in one value; `real_world` is the only place where it is put together."""

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from launcher.config import Config, load_config
from launcher.errors import LaunchError
from launcher.events import Happened
from launcher.interrupt import Interrupt
from launcher.ledger import Ledger
from launcher.remote import Keys, Remote
from providers.base import Access, Provider


class Console(Protocol):
    """Where events and questions go: a terminal, plain lines, JSON, or a test's list."""

    def tell(self, event: Happened) -> None:
        """Show one event."""

    def fail(self, error: LaunchError, run: str) -> None:
        """Show how it ended, when it ended badly."""

    def ask(self, question: str, *, default: bool) -> bool | None:
        """A yes/no question; None where nobody can answer (no terminal)."""


@dataclass(frozen=True, kw_only=True)
class World:
    """What the story needs. Tests hand in another one; nothing is patched."""

    environ: Mapping[str, str]
    home: Path
    config: Config
    ledger: Ledger
    console: Console
    interrupt: Interrupt
    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    """Waits, and raises `Interrupted` as soon as the person asked to stop."""
    provider_names: tuple[str, ...]
    provider: Callable[[str], Provider]
    remote: Callable[[Access, Keys], Remote]
    job_folder: Path
    spawn: Callable[[str], None]
    """Starts a background process of ours that carries run `id` on."""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    def run_folder(self, run_id: str) -> Path:
        """Where we keep a run's keys, bundle and checkpoints."""
        return self.home / "runs" / run_id
