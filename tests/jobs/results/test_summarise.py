"""From a folder of results to the summary: what a person is told, and what no machine can make us say."""

import json
import math
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from jobs.results.serving import Paid
from jobs.results.summarise import Besides, read_summary, summarise
from jobs.results.summary import Judged, Judging, Summary, Value
from tests.jobs.results.home import Home, line, right

PAID = Paid(training_usd=Decimal("0.7912"), usd_per_hour=Decimal("0.4912"), machine="g5.xlarge")
SETTINGS: dict[str, Any] = {"model": "some/model", "evaluate": {"metrics": ["exact"]}}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def said(home: Home, settings: dict[str, Any] = SETTINGS, *, besides: Besides | None = None) -> Summary:
    found = summarise(home.out, settings, data=home.data, paid=PAID, besides=besides)
    assert found is not None
    assert read_summary(home.out) == found
    return found


def brought(home: Home, n: int, **hits: int) -> None:
    """Arms with so many right answers of `n`; each arm's first ones."""
    home.sent(["yes"] * n)
    for arm, count in hits.items():
        told = {"metrics": {"exact": count / n}, "seconds": {"prompted": 2.0}.get(arm, 1.0) * n / 10, "batch": 50}
        home.brought(arm, right(count, n), ["yes"] * n, told)


def test_a_gain_over_the_best_prompt_is_worth_it(home: Home, snapshot: SnapshotAssertion) -> None:
    brought(home, 200, base=4, prompted=122, tuned=186)
    found = said(home)
    assert found.verdict.answer == "worth it"
    assert found.verdict == snapshot
    assert found.warnings == ()


def test_a_prompt_that_does_the_same_makes_it_not_worth_it(home: Home, snapshot: SnapshotAssertion) -> None:
    brought(home, 400, base=20, prompted=364, tuned=362)
    found = said(home)
    assert found.verdict.answer == "not worth it"
    assert found.verdict == snapshot


def test_a_test_set_that_is_too_small_says_what_it_could_have_shown(home: Home, snapshot: SnapshotAssertion) -> None:
    home.sent(["yes"] * 40)
    home.brought("prompted", right(22, 40), ["yes"] * 40)
    home.brought("tuned", right(25, 40, start=5), ["yes"] * 40)
    found = said(home)
    assert found.verdict.answer == "not distinguishable"
    assert found.verdict == snapshot


def test_tuning_that_made_it_worse_is_not_worth_it(home: Home) -> None:
    brought(home, 200, prompted=180, tuned=120)
    found = said(home)
    assert found.verdict.answer == "not worth it"
    assert "tuned is worse" in found.verdict.headline


def test_without_a_prompted_arm_it_says_that_none_was_tried(home: Home) -> None:
    brought(home, 100, base=2, tuned=93)
    found = said(home).verdict
    assert found.answer == "worth it"
    assert "over the bare base model" in found.headline
    assert found.headline.endswith("a written prompt was not tried")


def test_the_larger_model_stands_in_the_reasons_with_its_break_even(home: Home) -> None:
    brought(home, 200, prompted=122, tuned=186, larger=184)
    home.figures("larger", {"n": 200, "cost_usd": "0.40", "seconds": 300.0, "model": "big"})
    found = said(home)
    assert found.verdict.reasons[0].startswith("tuned cannot be told from the larger model: exact match +0.01")
    assert found.verdict.break_even_requests == pytest.approx(397, abs=3)  # 0.7912 / (0.002 - 0.0000136)
    assert next(arm for arm in found.arms if arm.name == "larger").model == "big"


def test_what_speaks_against_a_gain_is_told_with_it(home: Home) -> None:
    brought(home, 200, prompted=122, tuned=186)
    home.lines("tuned", [line(at, answer, "yes", loss=3.0) for at, answer in enumerate(right(186, 200))])
    home.sent(["yes"] * 100, part="adjacent/sums")
    home.brought("adjacent/sums.base", right(90, 100), ["yes"] * 100)
    home.brought("adjacent/sums.tuned", right(40, 100), ["yes"] * 100)
    task = {"name": "sums", "data": "x", "metric": "exact", "allow_drop": 0.02}
    reasons = said(home, {"evaluate": {"metrics": ["exact"], "adjacent": [task]}}).verdict.reasons
    assert any(text.startswith("but loss got worse: +2.50") for text in reasons)
    assert any(text.startswith("but sums dropped: exact 0.90 to 0.40") for text in reasons)


def test_a_model_without_any_gain_is_almost_never_called_worth_it(home: Home) -> None:
    answers = []
    home.sent(["yes"] * 40)
    for draw in range(20):
        lot = random.Random(draw)
        for arm in ("prompted", "tuned"):
            home.brought(arm, [lot.choice(("yes", "no")) for _ in range(40)], ["yes"] * 40)
        answers.append(said(home).verdict.answer)
    assert answers.count("worth it") <= 1
    assert answers.count("not distinguishable") >= 16


def test_what_the_machine_says_of_itself_does_not_count_where_its_items_say_otherwise(home: Home) -> None:
    brought(home, 50, base=2, tuned=10)
    home.figures("tuned", {"n": 50, "metrics": {"exact": 0.99}})
    found = said(home)
    assert found.metrics[0].values["tuned"].value == 0.2
    assert found.warnings == (
        "tuned: the machine says exact match 0.9900, its items come to 0.2000: ours counts",
    )  # fmt: skip


def test_an_older_run_without_items_keeps_its_figures_and_gets_no_verdict(home: Home) -> None:
    for arm, exact in (("base", 0.02), ("tuned", 0.93)):
        home.figures(arm, {"arm": arm, "n": 200, "metrics": {"exact": exact, "partial": 0.5, "json": 1.0, "loss": 0.1}})
    found = said(home)
    assert found.metrics[0].values["tuned"] == Value(value=0.93, n=200)
    assert found.verdict.answer == "unknown"
    assert "exact match: base 0.02, tuned 0.93" in found.verdict.headline
    assert found.metrics[0].differences == ()
    assert found.samples == ()


def test_figures_that_cannot_be_are_not_repeated(home: Home) -> None:
    home.figures("tuned", {"n": 200, "metrics": {"exact": 1e300, "loss": -3.0}})
    found = said(home)
    assert found.metrics == ()
    assert any("exact match 1e+300, which cannot be" in text for text in found.warnings)


GARBAGE = (b"", b"\x00\xff" * 1000, b"[" * 50_000, b'{"metrics": {"\x1b[2J": 1}}', b'{"n": 1e400}', b"null", b"{}")


@pytest.mark.parametrize("items", GARBAGE)
@pytest.mark.parametrize("figures", GARBAGE)
def test_no_garbage_ends_the_scoring(home: Home, items: bytes, figures: bytes) -> None:
    home.sent(["yes"] * 3)
    for arm in ("base", "tuned"):
        (home.out / "eval" / f"{arm}.jsonl").write_bytes(items)
        (home.out / "eval" / f"{arm}.json").write_bytes(figures)
    found = said(home)
    assert found.verdict.answer == "unknown"
    assert all(text.isprintable() for text in (*found.warnings, found.verdict.headline))


def test_a_folder_where_nothing_was_evaluated_gets_no_summary(home: Home) -> None:
    assert summarise(home.out, SETTINGS, data=home.data) is None
    assert read_summary(home.out) is None


def test_rows_of_ours_that_are_gone_are_missed_aloud(home: Home) -> None:
    brought(home, 50, base=2, tuned=48)
    found = summarise(home.out, SETTINGS, data=None)
    assert found is not None
    assert found.verdict.answer == "worth it"
    assert "our own test rows are not here" in found.warnings[-1]


def test_an_arm_that_answered_only_some_items_is_called_unfinished(home: Home) -> None:
    brought(home, 50, base=2, tuned=48)
    home.lines("tuned", [line(at, "yes", "yes") for at in range(30)])
    found = said(home)
    assert next(arm for arm in found.arms if arm.name == "tuned").unfinished == "30 of 50 items came home"
    assert any("compared over the 30 in common" in text for text in found.warnings)


def test_validation_rows_stand_in_where_there_are_no_test_rows(home: Home) -> None:
    home.sent(["yes"] * 50, part="validation")
    for arm, hits in (("base", 0), ("tuned", 50)):
        home.brought(arm, right(hits, 50), ["yes"] * 50)
    assert said(home).warnings == ()


def test_what_a_judge_said_stays_as_long_as_it_is_about_the_same_answers(home: Home) -> None:
    brought(home, 50, base=2, tuned=48)
    share = Value(value=0.9, low=0.8, high=1.0, n=50)
    pair = Judged(arm="tuned", against="base", wins=44, ties=2, losses=4, share=share, distinguishable=True,
                  agreement=0.9, first_position=0.5)  # fmt: skip
    judging = Judging(model="a judge", rubric="r", pairs=(pair,), items=50, of=50, cost_usd="0.1", cap_usd="1")
    first = said(home, besides=Besides(judging=judging))
    assert "a judge preferred tuned (44 wins, 2 ties, 4 losses)" in first.verdict.reasons
    assert said(home).judging == judging
    home.brought("tuned", right(40, 50), ["yes"] * 50)
    assert said(home).judging is None


def test_labels_and_fields_are_told_where_the_job_asks_for_them(home: Home) -> None:
    wanted = [json.dumps({"kind": "a" if at % 2 else "b"}) for at in range(20)]
    home.sent(wanted)
    home.brought("tuned", wanted, wanted)
    found = said(home, {"evaluate": {"metrics": ["json_fields", "classification"]}})
    assert [one.name for one in found.metrics][:2] == ["field_f1", "partial"]
    assert found.json_health["tuned"].valid == 1.0
    assert len(found.confusion["tuned"].labels) == 2
    assert said(home).confusion == {}


def test_an_arm_says_how_it_was_asked(home: Home) -> None:
    brought(home, 50, prompted=20, tuned=48)
    shots = [{"role": role, "content": "x"} for role in ("user", "assistant") * 3]
    prompt = {"system": "Be brief.", "shots": shots, "tried": [{"shots": 0}, {"shots": 3}], "chosen": 1}
    home.figures("prompted", {"n": 50, "seconds": 2.0, "prompt": prompt})
    arm = next(one for one in said(home).arms if one.name == "prompted")
    assert (arm.system, arm.shots, arm.chosen_from, arm.model) == ("Be brief.", 3, 2, "some/model")


def test_perplexity_has_an_interval_and_no_difference_of_its_own(home: Home) -> None:
    brought(home, 50, base=2, tuned=48)
    metric = next(one for one in said(home).metrics if one.name == "perplexity")
    assert metric.values["tuned"].value == pytest.approx(math.exp(0.5), abs=1e-5)
    assert metric.differences == ()


def test_the_summary_on_disk_is_the_same_every_time(home: Home) -> None:
    brought(home, 100, base=2, prompted=60, tuned=90)
    said(home)
    first = (home.out / "eval" / "summary.json").read_bytes()
    said(home)
    assert (home.out / "eval" / "summary.json").read_bytes() == first


def test_a_figure_that_does_not_fit_the_answers_is_told_and_not_left_out_silently(home: Home) -> None:
    brought(home, 30, base=4, tuned=26)
    found = said(home, SETTINGS | {"evaluate": {"metrics": ["exact", "json_fields"]}})
    assert any(text.startswith("field F1 cannot be measured on these wanted answers") for text in found.warnings)


def test_a_gain_that_was_paid_with_another_task_is_not_told_without_it(home: Home) -> None:
    brought(home, 100, prompted=50, tuned=90)
    home.sent(["yes"] * 100, part="adjacent/sums")
    home.brought("adjacent/sums.base", right(95, 100), ["yes"] * 100)
    home.brought("adjacent/sums.tuned", right(20, 100), ["yes"] * 100)
    task = {"name": "sums", "metric": "exact", "allow_drop": 0.02}
    found = said(home, SETTINGS | {"evaluate": {"metrics": ["exact"], "adjacent": [task]}}).verdict
    assert found.answer == "worth it"
    assert found.headline.endswith("; but sums dropped")
    assert found.doubts == found.reasons[:1]


def test_a_run_that_nobody_bills_says_that_its_cost_is_not_known(home: Home) -> None:
    brought(home, 100, prompted=50, tuned=90)
    found = summarise(home.out, SETTINGS, data=home.data, paid=Paid(machine="this computer"))
    assert found is not None
    assert "what training and requests cost is not known: nobody bills this machine, electricity is not counted" in (
        found.verdict.reasons
    )
    assert found.verdict.break_even_requests is None


def test_what_a_machine_says_of_itself_reaches_no_terminal_as_it_is(home: Home) -> None:
    brought(home, 30, base=4, tuned=26)
    evil = "\x1b[2J\x1b]0;owned\x07\u202egnihton"
    home.figures("tuned", {"n": 30, "unfinished": evil * 50, "cost_usd": evil, "model": evil})
    arm = next(one for one in said(home).arms if one.name == "tuned")
    assert "\x1b" not in arm.unfinished
    assert "\u202e" not in arm.unfinished
    assert 100 < len(arm.unfinished) <= 300
    assert (arm.cost_usd, arm.model) == (None, "some/model")
