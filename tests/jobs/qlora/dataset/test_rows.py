"""A row goes to a part and comes back the same; what we did not write is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.qlora.dataset.rows import DataError, Row, read_part, written

ROWS = [
    Row(messages=(("user", "q"), ("assistant", "a")), line=3, file="my rows.csv", group="7"),
    Row(
        messages=(("system", "s"), ("user", "é\u2028\x85"), ("assistant", "1"), ("user", "2"), ("assistant", "3")),
        line=9,
        file="x",
    ),
]


def test_rows_that_were_written_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(written(ROWS), "utf-8")
    assert read_part(path) == ROWS


def test_a_row_knows_its_question_and_its_answer() -> None:
    one, long = ROWS
    assert (one.asked, one.target, one.answers, one.characters) == ("q", "a", 1, 2)
    assert (long.target, long.answers) == ("3", 2)
    assert long.question == long.messages[:-1]
    assert long.asked.startswith("system: s\nuser: é")
    assert (one.place.file, one.place.line) == ("my rows.csv", 3)


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        json.dumps({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}),
        json.dumps({**ROWS[0].document(), "messages": []}),
        json.dumps({**ROWS[0].document(), "messages": [{"role": "user", "content": "q"}]}),
        json.dumps({**ROWS[0].document(), "messages": [{"role": "assistant", "content": 1}]}),
        json.dumps({**ROWS[0].document(), "source": {"file": "x", "line": "1"}}),
        json.dumps({**ROWS[0].document(), "group": 3}),
        "[" * 100_000,
    ],
)
def test_a_line_that_we_did_not_write_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(written(ROWS) + line + "\n", "utf-8")
    with pytest.raises(DataError, match=r"train\.jsonl:3: is no row of a part") as error:
        read_part(path)
    assert "report.json" in error.value.hint


def test_a_part_that_is_missing_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_part(tmp_path / "none.jsonl")
