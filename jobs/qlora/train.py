"""Train the adapter: TRL's SFTTrainer over a 4-bit base, resumable, and stopped when it learns nothing."""

from __future__ import annotations

import json
import math
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch
from datasets import load_dataset
from peft import LoraConfig
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

from .base import Base, find_base, load_base, load_tokenizer
from .checkpoint import newest, publish
from .job import SAVED_AND_STOPPED, Job, give_up, read_job, tell
from .pace import Probe, asked_last_step, bend

# So many steps in a row without a gradient are no accident: the adapter is not connected to the loss.
DEAD_STEPS = 5


class Told(TrainerCallback):  # type: ignore[misc]  # the base class has no types
    """Tells of each step, publishes each checkpoint, ends earlier when asked, and stops when training is broken."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.asked = False
        self.dead = 0
        self.clock = time.monotonic()
        self.tokens = 0.0
        self.warm = 0
        self.probe = Probe(left=0)

    def hear(self, _number: int, _frame: object) -> None:
        """SIGTERM: save at the end of this step and stop."""
        self.asked = True

    def on_train_begin(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """Count time and tokens from here; a schedule that was shortened before a restart is shortened again."""
        self.clock, self.warm = time.monotonic(), args.get_warmup_steps(state.max_steps)
        self.shorten(state, control, parts["lr_scheduler"], at_least=state.global_step + 1)
        self.probe = Probe(left=state.max_steps - state.global_step)

    def on_step_end(self, _args: Any, state: Any, control: Any, **parts: Any) -> None:
        """End earlier, or save and stop, if somebody asked."""
        self.shorten(state, control, parts["lr_scheduler"], at_least=state.global_step)
        if self.asked and state.global_step < state.max_steps:
            control.should_save = True
            control.should_training_stop = True

    def shorten(self, state: Any, control: Any, scheduler: Any, *, at_least: int) -> None:
        """A last step nearer than the present one: the learning rate comes down to 0 there."""
        last = max(asked_last_step(self.job.run) or state.max_steps, at_least)
        if last >= state.max_steps:
            return
        print(f"shortened: ends at step {last} of {state.max_steps}", flush=True)
        bend(scheduler, step=state.global_step, last=last, warm=self.warm)
        state.max_steps = last
        if state.global_step >= last:
            control.should_save = control.should_training_stop = True

    def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Each step's figures; a broken step ends the run."""
        if not logs or "loss" not in logs:
            return
        loss, gradient = float(logs["loss"]), float(logs.get("grad_norm", math.nan))
        self.judge(state.global_step, loss, gradient)
        tokens = float(logs.get("num_tokens", 0.0)) - self.tokens
        tell(
            self.job, "step", step=state.global_step, of=state.max_steps, loss=round(loss, 5),
            learning_rate=logs.get("learning_rate"), grad_norm=round(gradient, 5),
            tokens_per_second=self.speed(logs), vram_gib=peak_vram_gib(), epoch=logs.get("epoch"),
        )  # fmt: skip
        if figures := self.probe.step(tokens):
            left = state.max_steps - state.global_step
            more = {"left": left, "save_every": self.job.train.save_steps, "vram_gib": peak_vram_gib()}
            tell(self.job, "probe", step=state.global_step, of=state.max_steps, **figures, **more)

    def judge(self, step: int, loss: float, gradient: float) -> None:
        """End the run when its figures cannot lead anywhere."""
        if not math.isfinite(loss) or not math.isfinite(gradient):
            give_up(
                f"step {step}: loss {loss}, gradient norm {gradient}: training has diverged; lower train.learning_rate"
            )
        self.dead = self.dead + 1 if gradient == 0.0 else 0
        if self.dead >= DEAD_STEPS:
            give_up(f"step {step}: the gradient was exactly 0 for {self.dead} steps: nothing is being learned")

    def speed(self, logs: dict[str, Any]) -> float | None:
        """Tokens per second since the last step, where the trainer counts tokens."""
        now, tokens = time.monotonic(), float(logs.get("num_tokens", 0.0))
        speed = (tokens - self.tokens) / max(now - self.clock, 1e-6)
        self.clock, self.tokens = now, tokens
        return round(speed, 1) if speed > 0 else None

    def on_save(self, args: Any, state: Any, _control: Any, **_: Any) -> None:
        """The trainer wrote a checkpoint aside: make it a whole one."""
        publish(self.job, Path(args.output_dir) / f"checkpoint-{state.global_step}", state.global_step)
        self.probe.saved()


def peak_vram_gib() -> float | None:
    """The most GPU memory that torch held so far."""
    return round(torch.cuda.max_memory_allocated() / 2**30, 3) if torch.cuda.is_available() else None


def settings(job: Job, aside: Path) -> SFTConfig:
    """The trainer's settings; everything that is random has a seed."""
    train, cuda = job.train, torch.cuda.is_available()
    return SFTConfig(
        output_dir=str(aside),
        num_train_epochs=train.epochs,
        max_steps=train.max_steps,
        learning_rate=train.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=0.03,
        per_device_train_batch_size=train.per_device_train_batch_size,
        gradient_accumulation_steps=train.gradient_accumulation_steps,
        gradient_checkpointing=cuda,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        max_length=train.max_length,
        bf16=cuda,
        use_cpu=not cuda,
        optim="paged_adamw_8bit" if cuda else "adamw_torch",
        max_grad_norm=1.0,
        seed=train.seed,
        data_seed=train.seed,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=train.save_steps,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=cuda,
        # Evaluating here would repack a CPU's 4-bit weights, and training would go on without gradients.
        eval_strategy="no",
    )


def make_trainer(job: Job, base: Base, told: Told) -> SFTTrainer:
    """The trainer over the prepared pairs."""
    aside = job.run / "trainer"
    shutil.rmtree(aside, ignore_errors=True)
    train = job.train
    lora = LoraConfig(
        r=train.r, lora_alpha=train.lora_alpha, lora_dropout=train.lora_dropout, target_modules=train.targets,
        bias="none", task_type="CAUSAL_LM",
    )  # fmt: skip
    rows = load_dataset(
        "json", data_files=str(job.prepared / "train.jsonl"), split="train", cache_dir=str(aside / "cache")
    )
    trainer = SFTTrainer(
        model=load_base(base, quantise=job.quantise),
        args=settings(job, aside),
        train_dataset=rows,
        processing_class=load_tokenizer(base),
        peft_config=lora,
        callbacks=[told],
    )
    keep_precise(trainer.model)
    return trainer


def keep_precise(model: Any) -> None:
    """The adapter in float32: TRL makes it bf16, a resume loads it as float32, and the two would drift apart."""
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()


def save_adapter(trainer: SFTTrainer, job: Job, base: Base) -> None:
    """The adapter with the name of its base (not this machine's path), its tokenizer and its chat template."""
    folder = job.out / "adapter"
    for part in trainer.model.peft_config.values():
        part.base_model_name_or_path, part.revision = base.name, base.revision
    trainer.model.save_pretrained(folder, safe_serialization=True)
    trainer.processing_class.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # peft's card has empty headings only


def main() -> None:
    """Train from the newest whole checkpoint on, to the end or until asked to stop."""
    job = read_job()
    base, told = find_base(job), Told(job)
    signal.signal(signal.SIGTERM, told.hear)
    trainer = make_trainer(job, base, told)
    start = newest(job)
    print(f"begins at {start.name if start else 'the beginning'}", flush=True)
    trainer.train(resume_from_checkpoint=str(start) if start else None)
    if told.asked and trainer.state.global_step < trainer.state.max_steps:
        print("saved and stopped, as asked", flush=True)
        sys.exit(SAVED_AND_STOPPED)
    save_adapter(trainer, job, base)
    log = "".join(json.dumps(line) + "\n" for line in trainer.state.log_history)
    (job.out / "logs").mkdir(parents=True, exist_ok=True)
    (job.out / "logs" / "train_log.jsonl").write_text(log, encoding="utf-8")


if __name__ == "__main__":
    main()
