"""Opens the bundle: regular files below its folder and nothing else, whatever the archive says."""

from __future__ import annotations

import os
import shutil
import tarfile
from typing import Any

from .places import HASH_BLOCK_BYTES, GuestError, Run, plain_relative, sha256

MOST_FILES = 10_000
MOST_BYTES = 64 << 30


def unpack(run: Run, digest: str) -> dict[str, Any]:
    """Verify bundle.tar.gz, write its files aside, rename to bundle/. Raises `GuestError` and leaves nothing behind."""
    if not os.path.isfile(run.archive):
        raise GuestError("there is no bundle.tar.gz")
    found = sha256(run.archive)
    if found != digest:
        raise GuestError(f"bundle.tar.gz has sha256 {found}, not {digest}")
    aside = run.bundle + ".tmp"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        answer = _extract(run.archive, aside)
        shutil.rmtree(run.bundle, ignore_errors=True)
        os.rename(aside, run.bundle)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise GuestError(f"bundle.tar.gz cannot be read: {error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return answer


def _extract(archive: str, into: str) -> dict[str, Any]:
    files = total = 0
    with tarfile.open(archive, "r|gz") as tar:
        for member in tar:
            if not member.isreg():
                raise GuestError(f"the bundle holds {member.name!r}, which is no regular file")
            files, total = files + 1, total + member.size
            if files > MOST_FILES or total > MOST_BYTES:
                raise GuestError(f"the bundle holds more than {MOST_FILES} files or {MOST_BYTES} bytes")
            _write(tar, member, os.path.join(into, plain_relative(member.name)))
    return {"files": files, "bytes": total}


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> None:
    source = tar.extractfile(member)
    if source is None:
        raise GuestError(f"the bundle's {member.name!r} cannot be read")
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(file, "wb") as out:
        shutil.copyfileobj(source, out, HASH_BLOCK_BYTES)
