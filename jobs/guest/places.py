"""Where things lie in a run's folder, and the few ways in which files there are written and hashed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from typing import Any, Iterator

HASH_BLOCK_BYTES = 1 << 20
MANIFEST = "manifest.json"
"""Of a checkpoint: its files with their hashes, written last."""


class GuestError(Exception):
    """What a verb answers with `{"error": ...}` and exit 1."""


class Run:
    """The paths of one attempt's folder, all absolute."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        self.bundle = self._in("bundle")
        self.archive = self._in("bundle.tar.gz")
        self.job_json = self._in("bundle", "job.json")
        self.job_folder = self._in("bundle", "job")
        self.progress = self._in("progress.jsonl")
        self.log = self._in("job.log")
        self.out = self._in("out")
        self.checkpoints = self._in("checkpoints")
        self.status = self._in("status.json")
        self.stop = self._in("stop")
        self.max_steps = self._in("max_steps")
        self.save = self._in("save")
        self.lock = self._in("supervisor.lock")
        self.supervisor_log = self._in("supervisor.log")
        self.python = self._in("python")
        self.reserve = self._in(".reserve")
        self.seen = self._in("seen")
        self.carrier = self._in("carrier.json")

    def _in(self, *names: str) -> str:
        return os.path.join(self.path, *names)

    def under(self, name: str) -> str:
        """`out` or `checkpoints/NAME` as a folder. Raises `GuestError` for anything else."""
        if name == "out":
            return self.out
        if re.fullmatch(r"checkpoints/[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
            return self._in(*name.split("/"))
        raise GuestError(f"--under is out or checkpoints/NAME, not {name!r}")

    def read_job(self) -> dict[str, Any]:
        """job.json. Raises `GuestError` when it is not there or has no steps."""
        found = read_json(self.job_json)
        steps = found.get("steps")
        if not isinstance(steps, list) or not steps:
            raise GuestError(f"{self.job_json} is missing, or names no steps")
        for step in steps:
            argv = step.get("argv") if isinstance(step, dict) else None
            if not argv or not all(isinstance(word, str) for word in [*argv, step.get("name"), step.get("phase")]):
                raise GuestError(f"{self.job_json}: a step has name, phase and argv, not {step!r}")
        return found


def whole_steps(run: Run) -> list[int]:
    """Of the whole checkpoints: a folder gets its name when all is in it, its manifest included."""
    found = []
    with contextlib.suppress(OSError):
        for name in os.listdir(run.checkpoints):
            step = re.fullmatch(r"step-([0-9]{1,12})", name)
            if step and os.path.isfile(os.path.join(run.checkpoints, name, MANIFEST)):
                found.append(int(step.group(1)))
    return found


def newest_checkpoint(run: Run) -> dict[str, Any]:
    """`{"checkpoint": {"name", "sha256"}}`, the hash that of its manifest; empty where there is none."""
    for step in sorted(whole_steps(run), reverse=True):
        name = f"step-{step}"
        with contextlib.suppress(OSError):  # dropped by the job meanwhile
            return {"checkpoint": {"name": name, "sha256": sha256(os.path.join(run.checkpoints, name, MANIFEST))}}
    return {}


def plain_relative(path: str) -> str:
    """`path`, if it stays below where it starts. Raises `GuestError` for `..`, absolute paths, control characters."""
    names = path.split("/")
    if not path or len(path) > 1024 or not path.isprintable() or "\\" in path:
        raise GuestError(f"not a plain path: {path!r}")
    if any(name in ("", ".", "..") for name in names):
        raise GuestError(f"not a path below its folder: {path!r}")
    return path


def read_json(path: str) -> dict[str, Any]:
    """A JSON object of a file; empty when it cannot be read."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def note_seen(run: Run) -> None:
    """Somebody asks, of a job that was begun: whoever that is may come for its results."""
    if not os.path.exists(run.lock):
        return
    with contextlib.suppress(OSError), open(run.seen, "ab") as file:
        os.utime(file.fileno())


def write_whole(path: str, data: bytes) -> None:
    """Replace a file: readers see the old or the new one, also after a crash."""
    aside = f"{path}.{os.getpid()}.tmp"
    try:
        with open(aside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        raise


def append_line(path: str, data: bytes) -> None:
    """Append one whole line with one write; a torn line before it (a crash, a full disk) is closed first."""
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(file).st_size
        torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
        whole = (b"\n" if torn else b"") + data.rstrip(b"\n") + b"\n"
        if os.write(file, whole) != len(whole):
            raise OSError("only part of a line could be written")
    finally:
        os.close(file)


def blocks(path: str, offset: int = 0) -> Iterator[bytes]:
    """The bytes of a regular file from `offset`; a link is refused by the system's own flag."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        file.seek(offset)
        while True:
            block = file.read(HASH_BLOCK_BYTES)
            if not block:
                return
            yield block


def sha256(path: str) -> str:
    """Hex digest of a file."""
    digest = hashlib.sha256()
    for block in blocks(path):
        digest.update(block)
    return digest.hexdigest()
