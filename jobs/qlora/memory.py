"""When the card does not hold a micro-batch: a smaller one, more of them, the same training, a fresh process."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from .job import UNFIT, Job, Train, give_up, tell, write_json

FILE = "memory.json"
LAST_STANDARD = 2
"""The file number of standard error: 0 to 2 go on in the next process."""


def smaller(micro: int) -> int:
    """The largest micro-batch of at most half the rows that divides it, so that the rows of a step stay the same."""
    return next(rows for rows in range(micro // 2, 0, -1) if micro % rows == 0)


def noted(job: Job) -> dict[str, Any]:
    """What earlier tries on this machine came to; empty where nothing ran out of memory yet."""
    try:
        found: dict[str, Any] = json.loads((job.run / FILE).read_text(encoding="utf-8"))
    except OSError:
        return {}
    return found


def fitted(job: Job) -> Job:
    """The job with the micro-batch that this machine was found to hold; the rows of a step are those asked for."""
    found, asked = noted(job), job.train
    if found and found["micro_batch"] * found["accumulation"] == rows_of_a_step(asked):
        return with_batch(job, found["micro_batch"], found["accumulation"])
    return job


def rows_of_a_step(train: Train) -> int:
    """Micro-batch times accumulation."""
    return train.per_device_train_batch_size * train.gradient_accumulation_steps


def with_batch(job: Job, micro: int, accumulation: int) -> Job:
    """The same job with another micro-batch."""
    return replace(
        job,
        train=replace(job.train, per_device_train_batch_size=micro, gradient_accumulation_steps=accumulation),
    )


def ran_out(job: Job, step: int, again: Callable[[], NoReturn]) -> NoReturn:
    """Halve the micro-batch, double the accumulation, say so, and begin `again` from the newest checkpoint.

    Step, schedule and order of the rows stay what they are, because the rows of a step do. With a micro-batch of 1
    there is nothing to halve: another machine may do it.
    """
    micro, accumulation = job.train.per_device_train_batch_size, job.train.gradient_accumulation_steps
    if micro == 1:
        give_up(
            f"out of memory at step {step} with one row at a time: this card does not hold a row of "
            f"train.max_length {job.train.max_length}; take a larger card, or shorten max_length",
            UNFIT,
        )
    less = smaller(micro)
    more = accumulation * micro // less
    tried = [*noted(job).get("tried", []), {"micro_batch": micro, "accumulation": accumulation, "step": step}]
    write_json(job.run / FILE, {"micro_batch": less, "accumulation": more, "tried": tried})
    text = f"out of memory at step {step} with {micro} rows at a time: going on with {less}, {more} times a step"
    tell(job, "warning", code="out-of-memory", text=text)
    tell(job, "memory", step=step, micro_batch=less, accumulation=more)
    print(text, flush=True)
    again()


def in_a_fresh_process() -> NoReturn:
    """Run this very command anew in this process's place: what a card's allocator holds is only then really free."""
    sys.stdout.flush()
    # A driver's file that stayed open would hold the card's memory beyond this process.
    for open_file in list(Path("/proc/self/fd").iterdir()):
        with suppress(OSError):  # the listing's own is closed again
            os.set_inheritable(int(open_file.name), int(open_file.name) <= LAST_STANDARD)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - our own command, as it was given
