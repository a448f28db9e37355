"""Files that are written whole or not at all, and their hashes: one way for all that the laptop keeps."""

import hashlib
from pathlib import Path


def sha256(path: Path) -> str:
    """The hash of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_whole(path: Path, content: str | bytes) -> Path:
    """Written aside and renamed, with the folders above made; returns `path`.

    A reader sees all of it or none, and a link that somebody planted at the place is replaced, not followed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    aside.unlink(missing_ok=True)
    with aside.open("xb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
    aside.replace(path)
    return path
