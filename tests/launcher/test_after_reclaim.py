"""After a reclaim: another zone while the run is on course, on-demand before the money for it is gone."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from launcher.events import Warned
from launcher.run import Outcome
from pricing.offer import Market, Offer
from tests.fake_machine import fake_offer
from tests.fake_world import Stage, Work

HERE, THERE = fake_offer(zone="north-1a", usd="0.40"), fake_offer(zone="north-1b", usd="0.45")
CERTAIN = fake_offer("f1.large", usd="0.80", market=Market.ON_DEMAND)


def rented(stage: Stage) -> list[tuple[str, Market]]:
    offers = [one.request.offer for one in stage.cloud.machines()]
    return [(one.zone, one.market) for one in offers]


def said(stage: Stage) -> list[str]:
    return [event.text for event in stage.heard.of(Warned) if event.code == "next-market"]


def stage_of(folder: Path, *offers: Offer, steps: int = 60) -> Stage:
    stage = Stage(folder, offers=offers)
    stage.site.work = Work(steps=steps, step_seconds=10, save_every=5)
    return stage


def taken_back(stage: Stage, *, when: Callable[[float], bool]) -> None:
    """Each spot machine, as soon as it has lived so long."""
    before = stage.cloud.after_call

    def after(verb: str) -> None:
        for one in stage.cloud.alive() if verb == "remote" else ():
            lived = (stage.clock() - one.born_at).total_seconds()
            if one.request.offer.market is Market.SPOT and when(lived):
                stage.cloud.preempt(one.id)
        before(verb)

    stage.cloud.after_call = after


def test_a_run_on_course_takes_spot_again_where_nothing_of_it_was_taken_back(folder: Path) -> None:
    stage = stage_of(folder, HERE, THERE, CERTAIN)
    taken_back(stage, when=lambda lived: lived > 200 and len(stage.cloud.machines()) == 1)
    receipt = stage.launch(budget="5")
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 2)
    assert rented(stage) == [("north-1a", Market.SPOT), ("north-1b", Market.SPOT)]
    stage.all_quiet()


def test_a_run_that_is_behind_its_money_goes_on_demand_although_spot_is_cheaper_and_free(folder: Path) -> None:
    zones = [fake_offer(zone=f"north-1{letter}", usd="0.40") for letter in "abcdef"]
    stage = stage_of(folder, *zones, CERTAIN)
    taken_back(stage, when=lambda lived: lived > 60)
    receipt = stage.launch(budget="0.40")
    assert receipt.outcome is Outcome.SUCCEEDED
    assert receipt.spent_usd <= Decimal("0.40")
    *lost, last = rented(stage)
    assert last[1] is Market.ON_DEMAND
    assert 0 < len(lost) < len(zones)
    assert said(stage)[-1].startswith("next fake")
    stage.all_quiet()


def test_a_machine_that_failed_by_itself_changes_nothing_about_the_order(folder: Path) -> None:
    stage = stage_of(folder, HERE, THERE, CERTAIN)
    stage.site.unreachable = {"m-0001"}
    receipt = stage.launch(budget="5")
    assert receipt.outcome is Outcome.SUCCEEDED
    assert said(stage) == []


def test_the_next_machine_may_stand_at_another_provider(folder: Path) -> None:
    stage = stage_of(folder, HERE)
    stage.also("other", replace(fake_offer(zone="west-2", usd="0.50"), provider="other"))
    taken_back(stage, when=lambda lived: lived > 200 and len(stage.cloud.machines()) == 1)
    receipt = stage.launch(budget="5")
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 2)
    assert [one.request.offer.provider for one in stage.cloud.machines()] == ["fake", "other"]
