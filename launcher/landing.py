"""Puts strange bytes into one folder of ours and nowhere else: no link is followed, no path is looked up as a whole."""

import errno
import fcntl
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a planted pipe would hang us at open otherwise
_PARTS = ".parts"
_CHUNK_BYTES = 1024 * 1024
_RECORD_BYTES = 8 * 1024 * 1024
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class PullError(Exception):
    """What was to come home cannot be put where it shall go."""


class NoRoom(PullError):
    """This disk is full; `missing_bytes` is what it lacks, as far as can be said."""

    def __init__(self, folder: Path, missing_bytes: int) -> None:
        super().__init__(f"{folder} has no room for {missing_bytes / 2**20:,.1f} MiB more")
        self.missing_bytes = missing_bytes


class InTheWay(PullError):
    """Something that is no folder stands where a folder must be."""


class Part:
    """A file that is still coming: what is there already, hashed, and a place for more."""

    def __init__(self, handle: int, name: str, folder: Path) -> None:
        self._handle, self.name, self._folder = handle, name, folder
        self.size, self._digest = 0, hashlib.sha256()
        while chunk := os.read(handle, _CHUNK_BYTES):
            self._count(chunk)

    @property
    def sha256(self) -> str:
        """Of all bytes so far."""
        return self._digest.hexdigest()

    def write(self, chunk: bytes) -> None:
        """Append. Raises `NoRoom`."""
        with _on_disk(self._folder, len(chunk)):
            rest = memoryview(chunk)
            while rest:
                rest = rest[os.write(self._handle, rest) :]
        self._count(chunk)

    def sync(self) -> None:
        """To the disk itself. Raises `NoRoom`, which some file systems notice only here."""
        with _on_disk(self._folder, self.size):
            os.fsync(self._handle)

    def close(self) -> None:
        """Let go of the file and of its lock."""
        os.close(self._handle)

    def _count(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self._digest.update(chunk)


class Landing:
    """One folder, held open: all names below are looked up from it, one level at a time, links excluded.

    Files come as parts, which lie in `.parts` under their hash: a name of ours, the same at the next try.
    """

    def __init__(self, folder: Path) -> None:
        """Makes the folder where there is none. Raises `PullError`."""
        self.folder = folder
        with _on_disk(folder, 0):
            _make(folder)
            self._root = os.open(folder, _FOLDER & ~os.O_NOFOLLOW)  # the user may well have put the folder elsewhere
        try:
            self._parts = self._below(self._root, _PARTS)
        except BaseException:  # and is raised again
            os.close(self._root)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._parts)
        with suppress(OSError):  # not empty: parts for the next try
            os.rmdir(_PARTS, dir_fd=self._root)
        os.close(self._root)

    def free_bytes(self) -> int:
        """What this disk still takes."""
        disk = os.fstatvfs(self._root)
        return disk.f_bavail * disk.f_frsize

    def sha256(self, path: str) -> str | None:
        """Of the regular file at `path`; None where there is none."""
        with suppress(PullError), self._parent(path, make=False) as (parent, name):
            handle = _opened(name, parent)
            if handle is not None:
                with os.fdopen(handle, "rb") as file:
                    return hashlib.file_digest(file, "sha256").hexdigest()
        return None

    def there(self, path: str) -> bool:
        """Whether anything at all has that name: a file, a folder, a link to nowhere."""
        try:
            with self._parent(path, make=False) as (parent, name):
                os.stat(name, dir_fd=parent, follow_symlinks=False)
        except (OSError, PullError):
            return False
        return True

    def waiting_bytes(self, sha256: str) -> int:
        """What an earlier try left of a file, which needs no room any more."""
        try:
            return os.stat(f"{sha256}.part", dir_fd=self._parts, follow_symlinks=False).st_size
        except OSError:
            return 0

    def part(self, sha256: str, size: int) -> Part:
        """Go on with what an earlier try left of a file, or begin anew. Raises `NoRoom`."""
        name = f"{sha256}.part"
        left = self._left_over(name, size)
        if left is None:
            with suppress(OSError):
                os.unlink(name, dir_fd=self._parts)
            left, name = self._fresh(name)
        return Part(left, name, self.folder)

    def drop(self, part: Part) -> None:
        """Throw a part away that turned out wrong."""
        with suppress(FileNotFoundError):
            os.unlink(part.name, dir_fd=self._parts)

    def settle(self, part: Part, path: str) -> None:
        """Give a whole part its name, for good. Raises `PullError`."""
        part.sync()
        with _on_disk(self.folder, 0), self._parent(path, make=True) as (parent, name):
            os.rename(part.name, name, src_dir_fd=self._parts, dst_dir_fd=parent)
            os.fsync(parent)

    def set_aside(self, path: str) -> str:
        """Move what has that name to a name beside it, which is returned. Links are moved, not followed."""
        with _on_disk(self.folder, 0), self._parent(path, make=False) as (parent, name):
            other = f"{name}.aside-{secrets.token_hex(4)}"
            os.rename(name, other, src_dir_fd=parent, dst_dir_fd=parent)
        return other

    def read(self, name: str) -> bytes:
        """A small file of our own in the folder itself; empty where there is none that can be used."""
        handle = _opened(name, self._root)
        if handle is None:
            return b""
        with os.fdopen(handle, "rb") as file:
            text = file.read(_RECORD_BYTES + 1)
        return text if len(text) <= _RECORD_BYTES else b""

    def write(self, name: str, document: object) -> None:
        """A JSON file of our own in the folder itself, replaced as a whole. Raises `NoRoom`."""
        text = (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()
        handle, aside = self._fresh(f"{name}.part")
        part = Part(handle, aside, self.folder)
        try:
            part.write(text)
            self.settle(part, name)
        finally:
            part.close()

    def _left_over(self, name: str, size: int) -> int | None:
        try:
            handle = os.open(name, os.O_RDWR | _FILE, dir_fd=self._parts)
        except OSError:
            return None
        about = os.fstat(handle)
        usable = stat.S_ISREG(about.st_mode) and about.st_nlink == 1 and about.st_size <= size
        if usable and _is_ours_alone(handle):
            return handle
        os.close(handle)
        return None

    def _fresh(self, name: str) -> tuple[int, str]:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _FILE
        with _on_disk(self.folder, 0):
            try:
                handle = os.open(name, flags, 0o644, dir_fd=self._parts)
            except FileExistsError:  # another pull is at it, or something odd was put there: a name that nobody has
                name = f"{name}.{secrets.token_hex(8)}"
                handle = os.open(name, flags, 0o644, dir_fd=self._parts)
        _is_ours_alone(handle)
        return handle, name

    @contextmanager
    def _parent(self, path: str, *, make: bool) -> Iterator[tuple[int, str]]:
        *folders, name = path.split("/")
        handle = os.dup(self._root)
        try:
            for folder in folders:
                inner = self._below(handle, folder, make=make)
                os.close(handle)
                handle = inner
            yield handle, name
        finally:
            os.close(handle)

    def _below(self, parent: int, name: str, *, make: bool = True) -> int:
        if make:
            with _on_disk(self.folder, 0), suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=parent)
                os.fsync(parent)  # or the folder may be gone after a power cut, with all that was forced to disk in it
        try:
            return os.open(name, _FOLDER, dir_fd=parent)
        except OSError as odd:
            raise InTheWay(f"{name} is no folder that can be used") from odd


def _make(folder: Path) -> None:
    """The folder and those above it, each name forced to the disk."""
    if folder.is_dir():
        return
    _make(folder.parent)
    folder.mkdir(exist_ok=True)
    handle = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _opened(name: str, parent: int) -> int | None:
    """A regular file, for reading; None for everything else that a name can be."""
    try:
        handle = os.open(name, os.O_RDONLY | _FILE, dir_fd=parent)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    return None


def _is_ours_alone(handle: int) -> bool:
    """Lock a part against a second pull into the same folder; the lock goes with the handle."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextmanager
def _on_disk(folder: Path, missing_bytes: int) -> Iterator[None]:
    """Turns what the file system refuses into `NoRoom` or `PullError`."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise NoRoom(folder, missing_bytes) from error
        raise PullError(f"{folder}: {error.strerror}") from error
