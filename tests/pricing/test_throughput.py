"""How fast a card trains, and what makes it slower."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.gpus import all_gpus, by_name
from pricing.throughput import generation_seconds, micro_step_seconds, padded_tokens, tokens_per_second
from pricing.workload import Attention, Method, Quantisation, Recipe, Workload
from tests.pricing.samples import workload

CARDS = st.sampled_from([gpu for gpu in all_gpus() if gpu.bf16])


def job(**recipe: Any) -> Workload:
    return workload(recipe=Recipe(**recipe))


def seconds(one: Workload, card: str = "A10G", tokens: float = 4096.0) -> float:
    return micro_step_seconds(one, by_name(card), tokens)


def test_a_card_with_the_higher_peak_on_its_sheet_and_half_the_bandwidth_is_the_slower_one() -> None:
    assert by_name("L4").bf16_tflops > by_name("A10G").bf16_tflops
    assert tokens_per_second(job(), by_name("L4")).expected < tokens_per_second(job(), by_name("A10G")).expected


def test_four_bits_cost_time_and_checkpointing_does_and_eager_attention_does() -> None:
    assert seconds(job()) > seconds(workload(method=Method.LORA))
    assert seconds(job()) > seconds(job(checkpointing=False))
    assert seconds(job(attention=Attention.EAGER)) > seconds(job())
    assert seconds(job(quantisation=Quantisation.INT4)) > seconds(job())


def test_short_sequences_are_bound_by_the_host_and_a_faster_card_does_not_help_them() -> None:
    assert seconds(job(), "H100-SXM", 64) == pytest.approx(seconds(job(), "A100-80", 64), rel=0.35)
    assert seconds(job(), "H100-SXM", 16_384) < 0.6 * seconds(job(), "A100-80", 16_384)


def test_a_mixture_is_as_slow_as_the_experts_that_work() -> None:
    dense = workload().shape
    mixture = dataclasses.replace(dense, parameters=dense.parameters * 6, active_parameters=dense.parameters * 2)
    whole = dataclasses.replace(mixture, active_parameters=None)
    lora = workload(method=Method.LORA)
    assert seconds(dataclasses.replace(lora, shape=mixture)) < seconds(dataclasses.replace(lora, shape=whole)) / 2


@given(card=CARDS, more=st.floats(1.0, 8.0), tokens=st.floats(16, 65_536))
def test_more_peak_or_bandwidth_is_never_slower(card: Any, more: float, tokens: float) -> None:
    before = micro_step_seconds(job(), card, tokens)
    wider = dataclasses.replace(card, bandwidth_gb_s=card.bandwidth_gb_s * more)
    faster = dataclasses.replace(card, bf16_tflops=card.bf16_tflops * more)
    assert micro_step_seconds(job(), wider, tokens) <= before * (1 + 1e-12)
    assert micro_step_seconds(job(), faster, tokens) <= before * (1 + 1e-12)


@given(card=CARDS, tokens=st.floats(16, 65_536), more=st.floats(1.0, 4.0))
def test_more_tokens_in_a_step_are_never_faster_and_never_dearer_each(card: Any, tokens: float, more: float) -> None:
    before, after = micro_step_seconds(job(), card, tokens), micro_step_seconds(job(), card, tokens * more)
    assert before * (1 - 1e-12) <= after <= before * more * (1 + 1e-12)


def test_an_evaluation_of_many_rows_takes_less_each_and_long_prompts_take_more() -> None:
    card = by_name("A10G")
    few, many = (generation_seconds(workload(evaluated_examples=rows), card).expected for rows in (10, 500))
    assert few < many < 50 * few
    longer = workload(tokens_per_epoch=3_100_000, longest_tokens=15_000, max_length=16_384)
    assert generation_seconds(longer, card).expected > generation_seconds(workload(), card).expected


def test_counted_padding_is_believed_and_assumed_padding_never_exceeds_the_longest_row() -> None:
    assert padded_tokens(workload(padded_tokens_per_epoch=400_000)) == 400_000
    assert padded_tokens(workload(micro_batch=64)) <= workload().longest_tokens * workload().examples
