"""The job's settings are those of launch.yaml, with the same defaults."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from jobs import spec_data, spec_train
from jobs.qlora.job import Split, Train, read_job, tell


def describe(monkeypatch: pytest.MonkeyPatch, run: Path, settings: dict[str, object]) -> None:
    run.mkdir(exist_ok=True)
    (run / "job.json").write_text(json.dumps({"settings": settings}))
    places = {"RUN": ".", "JOB": "job.json", "OUT": "out", "CHECKPOINTS": "checkpoints", "PROGRESS": "progress.jsonl"}
    for name, path in places.items():
        monkeypatch.setenv(f"LAUNCH_{name}", str(run / path))


def test_the_defaults_are_those_of_launch_yaml() -> None:
    ours = {**asdict(Train()), "target_modules": list(Train().target_modules)}
    theirs = spec_train.Train().model_dump()
    assert {**ours, "max_steps": None} == theirs
    assert asdict(Split()) == spec_data.Split().model_dump() | {"validation": 0.0, "test": 0.0}


def test_settings_are_read_and_null_means_the_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    train = {"r": 8, "max_steps": None, "target_modules": "all-linear", "method": "lora"}
    describe(monkeypatch, tmp_path, {"model": "m", "train": train, "data": {"split": {"test": 0.2}}})
    job = read_job()
    assert (job.train.r, job.train.max_steps, job.train.targets, job.quantise) == (8, -1, "all-linear", False)
    assert job.split == Split(test=0.2)


def test_a_missing_setting_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    describe(monkeypatch, tmp_path, {})
    with pytest.raises(SystemExit):
        read_job()
    assert "'model' is not set" in capsys.readouterr().err


def test_an_event_is_one_whole_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    describe(monkeypatch, tmp_path, {"model": "m"})
    tell(read_job(), "warning", code="c", text="two\nlines")
    (line,) = (tmp_path / "progress.jsonl").read_text().splitlines()
    assert json.loads(line)["text"] == "two\nlines"
