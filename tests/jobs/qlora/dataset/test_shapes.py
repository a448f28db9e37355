"""Chats, ShareGPT, Alpaca, prompt and completion, and any columns become the same turns."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.qlora.dataset.faults import structure
from jobs.qlora.dataset.reading import Wanted
from jobs.qlora.dataset.rows import DataError, Turns
from jobs.qlora.dataset.shapes import KEYS, BadRow, Shaper, found, shape_of
from tests.jobs.qlora.dataset.files import ANSWER, GOOD, USER, chat, jsonl, read
from tests.jobs.qlora.dataset.files import found as faults_of

SYSTEM = {"role": "system", "content": "s"}
PAIR = (("user", "q"), ("assistant", "a"))
LONG = (("system", "s"), *PAIR, ("user", "q2"), ("assistant", "a2"))

SHAPES: dict[str, tuple[dict[str, Any], Any]] = {
    "messages": ({"messages": [USER, ANSWER]}, PAIR),
    "messages with a prompt besides": ({"prompt": "x", "prompt_id": "1", "messages": [USER, ANSWER]}, PAIR),
    "messages as JSON text": ({"messages": '[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]'}, PAIR),
    "parts of text": (
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "q"}, {"type": "text", "text": "!"}]},
                ANSWER,
            ]
        },
        (("user", "q!"), ("assistant", "a")),
    ),
    "keys that Parquet fills with nothing": (
        {"messages": [{**USER, "tool_calls": None, "weight": None}, {**ANSWER, "weight": 1}], "tools": None},
        PAIR,
    ),
    "sharegpt": (
        {
            "system": "s",
            "conversations": [
                {"from": "human", "value": "q"},
                {"from": "gpt", "value": "a"},
                {"from": "user", "value": "q2"},
                {"from": "model", "value": "a2"},
            ],
        },
        LONG,
    ),
    "sharegpt with a system turn": (
        {
            "conversations": [
                {"from": "system", "value": "s"},
                {"from": "human", "value": "q"},
                {"from": "assistant", "value": "a"},
            ]
        },
        (("system", "s"), *PAIR),
    ),
    "conversations in OpenAI's words": ({"conversations": [USER, ANSWER]}, PAIR),
    "alpaca": ({"instruction": "q", "input": "", "output": "a"}, PAIR),
    "alpaca without input": ({"instruction": "q", "input": None, "output": "a", "text": "…"}, PAIR),
    "alpaca with input": ({"instruction": "q", "input": "i", "output": "a"}, (("user", "q\n\ni"), ("assistant", "a"))),
    "alpaca with all": (
        {"system": "s", "history": [["q", "a"]], "instruction": "q2", "input": "", "output": "a2"},
        LONG,
    ),
    "prompt and completion": ({"prompt": "q", "completion": "a"}, PAIR),
    "prompt, completion, system": ({"prompt": "q", "completion": "a", "system": "s"}, (("system", "s"), *PAIR)),
    "TRL's turns": (
        {"prompt": [SYSTEM, USER, ANSWER, {**USER, "content": "q2"}], "completion": [{**ANSWER, "content": "a2"}]},
        LONG,
    ),
}


@pytest.mark.parametrize("what", SHAPES)
def test_every_known_shape_becomes_turns(what: str) -> None:
    record, turns = SHAPES[what]
    assert Shaper(shape_of(record)).turns(record) == turns
    assert not list(structure(turns))


def test_every_shape_stands_in_the_table() -> None:
    assert {shape_of(record) for record, _ in SHAPES.values()} == set(KEYS)


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "a tool's turn": ("tool-call", {"messages": [USER, {"role": "tool", "content": "42"}]}, 'the role is "tool"'),
    "a call": (
        "tool-call",
        {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [{"id": 1}]}]},
        "tool_calls",
    ),
    "tools": ("tool-call", {"messages": [USER, ANSWER], "tools": [{"name": "f"}]}, "the row has tools"),
    "an observation": ("tool-call", {"conversations": [{"from": "observation", "value": "x"}]}, "observation"),
    "an image": (
        "unreadable-part",
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        'type "image_url"',
    ),
    "a weight": ("unlearned-turn", {"messages": [USER, {**ANSWER, "weight": 0}]}, "weight is 0"),
    "ShareGPT's role in messages": ("wrong-role", {"messages": [{"role": "human", "content": "q"}]}, 'got "human"'),
    "OpenAI's developer": ("wrong-role", {"messages": [{"role": "developer", "content": "q"}]}, 'got "developer"'),
    "a list as a role": ("wrong-role", {"messages": [{"role": ["user"], "content": "q"}]}, "got a list"),
    "a number as content": (
        "wrong-type",
        {"messages": [{"role": "user", "content": 3}]},
        "content must be text, got a number",
    ),
    "no content": ("wrong-type", {"messages": [{"role": "user"}]}, "content must be text, got nothing"),
    "a text as a turn": ("wrong-type", {"messages": ["q"]}, "expected an object with role and content, got text"),
    "an object of messages": ("wrong-type", {"messages": {}}, "expected a list of turns, got an object"),
    "text of messages": ("wrong-type", {"messages": "hello"}, "expected a list of turns, got text"),
    "an object as an answer": (
        "wrong-type",
        {"prompt": "q", "completion": {"a": 1}},
        "completion: expected text, got an object; named in data.columns it would",
    ),
    "no output": ("wrong-type", {"instruction": "q", "output": None}, "output: expected text, got nothing"),
    "history in other words": (
        "wrong-type",
        {"instruction": "q", "output": "a", "history": [["q"]]},
        "[question, answer]",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_trained_is_refused_with_the_reason(what: str) -> None:
    code, record, says = REFUSED[what]
    with pytest.raises(BadRow) as refused:
        Shaper(shape_of(record)).turns(record)
    assert (refused.value.bad.code, says in refused.value.bad.detail) == (code, True)


def test_columns_reach_into_objects_and_lists_and_make_text_of_what_is_none() -> None:
    record = {"data": {"q": "ask", "a": [{"text": {"b": 1, "é": [True, None]}}]}, "a.b": 7, "note": None}
    shaper = Shaper("columns", {"prompt": "data.q", "completion": "data.a.0.text", "system": "a.b"})
    assert shaper.turns(record) == (("system", "7"), ("user", "ask"), ("assistant", '{"b":1,"é":[true,null]}'))
    assert list(shaper.notes) == [
        "a.b: numbers became text (1)",
        "data.a.0.text: objects and lists became compact JSON (1)",
    ]
    with pytest.raises(BadRow, match="note: expected text, got nothing"):
        Shaper("columns", {"prompt": "data.q", "completion": "note"}).turns(record)


def test_columns_may_name_a_list_of_turns() -> None:
    assert Shaper("columns", {"messages": "chat.turns"}).turns({"chat": {"turns": [USER, ANSWER]}}) == PAIR
    sharegpt = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    assert Shaper("columns", {"messages": "dialog"}).turns({"dialog": sharegpt}) == PAIR
    assert Shaper("columns", {"prompt": "p", "completion": "c"}).turns({"p": [USER], "c": "a"}) == PAIR


@pytest.mark.parametrize("name", ["a.-1", "a.5", "a.x", "b.c", "", ".", "a.٣"])
def test_a_path_that_leads_nowhere_finds_nothing(name: str) -> None:
    assert found({"a": [1, 2, 3, 4], "b": "text"}, name) is None


def test_a_key_of_turns_that_nobody_trains_on_is_noted(tmp_path: Path) -> None:
    thought = {**ANSWER, "reasoning_content": "because"}
    got = read(jsonl(tmp_path / "a.jsonl", [{"messages": [USER, thought]}, GOOD]))
    assert got.notes == ("a.jsonl: turns have a key 'reasoning_content' that is not trained on (1)",)


def test_a_file_of_two_shapes_names_the_line_and_the_shape_that_was_expected(tmp_path: Path) -> None:
    rows = [GOOD] * 30 + [{"instruction": "q", "output": "a"}, {"question": "q", "answer": "a"}]
    got = read(jsonl(tmp_path / "a.jsonl", rows))
    assert faults_of(got) == {"mixed-shapes": 1, "missing-key": 1}
    mixed, missing = (fault.examples[0] for fault in got.faults)
    assert (mixed.place.line, missing.place.line) == (31, 32)
    assert "expected messages (messages)" in mixed.detail
    assert "got alpaca (instruction, output)" in mixed.detail
    assert missing.detail == "there is no messages; the keys are: question, answer"


def test_a_shape_that_is_set_holds_from_the_first_row_on(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"prompt": "x", "completion": "y", **GOOD}])
    assert read(path, Wanted(shape="prompt_completion")).rows[0].messages == (("user", "x"), ("assistant", "y"))
    assert faults_of(read(path, Wanted(shape="alpaca"))) == {"mixed-shapes": 1}


UNKNOWN = {
    "a question and an answer": (
        {"id": 1, "question": "q", "correct_answer": "a"},
        "--set data.columns.prompt=question --set data.columns.completion=correct_answer",
    ),
    "running text": ({"text": "once upon a time"}, "part it into prompt, completion"),
    "preferences": (
        {"prompt": "q", "chosen": "a", "rejected": "b"},
        "--set data.columns.prompt=prompt --set data.columns.completion=chosen",
    ),
    "nothing that looks like either": ({"x": 1}, "--set data.columns.prompt=KEY --set data.columns.completion=KEY"),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_a_file_of_no_known_shape_gets_the_setting_that_helps(tmp_path: Path, what: str) -> None:
    record, hint = UNKNOWN[what]
    with pytest.raises(DataError) as error:
        read(jsonl(tmp_path / "a.jsonl", ["{", record]))
    assert error.value.message.startswith(f"{tmp_path / 'a.jsonl'}:2: the rows")
    assert hint in error.value.hint


def test_the_columns_of_the_hint_are_read(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"question": "q", "answer": {"n": 1}}])
    got = read(path, Wanted(columns={"prompt": "question", "completion": "answer"}))
    assert (got.rows[0].target, got.source.shape) == ('{"n":1}', "columns")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "from", "value", "type", "text", "tool_calls"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)
KEY = st.sampled_from(
    [key for keys in KEYS.values() for key in keys] + ["input", "system", "history", "tools", "weight", "x.y"]
)


@settings(max_examples=100, deadline=None)
@given(record=st.dictionaries(KEY, JSON, max_size=6), shape=st.sampled_from([*KEYS, "columns"]))
def test_no_record_raises_anything_but_a_named_fault(record: dict[str, Any], shape: str) -> None:
    shaper = Shaper(shape, {"prompt": "prompt", "completion": "x.y", "system": "system"} if shape == "columns" else {})
    turns: Turns = ()
    with suppress(BadRow):
        turns = shaper.turns(record)
    assert all(role in ("system", "user", "assistant") and isinstance(text, str) for role, text in turns)
    assert isinstance([bad.code for bad in structure(turns)], list)


def test_rows_of_any_shape_say_the_same(tmp_path: Path) -> None:
    pair = read(jsonl(tmp_path / "a.jsonl", [{"prompt": "q", "completion": "a"}]))
    turns = read(jsonl(tmp_path / "b.jsonl", [chat("q")]))
    assert pair.rows[0].identity == turns.rows[0].identity
