"""The rows that a run was sent with, from its own bundle: what the machine's answers are held against."""

import tarfile
from pathlib import Path, PurePosixPath

MOST_BYTES = 2 << 30
"""Of one file of rows; a bundle holds no larger one."""
ROWS = "rows"


def sent_rows(run_folder: Path) -> Path | None:
    """A folder with test.jsonl, validation.jsonl and adjacent/<name>.jsonl as they were shipped; None without a bundle.

    Unpacked once beside the bundle. It is our own file, and is still read as an archive: only plain names under data/.
    """
    folder, bundle = run_folder / ROWS, run_folder / "bundle.tar.gz"
    if folder.is_dir():
        return folder
    aside = run_folder / f".{ROWS}.part"
    try:
        with tarfile.open(bundle, "r:gz") as archive:
            for member in archive:
                name = _wanted(member)
                content = archive.extractfile(member) if name else None
                if name is None or content is None:
                    continue
                path = aside / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.read())
    except (OSError, tarfile.TarError, EOFError):
        return None
    aside.mkdir(exist_ok=True)
    aside.replace(folder)
    return folder


def _wanted(member: tarfile.TarInfo) -> PurePosixPath | None:
    """Where a file of rows goes: data/test.jsonl to test.jsonl; the training rows are not needed."""
    path = PurePosixPath(member.name)
    if not member.isfile() or member.size > MOST_BYTES or path.parts[:1] != ("data",) or path.suffix != ".jsonl":
        return None
    inside = PurePosixPath(*path.parts[1:])
    known = inside.name in ("test.jsonl", "validation.jsonl") or inside.parent == PurePosixPath("adjacent")
    return inside if known and ".." not in inside.parts else None
