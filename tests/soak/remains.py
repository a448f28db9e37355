"""What a death leaves behind, as one digest: two points of a day with the same one are one point to die at.

All that a later process can meet is in it: every row of the ledger, every file of ours with its mode, each machine as
it truly is, volumes, the guests, and the virtual time. So what differs only in when it was is not held to be the same.
Not in it: tables of the ledger that no process reads which carries a run on (`UNREAD`; a test holds that), what only
tells a test what happened (calls, what was seen), what a dead process remembered, and the counters by which a
schedule's faults are due: it may be used of schedules without faults of a certain call.
"""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import Any

from tests.soak.storm import Storm

TOLD = frozenset({"cloud", "clock", "argv_seen", "sent_paths", "secrets_seen"})
"""Fields of the site that are its surroundings, or only tell a test what it saw."""
UNREAD = frozenset({"events", "prices"})
"""What was told, which `logs` shows again, and the prices that a plan was made with."""
BOOKS = "ledger.sqlite"


def remains(storm: Storm) -> bytes:
    """The digest."""
    sha = hashlib.blake2b()
    for part in _parts(storm):
        sha.update(repr(part).encode())
    return sha.digest()


def _parts(storm: Storm) -> Iterator[object]:
    yield storm.clock()
    yield from _rows(storm.ledger_path)
    for top in ("home", "runs"):
        yield from _files(storm.folder / top)
    yield from (_fields(one, frozenset({"request"})) for one in storm.cloud.machines())
    yield storm.cloud.volumes
    yield _fields(storm.site, TOLD)


def _rows(path: Path) -> Iterator[object]:
    if not path.exists():
        return
    with closing(sqlite3.connect(path)) as books:
        for (name,) in books.execute("SELECT name FROM sqlite_master WHERE type='table' ORDER BY name").fetchall():
            if name in UNREAD:
                continue
            yield name
            yield from books.execute(f"SELECT * FROM {name}").fetchall()


def _files(top: Path) -> Iterator[object]:
    for path in sorted(top.rglob("*")):
        is_file = path.is_file() and not path.name.startswith(BOOKS)
        yield path.relative_to(top), path.stat().st_mode, path.read_bytes() if is_file else b""


def _fields(value: Any, without: frozenset[str]) -> dict[str, object]:
    return {one.name: getattr(value, one.name) for one in fields(value) if one.name not in without}
