"""The SSH server of real machines, on loopback, as whoever runs the tests; its login folder is one of the test's."""

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from launcher.remote import Keys
from tests.programs import program

LISTENING = "Server listening on"
BOUND_SECONDS = 20.0
SEPARATION = Path("/run/sshd")
"""An empty folder that sshd insists on where it is started by root."""


@dataclass(frozen=True, kw_only=True)
class Sshd:
    """A running server."""

    port: int
    log: Path

    def said(self) -> str:
        """All that it logged."""
        return self.log.read_text("utf-8", errors="replace")


def settings(port: int, login: Path, host_key: Path, authorized: Path) -> str:
    """As a cloud's image has them, but for the place: the login folder is the test's, not that of the account."""
    return f"""\
ListenAddress 127.0.0.1
Port {port}
HostKey {host_key}
AuthorizedKeysFile {authorized}
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PidFile none
LogLevel VERBOSE
ForceCommand cd {login} && HOME={login} && export HOME && exec sh -c "$SSH_ORIGINAL_COMMAND"
"""


@contextmanager
def serving(folder: Path, keys: Keys, host: Keys) -> Iterator[Sshd]:
    """A server that takes the client key of `keys` and shows the host key of `host`. Skips where there is no sshd."""
    sshd = program("sshd", "openssh-server")
    if os.geteuid() == 0:
        SEPARATION.mkdir(mode=0o755, exist_ok=True)
    login = folder / "login"
    login.mkdir(parents=True)
    (folder / "authorized_keys").write_text(keys.client_public + "\n")
    port = _free_port()
    config, log = folder / "sshd_config", folder / "sshd.log"
    config.write_text(settings(port, login, host.folder / "host", folder / "authorized_keys"))
    with subprocess.Popen([sshd, "-D", "-e", "-f", str(config)], stderr=subprocess.PIPE, text=True) as server:
        heard = threading.Event()
        reader = threading.Thread(target=_keep, args=(server, log, heard), daemon=True)
        reader.start()
        try:
            assert heard.wait(BOUND_SECONDS), "sshd said nothing"
            assert LISTENING in log.read_text(), log.read_text()
            yield Sshd(port=port, log=log)
        finally:
            with suppress(ProcessLookupError):
                server.terminate()
            server.wait(BOUND_SECONDS)
            reader.join(BOUND_SECONDS)


def _keep(server: "subprocess.Popen[str]", log: Path, heard: threading.Event) -> None:
    """Write its words down; `heard` when it listens, or has ended."""
    assert server.stderr is not None
    with log.open("w", encoding="utf-8", buffering=1) as file:
        for line in server.stderr:
            file.write(line)
            if LISTENING in line:
                heard.set()
    heard.set()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
