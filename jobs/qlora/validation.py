"""TRL's trainer, whose look at the validation rows costs the training nothing but time: same losses, same weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from trl import SFTTrainer

WEIGHTS = "weights.safetensors"
"""The best adapter in a checkpoint. Under peft's own name the trainer would load it as a second adapter."""


class Trainer(SFTTrainer):  # type: ignore[misc]  # the base class has no types
    """SFTTrainer, whose evaluation gives the loss per answer token over all rows, and leaves the model as it was.

    Two things are different. The trainer's own figure is a mean of batch means, in which a short answer weighs more
    than a long one. And its evaluation draws random numbers, so that later dropout would differ from that of a training
    without it. A third would be the repacking of 4-bit weights, which `base.never_repack` turns off.
    """

    def __init__(self, *, stopping: Callable[[], bool], **parts: Any) -> None:
        super().__init__(**parts)
        self.stopping = stopping
        self.is_whole = True
        """Whether the last evaluation saw all rows: it does not where somebody wants the training to stop."""
        self.summed, self.tokens = 0.0, 0

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """The evaluation, with the exact loss (none where it was broken off), and the random state as before."""
        self.summed, self.tokens, self.is_whole = 0.0, 0, True
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            output = super().evaluation_loop(*args, **kwargs)
        del output.metrics["eval_loss"]
        if self.is_whole:
            output.metrics["eval_loss"] = self.summed / self.tokens
        return output

    def prediction_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any, Any]:
        """One batch; none any more once somebody asked to stop, so that there is time left to save."""
        if self.stopping():
            self.is_whole = False
            return torch.zeros((), device=inputs["labels"].device), None, None
        tokens = int((inputs["labels"][:, 1:] != -100).sum())
        loss, logits, labels = super().prediction_step(model, inputs, *args, **kwargs)
        self.summed += float(loss) * tokens
        self.tokens += tokens
        return loss, logits, labels


def keep_adapter(model: Any, folder: Path) -> None:
    """Write the adapter's present weights, nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    # Embeddings are never trained here; asked to find out by itself, peft looks for the base on the Hub.
    found = get_peft_model_state_dict(model, save_embedding_layers=False)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in found.items()}
    save_file(weights, folder / WEIGHTS)


def take_adapter(model: Any, file: Path) -> None:
    """Give the model the adapter's weights from a file."""
    found = set_peft_model_state_dict(model, load_file(file))
    if found.unexpected_keys:
        raise ValueError(f"{file.name} holds weights of another adapter: {found.unexpected_keys[:3]}")
