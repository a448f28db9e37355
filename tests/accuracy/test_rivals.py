"""Rivals say what they would say to a person: rules by a sum on paper, programs by their own code or formula."""

import csv
from dataclasses import replace

import pytest

from tests.accuracy import ask_accelerate, rivals
from tests.accuracy.points import GIB, Point, memory_points, points, time_points
from tests.accuracy.rivals import ACCELERATE, FTUNE, FTUNE_TOLD, SIX_N_D, TABLE, WEIGHTS


def point(id_: str) -> Point:
    return next(one for one in points() if one.id == id_)


LLAMA_2_7B = 2 * 32_000 * 4_096 + 32 * (4 * 4_096**2 + 3 * 4_096 * 11_008)
"""Embedding and head, and 32 layers of four attention and three MLP matrices: 6.738 billion."""


def test_6nd_takes_1_3_seconds_for_4096_tokens_of_llama_2_7b_at_40_percent_of_an_a100() -> None:
    assert rivals.seconds(point("p114"))[SIX_N_D] == pytest.approx(4096 * 6 * LLAMA_2_7B / (0.4 * 312e12))
    assert rivals.seconds(point("p114"))[SIX_N_D] == pytest.approx(1.327, abs=0.001)


def test_weights_in_16_bits_and_a_fifth_are_15_1_gib_for_llama_2_7b_and_a_quarter_of_it_in_4_bits() -> None:
    assert rivals.memory(point("p114"))[WEIGHTS] == pytest.approx(15.06, abs=0.005)
    assert rivals.memory(point("p116"))[WEIGHTS] == pytest.approx(15.06 / 4, abs=0.005)


@pytest.mark.parametrize(
    ("id_", "gb"),
    [
        ("p114", 16),  # Llama-2-7B, LoRA: the column of 7B
        ("p116", 6),  # the same with QLoRA
        ("p244", 12),  # Qwen-14B, QLoRA
        ("p246", 48),  # Qwen-72B, QLoRA: near enough to 70B
        ("p075", 32),  # Llama-2-13B, LoRA: read from 14B
    ],
)
def test_a_model_near_a_column_of_llama_factorys_table_takes_its_figure(id_: str, gb: float) -> None:
    assert rivals.memory(point(id_))[TABLE] == gb


def test_a_model_between_the_columns_takes_the_formula_of_llama_factorys_table() -> None:
    assert rivals.memory(point("p090"))[TABLE] == pytest.approx(2 * 8.030, abs=0.001)  # Llama-3.1-8B, LoRA: 2x
    assert rivals.memory(point("p091"))[TABLE] == pytest.approx(8.030 / 2, abs=0.001)  # with QLoRA: x/2


def test_accelerate_is_read_as_total_size_and_the_20_percent_that_its_page_adds() -> None:
    without_head = LLAMA_2_7B - 32_000 * 4_096  # for a model without code of its own it builds no head
    assert rivals.memory(point("p114"))[ACCELERATE] == pytest.approx(without_head * 2 / GIB * 1.2, rel=1e-3)


@pytest.mark.parametrize("id_", ["p114", "p174", "p190", "p079", "p105", "p019"])
def test_the_file_holds_what_accelerate_itself_says(id_: str) -> None:
    assert rivals.accelerate_gib(point(id_)) == pytest.approx(ask_accelerate.gib(point(id_)), abs=1e-4)


@pytest.mark.parametrize("id_", ["p114", "p174", "p190", "p079", "p105", "p019", "p085", "p195"])
def test_the_model_that_accelerate_was_given_is_the_model_that_was_measured(id_: str) -> None:
    shape = point(id_).workload.shape
    sizes = ask_accelerate.sizes(shape)
    head = 0 if sizes.with_head or shape.tied_embeddings else shape.vocabulary * shape.hidden
    assert sizes.total_bytes["float32"] / 4 + head == pytest.approx(shape.parameters, rel=0.01)


def ftune_gib(parameters: int) -> float:
    """Of rank 8 on q and v of Llama-2-7B, four rows of 1,024 tokens: checkpointing 4, flash attention a half."""
    adapters, activations = 32 * 8 * 2 * (4_096 + 4_096), 4 * 1_024 * 4_096 * 32 * 2 * 4 / 2
    return 1.2 * (2 * parameters + adapters * (2 + 2 + 8) + activations) / GIB


def ftune_seconds(parameters: int) -> float:
    return 6 * 0.75 * parameters * 4_096 / (0.35 * 312e12)


def test_the_file_holds_what_ftunes_formulas_give_for_llama_2_7b_when_told_its_size() -> None:
    assert rivals.memory(point("p114"))[FTUNE_TOLD] == pytest.approx(ftune_gib(LLAMA_2_7B), rel=1e-4)
    assert rivals.seconds(point("p114"))[FTUNE_TOLD] == pytest.approx(ftune_seconds(LLAMA_2_7B), rel=1e-3)


def test_by_itself_ftune_leaves_the_head_of_llama_2_7b_out() -> None:
    counted = LLAMA_2_7B - 32_000 * 4_096 + 32 * 4 * 4_096 + 2 * 4_096  # norms twice as wide as they are
    assert rivals.memory(point("p114"))[FTUNE] == pytest.approx(ftune_gib(counted), rel=1e-4)
    assert rivals.seconds(point("p114"))[FTUNE] == pytest.approx(ftune_seconds(counted), rel=1e-3)


def test_ftune_takes_the_a10g_for_its_bigger_sister_of_125_teraflops() -> None:
    falcon_qlora, tokens, parameters = point("p079"), 120, 6.92e9
    seconds = 6 * 0.75 * parameters * tokens / (0.30 * 125e12)
    assert rivals.seconds(falcon_qlora)[FTUNE] == pytest.approx(seconds, rel=5e-3)


def test_without_a_card_that_it_knows_a_rival_says_nothing_of_time() -> None:
    on_an_unnamed_card, on_an_a6000 = point("p190"), point("p187")
    assert rivals.seconds(on_an_unnamed_card) == {SIX_N_D: None, FTUNE: None, FTUNE_TOLD: None}
    assert rivals.seconds(on_an_a6000)[FTUNE] is None
    assert rivals.seconds(on_an_a6000)[SIX_N_D] is not None


def test_every_published_run_that_counts_has_an_answer_of_every_rival() -> None:
    assert all(None not in rivals.memory(one).values() for one in memory_points())
    assert all(None not in rivals.seconds(one).values() for one in time_points())


def test_a_run_that_no_program_was_asked_about_is_an_error_that_names_the_script() -> None:
    with pytest.raises(LookupError, match=r"p999: see tests/accuracy/ask_accelerate\.py"):
        rivals.memory(replace(point("p114"), id="p999"))


def test_the_file_says_once_which_version_answered_each_run() -> None:
    with rivals.ANSWERS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    ids = [one.id for one in points()]
    for rival, version in ((ACCELERATE, "1.15.0"), (FTUNE, "0.4.1"), (FTUNE_TOLD, "0.4.1")):
        assert sorted(ids) == [row["id"] for row in rows if row["rival"] == rival]
        assert {row["version"] for row in rows if row["rival"] == rival} == {version}
