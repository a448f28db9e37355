"""What the steps of one machine came to."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from jobs.progress import Step
from launcher.measured import Measured, after
from tests.fake_world import Stage, Work

BEGAN = datetime(2026, 11, 24, 12, tzinfo=UTC)


def steps(
    numbers: Iterable[int], *, seconds: float = 10.0, rates: tuple[float, ...] = (), vram_gib: float | None = None
) -> Measured:
    found: Measured | None = None
    for place, number in enumerate(numbers):
        step = Step(
            at=BEGAN, step=number, of=40, loss=1.0, learning_rate=1e-4, grad_norm=1.0,
            tokens_per_second=rates[place] if rates else None, vram_gib=vram_gib and vram_gib - place, epoch=1.0,
        )  # fmt: skip
        found = after(found, step, BEGAN + timedelta(seconds=seconds * place))
    assert found is not None
    return found


def test_a_machine_that_ran_all_steps_skipped_none() -> None:
    found = steps(range(1, 41))
    assert (found.skipped_steps, found.last_step, found.step_seconds) == (0, 40, 10.0)
    assert (found.missing_steps, found.share) == (0, 1.0)


def test_a_resumed_machine_ran_its_share() -> None:
    found = steps(range(31, 41))
    assert found.skipped_steps == 30
    assert found.missing_steps == 30
    assert found.share == pytest.approx(0.25)


def test_a_schedule_that_was_shortened_is_still_known_in_whole() -> None:
    whole = steps(range(1, 11))
    last = Step(
        at=BEGAN, step=11, of=20, loss=1.0, learning_rate=1e-4, grad_norm=1.0, tokens_per_second=None, vram_gib=None,
        epoch=1.0,
    )  # fmt: skip
    assert after(whole, last, BEGAN + timedelta(minutes=5)).missing_steps == 29


def test_steps_that_are_lost_or_come_again_do_not_change_the_pace() -> None:
    assert steps([1, 2, 3, 9, 10, 3, 4, 5]).step_seconds == 10.0
    assert steps([5]).step_seconds is None


def test_speed_is_the_harmonic_mean_and_memory_the_peak() -> None:
    found = steps([1, 2], rates=(1000.0, 3000.0), vram_gib=14.0)
    assert found.tokens_per_second == pytest.approx(1500.0)
    assert found.vram_gib == 14.0


def test_figures_that_no_step_told_stay_unknown() -> None:
    found = steps([1, 2, 3], rates=(0.0, 0.0, 0.0))
    assert (found.tokens_per_second, found.vram_gib) == (None, None)


def test_the_attempt_in_the_ledger_keeps_what_its_steps_came_to(stage: Stage) -> None:
    stage.site.work = Work(steps=12, step_seconds=30)
    stage.launch()
    kept = stage.laptop().ledger.load("brave-otter-0001").attempt.measured
    assert kept is not None
    assert (kept.first_step, kept.last_step, kept.of) == (1, 12, 12)
    assert kept.step_seconds == pytest.approx(30)
    assert kept.tokens_per_second == pytest.approx(1000)
    assert kept.vram_gib == 14.0
