"""The judge forgives that a machine is in no books only where nobody could ever have seen it."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.soak.test_judge import Scene, scene

HIDDEN_SECONDS = 60.0


@pytest.fixture
def hidden(tmp_path: Path) -> Scene:
    """A machine of a cloud that lists it late."""
    there = scene(tmp_path, 0)
    there.storm.provider.lies.visible_after_seconds = HIDDEN_SECONDS
    return there


@pytest.mark.parametrize(("lived_seconds", "is_forgiven"), [(30.0, True), (90.0, False)])
def test_only_a_machine_that_was_gone_before_it_was_listed(
    hidden: Scene, lived_seconds: float, is_forgiven: bool
) -> None:
    hidden.machine.ended_at = hidden.machine.born_at + timedelta(seconds=lived_seconds)
    assert hidden.judge._was_never_shown(hidden.machine) is is_forgiven


def test_not_one_whose_create_call_was_answered(hidden: Scene) -> None:
    hidden.machine.ended_at = hidden.machine.born_at + timedelta(seconds=30)
    columns = "run, number, provider, region, zone, instance_type, market, instance_id, started_at, value"
    with closing(sqlite3.connect(hidden.storm.ledger_path)) as db:
        known = f"INSERT INTO attempts ({columns}) VALUES ('run', 1, '', '', '', '', '', ?, '', '')"
        db.execute(known, (hidden.machine.id,))
        db.commit()
    assert hidden.judge._was_never_shown(hidden.machine) is False


def test_not_one_that_lives(hidden: Scene) -> None:
    assert hidden.judge._was_never_shown(hidden.machine) is False


@pytest.mark.parametrize("is_seen", [True, False])
def test_a_twin_only_where_no_answer_told_of_it(tmp_path: Path, is_seen: bool) -> None:
    there = scene(tmp_path, 0)
    twin = replace(there.machine, id="m-0099", ended_at=there.machine.born_at + timedelta(seconds=600))
    there.storm.cloud.truth[twin.id] = twin
    if is_seen:
        twin.ended_at = None
        there.storm.asked.name = there.storm.provider.name
        there.storm.provider.list()
        twin.ended_at = there.machine.born_at + timedelta(seconds=600)
    assert there.judge._was_never_shown(twin) is not is_seen
