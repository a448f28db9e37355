"""Training for real, on a CPU: what a killed run leaves is taken up, and it ends where an uninterrupted one ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from jobs.qlora.job import Job, Train
from tests.jobs.qlora.trained import train
from tests.jobs.qlora.workplace import EXAMPLE, Workplace

pytestmark = [pytest.mark.train, pytest.mark.xdist_group("resume"), pytest.mark.filterwarnings("ignore")]

STEPS, SAVE, LOOK = 12, 4, 3
TRAIN: dict[str, Any] = {
    "max_steps": STEPS,
    "save_steps": SAVE,
    "eval_steps": LOOK,
    "learning_rate": 0.01,
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "max_length": 256,
}


@pytest.fixture(scope="session")
def few_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("few")
    for part, of, first, last in (("train", "train", 0, 64), ("validation", "train", 64, 72), ("test", "test", 0, 12)):
        lines = (EXAMPLE / "data" / f"{of}.jsonl").read_text().splitlines(keepends=True)
        (folder / f"{part}.jsonl").write_text("".join(lines[first:last]))
    return folder


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, few_rows: Path) -> Workplace:
    """A run whose training could begin: copied for each that does."""
    work = Workplace(run=tmp_path_factory.mktemp("prepared"), settings={"train": TRAIN}).lay_out(data=few_rows)
    for step in ("download", "prepare"):
        here(work, step)
    return work


def here(work: Workplace, step: str, *options: str) -> None:
    """Run a step to its end in this process, which has loaded torch already: its own way in, its own environment."""
    heard = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in work.environment().items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["run.py", *options])
        import_module(f"jobs.qlora.{step}").main()
    signal.signal(signal.SIGTERM, heard)


def ready(run: Path, prepared: Workplace) -> Workplace:
    shutil.copytree(prepared.run, run, dirs_exist_ok=True)
    return replace(prepared, run=run)


@pytest.fixture(scope="session")
def straight(tmp_path_factory: pytest.TempPathFactory, prepared: Workplace) -> Workplace:
    """A run that nobody disturbed."""
    work = ready(tmp_path_factory.mktemp("straight"), prepared)
    here(work, "train")
    work.step("evaluate", "--arm", "tuned")  # in a process of its own: it must find what this one noted
    return work


def losses(process: subprocess.Popen[str]) -> Iterator[str]:
    """The lines that the trainer prints, one a step."""
    assert process.stdout
    return (line for line in process.stdout if line.startswith("{'loss'"))


def disturb(work: Workplace, *, after: int, by: signal.Signals) -> int:
    """Start training, send a signal once so many more steps are over, and wait for its end."""
    process = work.start("train", PYTHONUNBUFFERED="1")
    steps = losses(process)
    for _ in range(after):
        assert next(steps, None), "training ended too early"
    os.kill(process.pid, by)
    process.communicate(timeout=120)
    return process.returncode


@pytest.fixture(scope="session")
def disturbed(tmp_path_factory: pytest.TempPathFactory, prepared: Workplace) -> tuple[Workplace, list[int]]:
    """A run that was asked to stop, then killed, then left alone; and how the first two ended."""
    work = ready(tmp_path_factory.mktemp("disturbed"), prepared)
    ends = [disturb(work, after=2, by=signal.SIGTERM)]
    saved = work.events("checkpoint")[-1]["step"]
    (work.run / "save").write_text("rebalance\n")
    # Killed in the step after the checkpoint of step 8, or in a later one.
    ends.append(disturb(work, after=2 * SAVE + 1 - saved, by=signal.SIGKILL))
    here(work, "train")
    here(work, "evaluate", "--arm", "tuned")
    return work, ends


NEARER = 7


class KilledError(Exception):
    """Ends a training in the middle of a step."""


@pytest.fixture(scope="session")
def shortened(tmp_path_factory: pytest.TempPathFactory, prepared: Workplace) -> Workplace:
    """A run that is told while it trains to end at a nearer step, is killed before, and goes on."""
    work = ready(tmp_path_factory.mktemp("shortened"), prepared)
    run = work.run
    job = Job(
        run=run, out=work.out, checkpoints=run / "checkpoints", progress=run / "progress.jsonl", model="../base",
        train=Train(**TRAIN),
    )  # fmt: skip

    def meddled(trainer: Any) -> None:
        step = trainer.training_step

        def meddling(*args: Any, **parts: Any) -> Any:
            if trainer.state.global_step == 2:
                (run / "max_steps").write_text(f"{NEARER}\n")
            if trainer.state.global_step == SAVE + 1:
                raise KilledError
            return step(*args, **parts)

        trainer.training_step = meddling

    with pytest.raises(KilledError):
        train(job, during=meddled)
    train(job)
    return work


def test_a_training_that_is_shortened_ends_at_the_new_last_step_with_next_to_no_learning_rate(
    shortened: Workplace,
) -> None:
    steps = shortened.events("step")
    assert steps[-1]["step"] == steps[-1]["of"] == NEARER
    assert steps[0]["of"] == STEPS
    rates = {event["step"]: event["learning_rate"] for event in steps}
    falling = [rates[step] for step in range(2, NEARER + 1)]
    assert falling == sorted(falling, reverse=True)
    assert rates[NEARER] < 0.15 * TRAIN["learning_rate"]
    assert shortened.events("checkpoint")[-1]["step"] == NEARER


def test_a_shortened_training_that_was_killed_goes_on_along_the_same_curve(shortened: Workplace) -> None:
    rates: dict[int, set[float]] = {}
    for event in shortened.events("step"):
        if event["of"] == NEARER:
            rates.setdefault(event["step"], set()).add(round(event["learning_rate"], 9))
    told = [event["step"] for event in shortened.events("step")]
    assert len(told) > len(set(told)), "no step was made twice, so that nothing is shown"
    assert all(len(seen) == 1 for seen in rates.values()), rates


def weights(work: Workplace) -> dict[str, Any]:
    from safetensors.torch import load_file  # late: only the tests that train need torch

    return dict(load_file(work.out / "adapter" / "adapter_model.safetensors"))


def test_asked_to_stop_it_saves_and_exits_75(disturbed: tuple[Workplace, list[int]]) -> None:
    work, ends = disturbed
    assert ends == [75, -signal.SIGKILL]
    assert 2 <= work.events("checkpoint")[0]["step"] <= SAVE


def test_asked_for_a_checkpoint_it_makes_one_and_goes_on(disturbed: tuple[Workplace, list[int]]) -> None:
    first, second, *later = [event["step"] for event in disturbed[0].events("checkpoint")]
    assert second == first + 1
    assert later[-1] == STEPS
    assert not (disturbed[0].run / "save").exists()


def test_a_killed_and_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(
    straight: Workplace, disturbed: tuple[Workplace, list[int]]
) -> None:
    one, other = weights(straight), weights(disturbed[0])
    assert one.keys() == other.keys()
    assert max(float((one[name] - other[name]).abs().max()) for name in one) <= 2e-3
    assert any(float(tensor.abs().max()) > 0.01 for name, tensor in one.items() if "lora_B" in name)


def test_a_killed_and_resumed_run_scores_the_same(straight: Workplace, disturbed: tuple[Workplace, list[int]]) -> None:
    one, other = (work.document("eval/tuned.json") for work in (straight, disturbed[0]))
    assert one["metrics"]["exact"] == other["metrics"]["exact"]
    assert one["metrics"]["loss"] == pytest.approx(other["metrics"]["loss"], abs=2e-3)


def test_a_killed_and_resumed_run_saw_the_same_validation_losses_and_keeps_the_same_best(
    straight: Workplace, disturbed: tuple[Workplace, list[int]]
) -> None:
    one, other = (work.document("logs/training.json") for work in (straight, disturbed[0]))
    assert [look["step"] for look in one["validation"]] == [3, 6, 9, 12]
    assert [look["step"] for look in other["validation"]] == [3, 6, 9, 12]
    assert one["best_step"] == other["best_step"]
    assert one["best_loss"] == pytest.approx(other["best_loss"], abs=2e-3)


def test_what_comes_home_says_which_step_it_is_of(straight: Workplace) -> None:
    said = straight.document("logs/training.json")
    assert said["best_loss"] == min(look["loss"] for look in said["validation"])
    assert (said["last_step"], said["of"], said["stopped_early"]) == (STEPS, STEPS, False)
    assert (said["micro_batch"], said["accumulation"], said["attention"]) == (8, 1, "sdpa")
    assert 0 < said["trainable_parameters"] < said["parameters"]


def test_tensorboard_files_are_there_whatever_else_is(straight: Workplace) -> None:
    (file,) = (straight.out / "logs" / "tensorboard").iterdir()
    assert file.name.startswith("events.out.tfevents.")
    assert file.suffix == ".tfevents"
    assert b"train/loss" in file.read_bytes()
    assert b"eval/loss" in file.read_bytes()


def test_resumed_training_goes_on_and_does_not_begin_again(disturbed: tuple[Workplace, list[int]]) -> None:
    steps = [event["step"] for event in disturbed[0].events("step")]
    assert steps.count(1) == 1
    assert steps[-1] == STEPS


def test_every_step_is_told_with_its_figures(straight: Workplace) -> None:
    steps = straight.events("step")
    assert [event["step"] for event in steps] == list(range(1, STEPS + 1))
    assert all(event["of"] == STEPS and event["grad_norm"] > 0 and event["loss"] > 0 for event in steps)
    assert all(event["tokens_per_second"] > 0 and event["vram_gib"] is None for event in steps)
    left = [event["eta_seconds"] for event in steps]
    assert left[-1] == 0
    assert all(one > 0 for one in left[:-1])


def test_the_last_two_checkpoints_are_there(straight: Workplace) -> None:
    assert sorted(path.name for path in (straight.run / "checkpoints").iterdir()) == ["step-12", "step-8"]
    assert [event["step"] for event in straight.events("checkpoint")] == [4, 8, 12]


def test_the_adapter_names_its_base_and_brings_its_tokenizer(straight: Workplace) -> None:
    config = straight.document("adapter/adapter_config.json")
    assert config["base_model_name_or_path"] == "../base"
    assert sorted(config["target_modules"]) == ["q_proj", "v_proj"]
    assert {"tokenizer.json", "chat_template.jinja"} <= {path.name for path in (straight.out / "adapter").iterdir()}
    assert not [path for path in straight.out.rglob("*") if path.suffix in {".bin", ".pt", ".pth", ".pkl"}]


def test_only_the_answer_is_learned(straight: Workplace) -> None:
    said = straight.document("logs/data.json")
    rows = [json.loads(line) for line in (straight.run / "prepared" / "train.jsonl").read_text().splitlines()]
    assert said["train"]["pairs"] == len(rows) == 64
    assert 0 < said["train"]["supervised_tokens"] < said["train"]["tokens"]


def test_the_first_steps_are_measured_and_told_once(straight: Workplace) -> None:
    (probe,) = straight.events("probe")
    assert (probe["of"], probe["left"], probe["save_every"]) == (STEPS, STEPS - probe["step"], SAVE)
    assert probe["steps"] == 3
    assert probe["step_seconds"] > 0
    assert probe["tokens_per_second"] > 0
    assert probe["save_seconds"] > 0, "a checkpoint fell into the probe, and was left out of its steps"
