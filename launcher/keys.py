"""A run's own ssh keys: made before the machine, pinned when it has an address, forgotten when it is gone."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from launcher.errors import Exit, LaunchError
from launcher.remote import Keys, RemoteError

_FILES = ("client", "client.pub", "host", "host.pub")
_ADDRESS = re.compile(r"[0-9A-Za-z][0-9A-Za-z.-]*|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*")
_STANDARD_PORT = 22


def make(folder: Path) -> Keys:
    """Fresh ed25519 keys in `folder` (0700, its private files 0600): one to log in with, one for the machine.

    A folder that already holds a whole set is left as it is, so that an attached run goes on with its own keys; hand in
    another folder for each attempt to have fresh ones. Raises `LaunchError` where there is no `ssh-keygen`.
    """
    if folder.is_dir() and {*_FILES} <= {file.name for file in os.scandir(folder) if file.is_file()}:
        return Keys(folder=folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".keys-", dir=folder.parent))
    try:
        for name in ("client", "host"):
            _generate(fresh / name)
        shutil.rmtree(folder, ignore_errors=True)  # half a set, left by a process that died here
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return Keys(folder=folder)


def pin(keys: Keys, host: str, port: int, accepted: str = "") -> None:
    """Write known_hosts: at this address only the owner of the run's host key is the machine.

    `accepted`: keys that count instead of it, one a line (`launcher.host_keys`, `launcher.rotation`). Called again when
    the address changes: the keys stay. Raises `RemoteError` for what cannot be an address.
    """
    if not _ADDRESS.fullmatch(host) or not 0 < port <= 0xFFFF:
        raise RemoteError(f"{host!r} port {port} is not the address of a machine")
    place = host if port == _STANDARD_PORT else f"[{host}]:{port}"
    handle, aside = tempfile.mkstemp(prefix=".known_hosts-", dir=keys.folder)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.writelines(f"{place} {line}\n" for line in (accepted or keys.host_public).splitlines())
    Path(aside).replace(keys.known_hosts)


def another_host_key(keys: Keys) -> tuple[str, str]:
    """One more host key, private and public part, for a machine to take; nothing of it stays on this disk."""
    with tempfile.TemporaryDirectory(prefix=".next-", dir=keys.folder) as folder:
        path = Path(folder) / "host"
        _generate(path)
        return path.read_text("ascii"), path.with_suffix(".pub").read_text("ascii").strip()


def forget(keys: Keys) -> None:
    """Remove the private parts; safe to call twice. What is left says whom we trusted, and opens nothing."""
    for name in ("client", "host"):
        (keys.folder / name).unlink(missing_ok=True)


def _generate(path: Path) -> None:
    # With no standard input nothing can ask; no passphrase, since the key lives as long as the run.
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "launch", "-f", str(path)]
    try:
        made = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except FileNotFoundError as missing:
        raise LaunchError(
            "there is no ssh-keygen on this machine's PATH",
            code="no-openssh",
            exit_code=Exit.USAGE,
            hint="install the OpenSSH client (Debian, Ubuntu: apt install openssh-client), then run this again",
        ) from missing
    if made.returncode != 0:
        why = made.stderr.decode("utf-8", "replace").strip()
        raise LaunchError("ssh-keygen made no key", code="no-openssh", exit_code=Exit.USAGE, detail=why)
    path.chmod(0o600)
