"""The published figure of the probe is what was measured, and the comparison does not flatter."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import pytest

from jobs import progress
from tests.accuracy.probe import Shot, judged, recorded, table

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
PROBE = Path(__file__).parents[2] / "docs" / "probe.md"


def run(of: int, seconds: float, later: float) -> list[progress.Event]:
    """Steps that take so long up to the probe at step 23, and so long after it."""
    found: list[progress.Event] = []
    now = NOON
    for step in range(1, of + 1):
        now += timedelta(seconds=seconds if step <= 23 else later)
        found.append(
            progress.Step(
                at=now, step=step, of=of, loss=1.0, learning_rate=1e-3, grad_norm=1.0, tokens_per_second=1.0,
                vram_gib=None, epoch=1.0,
            )
        )  # fmt: skip
        if step == 23:
            found.append(
                progress.Probed(
                    at=now, step=23, of=of, steps=20, step_seconds=seconds, spread=0.0, tokens_per_second=1.0,
                    tokens_per_step=1.0, vram_gib=None, save_seconds=None, save_every=50,
                )
            )  # fmt: skip
    return found


@pytest.mark.parametrize(("later", "error", "is_inside"), [(1.0, 0.0, True), (0.8, 0.25, False), (1.25, -0.2, False)])
def test_the_forecast_is_compared_with_what_came_after_the_probe(later: float, error: float, is_inside: bool) -> None:
    spent = [2.0 * step for step in range(1, 124)]
    shot = judged(run(123, 1.0, later), spent, rows_a_step=1)
    assert shot.foretold_seconds == 100.0
    assert shot.error == pytest.approx(error)
    assert shot.is_inside is is_inside
    assert (shot.foretold_cpu_seconds, shot.actual_cpu_seconds, shot.cpu_error) == (200.0, 200.0, 0.0)


def test_the_published_table_is_of_the_recorded_runs() -> None:
    assert table(recorded()) in PROBE.read_text()


def test_after_the_probe_the_training_is_foretold_to_five_in_a_hundred() -> None:
    shots: list[Shot] = recorded()
    assert len(shots) >= 6
    assert all(shot.probed == 20 for shot in shots)
    assert median(abs(shot.cpu_error) for shot in shots) <= 0.05
