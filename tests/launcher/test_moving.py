"""A text that changes in place: on a real terminal it is drawn and gone again, on anything else nothing is written."""

import fcntl
import io
import os
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from launcher.moving import is_terminal, moving

ROWS, COLUMNS = 12, 80


class Tty:
    """A pseudo-terminal: our side to write on, the screen that somebody would see, and all bytes that came."""

    def __init__(self) -> None:
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.stream: TextIO = os.fdopen(slave, "w")
        self.said = ""

    def read(self) -> str:
        """All that came since the last time."""
        self.stream.flush()
        os.set_blocking(self._master, False)
        fresh = b""
        try:
            while chunk := os.read(self._master, 65536):
                fresh += chunk
        except BlockingIOError:
            pass
        self.said += fresh.decode()
        return fresh.decode()

    def close(self) -> None:
        self.stream.close()
        os.close(self._master)


@pytest.fixture
def tty(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tty]:
    for name, value in (("TERM", "xterm"), ("LINES", str(ROWS)), ("COLUMNS", str(COLUMNS))):
        monkeypatch.setenv(name, value)
    tty = Tty()
    yield tty
    tty.close()


def screen(said: str) -> list[str]:
    """What is seen after all of it, on a terminal that knows the four sequences that may come."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[\??[0-9;]*[A-Za-z]|\r|\n|[^\r\n\x1b]+", said):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part == "\r":
            column = 0
        elif part.endswith("A"):
            row -= int(part[2:-1] or 1)
            assert row >= 0, "drawn above where it began"
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part.startswith("\x1b"):
            assert part[-1] in "lhm", repr(part)  # shows and hides the cursor, sets colours
        else:
            lines[row] = lines[row][:column].ljust(column) + part + lines[row][column + len(part) :]
            column += len(part)
    return [line.rstrip() for line in lines]


def test_on_a_terminal_the_text_is_drawn_and_the_next_one_stands_in_its_place(tty: Tty) -> None:
    with moving(tty.stream, COLUMNS) as draw:
        draw("asking aws, lambda\n\none price")
        first = screen(tty.read())
        draw("asking lambda\n\none price\nand another")
        tty.read()
        second = screen(tty.said)
    assert first == ["asking aws, lambda", "", "one price"]
    assert second == ["asking lambda", "", "one price", "and another"]


def test_on_a_terminal_nothing_of_it_is_left_behind(tty: Tty) -> None:
    tty.stream.write("before\n")
    with moving(tty.stream, COLUMNS) as draw:
        draw("one\ntwo\nthree")
        draw("one")
    tty.stream.write("behind\n")
    tty.read()
    assert [line for line in screen(tty.said) if line] == ["before", "behind"]
    assert screen(tty.said)[1] == "behind"


def test_nothing_of_it_is_left_behind_by_an_error_either(tty: Tty) -> None:
    def broken() -> None:
        with moving(tty.stream, COLUMNS) as draw:
            draw("one\ntwo")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    tty.read()
    assert not any(screen(tty.said))
    assert tty.said.rindex("\x1b[?25h") > tty.said.rindex("\x1b[?25l")  # the cursor is there again


def test_what_does_not_fit_on_the_screen_is_cut_and_said(tty: Tty) -> None:
    with moving(tty.stream, COLUMNS) as draw:
        draw("\n".join(f"offer {number}" for number in range(50)))
        shown = screen(tty.read())
    assert len(shown) == ROWS - 2
    assert shown[-2:] == ["offer 8", "... 41 more"]


def test_a_line_that_is_too_long_stays_one_line(tty: Tty) -> None:
    with moving(tty.stream, COLUMNS) as draw:
        draw("x" * 200 + "\nnext")
        shown = screen(tty.read())
    assert len(shown) == 2
    assert shown[0].endswith("x…")


def test_control_characters_of_strangers_never_reach_the_terminal(tty: Tty) -> None:
    with moving(tty.stream, COLUMNS) as draw:
        draw("\x1b]0;owned\x07 g5.xlarge \x9b31m")
        drawn = tty.read()
    assert "g5.xlarge" in drawn
    assert not re.findall(r"\x1b\]|\x07|\x9b", drawn)


def test_on_anything_but_a_terminal_nothing_is_drawn() -> None:
    stream = io.StringIO()
    with moving(stream, COLUMNS) as draw:
        draw("one\ntwo")
    assert stream.getvalue() == ""


def test_a_stream_that_is_closed_is_no_terminal() -> None:
    stream = io.StringIO()
    stream.close()
    assert not is_terminal(stream)
    with moving(stream, COLUMNS) as draw:
        draw("one")


OFFERS = """
import sys, tempfile
from dataclasses import replace
from pathlib import Path
from launcher.cli import main
from tests.fake_world import Stage

def world(environ, console):
    return replace(Stage(Path(tempfile.mkdtemp(dir=sys.argv[1]))).laptop(), console=console)

sys.exit(main(["offers"], make_world=world, environ={}))
"""


def test_the_offers_grow_on_a_terminal_and_only_the_answer_is_left(tty: Tty, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OFFERS, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=tty.stream,
        text=True,
        timeout=60,
        check=False,
    )
    tty.read()
    assert done.returncode == 0
    assert "f1.small" in done.stdout
    assert "asking fake; prices as last seen" in tty.said
    assert not any(screen(tty.said))


def test_a_pseudo_terminal_is_one(tty: Tty) -> None:
    assert is_terminal(tty.stream)
