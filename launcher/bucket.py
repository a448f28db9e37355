"""The door to a durable store: a bucket that speaks the S3 protocol, by our own credentials, and by addresses we sign.

`launcher.bucket_calls` is the real one; tests hand in another.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class BucketError(Exception):
    """The store did not do it; `text` names no secret. `passing`: it may, later, without anybody doing anything."""

    def __init__(self, text: str, *, code: str = "", passing: bool = False, fix: str = "") -> None:
        super().__init__(text)
        self.text, self.code, self.passing, self.fix = text, code, passing, fix


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Signed addresses of one upload: secrets, for whoever holds them needs no credential.

    `parts` take exactly as many bytes as were signed, `complete` makes the object of them, `read` reads it.
    """

    parts: tuple[str, ...]
    complete: str
    read: str

    def __repr__(self) -> str:
        return f"Addresses({len(self.parts)} parts)"


@dataclass(frozen=True, kw_only=True)
class Stored:
    """An object that is there, whole: one is visible only from its completion on."""

    key: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Begun:
    """An upload that was begun, and neither completed nor given up: its parts cost money, and nobody sees them."""

    key: str
    upload_id: str


class Bucket(Protocol):
    """One bucket, below one prefix: no key given or returned here names the prefix. Raises only `BucketError`."""

    @property
    def name(self) -> str:
        """Bucket and prefix, for a person."""

    def begin(self, key: str) -> Begun:
        """A new upload: completed once, by whoever holds its addresses, and never written to again."""

    def addresses(self, begun: Begun, *, parts: int, part_bytes: int, seconds: int) -> Addresses:
        """Signed for `seconds` from now, or as long as our credentials last; nobody is asked for that."""

    def signed_until(self) -> datetime | None:
        """When the credentials that sign now end, and with them all that they signed; None: they do not end."""

    def objects(self, under: str) -> tuple[Stored, ...]:
        """All objects whose keys begin so."""

    def begun(self, under: str) -> tuple[Begun, ...]:
        """All unfinished uploads whose keys begin so."""

    def read(self, key: str, start: int, length: int) -> Iterator[bytes]:
        """`length` bytes from `start`, in chunks; fewer come where the object ends."""

    def remove(self, key: str) -> None:
        """Remove an object; one that is not there is removed already."""

    def give_up(self, begun: Begun) -> None:
        """Abort an upload; one that is not there is aborted already."""

    def probe(self, key: str) -> None:
        """Do once, with a small object, all that a run will need: sign, write, complete, read, list, remove, abort."""
