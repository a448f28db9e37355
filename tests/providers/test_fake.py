"""The fake itself: its bill by hand, its lies one by one."""

from dataclasses import replace
from decimal import Decimal

import pytest

from pricing.offer import Billing
from providers.base import (
    Ambiguous,
    EndReason,
    InstanceState,
    NoCapacity,
    NotFound,
    Throttled,
    Unavailable,
)
from tests.fake_provider import FakeCloud, FakeProvider, VirtualClock, fake_offer
from tests.providers.samples import boot, request

FEES_USD_PER_HOUR = Decimal("0.005") + Decimal("0.08") * 100 / 730


def world() -> tuple[VirtualClock, FakeCloud, FakeProvider]:
    clock = VirtualClock()
    cloud = FakeCloud(clock, seed=1)
    return clock, cloud, cloud.provider("fake", (fake_offer(usd="0.50"),))


def test_an_hour_costs_the_price_with_disk_and_address() -> None:
    clock, cloud, provider = world()
    instance = provider.create(request(boot=boot(lease_seconds=9000)))
    clock.sleep(3600)
    assert round(cloud.billed_usd(), 6) == round(Decimal("0.50") + FEES_USD_PER_HOUR, 6)
    cloud.reprice(instance.id, Decimal("0.70"))
    clock.sleep(1800)
    assert round(cloud.billed_usd(), 6) == round(Decimal("0.85") + FEES_USD_PER_HOUR * 3 / 2, 6)


def test_a_machine_of_a_second_is_billed_for_the_minimum_and_a_dead_one_no_further() -> None:
    clock, cloud, provider = world()
    minute = replace(fake_offer(usd="0.50"), billing=Billing(minimum_seconds=60))
    provider.terminate(provider.create(request(minute)))
    first = cloud.billed_usd()
    assert round(first, 6) == round(Decimal("0.50") / 60, 6)  # disk and address are billed for the second alone
    clock.sleep(7200)
    assert cloud.billed_usd() == first


def test_the_own_deadline_ends_a_machine_late_by_the_guards_delay_and_may_be_moved() -> None:
    clock, cloud, provider = world()
    instance = provider.create(request(boot=boot(lease_seconds=100)))
    cloud.extend(instance.id, 200)
    clock.sleep(229)
    assert len(cloud.alive()) == 1
    clock.sleep(1)
    assert cloud.alive() == ()
    assert provider.get(instance).end_reason is EndReason.OWN_DEADLINE


def test_lost_answers_with_and_without_a_machine() -> None:
    _, cloud, provider = world()
    provider.lies.create_lost_before = 1
    with pytest.raises(Ambiguous):
        provider.create(request())
    assert cloud.alive() == ()
    provider.lies.create_lost_after = 1
    with pytest.raises(Ambiguous):
        provider.create(request())
    assert len(cloud.alive()) == 1
    assert provider.fired == ["create_lost_before", "create_lost_after"]


def test_late_lists_gaps_and_early_absence() -> None:
    clock, _, provider = world()
    provider.lies.visible_after_seconds, provider.lies.early_not_found_seconds = 30, 10
    instance = provider.create(request())
    assert provider.list() == ()
    with pytest.raises(NotFound):
        provider.get(instance)
    clock.sleep(30)
    assert len(provider.list()) == 1
    provider.lies.list_gaps = 1
    assert provider.list() == ()
    assert len(provider.list()) == 1


def test_deaf_and_lost_terminates() -> None:
    _, cloud, provider = world()
    instance = provider.create(request())
    provider.lies.deaf_terminates, provider.lies.lost_terminates = 1, 0
    provider.terminate(instance)
    assert len(cloud.alive()) == 1
    provider.lies.lost_terminates = 1
    with pytest.raises(Ambiguous):
        provider.terminate(instance)
    assert cloud.alive() == ()
    assert provider.get(instance).state is InstanceState.ENDING


def test_refusals_match_their_place_and_run_out() -> None:
    _, cloud, provider = world()
    provider.lies.refuse(NoCapacity("none here"), zone="north-1a", times=1)
    with pytest.raises(NoCapacity):
        provider.create(request())
    provider.lies.throttled = 1
    with pytest.raises(Throttled):
        provider.create(request())
    provider.create(request())
    assert len(cloud.alive()) == 1


def test_death_in_pending_preemption_and_forgetting() -> None:
    clock, cloud, provider = world()
    provider.lies.die_in_pending = EndReason.NO_CAPACITY
    doomed, taken = provider.create(request()), provider.create(request())
    clock.sleep(20)
    cloud.preempt(taken.id)
    assert provider.get(doomed).end_reason is EndReason.NO_CAPACITY
    assert provider.get(taken).end_reason is EndReason.PREEMPTED
    clock.sleep(2 * 3600)
    with pytest.raises(NotFound):
        provider.get(doomed)
    assert cloud.most_at_once("calm-fox-0001") == 2


def test_reads_that_are_down_and_states_that_nobody_knows() -> None:
    _, _, provider = world()
    instance = provider.create(request())
    provider.lies.reads_down = 2
    with pytest.raises(Unavailable):
        provider.list()
    with pytest.raises(Unavailable):
        provider.get(instance)
    provider.lies.odd_states = 1
    assert provider.get(instance).state is InstanceState.UNKNOWN


def test_a_volume_that_stays_behind_is_found_and_removed() -> None:
    _, _, provider = world()
    provider.lies.leaves_volume = True
    provider.create(request())
    (left,) = provider.leftovers()
    provider.remove(left)
    assert provider.leftovers() == ()
