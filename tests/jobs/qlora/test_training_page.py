"""docs/training.md speaks of every setting, with the default that the program has."""

from __future__ import annotations

import re
from typing import Any

import pytest

from jobs.qlora import export, guard
from jobs.qlora.trackers import ASKED_BY
from jobs.spec_train import Train
from tests.jobs.qlora.workplace import REPOSITORY

PAGE = (REPOSITORY / "docs" / "training.md").read_text()
KEYS = dict(re.findall(r"(?m)^\| `(\w+)` \| (.+?) \|", PAGE.split("## Validation")[0]))


def shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return f"`[{', '.join(value)}]`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return "`2.0e-4`" if value == 2e-4 else f"`{value:g}`" if isinstance(value, float) and value > 1 else f"`{value}`"


@pytest.mark.parametrize(("name", "default"), Train().model_dump().items())
def test_every_key_of_train_stands_there_with_its_default(name: str, default: Any) -> None:
    assert KEYS.pop(name) == shown(default)


def test_no_other_key_stands_there() -> None:
    assert set(KEYS) <= set(Train.model_fields)


def test_the_figures_of_the_gates_are_the_programs() -> None:
    parity = (REPOSITORY / "jobs" / "qlora" / "parity.py").read_text()
    assert f"exactly 0 for {guard.DEAD_STEPS} steps" in PAGE
    assert f"median loss of {guard.WINDOW} steps" in PAGE
    assert f"more than {export.TOLERANCE} nats apart" in PAGE
    assert "PRECISE_TOLERANCE, ROUNDED_TOLERANCE = 5e-3, 2e-2" in parity
    assert "0.005 nats per answer token apart in float32, 0.02 in bf16" in PAGE


def test_every_trackers_variables_stand_there() -> None:
    assert all(f"`{variable}`" in PAGE for variables in ASKED_BY.values() for variable in variables)
