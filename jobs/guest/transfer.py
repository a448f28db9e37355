"""Files to this machine and from it: resumable, verified, renamed into place; folders as manifests of hashes."""

from __future__ import annotations

import contextlib
import os
from typing import Any, BinaryIO

from .places import HASH_BLOCK_BYTES, GuestError, Run, blocks, note_seen, plain_relative, sha256

MOST_FILES = 20_000
_UNFINISHED = (".tmp", ".part")


def received(path: str, digest: str) -> dict[str, Any]:
    """How many bytes of it lie here already."""
    part = _part(path, digest)
    if _is_whole(path, digest):
        return {"have": os.path.getsize(path)}
    return {"have": os.path.getsize(part) if os.path.exists(part) else 0}


def receive(path: str, digest: str, offset: int, stream: BinaryIO) -> dict[str, Any]:
    """Write the stream after the first `offset` bytes, verify, rename. A cut-off upload is kept to go on from."""
    part = _part(path, digest)
    if _is_whole(path, digest):
        return {"sha256": digest, "bytes": os.path.getsize(path)}
    os.makedirs(os.path.dirname(part) or ".", exist_ok=True)
    _write_from(part, offset, stream)
    found = sha256(part)
    if found != digest:
        raise GuestError(f"sha256 is {found}, not {digest}: damaged, or cut off at {_kept(part, offset)} bytes")
    os.replace(part, path)
    return {"sha256": digest, "bytes": os.path.getsize(path)}


def _part(path: str, digest: str) -> str:
    """Named after the hash, so that a part of something else is never gone on with."""
    if len(digest) != 64 or not digest.isalnum():
        raise GuestError(f"not a sha256: {digest!r}")
    return f"{plain_relative(path)}.{digest[:16]}.part"


def _is_whole(path: str, digest: str) -> bool:
    return os.path.isfile(path) and sha256(path) == digest


def _write_from(part: str, offset: int, stream: BinaryIO) -> None:
    file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "wb") as out:
        size = os.fstat(out.fileno()).st_size
        if not 0 <= offset <= size:
            raise GuestError(f"cannot go on at {offset}: there are {size} bytes")
        out.seek(offset)
        out.truncate()
        for block in iter(lambda: stream.read(HASH_BLOCK_BYTES), b""):
            out.write(block)
        out.flush()
        os.fsync(out.fileno())


def _kept(part: str, offset: int) -> int:
    """Of a damaged part: nothing new came, so what is here is all and wrong, and the next try begins at 0."""
    size = os.path.getsize(part)
    if size > offset:
        return size
    with contextlib.suppress(OSError):
        os.unlink(part)
    return 0


def manifest(run: Run, under: str) -> dict[str, Any]:
    """All finished regular files below a folder, sorted; links and what is still being written are left out."""
    return {"files": listed(run.under(under))}


def listed(root: str) -> list[dict[str, Any]]:
    """The same, of any folder: `path` below it, `bytes`, `sha256`."""
    found = []
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.islink(path) and os.path.isfile(path) and not name.endswith(_UNFINISHED):
                found.append(path)
    if len(found) > MOST_FILES:
        raise GuestError(f"more than {MOST_FILES} files below {os.path.basename(root)}")
    rows = [{"path": os.path.relpath(one, root), "bytes": os.path.getsize(one), "sha256": sha256(one)} for one in found]
    return sorted(rows, key=lambda row: str(row["path"]))


def send(run: Run, under: str, path: str, offset: int, out: BinaryIO) -> None:
    """Raw bytes of one file below a folder, from `offset`."""
    root = run.under(under)
    wanted = os.path.join(root, plain_relative(path))
    if os.path.realpath(wanted) != os.path.join(os.path.realpath(root), path) or not os.path.isfile(wanted):
        raise GuestError(f"no file {path!r} below {under}")
    for block in blocks(wanted, max(0, offset)):
        out.write(block)
        note_seen(run)
