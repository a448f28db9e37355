"""Rows are read from the files that people have, and what is no such file is named with its line and a way out."""

from __future__ import annotations

import gzip
import json
from contextlib import suppress
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.qlora.dataset.records import MOST_LINE_BYTES
from jobs.qlora.dataset.rows import DataError
from jobs.qlora.dataset.sources import MOST_LIST_BYTES, opened
from tests.jobs.qlora.dataset.files import GOOD, chat, found, read

PAIRS = [{"prompt": "a,b", "completion": 'he said "yes"'}, {"prompt": "two\nlines", "completion": "é"}]


def file(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def lines(path: Path) -> list[int]:
    return [record.line for record in opened(path).records]


def values(path: Path) -> list[object]:
    return [record.value for record in opened(path).records]


def test_the_same_rows_come_out_of_every_format(tmp_path: Path) -> None:
    csv = 'prompt,completion\n"a,b","he said ""yes"""\n"two\nlines",é\n'
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(PAIRS), tmp_path / "rows.parquet")
    files = {
        "jsonl": file(tmp_path, "rows.jsonl", "".join(json.dumps(row) + "\n" for row in PAIRS)),
        "json": file(tmp_path, "rows.json", json.dumps(PAIRS, indent=2)),
        "csv": file(tmp_path, "rows.csv", csv),
        "parquet": tmp_path / "rows.parquet",
    }
    for format_, path in files.items():
        assert opened(path).format == format_
        assert values(path) == PAIRS
    for format_ in ("csv", "json", "jsonl"):
        assert values(file(tmp_path, f"bom.{format_}", b"\xef\xbb\xbf" + files[format_].read_bytes())) == PAIRS
    assert values(file(tmp_path, "excel.csv", csv.replace("a,b", "a.b").replace(",", ";"))) == [
        {**PAIRS[0], "prompt": "a.b"},
        PAIRS[1],
    ]


def test_the_line_is_the_one_on_which_a_row_begins(tmp_path: Path) -> None:
    assert lines(file(tmp_path, "a.jsonl", '{"a": 1}\n\n  \n{"a": 2}')) == [1, 4]
    assert lines(file(tmp_path, "a.json", '[\n {"a": 1},\n\n {"a":\n 2}, {"a": 3}\n]\n')) == [2, 4, 5]
    assert lines(file(tmp_path, "a.csv", 'p,c\n"1\n2\n3",x\n\n"4",y\n')) == [2, 6]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(PAIRS), tmp_path / "a.parquet")
    assert lines(tmp_path / "a.parquet") == [1, 2]


def test_a_list_that_would_fill_the_memory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = file(tmp_path, "rows.json", "[")
    with path.open("r+b") as sparse:
        sparse.truncate(MOST_LIST_BYTES + 1)
    with pytest.raises(DataError, match="more than 2 GiB is not read") as error:
        read(path)
    assert error.value.hint.startswith("jq -c '.[]'")


def test_a_json_file_of_one_object_a_line_is_read_as_such(tmp_path: Path) -> None:
    path = file(tmp_path, "rows.json", '{"prompt": "a", "completion": "b"}\n{"prompt": "c", "completion": "d"}\n')
    assert opened(path).format == "jsonl"
    assert lines(path) == [1, 2]


def test_a_file_without_a_known_ending_is_known_by_its_contents(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(PAIRS), tmp_path / "0f3a")
    assert opened(tmp_path / "0f3a").format == "parquet"
    assert opened(file(tmp_path, "91bc", json.dumps(GOOD))).format == "jsonl"
    assert opened(file(tmp_path, "77aa", json.dumps([GOOD]))).format == "json"


UNREADABLE = {
    "empty": ("a.jsonl", b"", "the file is empty", "launch init"),
    "blank": ("a.jsonl", b"\n \n", "holds no rows", "launch init"),
    "blank csv": ("a.csv", b"\n \n", "holds no rows", "names the columns"),
    "only a head": ("a.csv", b"prompt,completion\n", "holds no rows", "a file with rows"),
    "no head": (
        "a.csv",
        b'"one\ntwo",three\n',
        "a.csv:1: the first row does not name the columns",
        "prompt,completion",
    ),
    "a column twice": ("a.csv", b"prompt,prompt\n", "names a column twice: 'prompt'", "prompt,completion"),
    "an open quote": ("a.csv", b'prompt,completion\na,b\n"c,d\n', "a.csv:3: not CSV (a quote", "written twice"),
    "no Parquet": ("a.parquet", b"hello", "is not a Parquet file", ".jsonl"),
    "half a Parquet": ("a.parquet", b"PAR1hello", "the Parquet file is damaged", "fetch it again"),
    "Parquet by another name": ("a.csv", b"PAR1hello", "is a Parquet file by its contents", "mv "),
    "gzip": ("a.jsonl", gzip.compress(b"{}"), "is compressed with gzip", "gunzip -k"),
    "a workbook": ("a.csv", b"PK\x03\x04", "is a zip archive", "CSV (UTF-8)"),
    "UTF-16": ("a.csv", "prompt,completion".encode("utf-16"), "is UTF-16 text", "iconv -f UTF-16"),
    "a pointer": ("a.jsonl", b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS", "git lfs pull"),
    "a login page": ("a.jsonl", b"<!doctype html><html>", "is a web page", "download"),
    "an unknown format": ("a.txt", b"hello", "none of the known formats", ".parquet"),
    "a list as JSONL": ("a.jsonl", b"[\n{},\n{}]", "holds one object a line", "mv "),
    "one object": ("a.json", b'{\n"data": [{}]}', "expected a list of objects, got an object", "jq '.[\"data\"]'"),
    "no JSON": ("a.json", b"hello", "got text that is no JSON", ".jsonl"),
    "half a list": ("a.json", b'[\n{"a": 1},\n{"a": 2}', "a.json:3: not JSON (the list is not closed", "anew"),
    "half an object": ("a.json", b'[\n{"a": 1},\n{"a": "tw', "a.json:3: not JSON", "anew"),
    "after the list": ("a.json", b"[{}]\n{}", "a.json:2: not JSON (expected , or the end", "anew"),
    "Latin-1": ("a.json", b'[\n{"a": "\xe9"}]', "a.json:2: not UTF-8 (byte 8 of the line, 0xe9)", "iconv"),
    "too deep": ("a.json", b"[" * 100_000, "nested too deeply", "anew"),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_a_file_that_cannot_be_read_is_told_with_a_way_out(tmp_path: Path, what: str) -> None:
    name, content, says, hint = UNREADABLE[what]
    with pytest.raises(DataError) as error:
        read(file(tmp_path, name, content))
    assert error.value.message.startswith(str(tmp_path / name))
    assert says in error.value.message
    assert hint in error.value.hint


def test_a_folder_and_a_missing_file_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder, not a file"):
        opened(tmp_path)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        opened(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="is no ordinary file"):
        opened(Path("/dev/zero"))


BROKEN_LINES = {
    "not-utf8": (b'{"a": "\xff"}', "byte 8 of the line (0xff)"),
    "not-json": (b"{'a': 1}", "double quotes, column 2"),
    "not-an-object": (b"[1]", "got a list"),
}


@pytest.mark.parametrize("code", BROKEN_LINES)
def test_a_broken_line_leaves_its_neighbours_readable(tmp_path: Path, code: str) -> None:
    text, says = BROKEN_LINES[code]
    path = file(tmp_path, "a.jsonl", json.dumps(GOOD).encode() + b"\n" + text + b"\n" + json.dumps(GOOD).encode())
    got = read(path)
    assert (len(got.rows), got.bad, found(got)) == (2, 1, {code: 1})
    (example,) = got.faults[0].examples
    assert (example.place.line, says in example.detail) == (2, True)


@pytest.mark.parametrize("text", ["NaN", "1" * 5000, "[" * 100_000, '"\\ud800'])
def test_what_a_parser_chokes_on_is_a_broken_line(tmp_path: Path, text: str) -> None:
    got = read(file(tmp_path, "a.jsonl", json.dumps(GOOD) + '\n{"messages": ' + text + "}\n"))
    assert (len(got.rows), found(got)) == (1, {"not-json": 1})


def test_half_a_row_at_the_end_is_told_as_a_file_that_was_cut(tmp_path: Path) -> None:
    got = read(file(tmp_path, "a.jsonl", json.dumps(GOOD) + "\n" + json.dumps(GOOD)[:30]))
    assert found(got) == {"cut-line": 1}


def test_a_huge_line_is_passed_over_without_filling_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as out:
        out.write(json.dumps(GOOD).encode() + b"\n")
        out.write(b"x" * (2 * MOST_LINE_BYTES + 5) + b"\n")
        out.write(json.dumps(GOOD).encode() + b"\n")
    got = read(path)
    assert ([row.line for row in got.rows], found(got)) == ([1, 3], {"huge-line": 1})
    assert len(got.faults[0].examples[0].text) <= 200


def test_faults_of_csv_rows_are_told_by_row(tmp_path: Path) -> None:
    content = b'prompt,completion\n"two\nlines",ok\none\n"caf\xe9\n",x\na,b,c\nq,a\nr,\xff\n'
    got = read(file(tmp_path, "a.csv", content))
    assert [row.line for row in got.rows] == [2, 8]
    assert found(got) == {"not-utf8": 2, "wrong-width": 2}
    odd = next(fault for fault in got.faults if fault.code == "not-utf8").examples
    assert [(one.place.line, one.detail) for one in odd] == [(5, "line 5, byte 5 (0xe9)"), (9, "line 9, byte 3 (0xff)")]


def test_parquet_rows_whose_text_is_no_utf8_are_told_apart_from_their_neighbours(tmp_path: Path) -> None:
    good, odd = [b"good"] * 3, [b"good", b"\xff", b"good"]
    columns = {
        name: pyarrow.Array.from_buffers(pyarrow.string(), 3, pyarrow.array(column, pyarrow.binary()).buffers())
        for name, column in (("prompt", odd), ("completion", good))
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    got = read(tmp_path / "a.parquet")
    assert ([row.line for row in got.rows], found(got)) == ([1, 3], {"not-utf8": 1, "echoed-target": 2})


def test_parquet_is_read_in_batches_and_lists_of_turns_are_lists(tmp_path: Path) -> None:
    table = pyarrow.Table.from_pylist([chat(f"q{at}", tools=None) for at in range(2500)])
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    got = read(tmp_path / "a.parquet")
    assert (len(got.rows), got.rows[-1].asked, got.rows[-1].line) == (2500, "q2499", 2500)
    assert got.source.shape == "messages"


@settings(max_examples=200, deadline=None)
@given(name=st.sampled_from(["a.jsonl", "a.json", "a.csv", "a.parquet", "a"]), content=st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(content)
    with suppress(DataError):
        read(path)


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, 400), byte=st.integers(0, 255), format_=st.sampled_from(["json", "csv", "parquet"]))
def test_one_wrong_byte_in_a_good_file_is_a_sentence_or_a_fault(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int, format_: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"rows.{format_}"
    if format_ == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(PAIRS), path)
    else:
        path.write_text(json.dumps(PAIRS) if format_ == "json" else 'prompt,completion\n"a\nb",c\nd,"e ""f"""\n')
    content = bytearray(path.read_bytes())
    content[at % len(content)] = byte
    path.write_bytes(content)
    with suppress(DataError):
        read(path)
