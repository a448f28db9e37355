"""Trainings in this very process, a second each once torch is there: the same functions that the step calls."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.qlora.job import Job, Train, write_json, write_text
from jobs.qlora.template import pairs
from tests.jobs.qlora.workplace import BASE, EXAMPLE

STEPS = 6
SMALL: dict[str, Any] = {
    "max_steps": STEPS,
    "save_steps": 3,
    "eval_steps": 2,
    "learning_rate": 0.01,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 1,
    "max_length": 256,
}


def rows(part: str, first: int, last: int) -> list[dict[str, Any]]:
    """Prompt/completion pairs of the example's own rows."""
    lines = (EXAMPLE / "data" / f"{part}.jsonl").read_text().splitlines()[first:last]
    found = [json.loads(line)["messages"] for line in lines]
    return [pair for turns in found for pair in pairs([(one["role"], one["content"]) for one in turns])]


def job_in(run: Path, *, validation: int = 6, **train: Any) -> Job:
    """A job whose steps before the training are done: 24 rows to train on, and so many to validate on."""
    job = Job(
        run=run, out=run / "out", checkpoints=run / "checkpoints", progress=run / "progress.jsonl", model="../base",
        train=Train(**{**SMALL, **train}),
    )  # fmt: skip
    write_json(run / "model.json", {"path": str(BASE), "name": "../base", "revision": None})
    for part, some in (("train", rows("train", 0, 24)), ("validation", rows("train", 24, 24 + validation))):
        write_text(job.prepared / f"{part}.jsonl", "".join(json.dumps(pair) + "\n" for pair in some))
    return job


@dataclass
class Trained:
    """What a training left."""

    job: Job
    trainer: Any
    told: Any

    @property
    def weights(self) -> dict[str, Any]:
        """The adapter as it is in memory."""
        return {
            name: weight.detach().clone()
            for name, weight in self.trainer.model.named_parameters()
            if weight.requires_grad
        }

    @property
    def losses(self) -> list[float]:
        """The training loss of each step."""
        return [line["loss"] for line in self.trainer.state.log_history if "loss" in line]

    @property
    def gradients(self) -> list[float]:
        """The gradient's norm of each step."""
        return [line["grad_norm"] for line in self.trainer.state.log_history if "loss" in line]


def train(job: Job, *, stop_at: int | None = None, during: Callable[[Any], None] | None = None) -> Trained:
    """Go on from the newest checkpoint, as the step does; `stop_at` is a SIGTERM that comes in this step."""
    from jobs.qlora.base import find_base  # late: only the tests that train need torch
    from jobs.qlora.checkpoint import newest
    from jobs.qlora.looks import looks_of
    from jobs.qlora.prepared import dataset_of
    from jobs.qlora.told import Told
    from jobs.qlora.train import go_on, load

    class Listening(Told):
        def on_step_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
            self.asked = self.asked or state.global_step + 1 == stop_at

    start = newest(job)
    told = Listening(job, looks_of(job, start) if dataset_of(job, "validation") else None)
    trainer = load(job, find_base(job), told)
    told.take_up(start)
    if during:
        during(trainer)
    go_on(trainer, told, start)
    return Trained(told.job, trainer, told)


def events(job: Job, kind: str) -> list[dict[str, Any]]:
    """What was told of one kind."""
    found = [json.loads(line) for line in job.progress.read_text().splitlines()]
    return [event for event in found if event["event"] == kind]


def difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    """The largest difference of two adapters' weights."""
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)
