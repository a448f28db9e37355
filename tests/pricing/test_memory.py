"""What fits where."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.gpus import all_gpus, by_name
from pricing.memory import (
    PYTHON_DISK_GIB,
    SYSTEM_DISK_GIB,
    Fit,
    disk_gib,
    evaluation_rows,
    fit,
    free_disk_gib,
    largest_micro_batch,
    longest_sequence,
    needed,
    ram_gib,
    remedies,
    sure_gib,
)
from pricing.workload import Attention, Method, Optimizer, Quantisation, Recipe
from tests.pricing.samples import MISTRAL, workload

A10G = (by_name("A10G"),)
LARGE = dataclasses.replace(MISTRAL, parameters=13_000_000_000, hidden=5120, layers=40, heads=40, kv_heads=40)


def test_a_7b_qlora_is_near_the_published_six_and_a_half_gigabytes() -> None:
    total = sum(gib for _, gib in needed(workload(longest_tokens=1024)))
    assert 5.5 < total < 7.5


def test_a_7b_qlora_fits_an_a10g_and_a_13b_lora_in_16_bits_does_not() -> None:
    a10g = by_name("A10G")
    assert fit(workload(), a10g).fits
    large = fit(workload(shape=LARGE, method=Method.LORA), a10g)
    assert not large.fits
    assert large.short_gib == pytest.approx(large.sure_gib - a10g.usable_gib)
    assert large.short_gib > 5


@pytest.mark.parametrize(
    ("needed_gib", "fits", "barely"), [(10.0, True, False), (12.0, False, True), (15.0, False, False)]
)
def test_a_fit_without_its_margin_is_barely_one(needed_gib: float, fits: bool, barely: bool) -> None:
    one = Fit(needed_gib=needed_gib, usable_gib=14.0, margin=1.4, parts=())
    assert (one.fits, one.barely) == (fits, barely)
    assert (one.short_gib == 0) == fits


def test_more_cards_do_not_help_because_one_is_used() -> None:
    assert fit(workload(), by_name("A10G"), 8) == fit(workload(), by_name("A10G"), 1)


def test_without_a_gpu_the_hosts_memory_counts() -> None:
    assert not fit(workload(), None, 0, ram_gib=8.0).fits
    assert fit(workload(), None, 0, ram_gib=32.0).fits


def test_a_7b_loads_on_a_machine_with_16_gib_and_a_34b_does_not() -> None:
    assert ram_gib(workload()) < 16 * 0.95
    assert ram_gib(workload(shape=dataclasses.replace(MISTRAL, parameters=34_000_000_000))) > 16 * 0.95


@given(
    batch=st.integers(1, 64), more=st.integers(0, 64), tokens=st.integers(16, 8192), rank=st.integers(0, 500_000_000)
)
def test_more_work_never_needs_less_memory(batch: int, more: int, tokens: int, rank: int) -> None:
    small = workload(micro_batch=batch, longest_tokens=tokens, lora_parameters=rank)
    large = workload(micro_batch=batch + more, longest_tokens=tokens + more, lora_parameters=rank + more)
    card = by_name("A100-80")
    assert fit(small, card).needed_gib <= fit(large, card).needed_gib


def test_disk_holds_the_model_and_is_whole_tens() -> None:
    assert disk_gib(workload(download_gib=140.0)) > 140 + 30
    assert disk_gib(workload()) % 10 == 0


def test_a_disk_is_rented_with_room_for_the_system_beside_what_must_be_free_on_it() -> None:
    for job in (workload(), workload(download_gib=130.0), workload(shipped_gib=20.0), workload(result_gib=9.0)):
        assert disk_gib(job) >= free_disk_gib(job) + SYSTEM_DISK_GIB
        assert disk_gib(job) < free_disk_gib(job) + SYSTEM_DISK_GIB + 10


@pytest.mark.parametrize(
    ("what", "more_gib"), [({"download_gib": 23.5}, 11.0), ({"shipped_gib": 1.001}, 3.0), ({"result_gib": 1.04}, 4.0)]
)
def test_what_must_be_free_grows_with_model_bundle_and_results(what: dict[str, float], more_gib: float) -> None:
    assert free_disk_gib(workload(**what)) - free_disk_gib(workload()) == pytest.approx(more_gib)
    assert free_disk_gib(workload(download_gib=0.0, shipped_gib=0.0, result_gib=0.0)) == PYTHON_DISK_GIB


def test_remedies_really_make_it_fit() -> None:
    job = workload(shape=LARGE, method=Method.LORA)
    offered = remedies(job, A10G)
    assert offered[0].setting == "train.method=qlora"
    assert fit(dataclasses.replace(job, method=Method.QLORA), A10G[0]).needed_gib == offered[0].needed_gib
    cards = [one.gpu for one in offered if one.gpu]
    assert cards
    assert all(fit(job, card).fits for card in cards)
    assert not set(cards) & set(A10G)


def test_remedies_for_long_rows_are_a_smaller_batch_and_where_there_is_none_shorter_rows() -> None:
    many = workload(longest_tokens=8192, max_length=8192, micro_batch=16)
    assert [one.setting for one in remedies(many, A10G) if one.setting] == ["train.per_device_train_batch_size=1"]
    long = workload(longest_tokens=40_000, max_length=40_000, micro_batch=1)
    assert [one.setting for one in remedies(long, A10G) if one.setting] == ["train.max_length=10000"]


def test_nothing_is_promised_where_nothing_helps() -> None:
    huge = dataclasses.replace(MISTRAL, parameters=700_000_000_000, hidden=16384, layers=126)
    assert remedies(workload(shape=huge), all_gpus()) == ()


def test_a_margin_below_one_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="margin"):
        Fit(needed_gib=1, usable_gib=1, margin=0.9, parts=())


def gib(**recipe: Any) -> float:
    return sum(part for _, part in needed(workload(recipe=Recipe(**recipe))))


def test_each_way_to_save_memory_saves_some() -> None:
    plain = gib()
    assert gib(quantisation=Quantisation.NF4) > plain
    assert gib(quantisation=Quantisation.INT8) > gib(quantisation=Quantisation.NF4)
    assert gib(optimizer=Optimizer.ADAMW) > plain
    assert gib(checkpointing=False) > 2 * plain
    assert gib(attention=Attention.EAGER) > plain
    assert gib(fused_loss=False) > plain + 2  # 6,000 tokens x 32,768 words x 14 bytes are 2.7 GiB
    assert gib(steady_memory=False) > plain
    assert gib(precise_embeddings=True) > plain + 0.5 - 0.01  # 268 million parameters twice as wide


def test_a_fused_loss_that_was_read_in_the_source_is_believed_and_one_that_is_only_named_by_half() -> None:
    sure, named = (
        sure_gib(workload(longest_tokens=2048, recipe=Recipe(fused_loss_is_sure=is_sure))) for is_sure in (True, False)
    )
    assert named > sure + 2  # 8,192 tokens x 32,768 words x 14 bytes are 3.5 GiB, of which half, with a margin
    unfused = sure_gib(workload(longest_tokens=2048, recipe=Recipe(fused_loss=False)))
    assert named < unfused


def test_a_card_too_small_to_answer_one_long_row_is_too_small_though_training_would_fit() -> None:
    wide = dataclasses.replace(LARGE, kv_heads=LARGE.heads)
    job = workload(shape=wide, longest_tokens=32_768, max_length=32_768, micro_batch=1)
    untested = dataclasses.replace(job, evaluated_examples=0)
    assert fit(job, by_name("A40"), margin=1.0).sure_gib > fit(untested, by_name("A40"), margin=1.0).sure_gib
    assert fit(untested, by_name("A40")).needed_gib == fit(job, by_name("A40")).needed_gib


def test_the_evaluation_answers_fewer_rows_at_once_where_their_keys_and_values_do_not_fit() -> None:
    assert evaluation_rows(workload(longest_tokens=256), A10G[0]) == 50
    assert 1 <= evaluation_rows(workload(longest_tokens=8192, max_length=8192), A10G[0]) < 25
    assert evaluation_rows(workload(shape=LARGE, method=Method.LORA), A10G[0]) == 1


def test_rows_of_one_length_leave_no_holes() -> None:
    even = workload(tokens_per_epoch=412 * 1500, recipe=Recipe(steady_memory=False))
    packed = workload(recipe=Recipe(steady_memory=False, packed=True))
    assert needed(even) == needed(workload(tokens_per_epoch=412 * 1500))
    assert needed(packed) == needed(workload(recipe=Recipe(packed=True)))


@given(rows=st.integers(1, 64), tokens=st.integers(16, 8192))
def test_to_be_sure_takes_more_than_is_expected_and_a_margin_of_ones_own_is_used_as_it_is(
    rows: int, tokens: int
) -> None:
    job = workload(micro_batch=rows, longest_tokens=tokens, max_length=tokens)
    assert sure_gib(job) >= fit(job, A10G[0]).needed_gib
    assert fit(job, A10G[0]).sure_gib == pytest.approx(sure_gib(job))
    assert fit(job, A10G[0], margin=1.05).margin == 1.05


def test_the_largest_batch_and_the_longest_sequence_fit_and_one_more_does_not() -> None:
    card = A10G[0]
    rows, tokens = largest_micro_batch(workload(), card), longest_sequence(workload(), card)
    assert rows > 1
    assert fit(workload(micro_batch=rows), card).fits
    assert not fit(workload(micro_batch=rows + 1), card).fits
    assert fit(workload(longest_tokens=tokens, max_length=tokens), card).fits
    assert not fit(workload(longest_tokens=tokens + 1, max_length=tokens + 1), card).fits


def test_the_longest_sequence_is_within_the_models_positions_and_nothing_fits_where_the_weights_do_not() -> None:
    short = workload(shape=dataclasses.replace(MISTRAL, positions=512))
    assert longest_sequence(short, by_name("H200")) == 512
    lora = workload(shape=LARGE, method=Method.LORA)
    assert (largest_micro_batch(lora, A10G[0]), longest_sequence(lora, A10G[0])) == (0, 0)
