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


class Interrupt:
    """Counts the Ctrl-Cs of one run. Not listening, it never interrupts anything."""

    def __init__(self) -> None:
        self.asked = False
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
        before = signal.signal(signal.SIGINT, self._on_signal)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked or self._lets_go:
            raise LetGo
        self.asked = True
