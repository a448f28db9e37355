"""The ledger's file over versions: an older one is brought up to this one with all that it holds, a newer one not."""

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from launcher.errors import Exit, LaunchError
from launcher.ledger import Ledger
from launcher.schema import SCHEMA, TABLES
from tests.fake_world import Stage

ADDED_IN_2 = ("offers", "sightings")
ADDED_IN_3 = ("attempt_records", "phase_records")


def version(path: Path) -> int:
    db = sqlite3.connect(path)
    found: int = db.execute("PRAGMA user_version").fetchone()[0]
    db.close()
    return found


def changed(path: Path, *commands: str) -> None:
    db = sqlite3.connect(path)
    for command in commands:
        db.execute(command)
    db.commit()
    db.close()


def test_a_file_of_the_first_version_keeps_its_runs_and_gets_the_new_tables(stage: Stage) -> None:
    stage.launch()
    path = stage.folder / "home" / "ledger.sqlite"
    changed(path, *(f"DROP TABLE {name}" for name in (*ADDED_IN_2, *ADDED_IN_3)), "PRAGMA user_version=1")
    ledger = Ledger(path)
    assert version(path) == SCHEMA == 3
    assert ledger.find(None).receipt_json is not None
    ledger.sightings.keep_offers("fake", stage.provider.catalogue, whole=True)
    assert len(ledger.sightings.offers("fake")) == 2
    assert ledger.sightings.claim("fake", "", stage.clock(), 1.0)


def test_the_tables_of_every_version_are_made_only_where_they_are_not() -> None:
    assert TABLES.count("CREATE TABLE") == TABLES.count("CREATE TABLE IF NOT EXISTS")


def test_a_file_of_a_newer_version_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger(path).close()
    changed(path, f"PRAGMA user_version={SCHEMA + 1}")
    with pytest.raises(LaunchError) as caught:
        Ledger(path)
    assert (caught.value.code, caught.value.exit_code) == ("ledger-newer", Exit.USAGE)
    assert version(path) == SCHEMA + 1


def test_a_run_of_the_first_version_is_read_without_what_was_not_known_then(stage: Stage) -> None:
    """An attempt had no key, no first sight and no code of its end."""
    stage.launch()
    path = stage.folder / "home" / "ledger.sqlite"
    without = "json_remove(value, '$.host_key', '$.seen_at', '$.end_code')"
    changed(path, f"UPDATE attempts SET value = {without}", "PRAGMA user_version=1")
    attempt = Ledger(path).load("brave-otter-0001").attempt
    assert (attempt.host_key, attempt.seen_at, attempt.end_code) == ("", None, "")
    assert attempt.seconds(stage.clock() + timedelta(hours=1)) > 0
