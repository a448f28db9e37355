"""Checkpoints are whole or they are not there; what is damaged is passed over and said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.qlora.checkpoint import is_whole, newest, publish, steps
from jobs.qlora.job import Job, sha256


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(
        run=tmp_path,
        out=tmp_path / "out",
        checkpoints=tmp_path / "checkpoints",
        progress=tmp_path / "progress.jsonl",
        model="m",
    )


def save(job: Job, step: int) -> Path:
    aside = job.run / "trainer" / f"checkpoint-{step}"
    (aside / "deep").mkdir(parents=True)
    (aside / "weights").write_bytes(bytes([step % 256]) * 100)
    (aside / "deep" / "state").write_text("state")
    return publish(job, aside, step)


def events(job: Job) -> list[dict[str, object]]:
    return [json.loads(line) for line in job.progress.read_text().splitlines()]


def test_a_checkpoint_is_told_with_the_hash_of_its_manifest(job: Job) -> None:
    home = save(job, 7)
    (event,) = events(job)
    assert (event["event"], event["name"], event["step"], event["bytes"]) == ("checkpoint", "step-7", 7, 105)
    assert event["sha256"] == sha256(home / "manifest.json")
    listed = {file["path"]: file["bytes"] for file in json.loads((home / "manifest.json").read_text())["files"]}
    assert listed == {"deep/state": 5, "weights": 100}
    assert is_whole(home)


def test_the_last_two_stay_in_the_order_of_their_steps(job: Job) -> None:
    for step in (8, 9, 10):
        save(job, step)
    assert [path.name for path in steps(job)] == ["step-9", "step-10"]


@pytest.mark.parametrize("harm", ["change", "remove", "no manifest", "bad manifest", "empty manifest"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(job: Job, harm: str) -> None:
    save(job, 1)
    last = save(job, 2)
    if harm == "change":
        (last / "weights").write_bytes(b"x" * 100)
    elif harm == "remove":
        (last / "deep" / "state").unlink()
    elif harm == "no manifest":
        (last / "manifest.json").unlink()
    else:
        (last / "manifest.json").write_text('{"files": []}' if harm.startswith("empty") else "{")
    found = newest(job)
    assert found is not None
    assert found.name == "step-1"
    assert events(job)[-1]["code"] == "damaged-checkpoint"


def test_without_a_checkpoint_training_begins_at_the_beginning(job: Job) -> None:
    assert newest(job) is None


def test_what_was_left_half_written_is_not_a_checkpoint(job: Job) -> None:
    (job.checkpoints / "step-5.tmp").mkdir(parents=True)
    assert newest(job) is None
