"""What is told of a training while it runs, and what is done about it: figures, checkpoints, validation, its end."""

from __future__ import annotations

import math
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from .checkpoint import publish
from .guard import Guard
from .job import Job, give_up, tell
from .looks import Looks
from .pace import SAVE, Probe, asked_last_step, bend, is_save_asked
from .validation import WEIGHTS, keep_adapter


class Told(TrainerCallback):  # type: ignore[misc]  # the base class has no types
    """Tells of each step, keeps the best adapter, publishes each checkpoint, ends the training when asked or due."""

    def __init__(self, job: Job, looks: Looks | None) -> None:
        self.job = job
        self.looks = looks
        """None where there are no validation rows."""
        self.guard = Guard()
        self.best = job.run / "trainer" / "best"
        self.asked = False
        self.began = self.clock = time.monotonic()
        self.tokens = 0.0
        self.warm = self.first = self.step = 0
        self.probe = Probe(left=0)

    def hear(self, _number: int, _frame: object) -> None:
        """SIGTERM: save at the end of this step and stop."""
        self.asked = True

    def on_train_begin(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """Count time and tokens from here; a schedule that was shortened before a restart is shortened again."""
        self.began = self.clock = time.monotonic()
        self.first, self.warm = state.global_step, args.get_warmup_steps(state.max_steps)
        self.guard.remember(state.log_history)
        self.shorten(state, control, parts["lr_scheduler"], at_least=state.global_step + 1)
        self.probe = Probe(left=state.max_steps - state.global_step)

    def on_step_end(self, _args: Any, state: Any, control: Any, **parts: Any) -> None:
        """End earlier if somebody asked; else look at the validation rows when it is time to."""
        self.step = state.global_step
        self.shorten(state, control, parts["lr_scheduler"], at_least=state.global_step)
        due = self.looks is not None and self.looks.is_due(state.global_step, state.max_steps)
        if self.asked and (state.global_step < state.max_steps or due):
            control.should_save = control.should_training_stop = True
            self.owe(due)
        else:
            control.should_evaluate = due
            if is_save_asked(self.job.run):
                control.should_save = True

    def owe(self, due: bool) -> None:
        """A look that there is no time for is taken when the training goes on."""
        if self.looks is not None and due:
            self.looks.owed = True

    def shorten(self, state: Any, control: Any, scheduler: Any, *, at_least: int) -> None:
        """A last step nearer than the present one: the learning rate comes down to 0 there."""
        last = max(asked_last_step(self.job.run) or state.max_steps, at_least)
        if last >= state.max_steps:
            return
        print(f"shortened: ends at step {last} of {state.max_steps}", flush=True)
        bend(scheduler, step=state.global_step, last=last, warm=self.warm, shape=self.job.train.lr_scheduler_type)
        state.max_steps = last
        if state.global_step >= last:
            control.should_save = control.should_training_stop = True

    def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Each step's figures; a broken step ends the run."""
        if not logs or "loss" not in logs:
            return
        loss, gradient = float(logs["loss"]), float(logs.get("grad_norm", math.nan))
        if why := self.guard.why(state.global_step, loss, gradient):
            give_up(why)
        tokens = float(logs.get("num_tokens", 0.0)) - self.tokens
        measured = {"tokens_per_second": self.speed(logs), "vram_gib": peak_vram_gib()}
        state.log_history[-1].update(measured)  # for out/logs/train_log.jsonl, across restarts too
        tell(
            self.job, "step", step=state.global_step, of=state.max_steps, loss=round(loss, 5),
            learning_rate=logs.get("learning_rate"), grad_norm=round(gradient, 5), **measured,
            epoch=logs.get("epoch"), eta_seconds=self.eta_seconds(state),
        )  # fmt: skip
        if figures := self.probe.step(tokens):
            left = state.max_steps - state.global_step
            more = {"left": left, "save_every": self.job.train.save_steps, "vram_gib": peak_vram_gib()}
            tell(self.job, "probe", step=state.global_step, of=state.max_steps, **figures, **more)

    def speed(self, logs: dict[str, Any]) -> float | None:
        """Tokens per second since the last step, where the trainer counts tokens."""
        now, tokens = time.monotonic(), float(logs.get("num_tokens", 0.0))
        speed = (tokens - self.tokens) / max(now - self.clock, 1e-6)
        self.clock, self.tokens = now, tokens
        return round(speed, 1) if speed > 0 else None

    def eta_seconds(self, state: Any) -> float | None:
        """Seconds to the last step at the pace of this process so far, with its saves and looks at validation rows."""
        done = state.global_step - self.first
        left = state.max_steps - state.global_step
        return round((time.monotonic() - self.began) / done * left, 1) if done > 0 else None

    def on_evaluate(self, _args: Any, state: Any, control: Any, metrics: dict[str, Any], **parts: Any) -> None:
        """The validation loss of this step: keep the adapter if it is the best, end after enough looks in vain."""
        self.clock = time.monotonic()
        self.probe.paused()
        if self.looks is None:
            return
        if "eval_loss" not in metrics:  # broken off, because somebody asked to stop
            control.should_save = control.should_training_stop = True
            self.owe(True)
            return
        loss = float(metrics["eval_loss"])
        if not math.isfinite(loss):
            give_up(
                f"step {state.global_step}: validation loss {loss}: training has diverged; lower train.learning_rate"
            )
        if is_best := self.looks.look(state.global_step, loss):
            keep_adapter(parts["model"], self.best)
        tell(self.job, "validation", step=state.global_step, loss=round(loss, 6), best=is_best)
        print(f"validation {loss:.4f} at step {state.global_step}{' (best)' if is_best else ''}", flush=True)
        if self.looks.is_enough and state.global_step < state.max_steps:
            print(f"stopped early: no better loss at {self.looks.in_vain} looks in a row", flush=True)
            control.should_save = control.should_training_stop = True

    def on_save(self, args: Any, state: Any, _control: Any, **_: Any) -> None:
        """The trainer wrote a checkpoint aside: with the best adapter so far in it, it is a whole one."""
        written = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if self.looks is not None:
            self.looks.write(written / "best")
            if (self.best / WEIGHTS).exists():
                shutil.copy2(self.best / WEIGHTS, written / "best" / WEIGHTS)
        publish(self.job, written, state.global_step)
        (self.job.run / SAVE).unlink(missing_ok=True)
        self.probe.saved()
        self.clock = time.monotonic()

    def take_up(self, checkpoint: Path | None) -> None:
        """The best adapter that came with a checkpoint."""
        if checkpoint is not None and (checkpoint / "best" / WEIGHTS).exists():
            self.best.mkdir(parents=True, exist_ok=True)
            shutil.copy2(checkpoint / "best" / WEIGHTS, self.best / WEIGHTS)


def peak_vram_gib() -> float | None:
    """The most GPU memory that torch held so far."""
    return round(torch.cuda.max_memory_allocated() / 2**30, 3) if torch.cuda.is_available() else None
