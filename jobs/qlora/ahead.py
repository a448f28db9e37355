"""Begin the download of the base model while the packages are installed; what fails here is done by the next steps."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .install import HERE, IMAGES, Interpreter, locked, look, run, satisfied
from .job import Job, read_job

FOLDER = "ahead"
"""In the run's folder: the few packages that can download, apart from all others."""


def needs(job: Job, found: list[Interpreter]) -> Interpreter | None:
    """The interpreter to download with; None where there is nothing to gain: a model in the bundle, or all installed.

    Where every locked package is there, the install step takes seconds, and the download follows it at once.
    """
    wanted = locked(HERE / "requirements.lock")
    if (job.bundle / "base").is_dir() or any(satisfied(one, wanted) for one in found):
        return None
    return next((one for one in found if one.suits and one.pip), None)


def commands(one: Interpreter, folder: Path) -> tuple[list[str], list[str]]:
    """How to get the packages that download, and how to download with them."""
    target = ["--target", str(folder), "--no-deps", "--require-hashes", "--no-input", "-q"]
    install = [one.path, "-m", "pip", "install", *target, "-r", str(HERE / "hub.lock")]
    return install, [one.path, str(HERE / "run.py"), "download"]


def main() -> None:
    """Install what downloads, then become the download step."""
    job = read_job()
    found = [one for one in map(look, dict.fromkeys([sys.executable, *IMAGES])) if one]
    one = needs(job, found)
    if one is None:
        return
    install, download = commands(one, job.run / FOLDER)
    run(install)
    os.execve(  # noqa: S606 - no shell is meant: this process becomes the next step
        one.path, download, {**os.environ, "PYTHONPATH": str(job.run / FOLDER)}
    )


if __name__ == "__main__":
    main()
