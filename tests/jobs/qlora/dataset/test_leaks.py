"""Leaks: what the test asks is taken out of train."""

import json
from pathlib import Path

from jobs.qlora.dataset.leaks import without_leaks
from jobs.qlora.dataset.report import Place
from jobs.qlora.dataset.rows import Row
from tests.jobs.qlora.dataset.asked import lines, row, rows, static

EXAMPLE = Path(__file__).resolve().parents[4] / "examples" / "support-json" / "data"
TEST = [row("When does the shop in Graz open on Sunday?", "At 9 in the morning.", 7, file="test.jsonl")]


def test_the_same_question_is_a_leak_whatever_the_answer() -> None:
    train = rows(("when does the shop in Graz open on sunday", "Never, I fear."), ("Where is the shop?", "In Graz."))
    found = without_leaks(train, "train", TEST, "test")
    assert lines(found.kept) == [2]
    (gone,) = found.dropped
    assert (gone.stage, gone.part, gone.kept_part) == ("leak", "train", "test")
    assert (gone.dropped, gone.kept, gone.similarity) == (Place("train.jsonl", 1), Place("test.jsonl", 7), 1.0)


def test_a_slip_or_a_polite_word_hides_no_leak() -> None:
    train = rows(
        ("Hello, when does the shpo in Graz open on Sunday please?", "x"),
        ("When does the shop open in Graz, Sunday?", "y"),
    )
    assert lines(without_leaks(train, "train", TEST, "test").kept) == [1, 2]
    train = rows(
        ("Hello, when does the shop in Graz oppen on Sunday please?", "x"),
        ("When does the shop open in Graz, Sunday?", "y"),
    )
    assert lines(without_leaks(train, "train", TEST, "test", static()).kept) == []


def test_a_paraphrase_with_the_answer_that_the_test_wants_is_a_leak() -> None:
    train = rows(
        ("Opening hour of the Graz shop on a Sunday?", "At 9 in the morning."),
        ("Closing hour of the Graz shop on a Monday?", "At 6 in the evening."),
    )
    assert lines(without_leaks(train, "train", TEST, "test", static()).kept) == [2]


def test_another_name_number_or_word_is_another_question() -> None:
    train = rows(
        ("When does the shop in Lyon open on Sunday?", "At 9 in the morning."),
        ("When does the shop in Graz open on Monday?", "At 8 in the morning."),
        ("When does the bank in Graz open on Sunday?", "At 7 in the morning."),
        ("When does the shop in Graz not open on Sunday?", "Before 9."),
    )
    assert lines(without_leaks(train, "train", TEST, "test", static()).kept) == [1, 2, 3, 4]


def test_of_the_examples_one_template_only_rows_about_a_test_rows_own_order_go() -> None:
    train, test = (read(name) for name in ("train", "test"))
    found = without_leaks(train, "train", test, "test", static())
    orders = {json.loads(one.target)["order"] for one in test}
    about = {one.line for one in train if any(order in one.asked for order in orders)}
    assert {gone.dropped.line for gone in found.dropped} <= about
    assert len(found.kept) > 900


def test_planted_rows_of_the_examples_test_are_found_among_its_train_rows() -> None:
    train, test = (read(name) for name in ("train", "test"))
    planted = [
        Row(
            (("user", f"Sorry to bother you, thanks! {one.asked.lower()}"), one.messages[1]),
            5000 + one.line,
            "train.jsonl",
        )
        for one in test[:20]
    ]
    found = without_leaks([*train, *planted], "train", test, "test", static())
    assert {gone.dropped.line for gone in found.dropped} >= {one.line for one in planted}


def test_nothing_is_held_out_and_nothing_is_removed() -> None:
    assert lines(without_leaks(rows(("a", "b")), "train", [], "test", static()).kept) == [1]


def read(name: str) -> list[Row]:
    texts = (EXAMPLE / f"{name}.jsonl").read_text().splitlines()
    turns = [json.loads(text)["messages"] for text in texts]
    return [
        Row(tuple((turn["role"], turn["content"]) for turn in one), line, f"{name}.jsonl")
        for line, one in enumerate(turns, 1)
    ]
