"""A micro-batch that the card does not hold is halved: the same rows a step, a fresh process, and it is said."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest

from jobs.qlora.job import UNFIT, Job, Train
from jobs.qlora.memory import fitted, noted, ran_out, rows_of_a_step, smaller
from tests.jobs.qlora.workplace import REPOSITORY


class BegunAgainError(Exception):
    """Stands for the process that takes this one's place."""


def again() -> NoReturn:
    raise BegunAgainError


def job_with(run: Path, micro: int, accumulation: int) -> Job:
    train = Train(per_device_train_batch_size=micro, gradient_accumulation_steps=accumulation)
    return Job(run=run, out=run, checkpoints=run, progress=run / "progress.jsonl", model="m", train=train)


def batch(job: Job) -> tuple[int, int]:
    return job.train.per_device_train_batch_size, job.train.gradient_accumulation_steps


@pytest.mark.parametrize(("micro", "less"), [(2, 1), (3, 1), (4, 2), (6, 3), (8, 4), (9, 3), (12, 6)])
def test_a_smaller_micro_batch_divides_the_one_before(micro: int, less: int) -> None:
    assert smaller(micro) == less


def test_out_of_memory_halves_the_micro_batch_and_keeps_the_rows_of_a_step(tmp_path: Path) -> None:
    job = job_with(tmp_path, 8, 3)
    seen = []
    for _ in range(3):
        with pytest.raises(BegunAgainError):
            ran_out(fitted(job), 7, again)
        seen.append(batch(fitted(job)))
        assert rows_of_a_step(fitted(job).train) == 24
    assert seen == [(4, 6), (2, 12), (1, 24)]
    assert [one["micro_batch"] for one in noted(job)["tried"]] == [8, 4, 2]


def test_it_is_said_to_people_and_to_the_launcher(tmp_path: Path) -> None:
    with pytest.raises(BegunAgainError):
        ran_out(job_with(tmp_path, 4, 4), 7, again)
    told = [json.loads(line) for line in (tmp_path / "progress.jsonl").read_text().splitlines()]
    warned, halved = told
    assert (warned["event"], warned["code"]) == ("warning", "out-of-memory")
    assert "out of memory at step 7 with 4 rows at a time: going on with 2, 8 times a step" in warned["text"]
    assert {key: halved[key] for key in ("event", "step", "micro_batch", "accumulation")} == {
        "event": "memory", "step": 7, "micro_batch": 2, "accumulation": 8,
    }  # fmt: skip


def test_with_one_row_at_a_time_it_gives_up_and_another_machine_may_try(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        ran_out(job_with(tmp_path, 1, 16), 0, again)
    assert ended.value.code == UNFIT
    assert "does not hold a row of train.max_length 2048" in capsys.readouterr().err


def test_what_was_noted_for_other_settings_does_not_count(tmp_path: Path) -> None:
    with pytest.raises(BegunAgainError):
        ran_out(job_with(tmp_path, 4, 4), 7, again)
    assert batch(fitted(job_with(tmp_path, 8, 8))) == (8, 8)


TWICE = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from jobs.qlora.memory import in_a_fresh_process
marks = Path(sys.argv[2])
marks.write_text(marks.read_text() + "x" if marks.exists() else "x")
print("process", len(marks.read_text()), *sys.argv[3:], len(os.listdir("/proc/self/fd")))
os.set_inheritable(os.open("/dev/null", os.O_RDONLY), True)  # as a driver that does not close its own
if len(marks.read_text()) < 3:
    in_a_fresh_process()
"""


def test_a_fresh_process_runs_the_same_command_in_the_same_place(tmp_path: Path) -> None:
    script = tmp_path / "twice.py"
    script.write_text(TWICE)
    command = [sys.executable, str(script), str(REPOSITORY), str(tmp_path / "marks"), "train", "--x"]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    said, _ = started.communicate(timeout=60)
    assert said.splitlines() == [f"process {number} train --x 4" for number in (1, 2, 3)]
    assert started.returncode == 0


@pytest.mark.train
@pytest.mark.xdist_group("train")
@pytest.mark.filterwarnings("ignore")
def test_a_training_that_runs_out_of_memory_goes_on_from_its_checkpoint_to_the_same_end(tmp_path: Path) -> None:
    import torch  # late: only this test needs it

    from tests.jobs.qlora.trained import difference, job_in, train

    exact: dict[str, Any] = {"lora_dropout": 0.0}  # of other micro-batches dropout would drop other things
    whole = train(job_in(tmp_path / "whole", **exact))
    job = job_in(tmp_path / "short", **exact)

    def short_of_memory(trainer: Any) -> None:
        step = trainer.training_step

        def full(*args: Any, **kwargs: Any) -> Any:
            if trainer.state.global_step == 4:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return step(*args, **kwargs)

        trainer.training_step = full

    with pytest.raises(torch.OutOfMemoryError) as seen:
        train(job, during=short_of_memory)
    from accelerate.utils.memory import should_reduce_batch_size

    assert should_reduce_batch_size(seen.value)
    with pytest.raises(BegunAgainError):
        ran_out(job, 4, again)
    rest = train(fitted(job))
    assert batch(rest.job) == (2, 2)
    assert rest.trainer.state.global_step == whole.trainer.state.global_step
    assert difference(rest.weights, whole.weights) <= 2e-3
