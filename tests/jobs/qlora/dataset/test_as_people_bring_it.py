"""Tables and files as spreadsheets and people write them: what they are told works when it is typed."""

from pathlib import Path

import pytest

from jobs.qlora.dataset.curate import curate
from jobs.qlora.dataset.rows import DataError

GERMAN = "frage;antwort\r\n" + "".join(f"Größe {n}?;Straße {n}\r\n" for n in range(9))
NAMED = {"prompt": "frage", "completion": "antwort"}


def made(tmp_path: Path, content: bytes, name: str = "mine.csv", **data: object) -> int:
    """Rows of all parts together."""
    (tmp_path / name).write_bytes(content)
    asked = {"split": {"test": 0.2}, "deduplicate": {"by": "exact"}, **data}
    (tmp_path / "made").mkdir(exist_ok=True)
    found = curate({"train": tmp_path / name}, asked, into=tmp_path / "made", seed=17, private=False)
    return sum(part.rows for part in found.parts)


def refused(tmp_path: Path, content: bytes, name: str = "mine.csv", **data: object) -> str:
    with pytest.raises(DataError) as told:
        made(tmp_path, content, name, **data)
    return told.value.hint


def test_a_table_of_windows_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    hint = refused(tmp_path, GERMAN.encode("cp1252"), columns=NAMED)
    assert hint == f"iconv -f WINDOWS-1252 -t UTF-8 {tmp_path}/mine.csv > utf8.csv"
    assert made(tmp_path, GERMAN.encode("cp1252").decode("cp1252").encode(), columns=NAMED) == 9


def test_excels_own_first_line_says_the_delimiter(tmp_path: Path) -> None:
    assert made(tmp_path, f"sep=;\r\n{GERMAN}".encode("utf-8-sig"), columns=NAMED) == 9


def test_two_columns_are_taken_for_question_and_answer_in_the_hint(tmp_path: Path) -> None:
    hint = refused(tmp_path, GERMAN.encode())
    assert hint == "--set data.columns.prompt=frage --set data.columns.completion=antwort"


def test_rows_that_all_ask_the_same_are_not_told_to_try_another_split(tmp_path: Path) -> None:
    rows = "".join(f'{{"prompt": "same", "completion": "answer {n}"}}\n' for n in range(20)).encode()
    assert "--set" not in refused(tmp_path, rows, "mine.jsonl")
