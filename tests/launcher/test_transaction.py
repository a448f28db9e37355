"""All or nothing."""

import sqlite3
from pathlib import Path

import pytest

from launcher.transaction import transaction


@pytest.fixture
def db(tmp_path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(tmp_path / "one.sqlite", isolation_level=None)
    connection.execute("CREATE TABLE marks (mark TEXT)")
    return connection


def marks(db: sqlite3.Connection) -> list[str]:
    return [row[0] for row in db.execute("SELECT mark FROM marks")]


def broken_off(db: sqlite3.Connection, error: type[BaseException]) -> None:
    with transaction(db) as inside:
        inside.execute("INSERT INTO marks VALUES ('a')")
        raise error


def test_what_went_well_is_written(db: sqlite3.Connection) -> None:
    with transaction(db) as inside:
        inside.execute("INSERT INTO marks VALUES ('a')")
    assert marks(db) == ["a"]
    db.close()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_whatever_is_raised_takes_all_of_it_back_and_lets_others_write(
    db: sqlite3.Connection, error: type[BaseException]
) -> None:
    with pytest.raises(error):
        broken_off(db, error)
    assert marks(db) == []
    with transaction(db) as inside:
        inside.execute("INSERT INTO marks VALUES ('b')")
    assert marks(db) == ["b"]
    db.close()
