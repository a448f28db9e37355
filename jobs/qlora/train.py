"""Train the adapter: TRL's SFTTrainer over a 4-bit base, resumable, and stopped when it learns nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from accelerate.utils.memory import should_reduce_batch_size
from transformers import TrainerState

from . import memory, trackers
from .attention import with_packing
from .base import Base, find_base, load_base, load_tokenizer
from .checkpoint import newest
from .job import SAVED_AND_STOPPED, UNFIT, Job, give_up, read_job, write_json, write_text
from .looks import looks_of
from .parity import note_parity
from .prepared import dataset_of
from .recipe import adapter, settings
from .told import Told
from .validation import WEIGHTS, Trainer, take_adapter


def main() -> None:
    """Train from the newest whole checkpoint on, to the end or until asked to stop."""
    asked = read_job()
    base, job = find_base(asked), memory.fitted(asked)
    start = newest(job)
    told = Told(job, looks_of(job, start) if dataset_of(job, "validation") else None)
    signal.signal(signal.SIGTERM, told.hear)
    trainer = load(job, base, told)
    told.take_up(start)
    print(f"begins at {start.name if start else 'the beginning'}", flush=True)
    try:
        go_on(trainer, told, start)
    except RuntimeError as error:
        if not should_reduce_batch_size(error):
            raise
        print(error, file=sys.stderr)
        memory.ran_out(told.job, told.step, memory.in_a_fresh_process)
    if not is_over(trainer.state, told):
        print("saved and stopped, as asked", flush=True)
        sys.exit(SAVED_AND_STOPPED)
    finish(trainer, told, base)


def load(job: Job, base: Base, told: Told) -> Trainer:
    """The trainer with the model in it; ends where the card does not hold the model alone."""
    try:
        return make_trainer(job, base, told)
    except RuntimeError as error:
        if not should_reduce_batch_size(error):
            raise
        give_up(f"out of memory while {base.name} was loaded: this card does not hold it; take a larger one", UNFIT)


def make_trainer(job: Job, base: Base, told: Told) -> Trainer:
    """The trainer over the prepared pairs."""
    aside = job.run / "trainer"
    shutil.rmtree(aside, ignore_errors=True)
    model = load_base(base, quantise=job.quantise)
    told.job = job = with_packing(job, model)
    trainer = Trainer(
        stopping=lambda: told.asked,
        model=model,
        args=settings(job, aside),
        train_dataset=dataset_of(job, "train"),
        eval_dataset=dataset_of(job, "validation"),
        processing_class=load_tokenizer(base),
        peft_config=adapter(job.train),
        callbacks=[told, *trackers.callbacks(job, os.environ)],
    )
    keep_precise(trainer.model)
    return trainer


def keep_precise(model: Any) -> None:
    """The adapter in float32: TRL makes it bf16, a resume loads it as float32, and the two would drift apart."""
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()


def go_on(trainer: Trainer, told: Told, start: Path | None) -> None:
    """Train; but first take the look that a stop came in the way of, and not at all where a checkpoint is the last."""
    if start is not None:
        trainer.state = TrainerState.load_from_json(str(start / "trainer_state.json"))
        take_adapter(trainer.model, start / "adapter_model.safetensors")
        if told.looks is not None and told.looks.owed:
            trainer.evaluate()
            # What casts to bf16 was laid around the model for this look; the training lays its own around it.
            trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
        if told.asked or is_over(trainer.state, told):
            return
    trainer.train(resume_from_checkpoint=str(start) if start else None)


def is_over(state: TrainerState, told: Told) -> bool:
    """Whether the training came to its end: the last step, or enough looks in vain; and nothing is owed."""
    looks = told.looks
    if looks is not None and looks.owed:
        return False
    return bool(state.global_step >= state.max_steps) or (looks is not None and looks.is_enough)


def finish(trainer: Trainer, told: Told, base: Base) -> None:
    """The best adapter comes home, with what was seen on the way, and with what it must score in another process."""
    job, looks = told.job, told.looks
    if looks is not None and looks.best_step is not None:
        take_adapter(trainer.model, told.best / WEIGHTS)
        print(f"the adapter of step {looks.best_step} is the best by validation: {looks.best_loss:.4f}", flush=True)
    save_adapter(trainer, job, base)
    write_json(job.out / "logs" / "training.json", record(trainer, told))
    log = "".join(json.dumps(line) + "\n" for line in trainer.state.log_history)
    write_text(job.out / "logs" / "train_log.jsonl", log)
    # Without the wrapper that rounds to bf16 while it trains: no other process has it.
    note_parity(job, trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False), trainer.processing_class)


def save_adapter(trainer: Trainer, job: Job, base: Base) -> None:
    """The adapter with the name of its base (not this machine's path), its tokenizer and its chat template."""
    folder = job.out / "adapter"
    for part in trainer.model.peft_config.values():
        part.base_model_name_or_path, part.revision = base.name, base.revision
    # Embeddings are never trained. Left to find that out, peft asks the Hub for the base, which may be down.
    trainer.model.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)
    trainer.processing_class.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # peft's card has empty headings only


def record(trainer: Trainer, told: Told) -> dict[str, Any]:
    """What out/logs/training.json says of the whole training."""
    train, looks, state = told.job.train, told.looks, trainer.state
    trainable, every = trainer.model.get_nb_trainable_parameters()
    return {
        "last_step": state.global_step,
        "of": state.max_steps,
        "stopped_early": looks is not None and looks.is_enough and state.global_step < state.max_steps,
        "best_step": looks.best_step if looks else None,
        "best_loss": looks.best_loss if looks else None,
        "validation": [{"step": step, "loss": loss} for step, loss in looks.losses] if looks else [],
        "adapter_of": "best validation loss" if looks and looks.best_step is not None else "last step",
        "micro_batch": train.per_device_train_batch_size,
        "accumulation": train.gradient_accumulation_steps,
        "ran_out_of_memory": memory.noted(told.job).get("tried", []),
        "packing": train.packing,
        "attention": trainer.model.config._attn_implementation,
        "trainable_parameters": trainable,
        "parameters": every,
        "trackers": ["tensorboard", *trackers.asked(os.environ, private=told.job.private)],
    }


if __name__ == "__main__":
    main()
