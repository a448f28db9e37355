"""Files that are written whole or not at all, and their hashes: one way for all that the laptop keeps."""

import errno
import hashlib
import os
from pathlib import Path


def sha256(path: Path) -> str:
    """The hash of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_below(folder: Path, name: str, content: str | bytes) -> Path:
    """As `write_whole`, for `name` ("eval/summary.json") in a folder of results; returns the path.

    The folder itself may be a link: a person may keep results elsewhere. One below it that is a link was planted, and
    would lead a file of ours to a place that nobody chose: `NotADirectoryError`.
    """
    at = folder
    for part in Path(name).parts[:-1]:
        at /= part
        if at.is_symlink():
            raise NotADirectoryError(errno.ENOTDIR, "it is a link, and nothing is written through it", str(at))
    return write_whole(folder / name, content)


def write_whole(path: Path, content: str | bytes, *, synced: bool = False) -> Path:
    """Written aside and renamed, with the folders above made; returns `path`.

    A reader sees all of it or none, and a link that somebody planted at the place is replaced, not followed. `synced`:
    it is on the disk itself when this returns, and a loss of power takes neither it nor what it replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    aside.unlink(missing_ok=True)
    with aside.open("xb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        if synced:
            file.flush()
            os.fsync(file.fileno())
    aside.replace(path)
    if synced:
        _sync_names(path.parent)
    return path


def _sync_names(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
