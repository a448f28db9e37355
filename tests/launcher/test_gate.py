"""The gate: what fails a run that came to its end, in words that say why; chance passes no release."""

from typing import Any

import pytest

from jobs.results.summary import Adjacent, Arm, Difference, Metric, Summary, Value, Verdict
from launcher.gate import wanting

VERDICT = Verdict(answer="unknown", headline="", reasons=(), smallest_difference=None)


def difference(value: float, half: float, *, against: str = "prompted", distinguishable: bool = True) -> Difference:
    return Difference(arm="tuned", against=against, value=value, low=value - half, high=value + half, n=100,
                      distinguishable=distinguishable)  # fmt: skip


def summary(
    tuned: float = 0.93,
    *differences: Difference,
    name: str = "exact",
    adjacent: tuple[Adjacent, ...] = (),
    unfinished: str = "",
) -> Summary:
    better: Any = "lower" if name == "loss" else "higher"
    metric = Metric(name=name, title={"exact": "exact match"}.get(name, name), better=better, normalised="",
                    values={"tuned": Value(value=tuned, n=100)}, differences=differences)  # fmt: skip
    arm = Arm(name="tuned", title="fine-tuned", n=100, model="m", unfinished=unfinished)
    return Summary(arms=(arm,), metrics=(metric,), adjacent=adjacent, verdict=VERDICT)


def task(state: Any, base: float = 0.95, tuned: float = 0.60) -> Adjacent:
    return Adjacent(
        name="sums", metric="exact", better="higher", base=Value(value=base, n=50), tuned=Value(value=tuned, n=50),
        difference=difference(tuned - base, 0.1, against="base"), allow_drop=0.02, state=state,
    )  # fmt: skip


def settings(adjacent: bool | None = None, **rules: Any) -> dict[str, Any]:
    gate = {**rules, **({} if adjacent is None else {"adjacent": adjacent})}
    return {"gate": gate, "evaluate": {"adjacent": [{"name": "sums", "data": "x"}]}}


def only(**rules: Any) -> dict[str, Any]:
    return {"gate": rules, "evaluate": {}}


@pytest.mark.parametrize("none", [{}, {"gate": {}}, {"gate": None}, {"gate": {"exact": {}}}])
def test_without_a_gate_everything_passes(none: dict[str, Any]) -> None:
    assert wanting(none, None) == ()
    assert wanting(none, summary(0.0)) == ()


def test_what_is_reached_passes() -> None:
    assert (
        wanting(only(exact={"at_least": 0.93, "better_than": "prompted"}), summary(0.93, difference(0.32, 0.1))) == ()
    )


def test_below_the_bar_is_told_with_both_figures() -> None:
    assert wanting(only(exact={"at_least": 0.95}), summary(0.93)) == (
        "exact match 0.930 is below the 0.95 that the gate asks for",
    )


def test_a_loss_is_bounded_from_above() -> None:
    rule = only(loss={"at_most": 0.5})
    assert wanting(rule, summary(0.4, name="loss")) == ()
    assert wanting(rule, summary(0.6, name="loss")) == ("loss 0.600 is above the 0.5 that the gate allows",)


def test_better_means_told_from_chance() -> None:
    lucky = difference(0.03, 0.05, distinguishable=False)
    (text,) = wanting(only(exact={"better_than": "prompted"}), summary(0.93, lucky))
    told = "(+0.030, 95 % -0.020 to 0.080, n=100)"
    assert text == f"exact match cannot be told from the prompted base's on this test set {told}"


def test_worse_is_worse() -> None:
    (text,) = wanting(only(exact={"better_than": "prompted"}), summary(0.93, difference(-0.3, 0.05)))
    assert text.startswith("exact match is not better than the prompted base's (-0.300")


def test_a_lower_loss_is_better_and_a_higher_one_is_not() -> None:
    rule = only(loss={"better_than": "base"})
    assert wanting(rule, summary(0.4, difference(-0.5, 0.1, against="base"), name="loss")) == ()
    assert len(wanting(rule, summary(0.4, difference(0.5, 0.1, against="base"), name="loss"))) == 1


def test_what_was_not_measured_does_not_pass() -> None:
    assert wanting(only(rouge_l={"at_least": 0.1}), summary()) == (
        "rouge_l was not measured, and the gate asks for it",
    )
    assert wanting(only(exact={"at_least": 0.1}), None) == ("exact was not measured, and the gate asks for it",)
    (text,) = wanting(only(exact={"better_than": "larger"}), summary(0.93, difference(0.3, 0.1)))
    assert text == "exact match of tuned and the larger model cannot be compared item by item, and the gate asks for it"


def test_a_machine_that_answers_only_what_it_likes_does_not_pass() -> None:
    found = wanting(only(exact={"at_least": 0.5}), summary(0.93, unfinished="30 of 50 items came home"))
    assert found == ("not all of the test set was answered: 30 of 50 items came home",)


@pytest.mark.parametrize(
    ("asked", "fails"),
    [
        (settings(exact={"at_least": 0.1}), True),
        (settings(adjacent=True), True),
        (settings(adjacent=False, exact={"at_least": 0.1}), False),
        (settings(), False),
    ],
    ids=["with any rule", "asked for alone", "switched off", "no gate"],
)
def test_a_task_that_was_unlearned_fails_the_gate_where_there_is_one(asked: dict[str, Any], fails: bool) -> None:
    found = wanting(asked, summary(adjacent=(task("dropped"),)))
    assert bool(found) is fails
    assert all(
        text == "adjacent task sums dropped: exact 0.950 to 0.600, more than the 0.02 that it may" for text in found
    )


@pytest.mark.parametrize("state", ["held", "improved", "may have dropped"])
def test_a_drop_that_may_be_chance_does_not_fail(state: str) -> None:
    assert wanting(settings(adjacent=True), summary(adjacent=(task(state),))) == ()


def test_an_adjacent_task_that_was_not_measured_does_not_pass() -> None:
    assert wanting(settings(adjacent=True), summary()) == (
        "adjacent task sums was not measured, and the gate asks for it",
    )
