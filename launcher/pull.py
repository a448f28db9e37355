"""Brings files home from a machine that is not trusted: what it announced, no byte more, verified, or not at all."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from launcher.guest import GuestError, Manifest, RemoteFile
from launcher.landing import Landing, NoRoom, Part, PullError
from launcher.names import RESULT_SUFFIXES, Names
from launcher.remote import CommandFailed

__all__ = ["CHECKPOINT_CAPS", "Caps", "NoRoom", "PullError", "Pulled", "Source", "pull", "result_caps"]

RECORD = "manifest.json"
_SHOWN = 100
_MERGED = "merged/"
_LATE = "no time left"
_FIRST = {"adapter": 0, "eval": 1, "logs": 3, "merged": 4}
_OTHERS = 2


class Source(Protocol):
    """What `pull` needs of `launcher.guest.Guest`."""

    def manifest(self, under: str = "out") -> Manifest:
        """All files below `under`."""

    def send(self, under: str, path: str, offset: int) -> Iterator[bytes]:
        """The bytes of one file."""


@dataclass(frozen=True, kw_only=True)
class Caps:
    """How much may come, at most. `seconds` is for the whole pull: bytes that trickle for ever end there."""

    files: int
    bytes: int
    seconds: float


CHECKPOINT_CAPS = Caps(files=200, bytes=20 * 2**30, seconds=3600.0)
"""Far above an adapter of a 70B model (about 2 GiB) with its optimizer's state, far below what hurts a laptop."""
RESULT_BYTES, RESULT_SECONDS = 4 * 2**30, 2 * 3600.0
"""Of all results, where no merged model was asked for."""
SPARE = 1.25
"""What is announced may be so many times what was expected (assumed)."""
SLOW_BYTES_PER_SECOND = 1.5e6
"""12 Mbit/s, a slow line at home (assumed; `pricing.budget` reckons with the same)."""


def result_caps(result_gib: float, merged_gib: float) -> Caps:
    """What may come of a run whose results were reckoned to be of these sizes.

    A whole model only where one was asked for, and then for as long as a slow line takes for it. What the budget allows
    is another question (`books`).
    """
    merged = int(SPARE * merged_gib * 2**30)
    most = max(RESULT_BYTES, int(2 * SPARE * result_gib * 2**30)) + merged
    return Caps(files=1_000, bytes=most, seconds=RESULT_SECONDS + merged / SLOW_BYTES_PER_SECOND)


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """What lies here now. `files` and `bytes` are of the files whose hash was checked, whenever they came.

    `verified`: every file that was announced is here, but for names that we never take, and for a merged model for
    which there is no room or no time within the limits: base and adapter, which are here, make it anew. `refused` says
    which did not come, and why; `replaced` says what of an earlier pull, or of somebody else, stood at the same place,
    and where it went.
    """

    files: int
    bytes: int
    verified: bool
    refused: tuple[str, ...]
    replaced: tuple[str, ...] = ()


def pull(
    guest: Source, under: str, into: Path, caps: Caps, now: datetime, *, clock: Callable[[], float] = time.monotonic
) -> Pulled:
    """Bring all wanted files below `under` ("out", or "checkpoints/NAME") into the folder `into`.

    The adapter comes first, then the evaluation, logs and a merged model last. What came is kept whatever happens
    after it: after a `RemoteUnreachable` the next call goes on in the middle of the file. For "out", `manifest.json`
    says what was verified, as of `now`. A file that did not come as announced leaves the others alone, and
    `Pulled.verified` false.
    Raises `RemoteError`s, and `PullError`s: `NoRoom` before the first byte, where that can be known.
    """
    end = clock() + caps.seconds
    files, refused, beyond = _wanted(guest.manifest(under).files, under, caps)
    with Landing(into) as landing:
        fetch = _Fetch(guest, under, landing, lambda: clock() >= end)
        record = _Record(landing, now) if under == "out" else None
        try:
            fetch.all(files, record)
        finally:
            if record is not None:
                record.save()
    return Pulled(
        files=len(fetch.here),
        bytes=sum(file.bytes for file in fetch.here),
        verified=not fetch.failed and all(why.startswith(_MERGED) for why in beyond),
        refused=_shown([*beyond, *refused, *fetch.failed, *fetch.left]),
        replaced=_shown(fetch.replaced),
    )


def _wanted(files: Sequence[RemoteFile], under: str, caps: Caps) -> tuple[list[RemoteFile], list[str], list[str]]:
    """The files to take, the worthiest first; why not the others: by their names, and as too much."""
    # A checkpoint travels from machine to machine through here, as named files that nothing here ever opens.
    names = Names(RESULT_SUFFIXES) if under == "out" else Names(None, frozenset())
    wanted: list[RemoteFile] = []
    refused: list[str] = []
    beyond: list[str] = []
    total = 0
    for file in sorted(files, key=lambda one: _FIRST.get(one.path.partition("/")[0], _OTHERS)):
        why = names.refuse(file.path)
        if why:
            refused.append(why)
        elif len(wanted) >= caps.files or total + file.bytes > caps.bytes:
            beyond.append(f"{file.path}: beyond the limit of {caps.files} files and {caps.bytes} bytes")
        else:
            wanted.append(file)
            total += file.bytes
    return wanted, refused, beyond


class _Fetch:
    """Brings one file after the other, and notes how it went."""

    def __init__(self, guest: Source, under: str, landing: Landing, late: Callable[[], bool]) -> None:
        self._guest, self._under, self._landing, self._late = guest, under, landing, late
        self.here: list[RemoteFile] = []
        self.failed: list[str] = []
        self.left: list[str] = []
        """Files of a merged model for which there was no room here, or no time."""
        self.replaced: list[str] = []

    def all(self, files: Sequence[RemoteFile], record: "_Record | None") -> None:
        """Bring what is not here yet."""
        missing = []
        for file in files:
            if self._landing.sha256(file.path) == file.sha256:
                self._note(file, record)
            else:
                missing.append(file)
        for file in self._with_room(missing):
            self._one(file, record)

    def _with_room(self, missing: list[RemoteFile]) -> list[RemoteFile]:
        """All of them; without the merged model where this disk has no room for it, too."""
        try:
            self._check_room(missing)
        except NoRoom as error:
            most = [file for file in missing if not file.path.startswith(_MERGED)]
            if len(most) == len(missing):
                raise
            self._check_room(most)
            self.left += [f"{file.path}: {error}" for file in missing if file not in most]
            return most
        return missing

    def _check_room(self, missing: Sequence[RemoteFile]) -> None:
        to_come = sum(max(0, file.bytes - self._landing.waiting_bytes(file.sha256)) for file in missing)
        lacking = to_come - self._landing.free_bytes()
        if lacking > 0:
            raise NoRoom(self._landing.folder, lacking)

    def _one(self, file: RemoteFile, record: "_Record | None") -> None:
        part = self._landing.part(file.sha256, file.bytes)
        try:
            why = self._late_or(part, file)
            if not why:
                self._make_way(file, record)
                self._landing.settle(part, file.path)
                self._note(file, record)
        except NoRoom:
            raise
        except (GuestError, CommandFailed, PullError) as odd:
            why = str(odd)
        finally:
            part.close()
        if why:
            (self.left if why == _LATE and file.path.startswith(_MERGED) else self.failed).append(f"{file.path}: {why}")

    def _late_or(self, part: Part, file: RemoteFile) -> str:
        """Fill the part; why it cannot be trusted, or ""."""
        why = self._fill(part, file)
        if not why and part.sha256 != file.sha256:
            why = "its sha256 is not the one that was announced"
            self._landing.drop(part)  # so that the next try begins anew
        return why

    def _fill(self, part: Part, file: RemoteFile) -> str:
        if part.size == file.bytes:
            return ""
        if self._late():
            return _LATE
        chunks = self._guest.send(self._under, file.path, part.size)
        try:
            for chunk in chunks:
                if self._late():
                    return _LATE
                if len(chunk) > file.bytes - part.size:
                    self._landing.drop(part)
                    return "more came than was announced"
                part.write(chunk)
        finally:
            _close(chunks)
        return "" if part.size == file.bytes else f"only {part.size} of {file.bytes} bytes came"

    def _make_way(self, file: RemoteFile, record: "_Record | None") -> None:
        """Nothing that stands at a file's place goes without a word; what is not ours to replace is moved aside."""
        if not self._landing.there(file.path):
            return
        known = self._landing.sha256(file.path)
        if known is not None and (record is None or record.may_replace(file.path, known)):
            self.replaced.append(f"{file.path}: an earlier pull had brought another one ({known[:8]})")
        else:
            other = self._landing.set_aside(file.path)
            self.replaced.append(f"{file.path}: what was there is now {other}")

    def _note(self, file: RemoteFile, record: "_Record | None") -> None:
        self.here.append(file)
        if record is not None:
            record.add(file)


class _Record:
    """`manifest.json`: what was verified here, and as of when. Other keys in it are left alone."""

    def __init__(self, landing: Landing, at: datetime) -> None:
        self._landing, self._at = landing, at.isoformat()
        self._document = _mapping(_parsed(landing.read(RECORD)))
        files = self._document.get("files")
        listed = [_mapping(one) for one in files] if isinstance(files, list) else []
        self._files = {str(one.get("path")): dict(one) for one in listed}

    def may_replace(self, path: str, sha256: str) -> bool:
        """Whether that file came by a pull that is not newer than this one, and is still as it came."""
        known = self._files.get(path, {})
        return known.get("sha256") == sha256 and str(known.get("at")) <= self._at

    def add(self, file: RemoteFile) -> None:
        """One more verified file."""
        self._files[file.path] = {"path": file.path, "bytes": file.bytes, "sha256": file.sha256, "at": self._at}

    def save(self) -> None:
        """Put it on disk."""
        files = [self._files[path] for path in sorted(self._files)]
        self._landing.write(RECORD, dict(self._document) | {"schema": 1, "at": self._at, "files": files})


def _parsed(text: bytes) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # damaged: as good as none, since every hash is taken anew
        return None


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _close(chunks: Iterator[bytes]) -> None:
    """End the sending now, not when the garbage collector comes by."""
    close = getattr(chunks, "close", None)
    if close is not None:
        close()


def _shown(lines: Sequence[str]) -> tuple[str, ...]:
    more = len(lines) - _SHOWN
    return (*lines[:_SHOWN], f"and {more} more") if more > 0 else tuple(lines)
