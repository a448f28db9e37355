"""A step of billing that is begun is paid for at what it may still cost, where the price of a machine moves."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from launcher import books
from launcher.price import current_plan
from launcher.run import Run, State
from launcher.world import World
from pricing.offer import Billing, Market
from tests.fake_machine import HOUR, fake_offer
from tests.fake_world import FIRST_RUN, Killed, Stage, Work
from tests.launcher.moments import in_state, when

BY_THE_HOUR = Billing(granularity_seconds=HOUR, minimum_seconds=60)


def died_at_work(folder: Path, market: Market) -> tuple[Stage, Run, World]:
    """A run whose process died minutes after its machine was made, with its lease renewed; billed by the hour."""
    stage = Stage(folder, offers=(replace(fake_offer(market=market), billing=BY_THE_HOUR),))
    stage.site.work = Work(steps=12, step_seconds=10)
    when(stage, in_state(stage, State.PULLING, "remote"), stage.kill)
    with pytest.raises(Killed):
        stage.launch(budget="5")
    stage.revive()
    world = stage.laptop()
    return stage, world.ledger.load(FIRST_RUN), world


def test_a_price_that_rises_in_the_hour_that_is_begun_stays_in_the_budget_with_nobody_there(folder: Path) -> None:
    stage, run, _ = died_at_work(folder, Market.SPOT)
    (machine,) = stage.cloud.alive()
    assert machine.dead_at is not None
    stage.cloud.reprice(machine.id, run.attempt.offer.worst_usd_per_hour)
    stage.clock.sleep((machine.dead_at - stage.clock()).total_seconds() + 1)
    assert stage.cloud.alive() == ()
    assert Decimal(3) < stage.cloud.billed_usd() <= 5


def test_the_cap_counts_the_rest_of_the_hour_at_the_worst_rate_and_the_books_at_what_is_billed(folder: Path) -> None:
    _, run, world = died_at_work(folder, Market.SPOT)
    attempt, now = run.attempt, world.now()
    rise = attempt.choice.worst_usd_per_hour - attempt.rate_usd_per_hour
    rest_hours = (HOUR - Decimal(attempt.seconds(now))) / HOUR
    known = books.cap(run, attempt.choice, current_plan(run, world), world)
    assert rise > 0
    assert known.spent_usd - books.spent_usd(run, now) == pytest.approx(rise * rest_hours)


def test_where_no_price_moves_the_cap_and_the_books_agree(folder: Path) -> None:
    _, run, world = died_at_work(folder, Market.ON_DEMAND)
    known = books.cap(run, run.attempt.choice, current_plan(run, world), world)
    assert known.spent_usd == books.spent_usd(run, world.now())
