"""Adjacent tasks of lm-evaluation-harness (EleutherAI), run on the model that is loaded anyway; figures by its names.

The harness brings its own prompts and data, asks without a chat template as its published figures do, and loads what it
needs from the Hub. It is installed (harness.lock) only where a job names one of its tasks.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Protocol

from .job import Adjacent, Job, tell

FOLDER = "harness"
"""In the run's folder: the harness' packages, beside the interpreter's own and after them."""
BATCH = 8
"""Requests at once: one of a multiple-choice task is a few hundred tokens, each with its logits."""


class Harness(Protocol):
    """What runs a task: returns what `lm_eval.simple_evaluate` does."""

    def __call__(self, job: Job, speaker: Any, task: Adjacent) -> Mapping[str, Any]:
        """All of the task's documents, or as many as its limit says."""


def run(job: Job, speaker: Any, task: Adjacent) -> Mapping[str, Any]:
    """Run a task by its name; task files of one's own may lie in bundle/harness."""
    added = str(job.run / FOLDER)
    if added not in sys.path:
        sys.path.append(added)
    from lm_eval import simple_evaluate  # late, all three: not installed where no job names a task
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    own = job.bundle / "harness"
    lm = HFLM(pretrained=speaker.model, tokenizer=speaker.tokenizer, batch_size=BATCH)
    found: Mapping[str, Any] = simple_evaluate(
        model=lm,
        tasks=[task.harness],
        limit=task.limit,
        task_manager=TaskManager(include_path=str(own) if own.is_dir() else None),
        random_seed=job.train.seed,
        bootstrap_iters=1000,
        log_samples=False,
    )
    return found


def measure(job: Job, speaker: Any, task: Adjacent, arm: str, *, harness: Harness = run) -> dict[str, Any] | None:
    """The task's figures as out/eval/adjacent/ has them; None, with a warning, where it could not be run.

    What a task of somebody else's needs can be missing in many ways, and the tuning is worth having without it.
    """
    tell(job, "evaluated", arm=f"{arm}/{task.name}", done=0, of=task.limit or 0)
    try:
        found = harness(job, speaker, task)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        text = f"{arm}/{task.name}: the harness task {task.harness} was not run: {type(error).__name__}: {error}"
        tell(job, "warning", code="harness-failed", text=text[:500])
        return None
    return figures_of(found, task) | {"arm": arm, "name": task.name, "harness": task.harness}


def figures_of(found: Mapping[str, Any], task: Adjacent) -> dict[str, Any]:
    """Metrics and standard errors by the harness' names, and over how many documents.

    The harness names a figure and a filter, as `acc,none` or `exact_match,strict-match`. A figure's own name here is
    that of its first filter; those of a filter with a name stand under both names besides.
    """
    results = found["results"]
    raw: Mapping[str, Any] = results.get(task.harness) or next(iter(results.values()))
    metrics: dict[str, float] = {}
    stderr: dict[str, float] = {}
    for name, value in raw.items():
        figure, comma, filtered = name.partition(",")
        if not comma or isinstance(value, bool) or not isinstance(value, int | float):
            continue  # the task's alias, or an error that is "N/A"
        into = stderr if figure.endswith("_stderr") else metrics
        figure = figure.removesuffix("_stderr")
        into.setdefault(figure, float(value))
        if filtered != "none":
            into[f"{figure},{filtered}"] = float(value)
    n = sum(int(one["effective"]) for one in found["n-samples"].values())
    return {"n": n, "metrics": metrics, "stderr": stderr}
