"""The guard ends what cannot lead anywhere, and leaves alone what only looks odd for a step."""

from __future__ import annotations

import math
import random

import pytest

from jobs.qlora.guard import DEAD_STEPS, WINDOW, Guard


@pytest.mark.parametrize(("loss", "gradient"), [(math.nan, 1.0), (math.inf, 1.0), (1.0, math.nan), (1.0, math.inf)])
def test_a_step_without_a_finite_loss_ends_the_run(loss: float, gradient: float) -> None:
    assert "training has diverged" in str(Guard().why(3, loss, gradient))


def test_steps_in_a_row_without_a_gradient_end_the_run() -> None:
    guard = Guard()
    for gradient in [0.0] * (DEAD_STEPS - 1) + [0.1] + [0.0] * (DEAD_STEPS - 1):
        assert guard.why(1, 1.0, gradient) is None
    assert "nothing is being learned" in str(guard.why(2, 1.0, 0.0))


def ends_at(losses: list[float]) -> int | None:
    guard = Guard()
    return next((step for step, loss in enumerate(losses, 1) if guard.why(step, loss, 1.0)), None)


def noisy(level: float, steps: int, seed: int = 1) -> list[float]:
    drawn = random.Random(seed)
    return [max(0.001, level * drawn.lognormvariate(0, 0.4)) for _ in range(steps)]


def test_a_loss_that_comes_apart_is_seen_within_a_window() -> None:
    found = ends_at(noisy(1.2, 40) + noisy(9.0, 30))
    assert found is not None
    assert 40 < found <= 40 + WINDOW


@pytest.mark.parametrize("level", [0.01, 0.3, 1.2, 4.0])
@pytest.mark.parametrize("seed", range(5))
def test_batches_that_differ_are_no_divergence(level: float, seed: int) -> None:
    assert ends_at(noisy(level, 400, seed)) is None


def test_some_hard_batches_in_a_row_are_no_divergence() -> None:
    assert ends_at(noisy(0.5, 30) + [9.0] * (WINDOW // 2 - 1) + noisy(0.5, 30)) is None


def test_a_loss_near_nothing_may_double() -> None:
    assert ends_at([0.02] * 30 + [0.2] * 30) is None


def test_a_restart_remembers_how_good_it_was() -> None:
    guard = Guard()
    guard.remember([{"loss": 1.0, "grad_norm": 1.0, "step": step} for step in range(1, 30)] + [{"eval_loss": 1.0}])
    seen = [guard.why(30 + step, 8.0, 1.0) for step in range(WINDOW)]
    assert any(seen)
