"""One transaction over a connection of ours: all of it is written, or nothing."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Writes are locked from here on; whatever is raised inside, even an interrupt, takes all of it back."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
    except BaseException:  # and is raised again
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
