"""The hard cap, against a bill that is worked out here in another way."""

from decimal import Decimal
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pricing.budget import (
    Cap,
    Reserve,
    budget_for_usd,
    cost_usd,
    expected_usd_per_hour,
    reserve_for,
    worst_usd_per_hour,
)
from pricing.offer import Billing, Fees
from pricing.stored import checkpoint_room, results_room, upload_seconds
from tests.pricing.samples import FEES, cpu, offer, spot, workload

MONEY = st.decimals(min_value=0, max_value=100, places=6, allow_nan=False, allow_infinity=False)
RATES = st.decimals(min_value="0.000001", max_value=120, places=6, allow_nan=False, allow_infinity=False)
SECONDS = st.floats(min_value=0, max_value=5000, allow_nan=False)
RESERVES = st.builds(
    Reserve,
    save_seconds=SECONDS,
    pull_seconds=SECONDS,
    teardown_seconds=SECONDS,
    guard_seconds=SECONDS,
    egress_usd=MONEY.map(lambda usd: usd / 20),
)
BILLINGS = st.builds(
    Billing,
    granularity_seconds=st.sampled_from([1, 6, 60, 3600]),
    minimum_seconds=st.sampled_from([0, 60, 90, 600, 3600]),
)
CAPS = st.builds(
    Cap,
    budget_usd=MONEY,
    spent_usd=MONEY.map(lambda usd: usd / 3),
    worst_usd_per_hour=RATES,
    reserve=RESERVES,
    billing=BILLINGS,
    deadline_left_seconds=st.none() | st.floats(min_value=-100, max_value=1e6),
)


def metered(seconds: Fraction, usd_per_hour: Decimal, billing: Billing) -> Fraction:
    """What a provider would bill: exact, and written without the code under test."""
    steps = ceil(seconds / billing.granularity_seconds) * billing.granularity_seconds
    return Fraction(max(steps, billing.minimum_seconds)) * Fraction(usd_per_hour) / 3600


def cap(**changes: object) -> Cap:
    reserve = Reserve(
        save_seconds=100, pull_seconds=50, teardown_seconds=50, guard_seconds=0, egress_usd=Decimal("0.10")
    )
    values: dict[str, object] = {
        "budget_usd": Decimal(5),
        "spent_usd": Decimal(0),
        "worst_usd_per_hour": Decimal(1),
        "reserve": reserve,
        "billing": Billing(),
        "deadline_left_seconds": None,
    }
    return Cap(**values | changes)  # type: ignore[arg-type]  # changes of any kind


@given(CAPS)
@example(cap(billing=Billing(granularity_seconds=3600)))
@example(cap(budget_usd=Decimal("0.11"), billing=Billing(minimum_seconds=60)))
def test_no_lease_can_bill_more_than_the_budget_even_when_the_guard_is_late(one: Cap) -> None:
    if one.lease_seconds == 0:
        return
    assert one.budget_usd is not None
    life = Fraction(one.lease_seconds) + Fraction(one.reserve.guard_seconds)
    bill = metered(life, one.worst_usd_per_hour, one.billing) + Fraction(one.reserve.egress_usd)
    assert bill <= Fraction(one.budget_usd - one.spent_usd)
    ours = cost_usd(float(life), one.worst_usd_per_hour, one.billing) + one.reserve.egress_usd
    assert ours <= one.budget_usd - one.spent_usd


@given(CAPS)
def test_a_lease_never_passes_the_deadline_and_stopping_comes_before_it(one: Cap) -> None:
    if one.deadline_left_seconds is not None and one.lease_seconds:
        assert one.lease_seconds + one.reserve.guard_seconds <= one.deadline_left_seconds
    assert 0 <= one.stop_seconds <= one.lease_seconds
    if one.stop_seconds:
        assert one.stop_seconds + one.reserve.ending_seconds == pytest.approx(one.lease_seconds)


@given(one=CAPS, lived=st.integers(min_value=0, max_value=100_000))
def test_extending_a_machine_that_has_lived_cannot_pass_the_budget_either(one: Cap, lived: int) -> None:
    """Life so far is in `spent_usd`, rounded up; the provider rounds the whole life once."""
    before = cost_usd(lived, one.worst_usd_per_hour, one.billing)
    longer = cap(
        budget_usd=one.budget_usd,
        spent_usd=before,
        worst_usd_per_hour=one.worst_usd_per_hour,
        reserve=one.reserve,
        billing=one.billing,
        lived_seconds=float(lived),
    )
    if longer.lease_seconds:
        life = lived + longer.lease_seconds + Fraction(one.reserve.guard_seconds)
        bill = metered(life, one.worst_usd_per_hour, one.billing) + Fraction(one.reserve.egress_usd)
        assert one.budget_usd is not None
        assert bill <= Fraction(one.budget_usd)


@given(work=st.floats(min_value=0, max_value=1e6), rate=RATES, reserve=RESERVES, billing=BILLINGS)
@example(
    work=1.0,
    rate=Decimal("0.300001"),
    reserve=Reserve(save_seconds=0, pull_seconds=0, teardown_seconds=0, guard_seconds=0, egress_usd=Decimal(0)),
    billing=Billing(granularity_seconds=60, minimum_seconds=90),
)
def test_the_smallest_budget_that_is_named_really_is_enough(
    work: float, rate: Decimal, reserve: Reserve, billing: Billing
) -> None:
    budget = budget_for_usd(work, rate, reserve, billing)
    enough = cap(budget_usd=budget, worst_usd_per_hour=rate, reserve=reserve, billing=billing)
    assert enough.stop_seconds >= work


def test_five_dollars_at_a_dollar_an_hour_last_as_long_as_they_should() -> None:
    assert cap().lease_seconds == 4.9 * 3600
    assert cap().stop_seconds == 4.9 * 3600 - 200
    assert cap(spent_usd=Decimal("1.00")).lease_seconds == 3.9 * 3600
    assert cap(billing=Billing(granularity_seconds=3600)).lease_seconds == 4 * 3600


def test_the_providers_minimum_counts_only_until_it_has_been_lived() -> None:
    hour = Billing(minimum_seconds=3600)
    assert cap(budget_usd=Decimal("0.60"), billing=hour).lease_seconds == 0
    assert cap(budget_usd=Decimal("0.60"), billing=hour, lived_seconds=3000).lease_seconds == 1800


def test_a_machine_that_is_still_to_be_made_has_not_lived() -> None:
    assert cap() == cap(lived_seconds=0.0)


def test_a_machine_that_is_billed_needs_a_budget_and_one_that_is_not_does_not() -> None:
    with pytest.raises(ValueError, match="needs a budget"):
        cap(budget_usd=None)
    assert cap(budget_usd=None, worst_usd_per_hour=Decimal(0)).lease_seconds > 24 * 3600
    assert cap(budget_usd=None, worst_usd_per_hour=Decimal(0), deadline_left_seconds=90.5).lease_seconds == 90


def test_an_all_in_rate_holds_compute_address_disk_and_tax() -> None:
    one = spot("0.5", fees=FEES)
    hourly = worst_usd_per_hour(one, 73, Decimal("0.10"))
    assert hourly == (Decimal("1.006") + Decimal("0.005") + Decimal("0.008")) * Decimal("1.1")
    assert expected_usd_per_hour(one, 73, Decimal("0.10")) == Decimal("0.5643")


@given(price=RATES, disk=st.integers(0, 5000), tax=st.decimals(0, 1, places=4))
def test_the_worst_rate_is_never_below_the_expected_one(price: Decimal, disk: int, tax: Decimal) -> None:
    one = spot(str(price), worst_usd_per_hour=price * 3)
    assert worst_usd_per_hour(one, disk, tax) >= expected_usd_per_hour(one, disk, tax) >= price


@given(seconds=st.floats(0, 1e7), rate=RATES, billing=BILLINGS)
def test_a_cost_is_never_below_what_the_provider_bills(seconds: float, rate: Decimal, billing: Billing) -> None:
    cost = cost_usd(seconds, rate, billing)
    exact = metered(Fraction(seconds), rate, billing)
    assert exact <= Fraction(cost) < exact + Fraction(1, 10_000)


def test_the_reserve_pays_for_saving_pulling_teardown_guard_and_taxed_egress() -> None:
    reserve = reserve_for(offer(fees=FEES), workload(result_gib=1.0), 120.0, Decimal("0.25"))
    assert reserve.save_seconds >= 150
    assert reserve.guard_seconds == 120
    assert reserve.pull_seconds > 700
    assert reserve.egress_usd == Decimal("0.09") * 8 * Decimal("1.25")
    assert reserve_for(offer(fees=Fees()), workload(), 0.0).egress_usd == 0
    assert reserve_for(cpu(), workload(), 0.0).ending_seconds < 60


def test_a_reserve_or_cap_that_makes_no_sense_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="negative"):
        Reserve(save_seconds=-1, pull_seconds=0, teardown_seconds=0, guard_seconds=0, egress_usd=Decimal(0))
    for wrong in ({"spent_usd": Decimal("-0.01")}, {"worst_usd_per_hour": Decimal("-0.01")}, {"lived_seconds": -0.01}):
        with pytest.raises(ValueError, match="negative"):
            cap(**wrong)


def test_what_a_machine_may_store_unheard_is_set_aside_too() -> None:
    job, fees = workload(result_gib=1.0), FEES
    bare = reserve_for(offer(fees=fees), job, 0.0)
    stores = reserve_for(offer(fees=fees), job, 0.0, stores=True)
    most_gib = 4 * checkpoint_room(1.0).bytes / 2**30 + results_room(1.0).bytes / 2**30
    more_usd = fees.egress_usd_per_gib * Decimal(str(most_gib))
    assert abs(stores.egress_usd - bare.egress_usd - more_usd) < Decimal("0.001")
    assert reserve_for(cpu(), job, 0.0, stores=True) == reserve_for(cpu(), job, 0.0)


@pytest.mark.parametrize("result_gib", [0.0, 0.03, 2.0, 40.0])
def test_the_last_upload_takes_less_than_what_is_set_aside_for_a_pull(result_gib: float) -> None:
    assert upload_seconds(result_gib) < reserve_for(offer(), workload(result_gib=result_gib), 0.0).pull_seconds


@pytest.mark.parametrize("result_gib", [0.0, 0.03, 2.0, 40.0])
def test_an_object_is_of_few_parts_that_the_protocol_allows(result_gib: float) -> None:
    for room in (checkpoint_room(result_gib), results_room(result_gib)):
        assert 1 <= room.parts <= 64
        assert 5 * 2**20 <= room.part_bytes <= 5 * 2**30
        assert room.bytes >= result_gib * 2**30
