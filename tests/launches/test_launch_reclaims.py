"""Spot machines that are taken back: with a notice, and without one."""

import hashlib

import pytest

from tests.launches.laptop import Laptop

pytestmark = pytest.mark.cloud


@pytest.mark.parametrize("notice_seconds", [20, 0])
def test_a_reclaimed_run_goes_on_from_its_checkpoint_on_a_second_machine(laptop: Laptop, notice_seconds: int) -> None:
    laptop.quick(steps=40, seconds=0.2, save_every=4)
    typed = laptop.launch()
    typed.until(lambda event: event["event"] == "pulled" and event["what"].startswith("step-"))
    laptop.cloud.preempt(laptop.machine().id, notice_seconds)
    said = typed.ended(90)
    assert said.code == 0, said.err
    assert said.last["attempts"] == 2
    assert any(event.get("code") == "resumed" for event in said.events)
    weights = next(laptop.work.glob("runs/*/adapter/adapter_model.safetensors")).read_bytes()
    assert _whole_chain(40) in weights
    assert len(laptop.cloud.machines()) == 2
    laptop.all_quiet()


def _whole_chain(steps: int) -> bytes:
    """The "weights" of the quick job after so many steps without a break."""
    seed = hashlib.sha256(b"quick").digest()
    for _ in range(steps):
        seed = hashlib.sha256(seed).digest()
    return seed
