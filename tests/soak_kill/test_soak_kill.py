"""Real deaths of the real program break no promise; and what the harness itself rests on.

A life that fails is told by its seed: `python -m tests.soak_kill --seed N` plays it again.
"""

import json
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import get_args

import pytest

from tests.cloud.client import REPOSITORY
from tests.cloud.faults import Fault, Faults
from tests.soak_kill import drive
from tests.soak_kill.changes import Changes
from tests.soak_kill.drawn import PRESSED_EVERY, SCALE, Blow, Point, drawn
from tests.soak_kill.lane import Lived
from tests.soak_kill.table import Kept

IN_THE_SUITE = 60
MOST_SECONDS = 600
LIVES = [drawn(seed) for seed in range(600)]


@pytest.mark.cloud
def test_deaths_of_the_real_program_break_no_promise(tmp_path: Path) -> None:
    state = tmp_path / "lives.jsonl"
    argv = [sys.executable, "-m", "tests.soak_kill", "--kills", str(IN_THE_SUITE), "--processes", "1", "--short"]
    said = subprocess.run(
        [*argv, "--state", str(state)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=MOST_SECONDS,
        check=False,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    done = Kept(state).read()
    assert done.kills >= IN_THE_SUITE
    assert done.breaches == 0
    assert any(one.outcome == "succeeded" for one in done.lives)
    assert {"RUNNING", "TERMINATING"} <= {kill["phase"] for one in done.lives for kill in one.kills}


def test_a_life_is_the_same_twice() -> None:
    assert drawn(7) == drawn(7)
    assert drawn(7) != replace(drawn(8), seed=7)


def test_every_cloud_signal_point_and_trouble_is_drawn() -> None:
    moments = [step.moment for life in LIVES for step in life.steps if step.moment]
    assert {life.cloud for life in LIVES} == {"aws", "lambda", "runpod"}
    assert {one.blow for one in moments} == set(get_args(Blow))
    assert {one.point for one in moments} == set(get_args(Point))
    assert {one.applied for one in moments} == {True, False}
    assert len({trouble.name for life in LIVES for trouble in life.troubles}) == 14
    assert any(not life.returns for life in LIVES)
    assert any(step.is_cold for life in LIVES for step in life.steps)
    assert any("--detach" in life.words for life in LIVES)


def test_some_lives_have_a_job_that_their_budget_does_not_pay_for() -> None:
    pressed = [life for life in LIVES if life.scale > SCALE]
    assert len(pressed) * PRESSED_EVERY == len(LIVES)
    assert {life.is_away for life in pressed} == {True, False}
    resumed = [step for life in pressed for step in life.afterwards if "resume" in step.words]
    assert any(step.moment for step in resumed)
    assert any(step.moment is None for step in resumed)
    for life in pressed:
        seconds = int(str(life.job["steps"])) * float(str(life.job["seconds"]))
        assert seconds > 3600 * float(life.budget_usd) / 1.1 or not life.is_away


def test_the_timers_reap_and_a_second_laptops_commands_are_typed_too() -> None:
    steps = [step for life in LIVES for step in life.steps]
    assert any("--log" in step.words for step in steps)
    assert any(step.is_elsewhere and "--take-over" in step.words for step in steps)


def test_who_never_comes_back_had_a_machine_that_ends_itself() -> None:
    assert {life.cloud for life in LIVES if not life.returns} == {"aws"}


def test_so_many_calls_pass_before_a_fault_and_a_star_means_no_ssh() -> None:
    faults = Faults()
    fault = Fault(operation="*", when="signal", skip=2)
    faults.plant(fault)
    assert [faults.take(one, "") for one in ("ssh.bytes", "a", "b", "c", "d")] == [None, None, None, fault, None]


def test_a_fault_may_be_the_death_of_a_process_or_of_its_group() -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as one:
        Fault(operation="*", when="signal", process=one.pid).strike()
        assert one.wait(10) == -signal.SIGKILL
    with subprocess.Popen(["sh", "-c", "sleep 60; true"], start_new_session=True) as leader:
        Fault(operation="*", when="signal", process=-leader.pid, signal=signal.SIGTERM).strike()
        assert leader.wait(10) == -signal.SIGTERM
        Fault(operation="*", when="signal", process=-leader.pid).strike()  # nobody is left, and nothing happens


def test_only_faults_of_one_kind_are_taken_out() -> None:
    faults = Faults()
    kept = Fault(operation="a", when="reset")
    for one in (kept, Fault(operation="a", when="signal")):
        faults.plant(one)
    faults.clear("signal")
    assert tuple(faults.all()) == (kept,)
    faults.clear()
    assert tuple(faults.all()) == ()


def test_changes_of_a_ledger_and_of_other_files_are_counted_apart_in_new_folders_too(tmp_path: Path) -> None:
    changes = Changes(tmp_path)
    changes.begin()
    (tmp_path / "ledger.sqlite-wal").write_bytes(b"page")
    (tmp_path / "runs").mkdir()
    changes.read()
    before = dict(changes.seen)
    (tmp_path / "runs" / "report").write_bytes(b"words")
    changes.read()
    changes.close()
    assert before["ledger"] >= 1
    assert changes.seen["ledger"] == before["ledger"]
    assert changes.seen["files"] > before["files"]


def test_every_process_has_the_clouds_time() -> None:
    origin = datetime.fromisoformat("2026-11-24T12:00:00+00:00")
    started = time.monotonic()
    now, scale = drive.clock(json.dumps([origin.isoformat(), started, 20.0]))
    before, at, after = time.monotonic(), now(), time.monotonic()
    assert scale == 20
    assert (before - started) * 20 <= (at - origin).total_seconds() + 1e-5 <= (after - started) * 20 + 2e-5


def test_a_part_that_was_broken_off_counts_with_what_it_had(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "state" / "abc.jsonl")
    kill = {"command": "launch", "phase": "RUNNING", "point": "time", "blow": "kill"}
    one = Lived(
        seed=4, cloud="aws", market="spot", kills=[kill, kill], survived=[], fired={"5xx": 1}, breaches=[], share=0.5,
        outcome="lost", machines=1, wall_seconds=2.0, cpu_seconds=1.0,
    )  # fmt: skip
    kept.add(one)
    kept.add(replace(one, seed=5, breaches=[{"rule": "R1", "text": "still billed"}]))
    with kept.file.open("a") as file:
        file.write(json.dumps(asdict(one))[:40])  # it died while it wrote
    done = kept.read()
    assert (done.kills, done.breaches, done.seeds()) == (4, 1, [5])
    text = done.text("abc")
    assert "4 in 2 lives (seeds 4 to 5)" in text
    assert "R1 1" in text
    assert "maximum 0.5000" in text
