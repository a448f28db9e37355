"""Everything outside that the story touches, in one value; `real_world` is the only place where it is put together."""

import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from pathlib import Path
from typing import Protocol

import jobs
from launcher import display, place, wire
from launcher.bucket import Bucket
from launcher.config import Config, home, load_config
from launcher.connect import connect
from launcher.errors import Exit, LaunchError
from launcher.events import Forecast, Happened, Progressed
from launcher.feed import Feed, GuestFeed
from launcher.guest import Guest
from launcher.interrupt import Interrupt
from launcher.ledger import Ledger, Told
from launcher.place import Place
from launcher.remote import Keys, Remote
from providers import registry
from providers.base import Access, Provider, Surroundings


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
    feed: Callable[[Guest, int], Feed]
    """Follows a guest's progress from that byte on."""
    job_folder: Path
    here: Place
    """This computer, as other ones know it that may carry the same runs."""
    spawn: Callable[[str], None]
    """Starts a background process of ours that carries the run of that id on."""
    browse: Callable[[Path], bool]
    """Shows a page in the person's browser; whether there is one."""
    run_program: Callable[[Sequence[str]], tuple[int, str]] = lambda words: (127, f"{words[0]} is not here")
    """Runs a program of this computer, e.g. its timer's: its exit code, and what it said."""
    bucket: Callable[[], Bucket] | None = None
    """The durable store; None: this user has none."""
    taken_over: Container[str] = ()
    """Runs that a person takes from another computer which carries them."""

    def run_folder(self, run_id: str) -> Path:
        """Where we keep a run's keys, bundle and checkpoints."""
        return _run_folder(self.home, run_id)


@lru_cache(maxsize=16)
def _run_folder(home: Path, run_id: str) -> Path:
    """It is asked for with every word to a machine."""
    return home / "runs" / run_id


OWNER = re.compile(r"[0-9a-f]{32}")
PROGRAM_SECONDS = 20.0
"""What a program of this computer may take that sets a timer."""
SLICE_SECONDS = 0.2
"""The longest that a Ctrl-C waits to be seen while we sleep."""


def real_world(environ: Mapping[str, str], console: Console) -> World:
    """This computer, its clock, its ssh, the real clouds. Nothing is connected before it is asked for."""
    state = home(environ)
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    config = load_config(environ)
    ledger = Ledger(state / "ledger.sqlite")
    interrupt, clock = Interrupt(), SteadyClock(since=ledger.latest())
    return World(
        environ=environ,
        home=state,
        config=config,
        ledger=ledger,
        console=Recorder(console, ledger),
        interrupt=interrupt,
        now=clock,
        sleep=lambda seconds: _sleep(seconds, interrupt),
        provider_names=registry.names(),
        provider=_providers(environ, state, config, clock),
        remote=lambda access, keys: connect(access, keys, environ),
        feed=GuestFeed,
        job_folder=Path(jobs.__file__).parent / "qlora",
        here=place.here(state),
        spawn=lambda run_id: _spawn(run_id, state, environ),
        browse=lambda page: _browse(page, environ),
        run_program=lambda words: _run_program(words, environ),
        bucket=_bucket(environ, config),
    )


def utc_now() -> datetime:
    """This computer's clock, as an aware instant."""
    return datetime.now(UTC)


class SteadyClock:
    """The time that money is counted by: this computer's clock, but for being set back, which would lose time.

    It goes forward with the computer's clock (a laptop that slept has lost the hours), and never slower than the
    monotonic one. It begins no earlier than `since`, the last that open runs were written down at: a clock set back
    before this process began would lose the time between. One that was ahead then, and is right now, counts time that
    never was: such a run ends early, and never over its budget.
    """

    def __init__(
        self,
        wall: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        since: datetime | None = None,
    ) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._last, self._at = max(wall(), since or wall()), monotonic()

    def __call__(self) -> datetime:
        """Now, as an aware instant."""
        at, last = self._monotonic(), self._last
        if at != self._at:
            last += timedelta(seconds=at - self._at)
            self._at = at
        self._last = max(self._wall(), last)
        return self._last


def _sleep(seconds: float, interrupt: Interrupt) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        interrupt.check()
        time.sleep(min(left, SLICE_SECONDS))
    interrupt.check()


def _providers(
    environ: Mapping[str, str], state: Path, config: Config, clock: Callable[[], datetime]
) -> Callable[[str], Provider]:
    @cache
    def provider(name: str) -> Provider:
        settings = dict(config.providers.get(name, {}))
        if name in config.regions:
            settings.setdefault("regions", list(config.regions[name]))
        surroundings = Surroundings(
            environ=environ, state_dir=state, owner_id=owner_id(environ, state), now=clock, settings=settings
        )
        return registry.connect(name, surroundings)

    return provider


def _bucket(environ: Mapping[str, str], config: Config) -> Callable[[], Bucket] | None:
    """Connected once, and only when it is asked for."""
    settings = config.durable_store
    if settings is None:
        return None

    @cache
    def bucket() -> Bucket:
        from launcher import bucket_calls  # boto3: here for start-up time

        return bucket_calls.connect(settings, environ)

    return bucket


def owner_id(environ: Mapping[str, str], state: Path) -> str:
    """Who we are to the clouds: a random name, made once; every machine of ours carries it.

    LAUNCH_OWNER says it where another computer looks after this one's machines (`launch reap --elsewhere`).
    """
    said = environ.get("LAUNCH_OWNER", "")
    if said and not OWNER.fullmatch(said):
        raise LaunchError(
            f"LAUNCH_OWNER is {said!r}: no computer of ours has that name",
            code="no-owner",
            exit_code=Exit.USAGE,
            hint="launch reap --elsewhere cron     # on the computer that rents: tells its name",
        )
    if said:
        return said
    file = state / "owner"
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        fresh = os.urandom(16).hex()
    try:
        with file.open("x") as handle:
            handle.write(fresh + "\n")
    except FileExistsError:
        return file.read_text().strip()
    return fresh


def _spawn(run_id: str, state: Path, environ: Mapping[str, str]) -> None:
    """A process of its own session: it lives on when this terminal closes."""
    folder = state / "runs" / run_id
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "carrier.log").open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "launcher", "attach", run_id, "--json"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(environ),
            start_new_session=True,
        )


def _run_program(words: Sequence[str], environ: Mapping[str, str]) -> tuple[int, str]:
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=dict(environ),
            timeout=PROGRAM_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 127, str(error)
    return done.returncode, (done.stderr or done.stdout).decode("utf-8", "replace")


def _browse(page: Path, environ: Mapping[str, str]) -> bool:
    """By the desktop's own browser: without a screen, one that draws into the terminal would take it over."""
    import webbrowser  # here for start-up time

    seen = sys.platform in ("darwin", "win32") or any(environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    return seen and webbrowser.open(page.resolve().as_uri())


NOT_KEPT = (Progressed, Forecast)
KEPT_EVERY_SECONDS = 10.0


class Recorder:
    """A console that also writes every event into the ledger, so that `attach`, `show` and a later look can tell it."""

    def __init__(self, console: Console, ledger: Ledger) -> None:
        self._console, self._ledger = console, ledger
        self._kept: dict[type[Happened], datetime] = {}

    def tell(self, event: Happened) -> None:
        """Write down, then show."""
        if event.run and self._is_kept(event):
            document = wire.document(event)
            words = display.text(event, event.at)
            told = Told(event=str(document["event"]), document=wire.text(document), text=words)
            # A full disk, or a sign that no file can hold, loses an event, and must not lose the run.
            with suppress(sqlite3.Error, UnicodeEncodeError):
                self._ledger.note_event(event.run, event.at, told)
        self._console.tell(event)

    def _is_kept(self, event: Happened) -> bool:
        """Measurements come by the second; one in ten seconds is enough to tell the story."""
        if not isinstance(event, NOT_KEPT):
            return True
        last = self._kept.get(type(event))
        if last is not None and (event.at - last).total_seconds() < KEPT_EVERY_SECONDS:
            return False
        self._kept[type(event)] = event.at
        return True

    def fail(self, error: LaunchError, run: str) -> None:
        """Show."""
        self._console.fail(error, run)

    def ask(self, question: str, *, default: bool) -> bool | None:
        """Ask."""
        return self._console.ask(question, default=default)
