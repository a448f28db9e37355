"""Starts the supervisor in a session of its own, once; and tells whether it lives, by a lock that dies with it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from typing import Any

from .places import GuestError, Run, read_json

WAIT_SECONDS = 20
LOOK_SECONDS = 0.02


def start(run: Run, guard_path: str) -> dict[str, Any]:
    """Start it unless it runs or the job is over; returns when it has said that it lives."""
    run.read_job()
    if alive(run) or read_json(run.status).get("state") == "over":
        return {"pid": _pid(run)}
    os.makedirs(run.path, exist_ok=True)
    with open(run.supervisor_log, "ab") as log:
        child = subprocess.Popen(
            [sys.executable, *_program(), "supervise", "--run", run.path, "--guard", guard_path],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return {"pid": _said_by(run, child)}


def _program() -> list[str]:
    """How this program was started: a zip application, or a package."""
    main = sys.modules["__main__"]
    package = getattr(main, "__package__", "") or ""
    if os.path.basename(sys.argv[0]) == "__main__.py" and package:
        return ["-m", package]
    return [os.path.abspath(sys.argv[0])]


def _said_by(run: Run, child: subprocess.Popen[bytes]) -> int:
    """The pid in status.json once it is the child's, or that of another one that was quicker."""
    for _ in range(int(WAIT_SECONDS / LOOK_SECONDS)):
        if child.poll() is not None or _pid(run) == child.pid:
            break
        time.sleep(LOOK_SECONDS)
    if _pid(run) == child.pid or alive(run):
        return _pid(run)
    raise GuestError(f"the supervisor did not start: {_last_words(run)}")


def _last_words(run: Run) -> str:
    with open(run.supervisor_log, encoding="utf-8", errors="replace") as log:
        return log.read()[-400:].strip() or "it said nothing"


def _pid(run: Run) -> int:
    found = read_json(run.status).get("pid")
    return found if isinstance(found, int) else 0


def alive(run: Run) -> bool:
    """Whether a supervisor holds the lock. The system takes it back when the process ends, however it ends."""
    try:
        file = os.open(run.lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def hold(run: Run) -> int | None:
    """Take the lock for the life of this process; None when another one has it."""
    file = os.open(run.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(50):  # somebody's `alive` may hold it shared for a moment
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOOK_SECONDS)
        else:
            return file
    os.close(file)
    return None
