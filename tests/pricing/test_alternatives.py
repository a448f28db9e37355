"""What the same budget would buy otherwise."""

from dataclasses import replace

import pytest

from jobs.shapes import from_config, table
from jobs.siblings import larger
from pricing.alternatives import MOST_EPOCHS, Alternative, Kind, alternatives
from pricing.gpus import by_name
from pricing.plan import Plan, make_plan, smallest_budget_usd
from pricing.workload import Workload
from tests.pricing.samples import offer, terms, workload

TARGETS = ["q_proj", "v_proj"]
OFFERS = [offer(), offer("6.88", gpu=by_name("H100-SXM"), instance_type="p5.4xlarge", ram_gib=256.0)]


def small() -> Workload:
    """The sample's job, on a model of 1.5 B parameters."""
    name = "Qwen/Qwen2.5-1.5B-Instruct"
    decoder = from_config(table()[name], name)
    return workload(
        shape=decoder.shape(name, "test"), lora_parameters=decoder.lora_parameters(16, tuple(TARGETS)), download_gib=2.9
    )


def told(budget: str | None, job: Workload | None = None, **limits: object) -> dict[Kind, Alternative]:
    job = job or small()
    found = alternatives(make_plan(OFFERS, job, terms(budget, **limits)), larger(job, TARGETS))
    return {one.kind: one for one in found}


def test_the_next_sizes_are_of_the_same_family_and_smallest_first() -> None:
    names = [one.shape.name for one in larger(small(), TARGETS)]
    assert names == [f"Qwen/Qwen2.5-{size}B-Instruct" for size in (3, 7, 14, 32, 72)]
    assert larger(workload(), TARGETS) == ()
    assert larger(replace(small(), shape=replace(small().shape, name="../my-own")), TARGETS) == ()


def test_a_larger_model_of_the_family_brings_its_own_adapter_download_and_results() -> None:
    three, *_ = larger(small(), TARGETS)
    assert three.lora_parameters > small().lora_parameters
    assert three.download_gib > small().download_gib
    assert three.result_gib > small().result_gib
    assert replace(three, shape=small().shape, lora_parameters=small().lora_parameters, download_gib=2.9,
                   result_gib=small().result_gib) == small()  # fmt: skip


def sure_usd(job: Workload) -> str:
    """The smallest budget that is sure to pay for a job."""
    return str(smallest_budget_usd(make_plan(OFFERS, job, terms("0.05", least_odds=0.95))))


def test_more_epochs_are_the_most_that_are_sure() -> None:
    found = told(sure_usd(workload(epochs=6.0)), workload())[Kind.EPOCHS]
    assert (found.text, found.flag) == ("6 epochs", "--set train.epochs=6")
    assert found.odds is not None
    assert found.odds >= 0.95
    assert told("500", workload())[Kind.EPOCHS].text == f"{MOST_EPOCHS} epochs"
    assert Kind.EPOCHS not in told("500", workload(epochs=12.0))


def test_a_larger_model_is_the_largest_that_is_sure_or_the_next_with_what_it_lacks() -> None:
    fourteen = next(one for one in larger(small(), TARGETS) if "14B" in one.shape.name)
    rich, poor = told(sure_usd(fourteen))[Kind.MODEL], told(sure_usd(small()))[Kind.MODEL]
    assert rich.text == "Qwen/Qwen2.5-14B-Instruct"
    assert rich.odds is not None
    assert rich.odds >= 0.95
    assert poor.text == "Qwen/Qwen2.5-3B-Instruct"
    assert poor.usd is None
    assert poor.why.startswith("to finish with 95% it needs a budget of $")


def test_what_fits_no_card_says_so() -> None:
    job = small()
    plan = make_plan(OFFERS[:1], job, terms("50"))
    huge = [one for one in larger(job, TARGETS) if "72B" in one.shape.name]
    (model,) = (one for one in alternatives(plan, huge) if one.kind is Kind.MODEL)
    assert "needs" in model.why
    assert model.offer is None


def test_longer_rows_are_priced_as_if_all_were_full_and_end_where_the_model_does() -> None:
    job = replace(small(), shape=replace(small().shape, positions=8192))
    length = told("50", job)[Kind.LENGTH]
    assert length.flag in {"--set train.max_length=4096", "--set train.max_length=8192"}
    assert length.text.endswith("tokens, all of them full")
    assert length.usd is not None
    short = replace(small(), shape=replace(small().shape, positions=2048))
    assert Kind.LENGTH not in told("50", short)


def test_without_a_budget_the_next_of_each_is_priced_and_epochs_have_no_limit_to_tell() -> None:
    found = told(None)
    assert set(found) == {Kind.MODEL, Kind.LENGTH}
    assert found[Kind.MODEL].text == "Qwen/Qwen2.5-3B-Instruct"
    assert found[Kind.MODEL].odds is None
    assert found[Kind.LENGTH].flag == "--set train.max_length=4096"


def test_where_not_even_the_job_itself_is_sure_no_more_epochs_are_offered() -> None:
    cents = smallest_budget_usd(make_plan(OFFERS, small(), terms("0.05")))
    assert Kind.EPOCHS not in told(str(cents))


def test_a_plan_without_any_offer_still_answers() -> None:
    empty: Plan = make_plan([], small(), terms("5"))
    assert {one.why for one in alternatives(empty, larger(small(), TARGETS))} == {"nothing is on offer"}


def test_an_alternative_has_an_offer_or_a_reason() -> None:
    with pytest.raises(ValueError, match="or a reason"):
        Alternative(kind=Kind.EPOCHS, text="4 epochs", flag="--set train.epochs=4")
