"""A small SSH server on loopback for tests: real keys, a real shell in a folder, and ways to misbehave."""

import asyncio
import os
import signal
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh

USER = "ubuntu"


@dataclass
class Server:
    """A running server, and what it has seen."""

    port: int
    connections: list[Any] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    accepted_environment: list[dict[str, str]] = field(default_factory=list)
    agent_offered: list[bool] = field(default_factory=list)
    tasks: list[Any] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    """Set when a command's process is over, or its channel was closed."""


@contextmanager
def serving(home: Path, *, host_key: Path, client_key: str) -> Iterator[Server]:
    """Serve until the block ends. Only USER with `client_key` gets in; `host_key` is a private key file."""
    server, ready, over = Server(port=0), threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        login = _login(server, client_key)
        listener = await asyncssh.create_server(
            login,
            "127.0.0.1",
            0,
            server_host_keys=[str(host_key)],
            process_factory=_process(server, home),
            encoding=None,
            agent_forwarding=True,
            login_timeout=30,
        )
        server.port = listener.get_port()
        ready.set()
        await over.wait()
        listener.close()
        for connection in server.connections:
            connection.abort()
        await listener.wait_closed()
        await asyncio.gather(*server.tasks, return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    assert ready.wait(20)
    try:
        yield server
    finally:
        loops[0].call_soon_threadsafe(over.set)
        thread.join(20)


def _login(server: Server, client_key: str) -> Callable[[], asyncssh.SSHServer]:
    class Login(asyncssh.SSHServer):  # type: ignore[misc]  # asyncssh has no types
        def connection_made(self, connection: Any) -> None:
            server.connections.append(connection)
            self._connection = connection

        def begin_auth(self, username: str) -> bool:
            keys = asyncssh.import_authorized_keys(client_key) if username == USER else None
            self._connection.set_authorized_keys(keys)
            return True

    return Login


def _process(server: Server, home: Path) -> Callable[[Any], Awaitable[None]]:
    async def process(remote: Any) -> None:
        server.tasks.append(asyncio.current_task())
        command = remote.command or ""
        server.commands.append(command)
        server.accepted_environment.append(dict(remote.env))
        server.agent_offered.append(remote.channel.get_agent_path() is not None)
        try:
            match command.split():
                case ["drop-after", count]:
                    remote.stdout.write(b"x" * int(count))
                    await remote.stdout.drain()
                    remote.get_extra_info("connection").abort()
                case ["hang-after", count]:
                    remote.stdout.write(b"x" * int(count))
                    await remote.wait_closed()
                case _:
                    await _shell(remote, command, home)
        finally:
            server.ended.set()

    return process


async def _shell(remote: Any, command: str, home: Path) -> None:
    pipe = subprocess.PIPE
    environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home)}
    child = subprocess.Popen(
        ["/bin/sh", "-c", command], cwd=home, env=environ, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    )
    assert child.stdin is not None
    feeding = asyncio.ensure_future(_feed(remote.stdin, child.stdin))
    sending = asyncio.gather(_send(child.stdout, remote.stdout), _send(child.stderr, remote.stderr))
    closed = asyncio.ensure_future(remote.wait_closed())
    await asyncio.wait({closed, sending}, return_when=asyncio.FIRST_COMPLETED)
    try:
        if sending.done() and sending.exception() is None:
            remote.exit(await _blocking(child.wait))
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        for task in (sending, feeding, closed):  # a closed channel may keep its writers waiting for ever
            task.cancel()
        await asyncio.gather(sending, feeding, closed, return_exceptions=True)
        await _blocking(child.wait)
        for end in (child.stdin, child.stdout, child.stderr):
            with suppress(OSError):
                end.close()  # type: ignore[union-attr]  # it was asked for as a pipe


async def _blocking(call: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, call, *arguments)


async def _send(source: Any, sink: Any) -> None:
    while data := await _blocking(os.read, source.fileno(), 65536):
        sink.write(data)
        await sink.drain()


async def _feed(source: Any, sink: Any) -> None:
    with suppress(OSError, asyncssh.Error):
        while data := await source.read(65536):
            await _blocking(sink.write, data)
        await _blocking(sink.close)
