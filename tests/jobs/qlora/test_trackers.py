"""Trackers: TensorBoard files always, others only where the user has them, none where the data is private."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from jobs.qlora.install import HERE, add_trackers
from jobs.qlora.job import Job
from jobs.qlora.trackers import ASKED_BY, asked, chosen
from launcher.names import RESULT_SUFFIXES, Names

KEY = {"WANDB_API_KEY": "k"}


def yes(_name: str) -> bool:
    return True


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({}, []),
        ({"WANDB_PROJECT": "p"}, []),
        ({"WANDB_API_KEY": ""}, []),
        (KEY, ["wandb"]),
        ({"MLFLOW_TRACKING_URI": "http://tracker.test:5000"}, ["mlflow"]),
        ({"TRACKIO_PROJECT": "p"}, ["trackio"]),
        ({"TRACKIO_SPACE_ID": "me/space", **KEY}, ["wandb", "trackio"]),
    ],
)
def test_a_tracker_is_chosen_by_its_usual_variables(environment: dict[str, str], names: list[str]) -> None:
    assert chosen(environment, private=False, has=yes) == (names, {})


def test_private_data_is_told_to_no_tracker_and_the_reason_is_said() -> None:
    names, left_out = chosen(KEY, private=True, has=yes)
    assert names == []
    assert left_out == {"wandb": "the data is private (privacy: private)"}
    assert asked(KEY, private=True) == []


def test_a_tracker_whose_package_is_missing_is_said() -> None:
    assert chosen(KEY, private=False, has=lambda _: False) == ([], {"wandb": "its package is not on this machine"})


def job_in(run: Path, *, private: bool = False) -> Job:
    return Job(run=run, out=run, checkpoints=run, progress=run / "progress.jsonl", model="m", private=private)


def warned(job: Job) -> list[str]:
    lines = job.progress.read_text().splitlines() if job.progress.exists() else []
    return [json.loads(line)["text"] for line in lines]


@pytest.mark.train
@pytest.mark.xdist_group("train")
@pytest.mark.filterwarnings("ignore")
def test_a_tracker_that_fails_is_let_go_of_and_the_training_goes_on(tmp_path: Path) -> None:
    from jobs.qlora.trackers import harmless  # late: transformers

    job = job_in(tmp_path)
    broken = harmless(job, "wandb")  # not installed here
    for what in (broken.on_train_begin, broken.on_log, broken.on_train_end):
        what(None, None, None)
    (text,) = warned(job)
    assert text.startswith("wandb is not told of this training any more: RuntimeError")


def test_a_tracker_that_cannot_be_installed_is_said_and_does_not_stop_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "k")
    job = job_in(tmp_path)
    add_trackers("/bin/false", job)
    assert warned(job) == ["wandb could not be installed: the job's log says why"]
    private = job_in(tmp_path / "private", private=True)
    add_trackers("/bin/false", private)
    assert warned(private) == []


@pytest.mark.parametrize("name", ASKED_BY)
def test_every_tracker_has_a_locked_list_on_top_of_the_jobs_own(name: str) -> None:
    text = (HERE / f"{name}.lock").read_text()
    entries = re.split(r"(?m)^(?=[a-z0-9])", text)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)
    assert any(entry.startswith(name) for entry in entries)
    own = set(re.findall(r"(?m)^([a-z0-9-]+)==", (HERE / "requirements.lock").read_text()))
    assert not own & {entry.split("==")[0] for entry in entries}


def test_tensorboards_files_may_come_home() -> None:
    names = Names(RESULT_SUFFIXES)
    assert names.refuse("logs/tensorboard/events.out.tfevents.1795843661.vm.tfevents") == ""
    assert names.refuse("logs/tensorboard/events.out.tfevents.1795843661.vm.0") != ""
    assert names.refuse("adapter.gguf") == ""
