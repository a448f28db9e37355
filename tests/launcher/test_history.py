"""Forecast beside outcome: what `launch history` tells, and how the next plan is corrected by it."""

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from launcher import corrected, history, history_page
from launcher.attempt_records import whole_seconds
from launcher.history import Compared, History, Learned, Score
from launcher.ledger import Ledger
from launcher.measured import Measured
from launcher.price import current_plan, price
from launcher.request import Request
from launcher.run import Run
from pricing.calibration import Corrections
from pricing.interval import Dollars, Interval, around
from pricing.plan import Choice, Plan
from tests.fake_machine import fake_offer
from tests.fake_world import Stage, Work
from tests.launcher.moments import after, when
from tests.launcher.test_wire import is_sound
from tests.launcher.typed import Capture, Launch, document, typing, words
from tests.launcher.values import NOW
from tests.past_runs import memory_folder, past_runs, ran

JOB = Path(__file__).parents[2] / "examples" / "support-json"


@pytest.fixture(scope="module")
def past() -> Iterator[Stage]:
    """Ten runs that are over."""
    with memory_folder() as folder:
        yield past_runs(folder)


@pytest.fixture
def launch(stage: Stage) -> Launch:
    """`launch` as typed."""
    return typing(stage)


def planned(stage: Stage, run_id: str = "next-plan-0001") -> tuple[Run, Plan]:
    """What would be agreed to now."""
    stage.next_run = run_id
    world = stage.laptop()
    run = stage.open_run(world)
    return run, current_plan(run, world)


def training(choice: Choice) -> Interval:
    return next(one.seconds for one in choice.estimate.phases if one.name == "train")


# The whole story


def test_after_three_runs_that_took_longer_the_fourth_plan_is_corrected_and_its_interval_holds_the_actual(
    stage: Stage,
) -> None:
    bare = training(planned(stage)[1].choices[0])
    for number in range(3):
        ran(stage, f"brave-otter-000{number}", 1.3)
    _, plan = planned(stage, "next-plan-0002")
    first = plan.choices[0]
    now = training(first)
    assert bare.expected * 1.15 < now.expected < bare.expected * 1.3
    assert now.low < bare.expected * 1.3 < now.high
    assert now.high / now.low < bare.high / bare.low
    assert dict(first.estimate.times.factors)["train"] == pytest.approx(now.expected / bare.expected)
    assert corrected.line(plan).startswith("corrected by 3 of your own runs: ")
    assert f"training x {now.expected / bare.expected:.2f}" in corrected.line(plan)
    receipt = ran(stage, "brave-otter-0004", 1.3)
    assert receipt.planned_usd is not None
    assert receipt.planned_usd.low_usd <= receipt.spent_usd <= receipt.planned_usd.high_usd
    found = history.history(stage.laptop())
    assert [one.run for one in found.runs] == [f"brave-otter-000{number}" for number in (4, 2, 1, 0)]
    assert found.seconds is not None
    assert found.seconds.runs == 4
    assert "training on A10G x 1." in history_page.text(found)


def test_a_corrected_plan_teaches_the_bare_estimate_and_not_itself(stage: Stage) -> None:
    """Else a second correction would be put on top of the first, and the factor would wander."""
    for number in range(12):
        ran(stage, f"brave-otter-{number:04x}", 1.3)
    factor = dict(planned(stage)[1].choices[0].estimate.times.factors)["train"]
    assert factor == pytest.approx(1.3, abs=0.04)


def test_the_plan_of_a_request_is_corrected_and_the_table_says_so(
    stage: Stage, launch: Launch, capsys: Capture
) -> None:
    for number in range(3):
        ran(stage, f"brave-otter-000{number}", 1.5)
    plan = price(Request(budget_usd=Decimal(5), job=JOB), stage.laptop()).plan
    assert plan.terms.corrections.runs == 3
    assert "train" in dict(plan.choices[0].estimate.times.factors)
    assert launch("estimate", "--job", str(JOB), "--budget", "5") == 0
    assert f" {corrected.line(plan)} " in words(capsys.readouterr().out)
    assert launch("estimate", "--job", str(JOB), "--budget", "5", "--json") == 0
    assert document(capsys)["choices"][0]["corrections"]["train"] > 1.1


def test_without_runs_nothing_is_corrected_and_nothing_is_said(stage: Stage) -> None:
    plan = planned(stage)[1]
    assert plan.terms.corrections == Corrections()
    assert plan.choices[0].estimate.times.factors == ()
    assert corrected.line(plan) == ""


def test_runs_that_went_as_estimated_are_said_to_confirm_it(stage: Stage) -> None:
    plan = planned(stage)[1]
    choice = plan.choices[0]
    times = replace(choice.estimate.times, factors=(("train", 1.001),))
    seen = history.corrections(stage.laptop())
    assert seen == Corrections()
    ran(stage, "brave-otter-0002", 1.0)
    terms = replace(plan.terms, corrections=history.corrections(stage.laptop()))
    sure = replace(plan, terms=terms, choices=(replace(choice, estimate=replace(choice.estimate, times=times)),))
    assert corrected.line(sure) == "confirmed by 1 of your own runs"


# What is written down


def test_each_machine_is_written_down_with_all_that_calibration_needs(stage: Stage) -> None:
    ran(stage, "brave-otter-0001", 1.2, peak=0.8)
    (machine,) = stage.laptop().ledger.records.all()
    assert (machine.run, machine.attempt, machine.had_machine, machine.finished) == ("brave-otter-0001", 1, True, True)
    assert (machine.provider, machine.instance_type) == ("fake", "f1.small")
    assert (machine.market, machine.gpu) == ("spot", "A10G")
    assert (machine.model, machine.parameters, machine.method) == ("mistral-7b", 7_248_023_552, "qlora")
    assert (machine.max_length, machine.micro_batch) == (512, 4)
    assert machine.seconds.low < machine.seconds.expected < machine.seconds.high
    assert machine.usd.low_usd < machine.usd.expected_usd < machine.usd.high_usd
    assert Decimal(machine.billed_usd) == stage.laptop().ledger.find(None).spent_usd
    assert machine.tokens_per_second == pytest.approx(machine.planned_tokens_per_second / 1.2)
    assert machine.vram_gib == pytest.approx(machine.planned_vram_gib * 0.8)
    assert (machine.first_step, machine.last_step, machine.steps) == (1, 20, 20)
    assert [one.name for one in machine.phases] == [
        "boot", "ship", "install", "model", "train", "evaluate", "pull", "teardown"
    ]  # fmt: skip
    for phase in machine.phases:
        assert phase.planned_low_seconds <= phase.planned_seconds <= phase.planned_high_seconds
        assert phase.actual_seconds == phase.whole_seconds
    train = machine.phases[4]
    assert train.actual_seconds == pytest.approx(train.planned_seconds * 1.2, rel=0.01)
    assert sum(one.actual_seconds or 0.0 for one in machine.phases) == pytest.approx(machine.actual_seconds)


def test_the_factor_of_a_corrected_forecast_is_written_beside_it(stage: Stage) -> None:
    for number in range(2):
        ran(stage, f"brave-otter-000{number}", 1.4)
    before, then = stage.laptop().ledger.records.all()
    assert before.phases[4].factor == 1.0
    assert 1.05 < then.phases[4].factor < 1.4
    assert then.phases[4].planned_seconds == pytest.approx(before.phases[4].planned_seconds * then.phases[4].factor)


def test_a_run_that_moved_on_has_both_machines_and_counts_what_each_took_to_its_end(stage: Stage) -> None:
    stage.site.work = Work(steps=20, step_seconds=30, save_every=2)
    when(stage, after(stage, 330), lambda: stage.site.preempt_with_notice("m-0001", 120))
    assert stage.launch().attempts == 2
    first, second = stage.laptop().ledger.records.all()
    whole = {one.name: one.whole_seconds for one in first.phases}
    assert whole["boot"] is not None
    assert whole["model"] == 10.0
    assert (whole["train"], whole["evaluate"], whole["pull"], whole["teardown"]) == (None, None, None, None)
    assert (first.finished, second.finished) == (False, True)
    assert second.first_step is not None
    assert second.first_step > 1
    again = {one.name: one for one in second.phases}
    assert again["train"].whole_seconds == pytest.approx(600, abs=1)
    assert again["train"].planned_seconds == first.phases[4].planned_seconds, "whole is compared with whole"
    assert again["train"].actual_seconds == pytest.approx(600 - 30 * (second.first_step - 1), abs=1)
    assert again["evaluate"].whole_seconds is None
    (run,) = history.history(stage.laptop()).runs
    assert (run.attempts, run.left_out) == (2, "")
    assert run.actual_seconds == pytest.approx(first.actual_seconds + second.actual_seconds)


def test_a_job_that_failed_is_shown_and_does_not_count(stage: Stage) -> None:
    ran(stage, "brave-otter-0001", 1.5, outcome="failed")
    found = history.history(stage.laptop())
    assert found.runs[0].left_out == "failed"
    assert (found.usd, found.seconds) == (None, None)
    assert "none of them counts yet" in history_page.text(found)
    places = history.corrections(stage.laptop()).by_place
    assert not any(place.startswith(("train", "evaluate", "pull", "teardown")) for place in places)
    assert any(place.startswith("install") for place in places)


MEASURED = Measured(
    first_step=1, last_step=40, of=40, last_at=fake_offer().seen_at, paced_steps=39, paced_seconds=390.0
)
ACTUAL = {"boot": 60.0, "ship": 5.0, "install": 100.0, "model": 50.0, "train": 400.0, "evaluate": 90.0}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 400.0),
        ({"first_step": 21}, 400.0 + 20 * 10),
        ({"last_step": 30}, 400.0 + 10 * 10),
        ({"first_step": 11, "last_step": 30}, 400.0 + 20 * 10),
        ({"first_step": 36}, None),
        ({"first_step": 21, "paced_steps": 0}, None),
    ],
)
def test_training_that_was_resumed_or_shortened_is_made_whole_at_its_pace(
    changes: dict[str, int], expected: float | None
) -> None:
    measured = replace(MEASURED, **changes)  # type: ignore[arg-type]  # figures
    assert whole_seconds("train", ACTUAL, measured, finished=True) == expected


def test_a_phase_that_was_cut_off_is_no_measure_of_it() -> None:
    cut = {"boot": 60.0, "ship": 5.0, "install": 100.0, "model": 50.0}
    found = {name: whole_seconds(name, cut, None, finished=False) for name in ("boot", "install", "model", "train")}
    assert found == {"boot": 60.0, "install": 100.0, "model": None, "train": None}
    assert whole_seconds("train", ACTUAL, MEASURED, finished=False) is None
    assert whole_seconds("evaluate", ACTUAL, replace(MEASURED, first_step=9), finished=True) is None


def test_a_run_that_was_shortened_is_left_out_of_the_score(past: Stage) -> None:
    (machine,) = past.laptop().ledger.records.all()[:1]
    path = past.folder / "home" / "ledger.sqlite"
    ledger = Ledger(path)
    ledger.records.keep((replace(machine, last_step=12),))
    found = next(one for one in history.history(past.laptop()).runs if one.run == machine.run)
    ledger.records.keep((machine,))
    assert found.left_out == "shortened"


def test_what_a_record_of_another_version_says_is_shown_and_not_learned_from(stage: Stage) -> None:
    ran(stage, "brave-otter-0001", 1.5)
    ledger = stage.laptop().ledger
    (machine,) = ledger.records.all()
    ledger.records.keep((replace(machine, workload='{"shape": "of another time"}'),))
    assert history.corrections(stage.laptop()) == Corrections()
    assert len(history.history(stage.laptop()).runs) == 1


def test_a_card_that_is_known_no_more_is_not_learned_from(stage: Stage) -> None:
    ran(stage, "brave-otter-0001", 1.5)
    ledger = stage.laptop().ledger
    (machine,) = ledger.records.all()
    ledger.records.keep((replace(machine, offer=machine.offer.replace('"A10G"', '"Z9000"')),))
    assert history.corrections(stage.laptop()) == Corrections()


def test_a_run_of_which_nothing_was_written_down_is_caught_up_with(stage: Stage) -> None:
    ran(stage, "brave-otter-0001", 1.5)
    ledger = stage.laptop().ledger
    before = ledger.records.all()
    ledger._db.execute("DELETE FROM attempt_records")
    ledger._db.execute("DELETE FROM phase_records")
    assert ledger.records.lacking() == ("brave-otter-0001",)
    assert len(history.history(stage.laptop()).runs) == 1
    assert ledger.records.all() == before
    assert ledger.records.lacking() == ()


# What a person sees


def compared(run: str, gpu: str, usd: str, seconds: float, factor: float, **changes: Any) -> Compared:
    """A run that was planned at `usd` and `seconds`, and came to `factor` times that."""
    planned_usd, planned_seconds = Decimal(usd), around(seconds, 1.4)
    usd_at = Dollars(
        low_usd=planned_usd / Decimal("1.35"), expected_usd=planned_usd, high_usd=planned_usd * Decimal("1.35")
    )
    values: dict[str, Any] = {
        "run": run, "name": "support-json", "at": NOW, "provider": "aws", "instance_type": "g5.xlarge",
        "market": "spot", "gpu": gpu, "model": "mistral-7b", "method": "qlora", "outcome": "succeeded", "attempts": 1,
        "planned_usd": usd_at, "spent_usd": planned_usd * Decimal(str(factor)), "planned_seconds": planned_seconds,
        "actual_seconds": seconds * factor, "planned_tokens_per_second": 800.0, "tokens_per_second": 800.0 / factor,
        "planned_vram_gib": 9.0, "vram_gib": 8.0, "left_out": "", "machines": (), **changes,
    }  # fmt: skip
    return Compared(**values)


RUNS = (
    compared("wise-hare-0009", "A10G", "0.41", 2940.0, 1.06),
    compared("glad-stoat-0008", "L4", "0.31", 2420.0, 0.93, market="on-demand"),
    compared("fair-crane-0007", "A10G", "0.0872", 1230.0, 0.7),
    compared("calm-heron-0006", "RTX PRO 6000 Blackwell", "12.5", 29_000.0, 1.7, market="on-demand"),
    compared("shy-lynx-0005", "A10G", "0.42", 2600.0, 0.6, outcome="failed", left_out="failed"),
    compared("keen-mouse-0004", "A10G", "0.42", 2600.0, 0.6, left_out="shortened"),
    compared("brave-otter-0003", "", "0", 620.0, 1.1, market="owned", vram_gib=None),
)
TOLD = History(
    runs=RUNS,
    usd=Score(runs=4, median_error=0.185, bias=-0.005, inside=0.5),
    seconds=Score(runs=5, median_error=0.1, bias=0.06, inside=0.6),
    learned=(
        Learned(what="training", where="on A10G", factor=1.12, runs=7),
        Learned(what="install", where="at aws", factor=0.71, runs=9),
        Learned(what="training", where="on the CPU of local", factor=2.4, runs=1),
    ),
    memory=Interval(low=0.84, expected=0.89, high=0.96),
)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_history_with_all_that_it_can_hold(width: int, snapshot: SnapshotAssertion) -> None:
    text = history_page.text(TOLD, width)
    assert text == snapshot
    assert max(len(line) for line in text.splitlines()) <= width
    assert "\x1b" not in text


def test_a_history_of_real_runs_fits_the_page_and_says_what_it_rests_on(past: Stage) -> None:
    found = history.history(past.laptop())
    text = history_page.text(found, 80)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert [line.split()[0] for line in text.splitlines()[1:11]] == [one.run for one in found.runs]
    assert found.usd is not None
    assert found.seconds is not None
    assert found.usd.runs == found.seconds.runs == 9
    assert 0 < found.seconds.median_error < 0.3
    assert found.memory is not None
    assert 0.82 <= found.memory.low < found.memory.expected < found.memory.high <= 0.97
    assert {"training on A10G", "training on L4"} <= {f"{one.what} {one.where}" for one in found.learned}


def test_more_runs_than_a_page_holds_are_counted() -> None:
    many = replace(TOLD, runs=tuple(replace(RUNS[0], run=f"run-{number:04x}") for number in range(30)))
    assert "... 10 more (launch history --csv)" in history_page.text(many, 80)


def test_no_history_is_a_calm_sentence_and_the_next_command(snapshot: SnapshotAssertion) -> None:
    none = History(runs=(), usd=None, seconds=None, learned=(), memory=None)
    assert history_page.text(none, 80) == snapshot


def test_one_run_has_no_plot_and_two_have_one(stage: Stage) -> None:
    ran(stage, "brave-otter-0001", 1.1)
    assert history_page.plot(history.history(stage.laptop()), 80) == ""
    ran(stage, "brave-otter-0002", 1.0)
    assert "dollars, actual over planned" in history_page.plot(history.history(stage.laptop()), 80)


def outcome(past: Stage, factor: float) -> Compared:
    """A run that took and cost so many times its plan."""
    one = history.history(past.laptop()).runs[0]
    usd = one.planned_usd.expected_usd * Decimal(str(factor))
    return replace(one, spent_usd=usd, actual_seconds=one.planned_seconds.expected * factor)


def only(*runs: Compared) -> History:
    return History(runs=runs, usd=None, seconds=None, learned=(), memory=None)


def test_what_ends_outside_of_its_interval_is_marked_and_the_mark_explained(past: Stage) -> None:
    late = outcome(past, 3.0)
    assert not late.usd_inside
    assert not late.seconds_inside
    text = history_page.text(only(late), 80)
    assert "+200 %*" in text
    assert history_page.OUTSIDE in text
    assert history_page.OUTSIDE not in history_page.text(only(outcome(past, 1.0)), 80)


def test_where_nothing_is_billed_time_is_compared_and_plotted(past: Stage) -> None:
    one = outcome(past, 1.2)
    nothing = replace(one.planned_usd, low_usd=Decimal(0), expected_usd=Decimal(0), high_usd=Decimal(0))
    free = replace(one, planned_usd=nothing, spent_usd=Decimal(0), market="owned")
    assert free.usd_error is None
    text = history_page.text(only(free, free), 80)
    assert "+20 %" in text
    assert "hours, actual over planned" in text


# As typed


def test_history_in_json_is_what_the_schema_says(past: Stage, capsys: Capture) -> None:
    assert typing(past)("history", "--json") == 0
    found = document(capsys)
    is_sound(found)
    assert len(found["runs"]) == 10
    assert found["runs"][0]["machines"][0]["phases"][4]["name"] == "train"
    assert found["cost"]["runs"] == 9


def test_history_as_csv_has_one_line_a_run_under_the_same_names(past: Stage, capsys: Capture) -> None:
    assert typing(past)("history", "--csv") == 0
    text = capsys.readouterr().out
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 10
    assert tuple(rows[0]) == history_page.CSV_COLUMNS
    assert Decimal(rows[0]["planned_usd_low"]) < Decimal(rows[0]["planned_usd_high"])


SHOWN = [
    ((), 10),
    (("--gpu", "l4"), 3),
    (("--gpu", "a10g"), 7),
    (("--provider", "aws"), 10),
    (("--provider", "fake"), 0),
]


@pytest.mark.parametrize(("words_", "count"), SHOWN)
def test_only_runs_on_a_card_or_at_a_provider_are_shown_where_it_is_named(
    past: Stage, capsys: Capture, words_: tuple[str, ...], count: int
) -> None:
    assert typing(past)("history", *words_, "--json") == 0
    found = document(capsys)
    assert len(found["runs"]) == count
    if words_[:1] == ("--gpu",):
        assert {one["gpu"].lower() for one in found["runs"]} == {words_[1]}
        assert all(one["where"] != "on L4" for one in found["learned"]) is (words_[1] != "l4")


@pytest.mark.parametrize(
    ("words_", "code"),
    [
        (("--gpu", "a10gg"), "unknown-gpu"),
        (("--provider", "nowhere"), "unknown-provider"),
        (("--csv", "--json"), "usage"),
    ],
)
def test_a_wrong_word_is_a_usage_error(launch: Launch, capsys: Capture, words_: tuple[str, ...], code: str) -> None:
    assert launch("history", *words_) == 2
    assert launch("--json", "history", *words_) == 2
    assert code in capsys.readouterr().out


def test_no_history_as_typed(launch: Launch, capsys: Capture) -> None:
    assert launch("history") == 0
    assert "next launch estimate" in words(capsys.readouterr().out)
    assert launch("history", "--csv") == 0
    assert capsys.readouterr().out.count("\n") == 1
