"""How we speak with a machine: run a command, ship bytes, follow a stream; by OpenSSH, or in a folder here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol


@dataclass(frozen=True, kw_only=True)
class Completed:
    """What a remote command answered (both streams are capped, see `Remote.run`)."""

    exit_code: int
    stdout: bytes
    stderr: str


@dataclass(frozen=True, kw_only=True)
class Keys:
    """A run's own keys, on disk under `runs/<id>/keys` of LAUNCH_HOME (0700): client key, host key, known_hosts.

    Made by `launcher.keys`; the texts are read anew each time, so that nothing secret lies in this value.
    """

    folder: Path

    @property
    def client_private(self) -> Path:
        """The file of the private key that we log in with."""
        return self.folder / "client"

    @property
    def client_public(self) -> str:
        """One line, as authorized_keys wants it."""
        return (self.folder / "client.pub").read_text("ascii").strip()

    @property
    def host_private(self) -> str:
        """The machine's own private key, which travels to it in its boot data."""
        return (self.folder / "host").read_text("ascii")

    @property
    def host_public(self) -> str:
        """One line; whoever answers at the machine's address must own its private part."""
        return (self.folder / "host.pub").read_text("ascii").strip()

    @property
    def known_hosts(self) -> Path:
        """The only file that says whom we trust on this run; written by `launcher.keys.pin`."""
        return self.folder / "known_hosts"


class Remote(Protocol):
    """One machine. Relative paths start at the login folder (`docs/guest.md`). Raises only `RemoteError`s."""

    def run(self, argv: Sequence[str], *, stdin: bytes | BinaryIO = b"", timeout_seconds: float = 60) -> Completed:
        """Run a command to its end; no shell reads `argv`. At most 8 MiB of standard output are kept."""

    def stream(self, argv: Sequence[str], *, idle_seconds: float = 60) -> Iterator[bytes]:
        """Standard output in chunks of at most 64 KiB as it comes, until the command ends.

        Raises `RemoteUnreachable` when the connection is lost, or nothing came for `idle_seconds`, and `CommandFailed`
        after the last chunk of a command that did not end well; closing the iterator ends the command.
        """

    def interactive(self, argv: Sequence[str]) -> int:
        """Hand the terminal over to a shell (empty `argv`) or a command there; its exit code."""

    def shown_host_key(self) -> str:
        """The host key that whoever answers there shows, as one line: to be compared, never to be believed.

        Raises `RemoteUnreachable` where nobody answers.
        """

    def close(self) -> None:
        """Let go of shared connections. The machine does not notice."""


class RemoteError(Exception):
    """Base of what can go wrong between us and a machine."""


class RemoteUnreachable(RemoteError):
    """No connection, or it was lost: says nothing about the machine or the job."""


class HostKeyMismatch(RemoteError):
    """Somebody else answers at that address. A security stop: never retried."""


class LoginRefused(RemoteError):
    """The machine answers and does not take our key (early in a boot this passes)."""


class CommandTimeout(RemoteError):
    """The command did not end within its time; it was ended on our side."""


class CommandFailed(RemoteError):
    """A streamed command ended with an exit code of its own other than 0."""

    def __init__(self, text: str, *, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code
