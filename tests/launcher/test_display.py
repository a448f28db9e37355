"""What a person reads: every text at 80 and at 120 columns, and the rules that all of them keep."""

from dataclasses import replace
from datetime import timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from launcher import deposits, display, tables
from launcher.display import View
from launcher.errors import Exit, LaunchError
from launcher.receipt import Results, Terminated
from launcher.run import Outcome, State
from providers.base import Finding, Level
from tests.launcher import values
from tests.launcher.values import NOW

WIDTHS = pytest.mark.parametrize("width", [80, 120])


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        ("0", "0.00"), ("0.0097", "0.0097"), ("0.00004", "0.0000"), ("0.0999", "0.0999"), ("0.10", "0.10"),
        ("0.105", "0.11"), ("5", "5.00"), ("1234.5", "1234.50"), ("-0.05", "-0.0500"), ("1E+3", "1000.00"),
    ],
)  # fmt: skip
def test_money_has_two_decimals_and_four_below_ten_cents(usd: str, text: str) -> None:
    assert display.money(Decimal(usd)) == text


def test_money_that_nobody_knows_is_called_unknown() -> None:
    assert (display.money(None), display.rate(None)) == ("unknown", "unknown")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (0, "0 s"), (59, "59 s"), (60, "1 m"), (3_599, "59 m"), (7_200, "2 h"), (86_400 * 3 + 5, "3 d")],
)
def test_an_age_is_told_in_its_largest_unit(seconds: int, text: str) -> None:
    assert display.age(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(("seconds", "text"), [(31.4, "0:31"), (71.5, "1:12"), (3849, "1:04:09"), (-1, "0:00")])
def test_a_duration_reads_like_a_clock(seconds: float, text: str) -> None:
    assert display.span(seconds) == text


@pytest.mark.parametrize(("size", "text"), [(7, "7 B"), (31_457_280, "31 MB"), (1_500_000_000, "1.5 GB")])
def test_a_size_is_told_in_decimal_units(size: int, text: str) -> None:
    assert display.size(size) == text


@WIDTHS
def test_the_plan_reads_as_it_should(width: int, snapshot: SnapshotAssertion) -> None:
    assert tables.plan_table(values.plan(), values.TITLE, NOW, width) == snapshot


@WIDTHS
def test_the_verbose_plan_says_why_each_offer_was_left_out(width: int, snapshot: SnapshotAssertion) -> None:
    text = tables.plan_table(values.plan(), values.TITLE, NOW, width, verbose=True)
    assert text == snapshot
    assert "the T4 cannot compute in bf16" in text


@WIDTHS
def test_a_plan_without_a_budget_promises_no_end(width: int, snapshot: SnapshotAssertion) -> None:
    text = tables.plan_table(values.plan(None), values.TITLE, NOW, width)
    assert text == snapshot
    assert "ends itself at" not in text


@WIDTHS
def test_an_unguarded_first_choice_says_what_it_costs_to_forget_it(width: int, snapshot: SnapshotAssertion) -> None:
    plan = values.plan()
    alone = replace(plan, choices=tuple(one for one in plan.choices if not one.offer.guarded))
    text = tables.plan_table(alone, values.TITLE, NOW, width)
    assert text == snapshot
    assert "a day" in text
    assert "launch reap" in text


@WIDTHS
def test_the_live_lines_show_state_phases_bar_and_facts(width: int, snapshot: SnapshotAssertion) -> None:
    view = View(
        run=values.RUN, state=State.RUNNING, offer=values.plan().choices[0].offer, started_at=NOW,
        snapshot=values.snapshot_of_work(), forecast=values.forecast(),
    )  # fmt: skip
    assert display.progress(view, NOW, width) == snapshot


@pytest.mark.parametrize(
    ("arm", "line"),
    [
        ("base", "25 %  base test row 3/12"),
        ("prompts", "25 %  prompt trial 3/12"),
        ("prompted", "25 %  prompted test row 3/12"),
        ("tuned/general", "25 %  tuned general row 3/12"),
    ],
)
def test_the_live_lines_say_what_is_asked(arm: str, line: str) -> None:
    work = replace(values.snapshot_of_work(), phases=(("evaluate", 9.0),), arm=arm, evaluated=3, evaluate_of=12)
    view = View(run=values.RUN, state=State.RUNNING, started_at=NOW, snapshot=work)
    assert line in display.progress(view, NOW, 80)


@WIDTHS
def test_every_event_has_its_words(width: int, snapshot: SnapshotAssertion) -> None:
    assert "\n".join(display.text(event, NOW, width) for event in values.events()) == snapshot


@WIDTHS
def test_the_receipt_reads_as_it_should(width: int, snapshot: SnapshotAssertion) -> None:
    assert display.receipt(values.receipt(), width=width) == snapshot


@WIDTHS
def test_the_receipt_tells_the_gain_the_verdict_and_what_was_unlearned(width: int, snapshot: SnapshotAssertion) -> None:
    text = display.receipt(values.scored_receipt(), width=width)
    assert text == snapshot
    assert "french" not in text
    assert all(len(line) <= width for line in text.splitlines())


def test_a_difference_that_could_be_chance_is_called_so() -> None:
    paper = values.scored_receipt(gains=(values.gain("prompted", 0.03, -0.05, 0.11, distinguishable=False),))
    text = " ".join(display.receipt(paper, width=200).split())
    assert "(+0.03 over prompted, 95 % -0.05 to 0.11, n=100, not distinguishable)" in text


@WIDTHS
def test_a_receipt_of_a_bad_end_hides_nothing(width: int, snapshot: SnapshotAssertion) -> None:
    paper = values.receipt(
        outcome=Outcome.OUT_OF_BUDGET, exit_code=Exit.STOPPED, why="the budget does not allow it to go on",
        terminated=Terminated(confirmed=False, at=None, looks=0), leftovers=("volume vol-1",), scores=(),
        results=Results(folder=values.receipt().results.folder, files=3, bytes=900, verified=False),
        gate=("exact 0.41 is below 0.80",),
    )  # fmt: skip
    text = display.receipt(paper, width=width)
    assert text == snapshot
    assert "NOT confirmed" in text
    assert "NOT verified" in text


@WIDTHS
def test_the_list_of_runs_says_aloud_what_may_be_running(width: int, snapshot: SnapshotAssertion) -> None:
    runs = [
        values.record(open_intents=1, maybe_usd_per_hour=Decimal("0.53"), id="calm-heron-0001"),
        values.record(),
        values.record(state=State.TERMINATED, outcome=Outcome.SUCCEEDED, budget_usd=None, id="old-fox-0002"),
    ]
    text = tables.runs_table(runs, NOW, width)
    assert text == snapshot
    assert "maybe running, $0.53/h" in text


@WIDTHS
def test_one_run_is_shown_in_full(width: int, snapshot: SnapshotAssertion) -> None:
    assert tables.run_page(values.record(), NOW, width) == snapshot


@WIDTHS
def test_one_run_is_shown_with_what_the_durable_store_has_of_it(
    width: int, tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    assert deposits.line(tmp_path) == ""
    known = deposits.opened(tmp_path, "mine/launch")
    known.of(1).stored = {"checkpoint-1": 10, "checkpoint-2": 10}
    known.of(2).stored = {"results": 10}
    known.save()
    assert tables.run_page(values.record(), NOW, width, deposits.line(tmp_path)) == snapshot
    known.results_from, known.is_clean = 2, True
    known.save()
    assert deposits.line(tmp_path) == "mine/launch (nothing is left there, the results here came from there)"


@WIDTHS
def test_offers_are_listed_cheapest_first(width: int, snapshot: SnapshotAssertion) -> None:
    assert tables.offers_table(values.offers(), NOW, width) == snapshot


@WIDTHS
def test_findings_show_the_fix_under_what_is_wrong(width: int, snapshot: SnapshotAssertion) -> None:
    found = [
        ("aws", Finding(level=Level.OK, subject="credentials", text="profile default")),
        ("aws", Finding(level=Level.ERROR, subject="quota", text="0 of 4 vCPUs for G machines", fix="ask for 4")),
    ]
    assert tables.findings(found, width) == snapshot


def test_an_error_says_what_happened_then_a_blank_line_then_a_command() -> None:
    text = display.error(values.failure())
    assert text == (
        "error: this model does not fit on an A10G\n"
        "  needs 27.9 GiB (13B, bf16 LoRA, 4 x 2048), the card has 22.0\n\n"
        "hint: launch --set train.method=qlora     # needs 13.2 GiB"
    )


def test_a_raw_code_shows_only_when_asked_for() -> None:
    assert "InsufficientMemory" not in display.error(values.failure())
    assert "InsufficientMemory" in display.error(values.failure(), verbose=True)


def test_an_error_without_a_hint_ends_with_its_message() -> None:
    assert display.error(LaunchError("declined", code="declined", exit_code=Exit.USAGE)) == "error: declined"


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    texts = [
        tables.plan_table(values.plan(), values.TITLE, NOW, width),
        tables.plan_table(values.plan(), values.TITLE, NOW, width, verbose=True),
        display.receipt(values.receipt(), width=width),
        tables.runs_table([values.record(open_intents=1)], NOW, width),
        tables.offers_table(values.offers(), NOW, width),
        *(display.text(event, NOW, width) for event in values.events()),
    ]
    too_wide = [line for text in texts for line in text.splitlines() if len(line) > width]
    assert too_wide == []


def test_figures_are_never_cut_to_make_a_table_fit() -> None:
    long = replace(values.offers()[0], instance_type="a-name-of-a-machine-that-is-far-too-long-for-this")
    text = tables.offers_table([long], NOW, 80)
    assert "0.49 2 m" in " ".join(text.split())
    assert "…" in text


def test_every_price_in_the_plan_stands_beside_its_age() -> None:
    lines = tables.plan_table(values.plan(), values.TITLE, NOW, 80).splitlines()
    row = next(line for line in lines if line.startswith(">"))
    assert "0.36 2 m" in " ".join(row.split())


def test_times_are_told_in_the_zone_of_the_reader() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=2)))
    assert display.text(values.events()[6], there).startswith("22:04:05")
