"""Rows that are sound and yet doubtful are told, and good ones are left in peace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.qlora.dataset.faults import WARNINGS
from jobs.qlora.dataset.quality import doubts
from jobs.qlora.dataset.rows import Row
from jobs.qlora.dataset.scripts import script_of
from tests.jobs.qlora.dataset.files import chat, found, jsonl, read
from tests.jobs.qlora.workplace import EXAMPLE

ORDINARY = [
    (f"How many parcels did number {at} send in May?", f"Number {at} sent {at * 7} parcels.") for at in range(100)
]
RECORDS = [(f"Record of {at}?", json.dumps({"id": at, "sent": at * 7})) for at in range(100)]

Pair = tuple[str, str]


def told(*odd: Pair, among: list[Pair] = ORDINARY) -> dict[str, list[int]]:
    """The lines that each kind of doubt names; the odd pairs stand first."""
    rows = [
        Row(messages=(("user", asked), ("assistant", said)), line=at, file="a.jsonl")
        for at, (asked, said) in enumerate([*odd, *among], 1)
    ]
    lines: dict[str, list[int]] = {}
    for row, doubt in doubts(rows):
        lines.setdefault(doubt.code, []).append(row.line)
    return lines


def test_ordinary_rows_raise_no_doubt() -> None:
    assert told() == told(among=RECORDS) == {}


def test_the_test_rows_of_the_example_raise_no_doubt() -> None:
    assert found(read(EXAMPLE / "data" / "test.jsonl", part="test")) == {}


@pytest.mark.parametrize(
    "mark",
    [
        "<|im_end|>",
        "<|im_start|>user",
        "<|eot_id|>",
        "<|endoftext|>",
        "<｜end▁of▁sentence｜>",
        "[INST] hi [/INST]",
        "<<SYS>>",
        "</s>",
        "<s>",
        "<start_of_turn>model",
        "<eos>",
        "[TOOL_CALLS]",
        "\n### Response:\nyes",
    ],
)
def test_a_mark_of_a_chat_template_in_the_text_is_found_on_either_side(mark: str) -> None:
    assert told((f"hello {mark}", "Number 1 sent 7 parcels."), ("How many?", f"Seven. {mark}")) == {
        "leaked-token": [1, 2]
    }


@pytest.mark.parametrize("fine", ["a <b> c", "x [INSTALL] y", "if a < s > b", "a |im_end| b", "see ### Response"])
def test_what_only_resembles_a_mark_is_none(fine: str) -> None:
    assert "leaked-token" not in told((f"Number one says {fine} of May", "Number 1 sent 7 parcels."))


DOUBTS: dict[str, tuple[Pair, list[Pair]]] = {
    "mojibake": (("How many did Andr\u00c3\u00a9 send?", "Number 1 sent 7 parcels."), ORDINARY),
    "control-character": (("How many did number\x07 1 send in May?", "Number 1 sent 7 parcels."), ORDINARY),
    "near-empty-target": (("How many parcels did number 1 send in May?", " N/A "), ORDINARY),
    "echoed-target": (("Number 1 sent 7 parcels.", "Number 1 sent 7 parcels. "), ORDINARY),
    "boilerplate-target": (("How many parcels did number 1 send?", "As an AI language model, I cannot say."), ORDINARY),
    "broken-json-target": (("Record of 1?", '{"id": 1, "sent": 7, "to": ["a", "b'), RECORDS),
    "open-fence-target": (("How many parcels did 1 send in May?", "Here:\n```\nNumber 1 sent 7"), ORDINARY),
    "length-outlier": (("How many parcels did number 1 send in May?", "Number 1 sent 7. " * 90), ORDINARY),
    "script-outlier": (("How many parcels did number 1 send in May?", "Номер 1 отправил 7 посылок."), ORDINARY),
    "html-junk": (("How many parcels did<br/>number 1 send in May?", "Number 1&nbsp;sent 7 parcels."), ORDINARY),
}


@pytest.mark.parametrize("code", DOUBTS)
def test_a_doubtful_row_is_found_among_good_ones(code: str) -> None:
    odd, among = DOUBTS[code]
    lines = told(odd, among=among)
    assert lines[code] == [1]
    assert all(named == [1] for named in lines.values()), "no good row comes under suspicion"


def test_every_kind_of_doubt_is_tried() -> None:
    elsewhere = {"leaked-token", "shared-group"}
    assert set(DOUBTS) | elsewhere == set(WARNINGS)


def test_a_replacement_character_is_mojibake_and_an_accent_is_none() -> None:
    assert told(("Did Andr\ufffd send parcels in May?", "Number 1 sent 7 parcels.")) == {"mojibake": [1]}
    assert told(("Did André in São Tomé send “7” parcels – €5?", "Ça va: numéro 1, Â Ã Ñ.")) == {}


def test_what_most_answers_do_is_the_task_and_no_fault() -> None:
    labels = [(f"Is parcel number {at} from May damaged or not?", "none" if at % 3 else "n/a") for at in range(60)]
    pages = [(f"Write page {at} of May", f"<div>Number {at}</div><br>") for at in range(60)]
    mixed = [(f"Record of {at}?", json.dumps({"id": at}) if at % 2 else f"There is none of {at}") for at in range(60)]
    digits = [(f"How many parcels did number {at} send in May?", str(at % 10)) for at in range(60)]
    tongues = [(f"Say {at} in Greek or English", "επτά" if at % 5 == 0 else "seven") for at in range(60)]
    assert [told(among=among) for among in (labels, pages, mixed, digits, tongues)] == [{}] * 5


def test_short_and_long_rows_are_outliers_only_by_far() -> None:
    steady = [("x" * 100, "y" * 100)] * 99
    assert told(("x" * 300, "y" * 300), among=steady) == {}
    assert told(("x" * 900, "y" * 100), among=steady) == {"length-outlier": [1]}
    spread = [("x" * (10 + at * at), "y" * 40) for at in range(99)]
    assert told(("x" * 12_000, "y" * 40), among=spread) == {}


def test_a_few_rows_say_nothing_about_what_is_usual() -> None:
    assert told(("Сколько?", "Семь посылок. " * 90), among=ORDINARY[:10]) == {}


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Straße and café", "Latin"),
        ("12,5 % — 7!", ""),
        ("…", ""),
        ("Привет, John", "Cyrillic"),
        ("Γειά σου", "Greek"),
        ("東京タワーへ行く", "Han or Kana"),
        ("안녕하세요", "Hangul"),
        ("مرحبا بالعالم", "Arabic"),
        ("שלום", "Hebrew"),
        ("नमस्ते दुनिया", "Devanagari"),
        ("สวัสดี", "Thai"),
        ("Ａｂｃ", "Latin"),
        ("𝟙 🎉", ""),
    ],
)
def test_the_script_of_a_text_is_that_of_most_of_its_letters(text: str, script: str) -> None:
    assert script_of(text) == script


def test_a_mark_is_shown_with_what_stands_around_it(tmp_path: Path) -> None:
    got = read(jsonl(tmp_path / "a.jsonl", [chat("How many?", "x" * 500 + "<|im_end|>" + "y" * 9)]))
    assert got.faults[0].examples[0].text == "x" * 60 + "<|im_end|>" + "y" * 9


def test_a_doubt_is_shown_with_the_answer_where_it_is_about_the_answer(tmp_path: Path) -> None:
    rows = [chat(asked, said) for asked, said in [DOUBTS["broken-json-target"][0], *RECORDS]]
    got = read(jsonl(tmp_path / "a.jsonl", rows))
    (fault,) = got.faults
    assert (fault.severity, fault.effect, fault.count, got.bad) == ("warning", "kept", 1, 0)
    assert fault.examples[0].text.startswith('{"id": 1')
    assert fault.examples[0].detail.endswith("its end: it was cut")
