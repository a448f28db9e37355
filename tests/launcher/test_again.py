"""Another machine for the same run: as often as the market takes one back, and not where machines fail alike."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from launcher import flow
from launcher.events import Warned
from launcher.flow import MOST_ALIKE
from launcher.run import MOST_ATTEMPTS, Outcome
from pricing.offer import Market
from tests.fake_machine import fake_offer
from tests.fake_world import Stage, Work


@pytest.fixture
def wide(folder: Path) -> Stage:
    """A market with more places than a run may try."""
    return Stage(folder, offers=tuple(fake_offer(zone=f"north-{number}a") for number in range(MOST_ATTEMPTS + 3)))


def alike(stage: Stage) -> list[str]:
    return [event.text for event in stage.heard.of(Warned) if event.code == "alike"]


def at_each_machine(stage: Stage, do: Callable[[int], None]) -> None:
    """Before each create call, with how many machines there were before."""
    before = stage.cloud.before_call

    def at(verb: str) -> None:
        if verb == "create":
            do(len(stage.cloud.truth))
        before(verb)

    stage.cloud.before_call = at


def test_machines_that_fail_alike_are_tried_so_often_and_no_more(wide: Stage) -> None:
    wide.site.trial = {"failed": "RuntimeError: CUDA error 804"}
    receipt = wide.launch(budget="100")
    assert (receipt.outcome, receipt.attempts) == (Outcome.FAILED, MOST_ALIKE)
    (text,) = alike(wide)
    assert text.startswith(f"{MOST_ALIKE} machines ended in the same way (its GPU does not compute: RuntimeError")
    assert [one.end_code for one in wide.laptop().ledger.load(receipt.run).attempts[:-1]] == ["not-as-rented"] * 4
    wide.all_quiet()


def test_one_machine_fewer_than_that_and_the_run_goes_on(wide: Stage) -> None:
    wide.site.unarmed = True

    def mend(machines: int) -> None:
        wide.site.unarmed = machines < MOST_ALIKE - 1

    at_each_machine(wide, mend)
    receipt = wide.launch(budget="100")
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, MOST_ALIKE)
    assert alike(wide) == []


def test_machines_that_fail_in_different_ways_are_not_alike(wide: Stage) -> None:
    def spoil(machines: int) -> None:
        wide.site.unarmed = machines % 2 == 0 and machines < 2 * (MOST_ALIKE - 1)
        wide.site.unreachable = {f"m-{machines + 1:04d}"} if machines % 2 and machines < 2 * (MOST_ALIKE - 1) else set()

    at_each_machine(wide, spoil)
    receipt = wide.launch(budget="100")
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 2 * (MOST_ALIKE - 1) + 1)
    assert alike(wide) == []


def test_machines_that_are_taken_back_are_the_market_s_doing_and_counted_apart(wide: Stage) -> None:
    wide.site.work = Work(steps=10_000, step_seconds=30)

    def take_back(verb: str) -> None:
        for one in wide.cloud.alive() if verb == "remote" else ():
            wide.cloud.preempt(one.id)

    wide.cloud.after_call = take_back
    assert wide.launch(budget="100").attempts == MOST_ATTEMPTS
    assert alike(wide) == []


def test_one_s_own_machine_is_not_replaced_by_itself(folder: Path) -> None:
    mine = replace(fake_offer(usd="0"), market=Market.OWNED)
    stage = Stage(folder, offers=(mine,))
    stage.site.trial = {"failed": "RuntimeError: CUDA error 804"}
    world = stage.laptop()
    receipt = flow.carry(stage.open_run(world), world)
    assert (receipt.outcome, receipt.attempts) == (Outcome.FAILED, 1)
    assert "CUDA error 804" in receipt.why
