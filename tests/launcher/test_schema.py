"""The ledger's file over versions: an older one is brought up to this one with all that it holds, a newer one not."""

import json
import sqlite3
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from launcher import history, recover
from launcher.codec import dump, load
from launcher.errors import Exit, LaunchError
from launcher.ledger import Ledger
from launcher.schema import SCHEMA, TABLES
from pricing.plan import Choice, Plan
from tests.fake_world import Killed, Stage, Work

ADDED_IN_2 = ("offers", "sightings")
ADDED_IN_3 = ("attempt_records", "phase_records")
ADDED_IN_4 = ("resumptions",)


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
    changed(path, *(f"DROP TABLE {name}" for name in (*ADDED_IN_2, *ADDED_IN_3, *ADDED_IN_4)), "PRAGMA user_version=1")
    ledger = Ledger(path)
    assert version(path) == SCHEMA == 4
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


OF_VERSION_2 = Path(__file__).with_name("ledger_of_version_2.sql")
"""What the program of that version left after one whole run: `.dump` of its file, without the events."""


def ledger_of_version_2(folder: Path) -> Path:
    path = folder / "ledger.sqlite"
    db = sqlite3.connect(path)
    db.executescript(OF_VERSION_2.read_text() + "PRAGMA user_version=2;")
    db.close()
    return path


def test_a_run_that_version_2_wrote_is_read_with_its_money(tmp_path: Path) -> None:
    ledger = Ledger(ledger_of_version_2(tmp_path))
    attempt = ledger.load("brave-otter-0001").attempt
    forecast = attempt.choice.estimate
    assert str(forecast.usd.expected_usd) == "0.1223"
    assert (forecast.egress_usd, forecast.usd_per_hour) == (Decimal("0.0027"), Decimal("0.511576"))
    assert [one.name for one in forecast.phases][-1] == "teardown"
    assert attempt.choice.finish_usd == Decimal("0.1223")
    plan = load(Plan, ledger.plan("brave-otter-0001"))
    assert plan.choices[0].estimate.seconds == forecast.seconds
    assert plan.workload.shape.name == "mistral-7b"


def in_version_2(choice: Choice) -> dict[str, Any]:
    """The choice as that version wrote it."""
    document = json.loads(dump(choice))
    estimate, new = document.pop("estimate"), choice.estimate
    kept = {name: estimate["times"][name] for name in ("seconds", "fit", "tokens_per_second", "rework_seconds")}
    phases = [json.loads(dump(one)) for one in new.phases]
    old = {"offer": estimate["offer"], "phases": phases, "usd": json.loads(dump(new.usd)), **kept}
    rate = {"expected_usd_per_hour": str(choice.expected_usd_per_hour), "high_fits": True}
    return (
        {name: one for name, one in document.items() if name not in ("finish_usd", "odds")} | rate | {"estimate": old}
    )


def test_a_run_of_version_2_that_is_under_way_when_we_are_upgraded_is_taken_up_and_ended(stage: Stage) -> None:
    stage.site.work = Work(steps=60, step_seconds=20)
    began = stage.clock()
    stage.at_point = lambda _: stage.kill() if (stage.clock() - began).total_seconds() > 300 else None
    with pytest.raises(Killed):
        stage.launch()
    stage.at_point = lambda _: None
    stage.revive()
    path = stage.folder / "home" / "ledger.sqlite"
    attempt = Ledger(path).load("brave-otter-0001").attempt
    plan = load(Plan, Ledger(path).plan("brave-otter-0001"))
    old_attempt = json.loads(dump(attempt)) | {"choice": in_version_2(attempt.choice)}
    old_plan = json.loads(dump(plan)) | {"choices": [in_version_2(one) for one in plan.choices]}
    db = sqlite3.connect(path)
    db.execute("UPDATE attempts SET value=?", (json.dumps(old_attempt),))
    db.execute("UPDATE runs SET plan=?", (json.dumps(old_plan),))
    db.commit()
    db.close()
    receipt = recover.stop("brave-otter-0001", stage.laptop(), now=True)
    assert receipt is not None
    assert receipt.terminated.confirmed
    stage.all_quiet()


def test_what_version_2_settled_is_in_the_history_and_teaches_as_any_other_run(tmp_path: Path, stage: Stage) -> None:
    home = stage.folder / "home"
    home.mkdir(exist_ok=True)
    ledger_of_version_2(home)
    world = stage.laptop()
    (run,) = history.history(world).runs
    assert (run.run, run.left_out, str(run.spent_usd)) == ("brave-otter-0001", "", "0.0508")
    assert run.actual_seconds == pytest.approx(356.5, abs=1)
    assert {one.name: one.whole_seconds for one in run.machines[0].phases}["train"] == 300.0
    assert history.corrections(world).runs == 1
    assert world.ledger.records.lacking() == ()
