"""What `launch estimate` shows below the plan, at 80 and at 120 columns, and what it may never say."""

import json
from dataclasses import replace

import pytest
from syrupy.assertion import SnapshotAssertion

from launcher import estimate_page, estimate_wire, tables, wire
from launcher.estimate_page import share
from launcher.events import PlanMade
from pricing import gpus
from pricing.memory import Fit
from pricing.own_hardware import Hardware
from tests.launcher import estimated, values
from tests.launcher.test_wire import is_sound
from tests.launcher.typed import words
from tests.launcher.values import NOW
from tests.pricing.samples import cpu

WIDTHS = pytest.mark.parametrize("width", [80, 120])


def page(width: int = 80, *, verbose: bool = False, **changes: object) -> str:
    return estimate_page.page(estimated.plan(), estimated.beside(**changes), width, verbose=verbose)


@WIDTHS
def test_the_estimate_reads_as_it_should(width: int, snapshot: SnapshotAssertion) -> None:
    assert page(width) == snapshot


@WIDTHS
def test_the_verbose_estimate_has_the_phases_of_every_kind_of_machine_and_all_list_prices(
    width: int, snapshot: SnapshotAssertion
) -> None:
    text = page(width, verbose=True)
    assert text == snapshot
    assert "us-east-2b" not in text  # another place of the first kind


@WIDTHS
def test_the_plan_says_in_one_line_what_a_managed_service_asks(width: int, snapshot: SnapshotAssertion) -> None:
    text = tables.plan_table(estimated.plan(), values.TITLE, NOW, width)
    assert text == snapshot
    assert "   elsewhere: about 0.45 at managed fine-tuning services (list price, 2026-05)" in text.splitlines()


def test_no_line_is_wider_than_the_screen() -> None:
    assert max(len(line) for line in page(80, verbose=True).splitlines()) <= 80


def test_a_spot_machine_shows_what_reclaims_add_and_one_that_is_not_reclaimed_does_not() -> None:
    first, *_, last = estimated.plan().choices
    assert "reclaims" in estimate_page.phases_table(first.estimate, 80)
    assert "reclaims" not in estimate_page.phases_table(last.estimate, 80)


def test_phases_that_own_runs_corrected_show_by_how_much() -> None:
    plain = estimated.plan().choices[0]
    corrected = estimated.choice(plain.offer, factors=(("boot", 0.84), ("train", 1.12)))
    (train,) = (line for line in estimate_page.phases_table(corrected.estimate, 80).splitlines() if "train" in line)
    assert train.endswith("x1.12")
    assert "own runs" not in estimate_page.phases_table(plain.estimate, 80)
    made = PlanMade(run="", at=NOW, plan=replace(estimated.plan(), choices=(corrected,)), title="t")
    (told,) = json.loads(wire.dumps(made))["choices"]
    assert told["corrected"] == [{"phase": "boot", "factor": 0.84}, {"phase": "train", "factor": 1.12}]


@pytest.mark.parametrize(
    ("odds", "text"), [(0.9999, "over 99%"), (0.996, "over 99%"), (0.97, "97%"), (0.004, "under 1%"), (0.5, "50%")]
)
def test_odds_are_never_told_as_a_certainty(odds: float, text: str) -> None:
    assert share(odds) == text


def test_without_a_budget_there_are_no_odds() -> None:
    text = estimate_page.page(estimated.plan(None, None), estimated.beside(), 80)
    assert "odds" not in text


def test_a_deadline_is_a_part_of_the_odds() -> None:
    plan = estimated.plan()
    hurried = replace(plan, terms=replace(plan.terms, deadline_seconds=7200.0))
    text = words(estimate_page.page(hurried, estimated.beside(), 80))
    assert "97% to finish within 5.00 and before the deadline in 2:00:00" in text


def test_parts_of_the_memory_that_round_to_nothing_are_not_shown() -> None:
    assert "dequantised" not in page()
    assert "embeddings 0.50" in page()


@pytest.mark.parametrize(
    ("needed", "margin", "verdict"),
    [(10.0, 1.3, "10.0 of 22.0 GiB: fits"), (20.0, 1.3, "20.0 of 22.0 GiB: barely fits"), (23.0, 1.0, "does not fit")],
)
def test_the_verdict_is_fits_barely_or_not(needed: float, margin: float, verdict: str) -> None:
    fit = Fit(needed_gib=needed, usable_gib=22.0, margin=margin, parts=(("all", needed),))
    plan = estimated.plan()
    changed = estimated.choice(plan.choices[0].offer, fit=fit)
    assert verdict in words(estimate_page.page(replace(plan, choices=(changed,)), estimated.beside(), 80))


def test_on_the_cpu_there_is_no_card_to_fill() -> None:
    plan = replace(estimated.plan(None, None), choices=(estimated.choice(cpu(), usd_per_hour="0", odds=1.0),))
    text = estimate_page.page(plan, estimated.beside(room=None, own=None), 80)
    assert "surely fit too" not in text
    assert "host memory" not in text
    assert "odds" not in text  # nothing limits it


def test_what_the_budget_would_buy_otherwise_has_a_price_odds_and_a_flag_or_a_reason() -> None:
    text = words(page())
    assert "14 epochs: 1.71 (1.20-2.60), 96% (--set train.epochs=14)" in text
    assert "mistralai/Mistral-Nemo-Instruct-2407: needs 23.1 GiB, the A10G has 22.0" in text
    assert "otherwise" not in page(otherwise=())
    without_odds = (replace(estimated.alternatives()[0], odds=None),)
    assert "14 epochs: 1.71 (1.20-2.60) (--set" in words(page(otherwise=without_odds))


# A card of one's own


def test_a_card_says_time_electricity_and_after_how_many_runs_it_is_paid_for() -> None:
    text = words(page())
    assert "RTX4090 of your own: 24:00 (15:00-38:20) a run" in text
    assert "0.22 kWh, 0.0700 (0.0440-0.11) for electricity" in text
    assert "at 1800.00 it pays for itself after about 4,300 such runs (2,600 to 6,900), against renting at 0.49" in text


def test_a_card_that_never_pays_for_itself_is_told_so() -> None:
    dear = estimated.own_run(electricity_usd=estimated.dollars("0.40", "0.60", "0.90"))
    text = words(page(own=estimated.own(dear)))
    assert "at 1800.00 it pays for itself never (5,500 to never)" in text


def test_a_card_in_this_computer_without_prices_says_what_would_price_it() -> None:
    bare = estimated.own_run(hardware=Hardware(gpu=gpus.by_name("RTX4090")), electricity_usd=None)
    text = words(page(own=estimated.own(bare, is_here=True)))
    assert "RTX4090 in this computer" in text
    assert "0.22 kWh; `electricity_usd_per_kwh` in config.yaml prices them" in text
    assert "pays for itself" not in text


def test_a_card_whose_draw_is_unknown_has_no_electricity_made_up() -> None:
    odd = estimated.own_run(kwh=None, electricity_usd=None)
    assert "what it draws is not known (`hardware: {watts: ...}` in config.yaml)" in words(page(own=estimated.own(odd)))


def test_a_card_on_which_the_job_does_not_fit_has_neither_time_nor_price() -> None:
    small = estimated.own_run(fit=Fit(needed_gib=30.0, usable_gib=23.28, margin=1.3, parts=()))
    text = words(page(own=estimated.own(small)))
    assert "RTX4090 of your own: does not fit 39.0 GiB to be sure, it has 23.3" in text
    assert "a run" not in text


# For programs


def test_the_document_of_an_estimate_is_sound_and_has_all_that_the_page_tells() -> None:
    made = PlanMade(run="", at=NOW, plan=estimated.plan(), title="t")
    document = json.loads(wire.text(estimate_wire.estimated(made, estimated.beside())))
    is_sound(document)
    told = document["estimate"]
    assert told["room"] == {"micro_batch": 28, "sequence_tokens": 2881}
    assert told["own_hardware"]["pays_after_runs"] == {"low": 2639, "expected": 4252, "high": 6924}
    assert [one["flag"] for one in told["otherwise"] if one["offer"]] == ["--set train.epochs=14"]
    assert [one["list_usd"] for one in told["elsewhere"]] == ["0.48", "1.00"]
    (first, *_) = document["choices"]
    assert (first["odds"], first["finish_usd"], first["egress_usd"]) == (0.97, "0.52", "0.0036")
    assert first["memory"]["verdict"] == "fits"
    assert {one["name"] for one in first["memory"]["parts"]} >= {"weights", "activations", "logits"}


def test_a_document_without_a_card_or_prices_is_sound_too() -> None:
    made = PlanMade(run="", at=NOW, plan=estimated.plan(None, None), title="t")
    bare = estimated.own_run(hardware=Hardware(gpu=gpus.by_name("RTX4090")), kwh=None, electricity_usd=None)
    is_sound(estimate_wire.estimated(made, estimated.beside(own=estimated.own(bare), quotes=(), room=None)))
    is_sound(estimate_wire.estimated(made, estimated.beside(own=None)))
