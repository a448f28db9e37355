"""Reads what the dead-man writes, and rewrites its lease."""

from __future__ import annotations

import contextlib
import os
import tempfile

from .places import GuestError, write_whole

STALE_SECONDS = 30
"""The dead-man writes every 5 s; a life older than this is no heartbeat."""


class Guard:
    """The dead-man's folder."""

    def __init__(self, path: str) -> None:
        self._path = path

    def life_seconds(self) -> int | None:
        """How long the machine has lived by the dead-man's count (at most 5 s old), None where it cannot be read."""
        return self._number("life")

    def lease_seconds(self) -> int | None:
        """At which life the machine ends, None where it cannot be read."""
        return self._number("lease")

    def left_seconds(self) -> int | None:
        """What is left of the lease, None where the dead-man cannot be read."""
        life, lease = self.life_seconds(), self.lease_seconds()
        return None if life is None or lease is None else lease - life

    def allow(self, seconds: int) -> None:
        """The machine may live `seconds` more from now. Raises `GuestError` when there is no dead-man to tell."""
        life = self.life_seconds()
        if life is None:
            raise GuestError(f"no dead-man counts in {self._path}")
        try:
            write_whole(os.path.join(self._path, "lease"), b"%d\n" % (life + max(0, seconds)))
        except OSError as error:
            raise GuestError(f"the lease in {self._path} cannot be rewritten: {error}") from error

    def why_not_armed(self) -> str:
        """Empty when the dead-man counts and its process lives; else what is wrong."""
        if self.life_seconds() is None:
            return f"no life is counted in {self._path}"
        if self.lease_seconds() is None:
            return f"no lease lies in {self._path}"
        if not _alive(self._number("pid")):
            return "its process is gone"
        age = self._age_seconds()
        return f"it has not counted for {age:.0f} s" if age > STALE_SECONDS else ""

    def _age_seconds(self) -> float:
        """By the file system's own clock at both ends: the wall clock of a machine may jump."""
        with tempfile.TemporaryFile(dir=self._path if os.access(self._path, os.W_OK) else None) as fresh:
            return os.fstat(fresh.fileno()).st_mtime - os.stat(os.path.join(self._path, "life")).st_mtime

    def _number(self, name: str) -> int | None:
        try:
            with open(os.path.join(self._path, name), encoding="ascii") as file:
                text = file.read(64).strip()
        except (OSError, ValueError):
            return None
        return int(text) if text.isdigit() else None


def _alive(pid: int | None) -> bool:
    if not pid:
        return False
    with contextlib.suppress(PermissionError):  # somebody else's process: it lives
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return False
    return True
