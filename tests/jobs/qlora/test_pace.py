"""The probe of the first steps, and a learning rate that comes down to 0 at a nearer last step; no torch needed."""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from jobs.qlora.pace import (
    LEAST_STEPS,
    PROBE_SECONDS,
    PROBE_STEPS,
    WARM_STEPS,
    Probe,
    asked_last_step,
    bend,
    bent,
)

PEAK = 2e-4


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def probed(left: int, seconds: Iterator[float], *, saves: frozenset[int] = frozenset()) -> dict[str, object] | None:
    """The figures, with the number of the step at which they came."""
    clock = Clock()
    probe = Probe(left=left, clock=clock)
    for step in range(1, left + 1):
        clock.now += next(seconds)
        figures = probe.step(100.0)
        if step in saves:
            clock.now += 5.0
            probe.saved()
        if figures:
            return {**figures, "at": step}
    return None


def steady(warm: float, then: float) -> Iterator[float]:
    yield from [warm] * WARM_STEPS
    while True:
        yield then


def test_the_steps_that_warm_up_are_left_out() -> None:
    figures = probed(1000, steady(30.0, 2.0))
    assert figures == {
        "steps": PROBE_STEPS, "step_seconds": 2.0, "spread": 0.0, "tokens_per_second": 50.0, "tokens_per_step": 100.0,
        "save_seconds": None, "at": WARM_STEPS + PROBE_STEPS,
    }  # fmt: skip


def test_a_save_is_told_apart_and_the_step_that_it_falls_into_is_left_out() -> None:
    figures = probed(1000, steady(1.0, 2.0), saves=frozenset({10}))
    assert figures is not None
    assert (figures["step_seconds"], figures["save_seconds"]) == (2.0, 5.0)
    assert figures["at"] == WARM_STEPS + PROBE_STEPS + 1


@pytest.mark.parametrize(
    ("left", "steps"), [(WARM_STEPS + LEAST_STEPS - 1, None), (8, LEAST_STEPS), (43, 10), (83, PROBE_STEPS)]
)
def test_a_short_run_is_measured_over_a_quarter_of_its_steps(left: int, steps: int | None) -> None:
    figures = probed(left, steady(1.0, 1.0))
    assert (figures and figures["steps"]) == steps


def test_where_steps_are_slow_the_probe_does_not_wait_for_all_of_them() -> None:
    figures = probed(1000, steady(60.0, 60.0))
    assert figures is not None
    assert figures["steps"] == max(LEAST_STEPS, math.ceil(PROBE_SECONDS / 60))


def test_how_much_steps_differ_is_told() -> None:
    figures = probed(1000, iter([1.0] * WARM_STEPS + [1.0, 3.0] * PROBE_STEPS))
    assert figures is not None
    assert (figures["step_seconds"], figures["spread"]) == (2.0, 0.5)


def test_a_probe_is_told_once() -> None:
    probe = Probe(left=100)
    assert len([1 for _ in range(100) if probe.step(1.0)]) == 1


@pytest.mark.parametrize(
    ("text", "step"),
    [("450\n", 450), ("0", None), ("-3", None), ("4.5", None), ("", None), ("9" * 13, None), ("\u0663", None)],
)
def test_only_a_whole_number_of_steps_is_a_last_step(tmp_path: Path, text: str, step: int | None) -> None:
    assert asked_last_step(tmp_path) is None
    (tmp_path / "max_steps").write_text(text)
    assert asked_last_step(tmp_path) == step


def cosine(total: int, warm: int) -> Callable[[int], float]:
    """What transformers does: up in a line, then half a cosine."""
    return lambda now: now / warm if now < warm else 0.5 * (1 + math.cos(math.pi * (now - warm) / (total - warm)))


@pytest.mark.parametrize("step", [30, 100, 500, 799])
def test_a_shortened_rate_goes_on_where_it_is_only_falls_and_ends_at_nothing(step: int) -> None:
    before = cosine(1000, 30)
    after = bent(factor=before(step), step=step, last=800, warm=30)
    rates = [after(now) for now in range(step, 801)]
    assert rates[0] == pytest.approx(before(step))
    assert all(one >= other for one, other in pairwise(rates))
    assert rates[-1] == pytest.approx(0.0, abs=1e-12)


def test_a_warm_up_that_is_under_way_is_finished_first() -> None:
    before = cosine(1000, 30)
    after = bent(factor=before(10), step=10, last=500, warm=30)
    assert [after(now) for now in range(10, 31)] == pytest.approx([before(now) for now in range(10, 31)])
    assert after(30) == 1.0
    assert after(500) == pytest.approx(0.0, abs=1e-12)


def test_where_there_is_no_room_for_the_rest_of_the_warm_up_the_rate_falls_at_once() -> None:
    after = bent(factor=0.5, step=10, last=15, warm=30)
    assert after(10) == pytest.approx(0.5)
    assert after(15) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("again", [300, 555, 799])
def test_a_restart_goes_on_along_the_same_curve(again: int) -> None:
    first = bent(factor=cosine(1000, 30)(200), step=200, last=800, warm=30)
    second = bent(factor=first(again), step=again, last=800, warm=30)
    later = range(again, 801)
    assert [second(now) for now in later] == pytest.approx([first(now) for now in later], abs=1e-9)


def test_a_training_that_is_already_there_gets_no_rate_at_all() -> None:
    assert bent(factor=0.7, step=9, last=9, warm=0)(9) == pytest.approx(0.0, abs=1e-12)


class Scheduler:
    base_lrs = (PEAK, PEAK)
    lr_lambdas: list[Callable[[int], float]]

    def get_last_lr(self) -> list[float]:
        return [PEAK / 2, PEAK / 2]


def test_every_group_of_the_optimiser_is_bent_from_its_present_rate() -> None:
    scheduler = Scheduler()
    bend(scheduler, step=50, last=80, warm=3)
    assert [one(50) for one in scheduler.lr_lambdas] == pytest.approx([0.5, 0.5])
    assert [one(80) for one in scheduler.lr_lambdas] == pytest.approx([0.0, 0.0], abs=1e-12)
