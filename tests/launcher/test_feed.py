"""Progress over a line that breaks: nothing twice, nothing lost, and it is known whether line or machine fails."""

import queue
import threading
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import pytest

from launcher.feed import MOST_BYTES, GuestFeed
from launcher.guest import Guest, GuestError
from launcher.remote import CommandFailed, Completed, HostKeyMismatch, RemoteUnreachable

WAIT_SECONDS = 20.0
"""Far over what any of this takes."""
Piece = bytes | Exception


class Script:
    """A machine that says at each connection what it was told to say; then it has no more to say."""

    def __init__(self, *connections: Sequence[Piece]) -> None:
        self._left = list(connections)
        self.offsets: queue.Queue[int] = queue.Queue()

    def stream(self, argv: Sequence[str], *, idle_seconds: float = 60) -> Iterator[bytes]:
        self.offsets.put(int(argv[argv.index("--offset") + 1]))
        for piece in self._left.pop(0) if self._left else ():
            if isinstance(piece, Exception):
                raise piece
            yield piece

    def run(self, argv: Sequence[str], *, stdin: bytes | BinaryIO = b"", timeout_seconds: float = 60) -> Completed:
        raise AssertionError("a feed only follows")

    def interactive(self, argv: Sequence[str]) -> int:
        raise AssertionError("a feed only follows")

    def shown_host_key(self) -> str:
        raise AssertionError("a feed only follows")

    def close(self) -> None: ...


def following(script: Script, offset: int = 0) -> GuestFeed:
    return GuestFeed(Guest(script, "/guard"), offset)


def all_of(feed: GuestFeed) -> bytes:
    """Everything, up to the machine's last word."""
    data = b""
    while not feed.over:
        data += feed.read(WAIT_SECONDS)
    return data


class Eager(Script):
    """Knows when all that it had to say was taken over."""

    def __init__(self, *connections: Sequence[Piece]) -> None:
        super().__init__(*connections)
        self.said_all = threading.Event()

    def stream(self, argv: Sequence[str], *, idle_seconds: float = 60) -> Iterator[bytes]:
        yield from super().stream(argv, idle_seconds=idle_seconds)
        self.said_all.set()


def test_what_came_while_somebody_was_busy_is_read_at_once() -> None:
    """Else each checkpoint that was made meanwhile would be fetched, and the job's end be heard after all of them."""
    script = Eager([f"{number}\n".encode() for number in range(200)])
    feed = following(script)
    assert script.said_all.wait(WAIT_SECONDS)
    read = feed.read(WAIT_SECONDS)
    assert read.decode().split() == [str(number) for number in range(200)]
    assert feed.offset == len(read)
    assert all_of(feed) == b""


def test_a_flood_is_read_in_parts() -> None:
    script = Eager([b"x" * 2**16] * 40)
    feed = following(script)
    assert script.said_all.wait(WAIT_SECONDS)
    assert len(feed.read(WAIT_SECONDS)) == MOST_BYTES
    assert len(all_of(feed)) == 40 * 2**16 - MOST_BYTES


def test_another_host_key_is_told_after_what_came_before_it() -> None:
    feed = following(Script([b"one\n", HostKeyMismatch("another key")]))
    assert feed.read(WAIT_SECONDS) == b"one\n"
    with pytest.raises(HostKeyMismatch):
        feed.read(WAIT_SECONDS)


def test_progress_comes_in_order_and_ends_with_the_machine_s_last_word() -> None:
    feed = following(Script([b"one\n", b"two\n"]))
    assert not feed.over
    assert all_of(feed) == b"one\ntwo\n"
    assert (feed.offset, feed.trouble) == (8, "")


def test_a_feed_begins_at_the_byte_that_it_is_told() -> None:
    script = Script([b"more\n"])
    feed = following(script, 100)
    assert all_of(feed) == b"more\n"
    assert script.offsets.get(timeout=WAIT_SECONDS) == 100
    assert feed.offset == 105


def test_a_line_that_breaks_is_taken_up_where_it_broke() -> None:
    script = Script([b"one\ntw", RemoteUnreachable("connection reset")], [b"o\nthree\n"])
    feed = following(script)
    assert all_of(feed) == b"one\ntwo\nthree\n"
    assert [script.offsets.get(timeout=WAIT_SECONDS) for _ in range(2)] == [0, 6]
    assert feed.trouble == ""


def test_what_was_not_read_yet_is_not_counted() -> None:
    feed = following(Script([b"one\n" * (MOST_BYTES // 4), b"two\n"]))
    assert feed.read(WAIT_SECONDS) == b"one\n" * (MOST_BYTES // 4)
    assert feed.offset == MOST_BYTES
    feed.close()


@pytest.mark.parametrize(
    ("error", "is_refusal"),
    [
        (RemoteUnreachable("no route to host"), False),
        (CommandFailed("the command ended with 2", exit_code=2), True),
        (GuestError("follow: no usable answer"), True),
    ],
)
def test_it_is_known_whether_the_line_or_the_machine_does_not_let_us_read(error: Exception, is_refusal: bool) -> None:
    script = Script([error], [b"later\n"])
    feed = following(script)
    assert script.offsets.get(timeout=WAIT_SECONDS) == 0
    troubles = []
    while not (data := feed.read(0.02)):
        troubles.append((feed.trouble, feed.refused))
    assert (str(error), is_refusal) in troubles
    assert data == b"later\n"
    assert (feed.trouble, feed.refused) == ("", False)


def test_a_stranger_at_the_address_is_raised_to_whoever_reads() -> None:
    feed = following(Script([b"one\n", HostKeyMismatch("another key")]))
    assert feed.read(WAIT_SECONDS) == b"one\n"
    with pytest.raises(HostKeyMismatch):
        feed.read(WAIT_SECONDS)


def test_a_feed_that_is_closed_asks_no_more() -> None:
    script = Script([RemoteUnreachable("no route to host")] * 3)
    others = set(threading.enumerate())
    feed = following(script)
    (reader,) = set(threading.enumerate()) - others
    assert script.offsets.get(timeout=WAIT_SECONDS) == 0
    feed.close()
    reader.join(WAIT_SECONDS)
    assert not reader.is_alive()
    assert script.offsets.empty()


def test_nothing_yet_is_no_end() -> None:
    gate: queue.Queue[bytes] = queue.Queue()

    class Slow(Script):
        def stream(self, argv: Sequence[str], *, idle_seconds: float = 60) -> Iterator[bytes]:
            yield gate.get(timeout=WAIT_SECONDS)

    feed = following(Slow())
    assert feed.read(0.01) == b""
    assert not feed.over
    gate.put(b"one\n")
    assert feed.read(WAIT_SECONDS) == b"one\n"
