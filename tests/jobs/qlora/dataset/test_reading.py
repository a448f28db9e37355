"""All faults of all files are told at once, and the settings decide what becomes of broken rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.qlora.dataset.reading import Named, Read, Wanted, read_all
from jobs.qlora.dataset.rows import DataError
from tests.jobs.qlora.dataset.files import ANSWER, GOOD, USER, chat, jsonl

DROP = Wanted(drop=True)
HUMAN = {"messages": [{"role": "human", "content": "q"}, ANSWER]}


def read(folder: Path, wanted: Wanted | None = None, **files: list[object]) -> dict[str, Read]:
    named = [Named(part, jsonl(folder / f"{part}.jsonl", rows), f"{part}.jsonl") for part, rows in files.items()]
    return read_all(named, wanted or Wanted())


def test_one_error_names_every_kind_in_every_file(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        read(
            tmp_path,
            train=[GOOD, chat("q", ""), "{", chat("", "a"), *[GOOD] * 9],
            test=[HUMAN, GOOD, GOOD],
            validation=[],
        )
    assert error.value.message.replace(str(tmp_path), "…") == "\n".join(
        [
            "…/validation.jsonl: the file is empty",
            "…/train.jsonl: 3 of 13 rows cannot be used",
            "  the line is no JSON object (not-json: 1)",
            "    …/train.jsonl:3: Expecting property name enclosed in double quotes, column 2",
            "  a turn says nothing (empty-turn: 2)",
            "    …/train.jsonl:2: messages[1]: the content of this assistant turn is empty",
            "    …/train.jsonl:4: messages[0]: the content of this user turn is empty",
            "…/test.jsonl: 1 of 3 rows cannot be used",
            "  a turn is nobody's that a chat template knows (wrong-role: 1)",
            '    …/test.jsonl:1: messages[0]: role must be "system", "user" or "assistant", got "human"',
        ]
    )
    assert error.value.code == "data"


def test_the_hint_says_how_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(DataError) as some:
        read(tmp_path, train=[GOOD, GOOD, HUMAN])
    with pytest.raises(DataError) as most:
        read(tmp_path, train=[GOOD, HUMAN, HUMAN])
    assert some.value.hint == "mend these rows, or leave them out: --set data.on_bad_row=drop"
    assert "--set data.shape=" in most.value.hint


def test_drop_leaves_broken_rows_out_and_tells_them(tmp_path: Path) -> None:
    got = read(tmp_path, DROP, train=[GOOD, HUMAN, GOOD])["train"]
    assert ([row.line for row in got.rows], got.bad, got.source.rows) == ([1, 3], 1, 3)
    assert got.faults[0].effect == "left out"


def test_a_file_that_is_mostly_broken_stops_even_under_drop(tmp_path: Path) -> None:
    assert len(read(tmp_path, DROP, train=[GOOD, HUMAN])["train"].rows) == 1
    with pytest.raises(DataError, match=r"2 of 3 rows cannot be used(.|\n)*more than half of a file would be left out"):
        read(tmp_path, DROP, train=[GOOD, HUMAN, HUMAN])


def test_only_the_file_that_is_split_must_say_the_group_of_each_row(tmp_path: Path) -> None:
    grouped, bare = {**chat("a"), "meta": {"customer": 7}}, chat("b")
    wanted = Wanted(group="meta.customer", split=True)
    got = read(tmp_path, wanted, train=[grouped], test=[bare, grouped])
    assert [row.group for row in (*got["train"].rows, *got["test"].rows)] == ["7", None, "7"]
    with pytest.raises(DataError, match="missing-group: 1"):
        read(tmp_path, wanted, train=[grouped, bare])
    assert read(tmp_path, Wanted(group="meta.customer"), train=[grouped, bare])["train"].rows[1].group is None
    assert read(tmp_path, Wanted(group="g"), train=[chat("a", g="")])["train"].rows[0].group is None


@pytest.mark.parametrize("group", ["", None, 1.5, ["a"], {"a": 1}])
def test_a_group_is_text_or_a_whole_number(tmp_path: Path, group: object) -> None:
    with pytest.raises(DataError, match="missing-group: 1"):
        read(tmp_path, Wanted(group="g", split=True), train=[chat("a", g="x"), chat("b", g=group)])


def test_what_was_read_is_told_with_its_hash(tmp_path: Path) -> None:
    source = read(tmp_path, train=[{"messages": [USER, ANSWER]}])["train"].source
    assert (source.part, source.file, source.format, source.shape, source.rows) == (
        "train",
        "train.jsonl",
        "jsonl",
        "messages",
        1,
    )
    assert len(source.sha256) == 64
