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

    Three things are different. The trainer's own figure is a mean of batch means, in which a short answer weighs more
    than a long one. Its evaluation draws random numbers, so that later dropout would differ from that of a training
    without it. And on a CPU with AVX512-BF16, bitsandbytes' `Linear4bit.forward` repacks its weights for inference when
    `module.training` is False and the input needs no gradient; from then on training was seen to have gradients of
    exactly 0, and where it has not, other losses. So these modules stay in training mode, which changes nothing else in
    them; dropout is off all the same.
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
            return torch.zeros(()), None, None
        stay_trainable(model)
        tokens = int((inputs["labels"][:, 1:] != -100).sum())
        loss, logits, labels = super().prediction_step(model, inputs, *args, **kwargs)
        self.summed += float(loss) * tokens
        self.tokens += tokens
        return loss, logits, labels


def stay_trainable(model: Any) -> None:
    """Keep 4-bit layers from being repacked by a pass without gradients."""
    from bitsandbytes.nn import Linear4bit  # late: loads the CUDA libraries

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.training = True


def keep_adapter(model: Any, folder: Path) -> None:
    """Write the adapter's present weights, nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in get_peft_model_state_dict(model).items()}
    save_file(weights, folder / WEIGHTS)


def take_adapter(model: Any, file: Path) -> None:
    """Give the model the adapter's weights from a file."""
    found = set_peft_model_state_dict(model, load_file(file))
    if found.unexpected_keys:
        raise ValueError(f"{file.name} holds weights of another adapter: {found.unexpected_keys[:3]}")
