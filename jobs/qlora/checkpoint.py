"""Whole checkpoints or none: written aside, forced to disk, listed with their hashes, renamed; the last two stay."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from .job import Job, sha256, tell, write_json

KEEP = 2


def publish(job: Job, written: Path, step: int) -> Path:
    """Turn the trainer's folder into checkpoints/step-N, tell of it, and drop what is older than the last two."""
    manifest = {"files": [entry(written, path) for path in sorted(written.rglob("*")) if path.is_file()]}
    write_json(written / "manifest.json", manifest)
    force(written)
    home = job.checkpoints / f"step-{step}"
    job.checkpoints.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(home, ignore_errors=True)
    written.rename(home)
    flush_folder(job.checkpoints)
    size = sum(int(file["bytes"]) for file in manifest["files"])
    tell(job, "checkpoint", name=home.name, step=step, bytes=size, sha256=sha256(home / "manifest.json"))
    for old in steps(job)[:-KEEP]:
        shutil.rmtree(old, ignore_errors=True)
    return home


def entry(folder: Path, path: Path) -> dict[str, str | int]:
    """One file of the manifest."""
    return {"path": path.relative_to(folder).as_posix(), "bytes": path.stat().st_size, "sha256": sha256(path)}


def force(folder: Path) -> None:
    """Make sure that the bytes are on the disk before the name says so."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    flush_folder(folder)


def flush_folder(folder: Path) -> None:
    """Force a folder's own entries to the disk."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def steps(job: Job) -> list[Path]:
    """The checkpoints, oldest first."""
    found = [path for path in job.checkpoints.glob("step-*") if path.name[5:].isdigit()]
    return sorted(found, key=lambda path: int(path.name[5:]))


def is_whole(folder: Path) -> bool:
    """Whether every file is what the manifest says."""
    try:
        files = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"]
        return bool(files) and all(sha256(folder / file["path"]) == file["sha256"] for file in files)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def newest(job: Job) -> Path | None:
    """The newest checkpoint that is whole; a damaged one is passed over, and said."""
    for folder in reversed(steps(job)):
        if is_whole(folder):
            return folder
        tell(job, "warning", code="damaged-checkpoint", text=f"{folder.name} does not match its manifest: not used")
    return None
