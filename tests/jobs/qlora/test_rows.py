"""Rows are judged before anything is rented: file, line, and what was expected."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.qlora.rows import RowError, check_rows, read_rows
from tests.jobs.qlora.workplace import EXAMPLE, JOB, REPOSITORY

USER = {"role": "user", "content": "q"}
ANSWER = {"role": "assistant", "content": "a"}
GOOD = json.dumps({"messages": [USER, ANSWER]})


def file(tmp_path: Path, *lines: str | bytes) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in lines))
    return path


def row(*turns: object) -> str:
    return json.dumps({"messages": turns})


def test_good_rows_are_counted_and_blank_lines_are_not(tmp_path: Path) -> None:
    system = {"role": "system", "content": "be brief"}
    rows = file(tmp_path, GOOD, "", row(system, USER, ANSWER, USER, ANSWER), "")
    assert check_rows(rows) == 2


def test_a_byte_order_mark_is_no_reason_to_refuse(tmp_path: Path) -> None:
    assert check_rows(file(tmp_path, b"\xef\xbb\xbf" + GOOD.encode())) == 1


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1]", "an object with a list of messages"),
        ('{"messages": {}}', "an object with a list of messages"),
        (row(), "at least one user turn"),
        (row("q", ANSWER), r"messages\[0\]: expected an object"),
        (row({"role": "human", "content": "q"}, ANSWER), 'got "human"'),
        (row({"role": ["user"], "content": "q"}, ANSWER), r"messages\[0\]: role must be"),
        (row({"role": "user", "content": 3}, ANSWER), "content must be text, got a number"),
        (row({"role": "user"}, ANSWER), "content must be text, got nothing"),
        (row({"role": "user", "content": "  "}, ANSWER), "this user turn is empty"),
        (row(USER, {"role": "assistant", "content": ""}), "this assistant turn is empty"),
        (row(ANSWER, USER), r"messages\[0\]: expected a user turn, got assistant"),
        (row(USER, USER, ANSWER), r"messages\[1\]: expected an assistant turn, got user"),
        (row(USER, ANSWER, USER), "the last turn must be the assistant's"),
        (b'{"messages": "\xff"}', r"not UTF-8 \(byte 15 of the line\)"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path: Path, line: str | bytes, says: str) -> None:
    path = file(tmp_path, GOOD, line, GOOD)
    with pytest.raises(RowError, match=says) as error:
        check_rows(path)
    assert str(error.value).startswith(f"{path}:2: ")


def test_an_empty_file_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(RowError, match="holds no rows; expected one JSON object a line"):
        check_rows(file(tmp_path, ""))


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RowError, match="cannot be read: No such file"):
        check_rows(tmp_path / "none.jsonl")


def test_a_row_without_the_group_key_cannot_be_split_by_it(tmp_path: Path) -> None:
    with pytest.raises(RowError, match="rows of one customer_id together"):
        read_rows(file(tmp_path, GOOD), group="customer_id")


def test_rows_are_checked_on_a_laptop_without_torch() -> None:
    heavy = "{'torch', 'transformers', 'datasets', 'pydantic', 'boto3'}"
    code = f"import sys; from jobs.qlora.rows import check_rows; sys.exit(bool({heavy} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True, timeout=60)


def test_the_example_is_what_its_generator_makes(tmp_path: Path) -> None:
    script = tmp_path / "make_data.py"
    script.write_bytes((EXAMPLE / "make_data.py").read_bytes())
    subprocess.run([sys.executable, script], check=True, timeout=60)
    for name in ("train.jsonl", "test.jsonl"):
        assert (tmp_path / "data" / name).read_bytes() == (EXAMPLE / "data" / name).read_bytes()


def test_the_steps_name_phases_and_scripts_that_exist() -> None:
    steps = json.loads((JOB / "steps.json").read_text())
    assert [step["phase"] for step in steps] == ["install", "model", "model", "model", "evaluate", "train", "evaluate"]
    assert all(
        (JOB / f"{step['argv'][2]}.py").exists() and step["argv"][:2] == ["{python}", "run.py"] for step in steps
    )
