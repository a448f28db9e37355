"""Looks at the validation rows: exact, harmless, the best adapter wins, and any restart decides the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.qlora.trained import STEPS, Trained, difference, events, job_in, rows, train

pytestmark = [pytest.mark.train, pytest.mark.xdist_group("train"), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Six steps, with a look after every second one."""
    return train(job_in(tmp_path_factory.mktemp("looked")))


def test_a_look_changes_nothing_about_the_training(tmp_path: Path, looked: Trained) -> None:
    blind = train(job_in(tmp_path, validation=0))
    assert looked.losses == blind.losses
    assert len(looked.losses) == STEPS
    assert difference(looked.weights, blind.weights) == 0.0
    assert blind.told.looks is None


def test_no_look_repacks_the_weights_that_are_trained(looked: Trained) -> None:
    """It fails on a CPU with AVX512-BF16 alone, as what it guards against does."""
    from bitsandbytes.nn import Linear4bit

    assert [step for step, _ in looked.told.looks.losses] == [2, 4, 6]
    layers = [module for module in looked.trainer.model.modules() if isinstance(module, Linear4bit)]
    assert len(layers) == 14
    assert not [layer for layer in layers if getattr(layer.weight.quant_state, "packing_format_for_cpu", False)]


def test_a_look_that_is_broken_off_stays_on_the_card_that_it_began_on(looked: Trained) -> None:
    """The trainer joins the losses of all batches: one on another device would end the run."""
    import torch

    looked.told.asked = True
    loss, _, _ = looked.trainer.prediction_step(looked.trainer.model, {"labels": torch.ones(2, 3, device="meta")}, True)
    looked.told.asked = False
    assert loss.device.type == "meta"
    assert looked.trainer.is_whole is False


def test_the_loss_is_per_answer_token_over_all_rows(looked: Trained) -> None:
    import torch

    from jobs.qlora.asking import loss_of  # late: torch

    model = looked.trainer.model.eval()
    with torch.no_grad():
        found = loss_of(model, looked.trainer.processing_class, rows("train", 24, 30))
    exact = sum(loss for loss, _ in found) / sum(tokens for _, tokens in found)
    assert looked.told.looks.losses[-1][1] == pytest.approx(exact, abs=1e-4)


def test_every_look_is_told(looked: Trained) -> None:
    told = events(looked.job, "validation")
    assert [event["step"] for event in told] == [2, 4, 6]
    assert [event["best"] for event in told] == [True, True, True]
    assert told[-1]["loss"] == pytest.approx(looked.told.looks.best_loss, abs=1e-6)


def test_the_best_adapter_travels_in_the_checkpoint_and_is_small(looked: Trained) -> None:
    newest = looked.job.checkpoints / "step-6" / "best"
    assert json.loads((newest / "looks.json").read_text())["best_step"] == 6
    assert (newest / "weights.safetensors").stat().st_size < 100_000


@pytest.mark.parametrize("stop_at", [2, 5])  # a look is due at one of them
def test_a_training_that_was_stopped_at_any_step_ends_as_one_that_was_not(
    tmp_path: Path, looked: Trained, stop_at: int
) -> None:
    job = job_in(tmp_path)
    first = train(job, stop_at=stop_at)
    assert first.trainer.state.global_step == stop_at
    again = train(job)
    assert difference(again.weights, looked.weights) <= 2e-3
    assert dict(again.told.looks.losses) == pytest.approx(dict(looked.told.looks.losses), abs=2e-3)
    assert again.told.looks.best_step == looked.told.looks.best_step


def test_a_training_that_is_over_is_not_trained_further(looked: Trained) -> None:
    before = looked.weights
    again = train(looked.job)
    assert again.trainer.state.global_step == STEPS
    assert difference(again.weights, before) <= 1e-6


@pytest.fixture(scope="module")
def unlearned(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A rate so high that it learns and then unlearns; it ends after one look in vain."""
    more: dict[str, Any] = {"learning_rate": 0.15, "max_steps": 40, "eval_steps": 1, "early_stopping_patience": 2}
    return train(job_in(tmp_path_factory.mktemp("unlearned"), lr_scheduler_type="constant", **more))


def test_it_ends_early_after_so_many_looks_in_vain_with_a_checkpoint(unlearned: Trained) -> None:
    looks, last = unlearned.told.looks, unlearned.trainer.state.global_step
    assert last < 40
    assert looks.in_vain == 2
    assert looks.best_step == last - 2
    assert events(unlearned.job, "checkpoint")[-1]["step"] == last


def test_what_comes_home_is_the_best_adapter_and_not_the_last(unlearned: Trained) -> None:
    from safetensors.torch import load_file  # late: torch

    from jobs.qlora.base import find_base
    from jobs.qlora.train import finish, is_over

    assert is_over(unlearned.trainer.state, unlearned.told)
    last = unlearned.weights
    finish(unlearned.trainer, unlearned.told, find_base(unlearned.job))
    home = load_file(unlearned.job.out / "adapter" / "adapter_model.safetensors")
    best = load_file(unlearned.told.best / "weights.safetensors")
    assert difference(home, best) == 0.0
    assert difference(unlearned.weights, last) > 0.01
    said = json.loads((unlearned.job.out / "logs" / "training.json").read_text())
    assert said["stopped_early"] is True
    assert said["best_step"] == unlearned.told.looks.best_step < said["last_step"]
    assert said["adapter_of"] == "best validation loss"


def test_a_restart_after_an_early_end_trains_no_further(unlearned: Trained) -> None:
    again = train(unlearned.job)
    assert again.trainer.state.global_step == unlearned.trainer.state.global_step
    assert again.told.looks.is_enough
