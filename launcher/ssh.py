"""Speaks with a machine through the user's own OpenSSH client, and through nothing of the user's ssh settings."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from launcher import piped
from launcher.keys import pin
from launcher.remote import (
    CommandFailed,
    CommandTimeout,
    Completed,
    HostKeyMismatch,
    Keys,
    LoginRefused,
    RemoteError,
    RemoteUnreachable,
)
from providers.base import Ssh

_SSH_FAILED = 255
_CONTROL_SECONDS = 5.0
_SCAN_SECONDS = 20.0
_SHOWN = re.compile(r"^\S+ (ssh-ed25519 [A-Za-z0-9+/=]+)$", re.MULTILINE)
_SOCKET_NAME_BYTES = 103  # of a unix socket's path on macOS, the shorter of our systems, without its final zero
_SOCKET_SUFFIX_BYTES = 17  # ssh appends a dot and 16 characters while it makes the socket
_LOG_BYTES = 16 * 1024

_PASSED_ON = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "TERM", "TMPDIR", "USER")
"""What ssh may see of our environment: no agent, no askpass, none of the user's credentials."""

_ALWAYS = (
    # No settings but these: neither the user's nor the system's ssh_config can weaken or break what follows.
    "-F", "none",
    "-a", "-x",
    *("-o", "BatchMode=yes"),
    # Only the run's own host key, of the only kind that we make, from the only file that we name.
    *("-o", "StrictHostKeyChecking=yes"),
    *("-o", "GlobalKnownHostsFile=/dev/null"),
    *("-o", "HostKeyAlgorithms=ssh-ed25519"),
    *("-o", "UpdateHostKeys=no"),
    *("-o", "VerifyHostKeyDNS=no"),
    # Only the run's own client key: no agent is asked, no password is sent to whoever answers.
    *("-o", "IdentitiesOnly=yes"),
    *("-o", "IdentityAgent=none"),
    *("-o", "PreferredAuthentications=publickey"),
    *("-o", "PasswordAuthentication=no"),
    *("-o", "KbdInteractiveAuthentication=no"),
    # Nothing of this machine is offered to that one.
    *("-o", "ForwardAgent=no"),
    *("-o", "ForwardX11=no"),
    *("-o", "ClearAllForwardings=yes"),
    *("-o", "PermitLocalCommand=no"),
    # A connection that died is noticed within a minute; the caller decides about the next try.
    *("-o", "ConnectTimeout=10"),
    *("-o", "ConnectionAttempts=1"),
    *("-o", "ServerAliveInterval=15"),
    *("-o", "ServerAliveCountMax=3"),
)  # fmt: skip

_MEANINGS: tuple[tuple[str, type[RemoteError]], ...] = (
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", HostKeyMismatch),
    ("Host key verification failed", HostKeyMismatch),
    ("host key is known for", HostKeyMismatch),
    ("no matching host key type found", HostKeyMismatch),
    ("Permission denied (", LoginRefused),
    ("Too many authentication failures", LoginRefused),
    ("No supported authentication methods available", LoginRefused),
)
"""Texts of OpenSSH's own log when it ends with 255, the more alarming first; all others mean `RemoteUnreachable`."""


@dataclass(kw_only=True)
class _Log:
    """What one ssh says of itself: the file that it writes to, and, once it is over, the words."""

    path: Path
    said: str = ""


class SshRemote:
    """A `Remote` by OpenSSH. All commands share one connection, which lives on for half a minute after the last one."""

    def __init__(self, access: Ssh, keys: Keys, environ: Mapping[str, str]) -> None:
        """Pins the machine's address at once. Raises `RemoteError` where the address or the keys are unusable."""
        try:
            pin(keys, access.host, access.port, access.host_key)
        except OSError as missing:
            raise RemoteError(f"the keys of this run cannot be used: {missing}") from missing
        self._access, self._keys = access, keys
        self._environ = {name: environ[name] for name in _PASSED_ON if name in environ}
        self._private: Path | None = None
        self._closed = threading.Event()

    def run(self, argv: Sequence[str], *, stdin: bytes | BinaryIO = b"", timeout_seconds: float = 60) -> Completed:
        """See `Remote.run`. Exit code 255 always counts as ssh's own."""
        with self._logged(CommandTimeout(f"no end of the command within {timeout_seconds:g} s")) as log:
            done = piped.complete(self._program(argv, log.path), stdin, timeout_seconds)
        return self._spoken(done, log)

    def stream(self, argv: Sequence[str], *, idle_seconds: float = 60) -> Iterator[bytes]:
        """See `Remote.stream`."""
        with self._logged(RemoteUnreachable(f"nothing came for {idle_seconds:g} s")) as log:
            done = yield from piped.stream(self._program(argv, log.path), idle_seconds)
        if self._spoken(done, log).exit_code != 0:
            raise CommandFailed(f"the command ended with {done.exit_code}", exit_code=done.exit_code)

    @contextmanager
    def _logged(self, silence: RemoteError) -> Iterator["_Log"]:
        """A log for one ssh, read when it is over; `silence` is raised where it took too long."""
        log = _Log(path=self._new_log())
        try:
            yield log
        except TimeoutError as late:
            self._hang_up()
            raise silence from late
        except OSError as broken:
            raise _no_ssh(broken) from broken
        finally:
            log.said = _taken(log.path)

    def _spoken(self, done: Completed, log: "_Log") -> Completed:
        """How the command ended; raises where it was ssh that failed."""
        if done.exit_code == _SSH_FAILED:
            raise self._failure(log.said)
        return done

    def interactive(self, argv: Sequence[str]) -> int:
        """See `Remote.interactive`; ssh speaks to the person itself."""
        terminal = ["-t"] if not argv or sys.stdin.isatty() else ["-T"]
        try:
            return subprocess.run(
                [*self._login(), *terminal, *self._there(argv)], env=self._environ, check=False
            ).returncode
        except OSError as broken:
            raise _no_ssh(broken) from broken

    def shown_host_key(self) -> str:
        """See `Remote.shown_host_key`."""
        argv = ["ssh-keyscan", "-T", "10", "-t", "ed25519", "-p", str(self._access.port), self._access.host]
        try:
            done = piped.complete(piped.Program(argv=argv, environ=self._environ), b"", _SCAN_SECONDS)
        except OSError as broken:
            raise _no_ssh(broken) from broken
        except TimeoutError as late:
            raise RemoteUnreachable(f"{self._access.host} shows no host key") from late
        found = _SHOWN.search(done.stdout.decode("ascii", "replace"))
        if found is None:
            raise RemoteUnreachable(f"{self._access.host} shows no host key")
        return found[1]

    def close(self) -> None:
        """End the shared connection and remove its folder; a later verb makes another one."""
        if self._private is not None:
            self._closed.set()  # ssh does not always notice at once that its shared connection is over
            self._closed = threading.Event()
            self._hang_up()
            shutil.rmtree(self._private, ignore_errors=True)
            self._private = None

    def _program(self, argv: Sequence[str], log: Path) -> piped.Program:
        # ssh's own words go to a file of their own: the machine cannot speak in its voice on standard error.
        argv = [*self._login(), "-T", "-E", str(log), *self._there(argv)]
        return piped.Program(argv=argv, environ=self._environ, given_up=self._closed)

    def _login(self) -> list[str]:
        options = [
            f"UserKnownHostsFile={_quoted(self._keys.known_hosts)}",
            f"IdentityFile={_quoted(self._keys.client_private)}",
            *self._shared(),
        ]
        access = ["-l", self._access.user, "-p", str(self._access.port)]
        return ["ssh", *_ALWAYS, *(word for option in options for word in ("-o", option)), *access]

    def _there(self, argv: Sequence[str]) -> list[str]:
        # What the far side gets is one text that its shell takes apart again.
        return ["--", self._access.host, *([shlex.join(argv)] if argv else [])]

    def _shared(self) -> list[str]:
        socket = self._folder() / "c"
        if len(os.fsencode(socket)) + _SOCKET_SUFFIX_BYTES > _SOCKET_NAME_BYTES:
            return ["ControlMaster=no", "ControlPath=none"]
        return ["ControlMaster=auto", f"ControlPath={_quoted(socket)}", "ControlPersist=30"]

    def _folder(self) -> Path:
        if self._private is None or not self._private.is_dir():
            # Not beside the keys: a unix socket's path must be short, and a state folder's path need not be.
            self._private = Path(tempfile.mkdtemp(prefix="launch-"))
        return self._private

    def _new_log(self) -> Path:
        handle, path = tempfile.mkstemp(prefix="log-", dir=self._folder())
        os.close(handle)
        return Path(path)

    def _failure(self, said: str) -> RemoteError:
        kind = next((kind for text, kind in _MEANINGS if text in said), RemoteUnreachable)
        if kind is RemoteUnreachable:
            self._hang_up()  # the next command shall not wait behind a dead connection
        lines = [line for line in said.splitlines() if line.strip()]
        return kind(f"{self._access.host}: {lines[-1] if lines else 'the connection was lost'}")

    def _hang_up(self) -> None:
        if self._private is None:
            return  # closed already: a stream that only now notices must not make a new folder
        # All of the connection, not one session of it: only its end surely ends what still runs on the far side.
        order = [*self._login(), "-O", "exit", "--", self._access.host]
        with suppress(OSError, TimeoutError):
            piped.complete(piped.Program(argv=order, environ=self._environ), b"", _CONTROL_SECONDS)
        (self._folder() / "c").unlink(missing_ok=True)


def _no_ssh(broken: OSError) -> RemoteError:
    return RemoteError(f"the OpenSSH client could not be started ({broken}); is `ssh` installed?")


def _taken(log: Path) -> str:
    """The last of a log, without what a terminal would obey; the file goes."""
    with suppress(FileNotFoundError):
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_BYTES))
            text = file.read(_LOG_BYTES).decode("utf-8", "replace")
        log.unlink()
        return "".join(sign for sign in text if sign.isprintable() or sign == "\n")
    return ""


def _quoted(path: Path) -> str:
    """A path as ssh's option parser reads it: quoted for its spaces, `%` doubled, since it would expand it."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"'
