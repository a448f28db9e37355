"""Conflicts: asked alike, answered otherwise."""

from jobs.qlora.dataset.conflicts import conflicts
from jobs.qlora.dataset.report import Conflict, Place
from tests.jobs.qlora.dataset.asked import rows, static


def test_the_same_question_with_two_answers_is_a_conflict_with_both_places() -> None:
    found = conflicts(
        rows(("Open on Sunday?", "Yes."), ("other", "x"), ("open on sunday", "No."), ("Open on Sunday", "yes"))
    )
    assert found == (
        Conflict(
            places=(Place("train.jsonl", 1), Place("train.jsonl", 3), Place("train.jsonl", 4)),
            prompt="Open on Sunday?",
            targets=("Yes.", "No."),
        ),
    )


def test_the_same_answer_in_another_form_is_none() -> None:
    assert conflicts(rows(("q", '{"a": 1, "b": 2}'), ("Q?", '{"b":2,"a":1}'))) == ()


def test_a_slip_and_a_polite_word_hide_no_conflict_from_an_embedder() -> None:
    asked = rows(("Is the bakery open on Sunday?", "Yes."), ("Hello, is the bakrey open on Sunday please?", "No."))
    assert conflicts(asked) == ()
    assert [len(one.places) for one in conflicts(asked, static())] == [2]


def test_another_number_name_or_word_is_no_conflict() -> None:
    asked = rows(
        ("Is order 4711 for Graz on its way today?", "Yes."),
        ("Is order 4712 for Graz on its way today?", "No."),
        ("Is order 4711 for Lyon on its way today?", "No, never."),
        ("Is order 4711 for Graz not on its way today?", "No, no."),
    )
    assert conflicts(asked, static()) == ()


def test_no_rows_have_no_conflict() -> None:
    assert conflicts([], static()) == ()
