"""The line to the machines of a day: every contact is noted, an address may have moved, a line may be half-open."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import BinaryIO

from launcher.guest import Guest
from launcher.remote import Completed, HostKeyMismatch, RemoteUnreachable
from tests.fake_guest import FakeFeed, FakeRemote, Inside, Lived

HEARTBEAT_SECONDS = 60.0
"""So long a silent line is believed in, before it counts as broken (`Guest.follow`'s idle time)."""
SURE_READS = 3
"""Reads in a row that went well: a carrier that listens has by then fetched what was told before them."""


@dataclass(frozen=True)
class Contact:
    """One try to speak with a machine; `trouble` is what stood in its way, "" where nothing did."""

    at: datetime
    verb: str
    trouble: str = ""


class Line(FakeRemote):
    """A connection to one machine, whose contacts are noted; it breaks for good when the machine moves."""

    def __init__(
        self, site: Inside, machine_id: str, note: Callable[[str, str, str], None], is_here: Callable[[], bool]
    ) -> None:
        super().__init__(site, machine_id)
        self._note, self._is_here = note, is_here
        self.patience: Callable[[float], None] = lambda seconds: None
        """Hears how long each call is waited for."""

    def run(self, argv: Sequence[str], *, stdin: bytes | BinaryIO = b"", timeout_seconds: float = 60) -> Completed:
        """See `Remote`."""
        verb = "install" if argv[1] == "-c" else _told_with_its_folder(argv)
        self.patience(timeout_seconds)
        try:
            done = super().run(argv, stdin=stdin, timeout_seconds=timeout_seconds)
        except (RemoteUnreachable, HostKeyMismatch) as error:
            self._note(self._id, verb, type(error).__name__)
            raise
        self._note(self._id, verb, "" if done.exit_code == 0 else "refused")
        return done

    def stream(self, argv: Sequence[str], *, idle_seconds: float = 60) -> Iterator[bytes]:
        """See `Remote`."""
        verb = _told_with_its_folder(argv)
        try:
            yield from super().stream(argv, idle_seconds=idle_seconds)
        except (RemoteUnreachable, HostKeyMismatch) as error:
            self._note(self._id, verb, type(error).__name__)
            raise
        self._note(self._id, verb, "")

    def _alive(self) -> Lived:
        if not self._is_here():
            self._site.clock.sleep(self._site.knocking_seconds)
            raise RemoteUnreachable("no route to host")
        return super()._alive()


def _told_with_its_folder(argv: Sequence[str]) -> str:
    """What is listed or sent is noted with the folder that it comes from: "manifest out", "send out"."""
    return f"{argv[2]} {argv[argv.index('--under') + 1]}" if argv[2] in ("manifest", "send") else argv[2]


class HalfOpenFeed(FakeFeed):
    """Nothing comes, and nothing says that the line is broken, before the heartbeats are missed."""

    def __init__(
        self, guest: Guest, site: Inside, offset: int, since: Callable[[], datetime | None], note: Callable[[str], None]
    ) -> None:
        """`since`: from when on the line has been half-open; None where it is not."""
        super().__init__(guest, site.clock, site.vanished, offset, site.tick_seconds)
        self._site, self._since, self._note = site, since, note

    def read(self, timeout_seconds: float) -> bytes:
        """See `Feed`."""
        since = self._since()
        if since is None:
            return super().read(timeout_seconds)
        self._site.clock.sleep(max(timeout_seconds, self._tick_seconds))
        is_missed = self._site.clock() - since > timedelta(seconds=HEARTBEAT_SECONDS)
        self.trouble, self.refused = "no heartbeat for 60 s" if is_missed else "", False
        self._note("no heartbeat")
        return b""


def is_sure(contacts: Sequence[Contact], since: datetime) -> bool:
    """Whether a carrier read from the machine often enough after that moment, and nothing stood in its way."""
    row = 0
    for one in contacts:
        if one.at <= since:
            continue
        row = 0 if one.trouble else row + (one.verb == "follow")
        if row >= SURE_READS:
            return True
    return False


def failing(contacts: Sequence[Contact]) -> tuple[Contact, ...]:
    """The tries since the last one that went well."""
    row: list[Contact] = []
    for one in reversed(contacts):
        if not one.trouble:
            break
        row.append(one)
    return tuple(reversed(row))
