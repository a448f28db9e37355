"""Every way in which a row can be broken is found, counted, and shown with its file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.qlora.dataset.faults import ERRORS, WARNINGS, plain
from jobs.qlora.dataset.reading import Wanted
from tests.jobs.qlora.dataset.files import ANSWER, GOOD, USER, chat, found, jsonl, read


def row(*turns: object) -> dict[str, Any]:
    return {"messages": list(turns), "customer": 1}


GROUPED = Wanted(group="customer", split=True)
BROKEN: dict[str, tuple[object, str]] = {
    "not-utf8": (b'{"messages": "\xff"}', "byte 15 of the line (0xff)"),
    "not-json": ("{", "column"),
    "not-an-object": ("[1]", "got a list"),
    "mixed-shapes": ({"prompt": "q", "completion": "a"}, "got prompt_completion"),
    "missing-key": ({"turns": []}, "there is no messages; the keys are: turns"),
    "wrong-type": (row({"role": "user", "content": 3}, ANSWER), "messages[0]: content must be text, got a number"),
    "wrong-role": (row({"role": "human", "content": "q"}, ANSWER), 'messages[0]: role must be "system", "user" or'),
    "tool-call": (row(USER, {"role": "tool", "content": "1"}), "messages[1]"),
    "unreadable-part": (row({"role": "user", "content": [{"type": "image"}]}, ANSWER), "messages[0].content[0]"),
    "unlearned-turn": (row(USER, {**ANSWER, "weight": 0}), "messages[1]: weight is 0"),
    "no-turns": (row(), "got no turn"),
    "empty-turn": (row(USER, {**ANSWER, "content": " \n"}), "messages[1]: the content of this assistant turn is empty"),
    "wrong-order": (row(USER, USER, ANSWER), "messages[1]: expected an assistant turn, got user"),
    "last-turn": (row(USER, ANSWER, USER), "messages[2] is the user's"),
    "lone-surrogate": (row({"role": "user", "content": "\ud83d"}, ANSWER), "messages[0]: user turn"),
    "nul": (row(USER, {**ANSWER, "content": "a\0b"}), "messages[1]: character 2"),
    "missing-group": (GOOD, "no text or whole number under 'customer'"),
}
ELSEWHERE = {"cut-line", "huge-line", "wrong-width"}
"""Of files, not of rows: tests/jobs/qlora/dataset/test_sources.py."""


@pytest.mark.parametrize("code", BROKEN)
def test_a_broken_row_is_named_by_file_and_line_and_the_others_are_read(tmp_path: Path, code: str) -> None:
    broken, says = BROKEN[code]
    fine = row(USER, ANSWER)
    got = read(jsonl(tmp_path / "a.jsonl", [fine, broken, fine]), GROUPED)
    assert ([one.line for one in got.rows], got.bad, found(got)) == ([1, 3], 1, {code: 1})
    (fault,) = got.faults
    assert (fault.severity, fault.effect, fault.reason) == ("error", "stops", ERRORS[code])
    assert (fault.examples[0].place.file, fault.examples[0].place.line) == ("a.jsonl", 2)
    assert says in fault.examples[0].detail


def test_every_kind_of_fault_is_tried() -> None:
    assert set(BROKEN) | ELSEWHERE == set(ERRORS)
    assert not set(ERRORS) & set(WARNINGS)


def test_other_broken_orders_are_found_too(tmp_path: Path) -> None:
    system = {"role": "system", "content": "s"}
    rows = [
        row(system),
        row(ANSWER),
        row(system, ANSWER, USER),
        row(USER, system, ANSWER),
        row(system, system, USER, ANSWER),
    ]
    got = read(jsonl(tmp_path / "a.jsonl", rows), GROUPED)
    assert (found(got), got.bad) == ({"no-turns": 1, "wrong-order": 4}, 5)


def test_all_faults_of_a_row_are_told_at_once(tmp_path: Path) -> None:
    got = read(jsonl(tmp_path / "a.jsonl", [row({"role": "user", "content": ""}, USER), row(USER, ANSWER)]), GROUPED)
    assert (found(got), got.bad) == ({"empty-turn": 1, "wrong-order": 1}, 1)


def test_all_are_counted_and_three_are_shown(tmp_path: Path) -> None:
    got = read(jsonl(tmp_path / "a.jsonl", [chat("q", "")] * 7 + [GOOD] * 9))
    (fault,) = got.faults
    assert (fault.count, [one.place.line for one in fault.examples]) == (7, [1, 2, 3])


def test_a_shown_text_is_short_and_safe_for_a_terminal(tmp_path: Path) -> None:
    nasty = "\x1b[31m\u202e\ud800" + "x" * 500
    got = read(jsonl(tmp_path / "a.jsonl", [json.dumps(chat(nasty, "")), GOOD]))
    for fault in got.faults:
        for example in fault.examples:
            assert (example.text + example.detail).isprintable()
            assert len(example.text) <= 200
    assert plain("x" * 200) == "x" * 200
    assert plain("é\n") == "é\\n"
