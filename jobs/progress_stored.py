"""The wire's word on a durable store: what a machine wrote there, and read back."""

import re
from dataclasses import dataclass
from datetime import datetime

from jobs.progress_fields import Fields, OddError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A checkpoint, or the results, lie in the durable store, read back; `sha256` is that of the object's index.

    `object` is the name that the grant gave; `bytes` is the whole object's size.
    """

    at: datetime
    what: str
    name: str
    step: int
    object: str
    files: int
    bytes: int
    sha256: str


def stored(fields: Fields, at: datetime) -> Stored:
    """The event of one line."""
    what = fields.text("what", cap=16)
    if what not in {"checkpoint", "results"}:
        raise OddError("what is no known word")
    return Stored(
        at=at,
        what=what,
        name=fields.matching("name", _NAME),
        step=fields.whole("step"),
        object=fields.matching("object", _NAME),
        files=fields.whole("files"),
        bytes=fields.whole("bytes"),
        sha256=fields.matching("sha256", _SHA256),
    )
