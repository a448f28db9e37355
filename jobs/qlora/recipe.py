"""The settings of a training, in the words of peft and TRL, out of the job's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from trl import SFTConfig

from .job import Job, Train

MOST_WARMUP = 0.999
"""The trainer takes a warm-up of 1 or more as a number of steps, less as a share of all steps."""


def adapter(train: Train) -> LoraConfig:
    """What is trained: low-rank pairs beside the layers named."""
    return LoraConfig(
        r=train.r,
        lora_alpha=train.lora_alpha,
        lora_dropout=train.lora_dropout,
        target_modules=train.targets,
        use_dora=train.use_dora,
        use_rslora=train.use_rslora,
        bias="none",
        task_type="CAUSAL_LM",
    )


def settings(job: Job, aside: Path) -> SFTConfig:
    """The trainer's settings; everything that is random has a seed.

    The loss runs through TRL's fused head, which never holds the logits of a whole batch. `eval_strategy` is "no", for
    `Told` says when it is time to look at the validation rows; `report_to` is "none", for `trackers` makes its own.
    """
    train, cuda = job.train, torch.cuda.is_available()
    on_card: dict[str, Any] = {
        "gradient_checkpointing": cuda,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "bf16": cuda,
        "use_cpu": not cuda,
        "optim": "paged_adamw_8bit" if cuda else "adamw_torch",
        "dataloader_pin_memory": cuda,
    }
    return SFTConfig(
        output_dir=str(aside),
        num_train_epochs=train.epochs,
        max_steps=train.max_steps,
        learning_rate=train.learning_rate,
        lr_scheduler_type=train.lr_scheduler_type,
        warmup_steps=min(train.warmup_ratio, MOST_WARMUP),
        weight_decay=train.weight_decay,
        max_grad_norm=train.max_grad_norm,
        neftune_noise_alpha=train.neftune_noise_alpha,
        per_device_train_batch_size=train.per_device_train_batch_size,
        per_device_eval_batch_size=train.per_device_train_batch_size,
        gradient_accumulation_steps=train.gradient_accumulation_steps,
        max_length=train.max_length,
        packing=train.packing,
        packing_strategy="bfd",
        eval_packing=False,
        seed=train.seed,
        data_seed=train.seed,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=train.save_steps,
        eval_strategy="no",
        prediction_loss_only=True,
        report_to="none",
        disable_tqdm=True,
        **on_card,
    )
