"""What Ctrl-C means: the first asks the run to save, pull and end; the second lets go at once and says what is left."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):
    """The person asked to stop; raised where it is safe to turn round."""


class LetGo(KeyboardInterrupt):
    """The person wants the terminal back now, whatever runs: nothing more is done by this process."""


class HungUp(LetGo):
    """The terminal is gone (SIGHUP): what this process carries goes on in the background."""


class Ended(LetGo):
    """Somebody, or the system that shuts down, ends this process (SIGTERM): there is time for one line."""


class Interrupt:
    """Counts the Ctrl-Cs of one run. Not listening, it never interrupts anything."""

    def __init__(self) -> None:
        self.asked = False
        self.carries = ""
        """The run that this process carries, or carried when it was let go."""
        self._answered = False
        self._lets_go = False

    def check(self) -> None:
        """Raise `Interrupted` once after the person asked."""
        if self.asked and not self._answered:
            self._answered = True
            raise Interrupted

    def ask_again(self) -> None:
        """Whoever heard of it had nothing to turn round from: the next one who checks is told, too."""
        self._answered = False

    def ask(self) -> None:
        """What the first Ctrl-C does (also `launch stop` through the ledger)."""
        self.asked = True

    @contextmanager
    def listening(self, *, lets_go: bool = False) -> Iterator[None]:
        """Take SIGINT for the length of a run; `lets_go` makes the first one let go (attach, logs)."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._lets_go = lets_go
        ours = {signal.SIGINT: self._on_signal, signal.SIGTERM: _on_end, signal.SIGHUP: _on_hang_up}
        if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup: it is to go on by itself
            del ours[signal.SIGHUP]
        before = {number: signal.signal(number, act) for number, act in ours.items()}
        try:
            yield
        finally:
            for number, act in before.items():
                signal.signal(number, act)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked or self._lets_go:
            raise LetGo
        self.asked = True


def _on_end(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # once is enough; the next one must not break what is written down now
    raise Ended


def _on_hang_up(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise HungUp
