"""Speaks with a machine that is a folder here, in the same words as with one that is far away."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from launcher import piped
from launcher.remote import CommandFailed, CommandTimeout, Completed, RemoteUnreachable
from providers.base import Folder

_PASSED_ON = (
    "CUDA_HOME",
    "CUDA_VISIBLE_DEVICES",
    "HF_ENDPOINT",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "HOME",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "LOGNAME",
    "OMP_NUM_THREADS",
    "SHELL",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
)
"""What a job here sees of our environment. No token and no cloud credential is among it: those go by `--secret`."""

_NOT_FOUND, _NOT_EXECUTABLE = 127, 126


class FolderRemote:
    """A `Remote` by plain processes. Each carries LAUNCH_MACHINE, by which the machine's end finds them."""

    def __init__(self, access: Folder, environ: Mapping[str, str]) -> None:
        self._folder = access.path
        # A job trains with the packages that we run with: our own interpreter is the machine's `python3`.
        path = os.pathsep.join(
            part for part in (str(Path(sys.executable).parent), environ.get("PATH", os.defpath)) if part
        )
        passed_on = {name: environ[name] for name in _PASSED_ON if name in environ}
        self._environ = passed_on | {"PATH": path, "LAUNCH_MACHINE": access.path.name}

    def run(self, argv: Sequence[str], *, stdin: bytes | BinaryIO = b"", timeout_seconds: float = 60) -> Completed:
        """See `Remote.run`; what cannot be started ends with 127 or 126, as in a shell."""
        try:
            return piped.complete(self._program(argv), stdin, timeout_seconds)
        except TimeoutError as late:
            raise CommandTimeout(f"no end of the command within {timeout_seconds:g} s") from late
        except OSError as broken:
            return Completed(exit_code=self._exit_code(broken), stdout=b"", stderr=str(broken))

    def stream(self, argv: Sequence[str], *, idle_seconds: float = 60) -> Iterator[bytes]:
        """See `Remote.stream`."""
        try:
            done = yield from piped.stream(self._program(argv), idle_seconds)
        except TimeoutError as late:
            raise RemoteUnreachable(f"nothing came for {idle_seconds:g} s") from late
        except OSError as broken:
            raise CommandFailed(str(broken), exit_code=self._exit_code(broken)) from broken
        if done.exit_code != 0:
            raise CommandFailed(f"the command ended with {done.exit_code}", exit_code=done.exit_code)

    def interactive(self, argv: Sequence[str]) -> int:
        """See `Remote.interactive`."""
        command = list(argv) or [self._environ.get("SHELL", "/bin/sh")]
        try:
            return subprocess.run(command, env=self._environ, cwd=self._folder, check=False).returncode
        except OSError as broken:
            return self._exit_code(broken)

    def shown_host_key(self) -> str:
        """See `Remote.shown_host_key`: a folder has none."""
        return ""

    def close(self) -> None:
        """Nothing is shared here."""

    def _program(self, argv: Sequence[str]) -> piped.Program:
        return piped.Program(argv=argv, environ=self._environ, folder=self._folder, whole_group=True)

    def _exit_code(self, broken: OSError) -> int:
        if not self._folder.is_dir():
            raise RemoteUnreachable(f"there is no machine at {self._folder}") from broken
        return _NOT_FOUND if isinstance(broken, FileNotFoundError) else _NOT_EXECUTABLE
