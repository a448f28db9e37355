"""Time and money, phase by phase."""

import dataclasses
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.estimate import PHASES, estimate
from pricing.gpus import all_gpus, by_name
from pricing.interval import Interval, around, total
from pricing.memory import disk_gib
from pricing.offer import Billing, Fees, Offer
from pricing.plan import make_plan
from pricing.throughput import arm_shares, generation_seconds, padded_tokens, tokens_per_second
from pricing.workload import Asked, Method, Optimizer, Recipe, Workload
from tests.pricing.samples import MISTRAL, cpu, offer, spot, terms, workload

TINY = dataclasses.replace(
    MISTRAL, parameters=525_000, hidden=128, layers=2, heads=4, kv_heads=2, intermediate=352, vocabulary=768
)


@pytest.mark.parametrize(
    ("card", "low", "high"),
    [("A10G", 771, 1100), ("L4", 318, 684), ("A100-80", 2858, 3600), ("RTX4090", 1654, 2600), ("H100-SXM", 4500, 8000)],
)
def test_the_expected_rate_of_a_7b_lies_among_what_was_published(card: str, low: float, high: float) -> None:
    job = workload(tokens_per_epoch=1024 * 400, examples=400, longest_tokens=1024)
    assert low * 0.8 <= tokens_per_second(job, by_name(card)).expected <= high * 1.2


def test_an_l4_is_slower_than_an_a10g_whatever_its_sheet_says() -> None:
    l4, a10g = by_name("L4"), by_name("A10G")
    assert l4.bf16_tflops > a10g.bf16_tflops
    assert tokens_per_second(workload(), l4).expected < tokens_per_second(workload(), a10g).expected


def test_the_demo_on_the_cpu_takes_seconds_to_minutes_and_not_hours() -> None:
    job = workload(shape=TINY, examples=800, tokens_per_epoch=80_000, longest_tokens=160, epochs=4.0, download_gib=0.0)
    forecast = estimate(cpu(), job, terms())
    assert 20 < forecast.seconds.low < forecast.seconds.high < 600
    assert forecast.usd.high_usd == 0


def test_the_speed_that_is_told_counts_no_padding_as_the_trainer_counts_none() -> None:
    """Else a run whose rows are filled up to twice their length would look half as fast as promised."""
    job = workload(padded_tokens_per_epoch=620_000)
    told, all_tokens = estimate(offer(), job, terms()).tokens_per_second, tokens_per_second(job, by_name("A10G"))
    assert told.expected == pytest.approx(all_tokens.expected / 2)
    assert told.low == pytest.approx(all_tokens.low / 2)


def test_rows_are_padded_to_the_longest_of_their_batch_and_never_beyond_the_longest_row() -> None:
    assert padded_tokens(workload(micro_batch=1)) == 310_000
    assert padded_tokens(workload(micro_batch=4)) == pytest.approx(310_000 * 1.45)
    assert padded_tokens(workload(micro_batch=4, longest_tokens=800)) == 800 * 412


def test_a_run_without_evaluation_has_no_time_for_it() -> None:
    none = workload(evaluated_examples=0)
    assert generation_seconds(none, by_name("A10G")).high == 0
    phases = {phase.name: phase for phase in estimate(offer(), none, terms()).phases}
    assert phases["evaluate"].seconds.high == 0


def test_every_phase_is_there_in_order_and_the_middle_of_the_sum_lies_a_little_above_the_sum_of_middles() -> None:
    forecast = estimate(offer(), workload(), terms())
    assert tuple(phase.name for phase in forecast.phases) == PHASES
    by_phase = sum(phase.usd.expected_usd for phase in forecast.phases)
    assert by_phase <= forecast.usd.expected_usd <= by_phase * Decimal("1.1")


def test_tax_fees_and_the_providers_minimum_are_in_the_price() -> None:
    plain = estimate(offer(), workload(), terms()).usd.expected_usd
    taxed = estimate(offer(), workload(), terms(tax_fraction=Decimal("0.2"))).usd.expected_usd
    assert taxed / plain == pytest.approx(Decimal("1.2"), rel=Decimal("0.001"))
    assert estimate(offer(), workload(), terms(minimum_disk_gib={"aws": 2000})).usd.expected_usd > plain
    by_day = Billing(granularity_seconds=86_400)
    assert estimate(offer(billing=by_day), workload(), terms()).usd.expected_usd > 24


def test_results_and_every_checkpoint_are_paid_for_on_their_way_home() -> None:
    """Moments of 8 bits are a quarter of what 32 bits take."""
    few, many = workload(), workload(save_steps=5)
    saved_gib = 78 // 5 * (few.result_gib + 2.04 * few.lora_parameters / 1024**3)
    paid_usd = estimate(offer(), many, terms()).egress_usd
    assert paid_usd == pytest.approx(Decimal("0.09") * Decimal(str(few.result_gib + saved_gib)), abs=Decimal("0.0002"))
    assert paid_usd > estimate(offer(), few, terms()).egress_usd
    wide = dataclasses.replace(many, recipe=Recipe(optimizer=Optimizer.ADAMW))
    more_gib = 78 // 5 * 5.96 * few.lora_parameters / 1024**3
    more_usd = estimate(offer(), wide, terms()).egress_usd - paid_usd
    assert more_usd == pytest.approx(Decimal("0.09") * Decimal(str(more_gib)), abs=Decimal("0.0002"))
    assert estimate(offer(fees=Fees()), many, terms()).egress_usd == 0
    (rich,), (poor,) = (make_plan([offer()], job, terms()).choices for job in (few, many))
    assert poor.finish_usd > rich.finish_usd


def test_a_spot_machine_is_expected_to_lose_some_work_and_an_on_demand_one_is_not() -> None:
    unknown = estimate(spot(), workload(), terms())
    assert unknown.rework_seconds > 0
    assert unknown.seconds.expected > estimate(offer(), workload(), terms()).seconds.expected
    assert estimate(offer(), workload(), terms()).rework_seconds == 0
    assert estimate(spot(reclaims_per_hour=2.0), workload(), terms()).rework_seconds > unknown.rework_seconds


def test_lora_reads_no_4_bit_weights_but_holds_more() -> None:
    lora = estimate(offer(), workload(method=Method.LORA), terms())
    qlora = estimate(offer(), workload(), terms())
    assert lora.tokens_per_second.expected > qlora.tokens_per_second.expected
    assert lora.fit.needed_gib > qlora.fit.needed_gib


def seconds_of(job: Workload, name: str) -> float:
    return next(phase.seconds.expected for phase in estimate(offer(), job, terms()).phases if phase.name == name)


def test_what_is_asked_decides_how_long_the_evaluation_takes() -> None:
    def arm(name: str, **changes: float) -> Asked:
        return dataclasses.replace(Asked(arm=name, rows=100, row_tokens=800.0, new_tokens=128), **changes)  # type: ignore[arg-type]  # a test's own words for the fields

    two = workload(asked=(arm("base"), arm("tuned")))
    three = workload(asked=(arm("base"), arm("prompted", row_tokens=3000.0), arm("tuned")))
    assert two.loads == three.loads == 2
    assert seconds_of(three, "evaluate") > seconds_of(two, "evaluate")
    longer = workload(asked=(arm("base", rows=500.0), arm("tuned", new_tokens=512.0)))
    assert seconds_of(longer, "evaluate") > 2 * seconds_of(two, "evaluate")
    shares = arm_shares(three, by_name("A10G"))
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["prompted"] > shares["base"] == shares["tuned"]
    assert arm_shares(workload(evaluated_examples=0), None) == {}


def test_dora_looks_at_validation_rows_and_a_merged_model_take_their_time() -> None:
    plain = workload()
    assert seconds_of(workload(recipe=Recipe(dora=True)), "train") > 1.5 * seconds_of(plain, "train")
    assert workload(recipe=Recipe(dora=True)).quantisation is plain.quantisation
    looking = workload(validation_tokens=100_000, validation_steps=10)
    assert looking.looks == 8
    assert seconds_of(looking, "train") > seconds_of(plain, "train")
    merged = workload(merged_gib=13.5)
    assert seconds_of(merged, "pull") > seconds_of(plain, "pull") + 3600
    assert disk_gib(merged) >= disk_gib(plain) + 10
    assert estimate(offer(), merged, terms()).egress_usd > estimate(offer(), plain, terms()).egress_usd + 1


def test_packed_rows_are_fewer_steps_of_the_same_tokens() -> None:
    packed = workload(
        packed_examples=160, padded_tokens_per_epoch=312_000, longest_tokens=2048, recipe=Recipe(packed=True)
    )
    assert packed.steps < workload().steps
    assert seconds_of(packed, "train") < seconds_of(workload(), "train")


def cost(job: Workload, one: Offer) -> Decimal:
    return estimate(one, job, terms()).usd.expected_usd


@given(
    tokens=st.integers(412, 2_000_000),
    more=st.integers(0, 2_000_000),
    batch=st.integers(1, 32),
    card=st.sampled_from(all_gpus()),
    is_spot=st.booleans(),
)
def test_more_tokens_never_cost_less(tokens: int, more: int, batch: int, card: object, is_spot: bool) -> None:
    one = (spot if is_spot else offer)(gpu=card)
    small = workload(tokens_per_epoch=tokens, micro_batch=batch, longest_tokens=8192, max_length=8192)
    large = dataclasses.replace(small, tokens_per_epoch=tokens + more)
    assert cost(small, one) <= cost(large, one)
    assert estimate(one, small, terms()).usd.high_usd <= estimate(one, large, terms()).usd.high_usd


@given(epochs=st.floats(0.1, 20), more=st.floats(0, 20), rows=st.integers(0, 5000), more_rows=st.integers(0, 5000))
def test_more_epochs_and_more_evaluation_never_cost_less(epochs: float, more: float, rows: int, more_rows: int) -> None:
    small = workload(epochs=epochs, evaluated_examples=rows)
    large = workload(epochs=epochs + more, evaluated_examples=rows + more_rows)
    assert cost(small, offer()) <= cost(large, offer())


def test_sums_of_independent_forecasts_are_narrower_than_the_sum_of_their_ends() -> None:
    one = around(100.0, 2.0)
    assert total((one, one)).high < 400
    assert total((one, one)).expected == 200
    assert one.plus(one).high == 400


def test_an_interval_that_is_out_of_order_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="low <= expected"):
        Interval(low=2, expected=1, high=3)
