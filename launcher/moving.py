"""A text that changes in place on a terminal while answers come, and leaves nothing behind."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

MARGIN = 2
"""Lines of the terminal that are left free."""


class Draw(Protocol):
    """Shows a text instead of the one before."""

    def __call__(self, text: str) -> None:
        """Draw."""


@contextmanager
def moving(stream: TextIO, width: int) -> Iterator[Draw]:
    """Draw on a terminal; on anything else nothing is drawn. What does not fit on the screen is cut, and said."""
    if not is_terminal(stream):
        yield lambda text: None
        return
    from rich.console import Console  # here for start-up time: only where somebody looks
    from rich.live import Live
    from rich.text import Text

    from launcher.console import CONTROLS  # here for start-up time, as above

    screen = Console(file=stream, force_terminal=True, highlight=False, width=width)
    live = Live(console=screen, transient=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)

    def draw(text: str) -> None:
        lines = text.translate(CONTROLS).split("\n")  # machines are named by strangers
        room = max(4, screen.height - MARGIN)
        if len(lines) > room:
            lines = [*lines[: room - 1], f"... {len(lines) - room + 1} more"]
        live.update(Text("\n".join(lines), no_wrap=True, overflow="ellipsis"), refresh=True)

    with live:
        yield draw


def is_terminal(stream: TextIO) -> bool:
    """Whether somebody may look at it."""
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False
