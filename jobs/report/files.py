"""The files of a run's folder, touched with suspicion: plain ones only, bounded, and no link is followed."""

import json
from collections.abc import Iterator
from pathlib import Path

from jobs.whole_files import sha256

MOST_BYTES = 1 << 20
"""Of one JSON file: a summary that is longer is none."""
MOST_LOG_BYTES = 32 << 20


class ReportError(Exception):
    """The results cannot be read as what they should be; `message` says which file, `hint` what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


def is_plain(path: Path) -> bool:
    """Whether a file lies there itself, not a link to one."""
    return path.is_file() and not path.is_symlink()


def read(path: Path, most: int) -> bytes:
    """The file's bytes. Raises `ReportError` where there are more than `most`."""
    size = path.stat().st_size
    if size > most:
        raise ReportError(f"{path}: {size} bytes, at most {most} were expected", "launch logs")
    return path.read_bytes()


def counted(folder: Path) -> tuple[int, int, bool]:
    """Files, bytes, and whether every file of `manifest.json` lies here with its sha256; (0, 0, False) without one."""
    rows = list(_listed(folder))
    sound = [path for path, told in rows if is_plain(path) and sha256(path) == told]
    return len(sound), sum(path.stat().st_size for path in sound), bool(rows) and len(sound) == len(rows)


def _listed(folder: Path) -> Iterator[tuple[Path, str]]:
    """The files of the manifest that we wrote ourselves after the pull, with their sha256."""
    path = folder / "manifest.json"
    if not is_plain(path):
        return
    document = parsed(path)
    rows = document.get("files") if isinstance(document, dict) else None
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and isinstance(row.get("path"), str):
            yield folder / row["path"], str(row.get("sha256"))


def parsed(path: Path, most: int = MOST_LOG_BYTES) -> object:
    """The JSON value of a file; None where it holds none. Raises `ReportError` where it is too long."""
    try:
        value: object = json.loads(read(path, most))
    except (ValueError, RecursionError):
        return None
    return value
