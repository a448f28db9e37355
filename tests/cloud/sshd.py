"""The SSH server of one box: exec with binary-clean streams, shells with a terminal, and the faults of the network."""

import asyncio
import contextlib
import fcntl
import os
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import asyncssh

from tests.cloud.boxes import Box, read_pipe
from tests.cloud.scenario import Knobs

CHUNK = 65536
RELOAD_SECONDS = 0.05
"""How often a box looks whether its SSH server shall read its host key anew."""
TERMINAL = (
    "import fcntl, os, sys, termios\n"
    "os.setsid() if os.getsid(0) != os.getpid() else None\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "os.execvp(sys.argv[1], sys.argv[1:])\n"
)
"""Makes standard input the controlling terminal, so that Ctrl-C and hang-up reach the shell."""


@dataclass(frozen=True, kw_only=True)
class Door:
    """Where a box is reached, by whom, and who is told about it."""

    address: str
    port: int
    host_key: str | None
    authorized_keys: tuple[str, ...]
    knobs: Knobs
    admits: Callable[[str], bool]
    """Whether the security group lets this peer address in."""
    sent: Callable[[int], None]
    """Told of each piece of output, in bytes."""
    told: Callable[[str], None]
    """Told of logins."""
    befall: Callable[[str], None]
    """Told of what is about to happen: a command, the answer to one, a piece of output."""


class Sshd:
    """A listening server; `close` and `drop` may be called from the loop's thread only."""

    def __init__(self, box: Box, door: Door) -> None:
        self.box, self.door = box, door
        self.connections: set[Any] = set()
        self._listener: Any = None
        self._reading: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Listen. The host key is the one of user-data, unless there is none or a knob says otherwise."""
        said = None if self.door.knobs.wrong_host_key else self.door.host_key
        key = asyncssh.import_private_key(said) if said else asyncssh.generate_private_key("ssh-ed25519")
        self._listener = await asyncssh.create_server(
            lambda: _Guard(self),
            self.door.address,
            self.door.port,
            server_host_keys=[key],
            process_factory=self._serve,
            encoding=None,
            line_editor=False,
            reuse_address=True,
            server_version="OpenSSH_8.9p1_Ubuntu-3ubuntu0.10",
        )
        self._reading = asyncio.create_task(self._read_keys())

    async def _read_keys(self) -> None:
        """`systemctl reload ssh`: the host key is read anew from the box's own /etc/ssh; lines that stand go on."""
        asked = self.box.root / "run" / "sshd-reload"
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            if asked.exists():
                key = asyncssh.read_private_key(self.box.root / "etc/ssh/ssh_host_ed25519_key")
                self._listener.update(server_host_keys=[key])
                asked.unlink()

    def drop(self) -> int:
        """Cut every connection, as a network does; how many there were."""
        cut = list(self.connections)
        for connection in cut:
            connection.abort()
        return len(cut)

    def close(self) -> None:
        """Stop listening and cut all."""
        if self._reading is not None:
            self._reading.cancel()
        if self._listener is not None:
            self._listener.close()
        self.drop()

    async def _serve(self, process: Any) -> None:
        argv = ["/bin/sh", "-c", self.box.own(process.command)] if process.command else ["/bin/sh", "-i"]
        self.door.befall("ssh.command")
        try:
            code = await (self._terminal if process.term_type else self._pipes)(process, argv)
        except (OSError, asyncssh.Error):
            return  # the line was cut; the process in the box lives on, as with every sshd
        self.door.befall("ssh.answer")
        if code is not None and code < 0:
            process.exit_with_signal(signal.Signals(-code).name.removeprefix("SIG"))
        elif code is not None:
            process.exit(code)

    async def _pipes(self, process: Any, argv: list[str]) -> int | None:
        pipe = subprocess.PIPE
        child = self.box.start(argv, stdin=pipe, stdout=pipe, stderr=pipe)
        inward = asyncio.create_task(self._inward(process, child))
        outward = [
            asyncio.create_task(self._outward(child.stdout, process.stdout)),
            asyncio.create_task(self._outward(child.stderr, process.stderr)),
        ]
        try:
            return await self._outcome(process, child, outward)
        finally:
            inward.cancel()
            with contextlib.suppress(OSError):
                child.stdin.close()  # type: ignore[union-attr]  # it was asked for as a pipe

    async def _outcome(self, process: Any, child: "subprocess.Popen[bytes]", outward: list[Any]) -> int | None:
        """The exit code once the child is over and its output is through; None when the line is cut before."""
        closed = asyncio.create_task(process.wait_closed())
        over = asyncio.gather(*outward, asyncio.get_running_loop().run_in_executor(None, child.wait))
        await asyncio.wait({closed, over}, return_when=asyncio.FIRST_COMPLETED)
        if not over.done():
            over.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await over
            return None
        closed.cancel()
        return int(over.result()[-1])

    async def _inward(self, process: Any, child: "subprocess.Popen[bytes]") -> None:
        """Standard input of the client to the child, until its end."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError, asyncssh.Error):
            while data := await self._typed(process, child.pid):
                view = memoryview(data)
                while view:
                    view = view[await loop.run_in_executor(None, child.stdin.write, view) :]  # type: ignore[union-attr]  # it was asked for as a pipe
        with contextlib.suppress(OSError):
            child.stdin.close()  # type: ignore[union-attr]  # it was asked for as a pipe

    async def _typed(self, process: Any, group: int, terminal: int | None = None) -> bytes:
        """The next bytes from the client; signals and window sizes are dealt with on the way."""
        while True:
            try:
                return bytes(await process.stdin.read(CHUNK))
            except asyncssh.TerminalSizeChanged as size:
                if terminal is not None:
                    _resize(terminal, size.width, size.height)
            except asyncssh.SignalReceived as received:
                with contextlib.suppress(ProcessLookupError, AttributeError):
                    os.killpg(group, getattr(signal, f"SIG{received.signal}"))
            except asyncssh.BreakReceived:
                continue

    async def _outward(self, pipe: Any, writer: Any) -> None:
        """Output of the child to the client, counted and perhaps slowed down."""
        reader, transport = await read_pipe(pipe)
        try:
            while data := await _read(reader):
                self.door.befall("ssh.bytes")
                writer.write(data)
                await writer.drain()
                self.door.sent(len(data))
                if rate := self.door.knobs.throttle_bytes_per_second:
                    await asyncio.sleep(len(data) / rate)
        finally:
            transport.close()  # the transport, not the pipe: else the loop would mistake the next file of that number

    async def _terminal(self, process: Any, argv: list[str]) -> int | None:
        ours, theirs = os.openpty()
        width, height, *_ = process.term_size
        _resize(ours, width, height)
        python = [sys.executable, "-ISc", TERMINAL]
        child = self.box.start([*python, *argv], stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        typing = asyncio.create_task(self._keyboard(process, child.pid, ours))
        stream = os.fdopen(os.dup(ours), "rb", buffering=0)
        try:
            return await self._outcome(process, child, [asyncio.create_task(self._outward(stream, process.stdout))])
        finally:
            typing.cancel()
            os.close(ours)  # the kernel hangs up on whoever is left

    async def _keyboard(self, process: Any, group: int, terminal: int) -> None:
        with contextlib.suppress(OSError, asyncssh.Error):
            while data := await self._typed(process, group, terminal):
                os.write(terminal, data)
            os.write(terminal, b"\x04")


async def _read(reader: asyncio.StreamReader) -> bytes:
    """The next bytes; a terminal whose last user left says EIO, which is its end of file."""
    try:
        return await reader.read(CHUNK)
    except OSError:
        return b""


def _resize(terminal: int, width: int, height: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


class _Guard(asyncssh.SSHServer):  # type: ignore[misc]  # asyncssh is not followed by the type checker
    """Who may come in."""

    def __init__(self, sshd: Sshd) -> None:
        self._sshd = sshd
        self._connection: Any = None

    def connection_made(self, connection: Any) -> None:
        self._connection = connection
        door = self._sshd.door
        if door.knobs.ssh_refuse or not door.admits(connection.get_extra_info("peername")[0]):
            connection.abort()
        else:
            self._sshd.connections.add(connection)

    def connection_lost(self, error: Exception | None) -> None:
        self._sshd.connections.discard(self._connection)

    def begin_auth(self, username: str) -> bool:
        door = self._sshd.door
        if username == self._sshd.box.user and not door.knobs.auth_fail and door.authorized_keys:
            self._connection.set_authorized_keys(asyncssh.import_authorized_keys("\n".join(door.authorized_keys)))
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def auth_completed(self) -> None:
        self._sshd.door.told(str(self._connection.get_extra_info("username")))
