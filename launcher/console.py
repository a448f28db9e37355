"""Where events and questions go: a terminal, plain lines, or JSON; a closed pipe mutes a console, and never a run."""

import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TextIO

from launcher import display, tables, wire
from launcher.errors import LaunchError
from launcher.events import (
    Forecast,
    Happened,
    IntentWritten,
    OfferRefused,
    PlanMade,
    Progressed,
    Pulled,
    Settled,
    StateChanged,
    Warned,
)
from launcher.moving import is_terminal

if TYPE_CHECKING:
    from rich.live import Live

PROGRESS_SECONDS = 30
"""Away from a terminal, progress is told at most so often."""
ASKED_AT_MOST = 3
_UNSEEN = (
    0xAD, 0x61C, 0x180E, 0x200B, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2060, 0x206A), 0xFEFF,
    *range(0xFFF9, 0xFFFC), *range(0xE0000, 0xE0080),
)  # fmt: skip
"""Signs that turn the direction of reading, end a line, or cannot be seen: what is read would not be what is there."""
_HALVES = range(0xD800, 0xE000)
"""Of pairs: a stream of UTF-8 cannot write one alone, and would fall silent."""
CONTROLS = dict.fromkeys(code for code in (*range(32), *range(127, 160), *_UNSEEN, *_HALVES) if chr(code) not in "\n\t")
"""Signs that never reach a terminal: texts of clouds and machines could steer it, or mislead its reader."""


def terminal_width() -> int:
    """The columns of the terminal (COLUMNS counts), 80 where there is none, never more than a table can use."""
    return min(shutil.get_terminal_size((80, 24)).columns, 140)


@dataclass(kw_only=True)
class Paper:
    """One stream to write on. When nobody reads it any more (a closed pipe), it falls silent."""

    stream: TextIO
    closed: bool = False

    def write(self, text: str, *, end: str = "\n") -> None:
        """One text, by default with a line end."""
        if self.closed or not text:
            return
        try:
            self.stream.write(text.translate(CONTROLS) + end)
            self.stream.flush()
        except (OSError, ValueError):
            # The run goes on: a machine must not be left behind because somebody closed a window.
            self.closed = True


@dataclass(kw_only=True)
class Streams:
    """What a console reads and writes: data on `out`, talk on `talk`; the time in the reader's zone."""

    out: Paper
    talk: Paper
    stdin: TextIO
    now: Callable[[], datetime]
    width: Callable[[], int] = field(default=terminal_width)
    verbose: bool = False

    @property
    def interactive(self) -> bool:
        """Whether somebody can read a question and answer it."""
        return is_terminal(self.stdin) and is_terminal(self.talk.stream)


@contextmanager
def interruptible() -> Iterator[None]:
    """While a question waits, Ctrl-C is an answer: nothing runs yet that would have to be turned round first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class PlainConsole:
    """Plain lines, one for each change; progress every half minute at most."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._told_at: datetime | None = None
        self._forecast: Forecast | None = None

    def tell(self, event: Happened) -> None:
        """See `world.Console`."""
        match event:
            case PlanMade():
                self._plan(event)
            case Forecast():
                self._forecast = event
            case Progressed():
                self._progress(event)
            case Settled():
                self._streams.out.write("\n" + self._text(event))
            case _:
                self._streams.talk.write(self._text(event))

    def fail(self, error: LaunchError, run: str) -> None:
        """See `world.Console`."""
        del run  # the message names it
        width = self._streams.width()
        self._streams.talk.write(display.error(error, width=width, verbose=self._streams.verbose))

    def ask(self, question: str, *, default: bool) -> bool | None:
        """See `world.Console`. Enter takes the default; the end of input, or three unclear answers, are a no."""
        if not self._streams.interactive:
            return None
        choices = "[Y/n]" if default else "[y/N]"
        for _ in range(ASKED_AT_MOST):
            self._streams.talk.write(f"{question} {choices} ", end="")
            with interruptible():
                answer = self._streams.stdin.readline()
            if not answer:
                return False
            meant = {"": default, "y": True, "yes": True, "n": False, "no": False}.get(answer.strip().lower())
            if meant is not None:
                return meant
        return False

    def _plan(self, event: PlanMade) -> None:
        now, width = self._streams.now(), self._streams.width()
        verbose = self._streams.verbose
        page = tables.plan_table(event.plan, event.title, now, width, data=event.data, verbose=verbose)
        self._streams.talk.write(page)

    def _progress(self, event: Progressed) -> None:
        told = self._told_at
        if told is not None and (event.at - told).total_seconds() < PROGRESS_SECONDS:
            return
        self._told_at = event.at
        if self._forecast is not None:  # it is the older of the two
            self._streams.talk.write(self._text(self._forecast))
            self._forecast = None
        self._streams.talk.write(self._text(event))

    def _text(self, event: Happened) -> str:
        return display.text(event, self._streams.now(), self._streams.width())


class TerminalConsole(PlainConsole):
    """A few lines that stay in place and move on; above them only what a person should know."""

    def __init__(self, streams: Streams) -> None:
        super().__init__(streams)
        self._view = display.View(run="")
        self._live: Live | None = None

    def tell(self, event: Happened) -> None:
        """See `world.Console`."""
        match event:
            case Progressed() | Forecast() | StateChanged() | IntentWritten():
                self._look(event)
            case OfferRefused() | Warned() | Pulled() if self._live is not None:
                self._above(self._text(event))
            case _:
                self._stop()
                super().tell(event)

    def fail(self, error: LaunchError, run: str) -> None:
        """See `world.Console`."""
        self._stop()
        super().fail(error, run)

    def ask(self, question: str, *, default: bool) -> bool | None:
        """See `world.Console`."""
        self._stop()
        return super().ask(question, default=default)

    def _look(self, event: Happened) -> None:
        self._view = seen(self._view, event)
        if self._live is None and not self._streams.talk.closed:
            self._start()
        if self._live is not None:
            self._quietly(self._live.refresh)

    def _start(self) -> None:
        from rich.console import Console  # here for start-up time: most commands show nothing that moves
        from rich.live import Live
        from rich.text import Text

        def lines() -> Text:
            text = display.progress(self._view, self._streams.now(), self._streams.width())
            return Text(text.translate(CONTROLS), no_wrap=True, overflow="ellipsis")

        screen = Console(
            file=self._streams.talk.stream, force_terminal=True, highlight=False, width=self._streams.width()
        )
        self._live = Live(
            get_renderable=lines, console=screen, transient=True, auto_refresh=False,
            redirect_stdout=False, redirect_stderr=False,
        )  # fmt: skip
        self._quietly(self._live.start)

    def _above(self, text: str) -> None:
        live = self._live
        if live is not None:
            self._quietly(lambda: live.console.print(text.translate(CONTROLS), markup=False, soft_wrap=True))

    def _stop(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            self._quietly(live.stop)

    def _quietly(self, draw: Callable[[], object]) -> None:
        try:
            draw()
        except (OSError, ValueError):
            self._streams.talk.closed, self._live = True, None  # the terminal is gone; the run is not


def seen(view: display.View, event: Happened) -> display.View:
    """The view after one more event."""
    match event:
        case IntentWritten():
            return replace(view, run=event.run, offer=event.offer, started_at=view.started_at or event.at)
        case StateChanged():
            return replace(view, run=event.run, state=event.state, offer=event.offer or view.offer)
        case Progressed():
            return replace(view, run=event.run, snapshot=event.snapshot)
        case Forecast():
            return replace(view, run=event.run, forecast=event)
        case _:
            return view


class Human(Protocol):
    """What `JsonConsole` hands on to."""

    def tell(self, event: Happened) -> None:
        """See `world.Console`."""

    def fail(self, error: LaunchError, run: str) -> None:
        """See `world.Console`."""

    def ask(self, question: str, *, default: bool) -> bool | None:
        """See `world.Console`."""


class JsonConsole:
    """Events as JSON lines on standard output; the same for people, by `human`, on standard error."""

    def __init__(self, streams: Streams, human: Human) -> None:
        self._streams, self._human = streams, human
        self._run = ""

    def tell(self, event: Happened) -> None:
        """See `world.Console`."""
        self._run = event.run or self._run
        self._streams.out.write(wire.dumps(event))
        self._human.tell(event)

    def fail(self, error: LaunchError, run: str) -> None:
        """See `world.Console`. The document is the last line."""
        self._streams.out.write(wire.text(wire.error(error, run or self._run, self._streams.now())))
        self._human.fail(error, run)

    def ask(self, question: str, *, default: bool) -> bool | None:
        """See `world.Console`."""
        return self._human.ask(question, default=default)


def pick(streams: Streams, *, as_json: bool) -> PlainConsole | JsonConsole:
    """The console that fits the streams."""
    spoken = replace(streams, out=streams.talk) if as_json else streams
    human = TerminalConsole(spoken) if is_terminal(streams.talk.stream) else PlainConsole(spoken)
    return JsonConsole(streams, human) if as_json else human
