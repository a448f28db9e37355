"""The adapter that was saved must score in another process what it scored in the one that trained it."""

from __future__ import annotations

import json
from typing import Any

import torch

from .asking import loss_of
from .job import Job, give_up, tell, write_json
from .prepared import read_pairs
from .template import Pair

MOST_ROWS = 16
PRECISE_TOLERANCE, ROUNDED_TOLERANCE = 5e-3, 2e-2
"""Nats per answer token that the two may be apart, in float32 and in bf16.

In float32 both processes do the same sums; measured in NF4 on a CPU they agree to 1e-6. So they do in bf16: weights,
rows, shapes and precision of the adapter (float32) are the same, and only a kernel may be chosen otherwise. Were all of
it rounded anew, a logit would be off by up to 2^-9 of itself, and averaged over the tokens of 16 answers far less is
left. An adapter that was not loaded, or that belongs to another base, is off by tenths.
"""


def note_parity(job: Job, model: Any, tokenizer: Any) -> None:
    """Note what the trained adapter scores here, on a few rows; it is not trained after this."""
    rows = some_rows(job)
    loss = answer_loss(model.eval(), tokenizer, rows)
    write_json(job.run / "parity.json", {"loss": loss, "rows": len(rows)})
    print(f"scores {loss:.5f} on {len(rows)} rows; the saved adapter must do the same", flush=True)


def check(job: Job, model: Any, tokenizer: Any) -> None:
    """Score the reloaded adapter on the same rows; ends when it is another one than was trained.

    `model` is base and adapter in evaluation mode, as the evaluation uses them. Where nothing was noted (a job run by
    hand from an adapter of elsewhere) there is nothing to compare with, and it is said.
    """
    try:
        noted = json.loads((job.run / "parity.json").read_text(encoding="utf-8"))
    except OSError:
        tell(job, "warning", code="no-parity", text="the training left no score to compare the adapter with")
        return
    rows = some_rows(job)[: noted["rows"]]
    loss = answer_loss(model, tokenizer, rows)
    print(f"reloaded, the adapter scores {loss:.5f}; trained, it scored {noted['loss']:.5f}", flush=True)
    if not abs(loss - noted["loss"]) <= tolerance(model):
        give_up(
            f"the saved adapter scores {loss:.4f} nats per answer token in a process of its own, and scored "
            f"{noted['loss']:.4f} in the one that trained it: what was saved is not what was trained"
        )


def tolerance(model: Any) -> float:
    """By the precision that the model computes in."""
    return PRECISE_TOLERANCE if model.dtype == torch.float32 else ROUNDED_TOLERANCE


def some_rows(job: Job) -> list[Pair]:
    """The first validation pairs; training pairs where there are none."""
    for part in ("validation", "train"):
        if pairs := read_pairs(job, part):
            return pairs[:MOST_ROWS]
    return give_up("there are no rows: run the prepare step first")


def answer_loss(model: Any, tokenizer: Any, rows: list[Any]) -> float:
    """Nats per answer token over the rows."""
    with torch.inference_mode():
        found = loss_of(model, tokenizer, rows)
    return sum(loss for loss, _ in found) / sum(tokens for _, tokens in found)
