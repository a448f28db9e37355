"""Read records from the files that people have (JSONL, JSON, CSV, Parquet), each with the line where it begins."""

from __future__ import annotations

import codecs
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from .delimited import csv_records
from .parquet import parquet_records
from .records import MOST_LINE_BYTES, Bad, Record, kind, parsed_json, readable
from .rows import DataError

FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
_FOREIGN = (
    (codecs.BOM_UTF32_LE, "is UTF-32 text", "iconv -f UTF-32 -t UTF-8 {file} > utf8{suffix}"),
    (codecs.BOM_UTF16_LE, "is UTF-16 text", "iconv -f UTF-16 -t UTF-8 {file} > utf8{suffix}"),
    (codecs.BOM_UTF16_BE, "is UTF-16 text", "iconv -f UTF-16 -t UTF-8 {file} > utf8{suffix}"),
    (b"\x1f\x8b", "is compressed with gzip", "gunzip -k {file}"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd", "unzstd {file}"),
    (b"PK\x03\x04", "is a zip archive (as .xlsx files are too)", "unzip it, or save the sheet as CSV (UTF-8)"),
    (b"version https://git-lfs", "is a pointer of Git LFS, not the data", "git lfs pull"),
    (b"<!DOCTYPE", "is a web page, not the data", "download the file itself"),
    (b"<html", "is a web page, not the data", "download the file itself"),
)
"""How files begin that were taken for data, and what is to be done about them."""
_PARQUET = b"PAR1"
MOST_LIST_BYTES = 2 << 30
"""Of a JSON list, which is read whole: Python takes some five times that while it is parsed (assumed)."""


@dataclass(frozen=True)
class Opened:
    """A file whose format is known, and its records, read as they are asked for."""

    format: str
    records: Iterator[Record]


def opened(path: Path) -> Opened:
    """Look at how a file begins, and say how it is to be read.

    Raises:
        DataError: there is no such file, it is a folder, empty, or of a kind that no rows can be read from. The same
            may be raised while records are taken, where a file turns out to be damaged past repair by leaving out rows.
    """
    begins = _beginning(path)
    _refuse_foreign(path, begins)
    format_ = _format(path, begins)
    if format_ == "parquet":
        return Opened(format_, parquet_records(path))
    if format_ == "csv":
        return Opened(format_, csv_records(path))
    if format_ == "json" and not _is_lines(path, begins):
        return Opened(format_, _list_records(path))
    return Opened("jsonl", _line_records(path))


def _beginning(path: Path) -> bytes:
    if path.is_dir():
        raise DataError(f"{path}: is a folder, not a file", f"name the file: ls {shlex.quote(str(path))}")
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: is no ordinary file", "write the rows into a file, and name that")
    with readable(path) as file:
        begins = file.read(4096)
    if not begins:
        raise DataError(f"{path}: the file is empty", "name a file with rows; see `launch init` for an example")
    return begins


def _refuse_foreign(path: Path, begins: bytes) -> None:
    for magic, what, todo in _FOREIGN:
        if begins[: len(magic)].lower() == magic.lower():
            raise DataError(f"{path}: {what}", todo.format(file=shlex.quote(str(path)), suffix=path.suffix))
    is_parquet = begins.startswith(_PARQUET)
    if path.suffix.lower() == ".parquet" and not is_parquet:
        raise DataError(
            f"{path}: is not a Parquet file: it does not begin with PAR1",
            "name it by what it is: .jsonl, .json or .csv",
        )
    if path.suffix.lower() in FORMATS and path.suffix.lower() != ".parquet" and is_parquet:
        raise DataError(
            f"{path}: is a Parquet file by its contents, but its name ends in {path.suffix}",
            shlex.join(["mv", str(path), str(path.with_suffix(".parquet"))]),
        )


def _format(path: Path, begins: bytes) -> str:
    """By the name's ending; a name without a known one (as a cache gives) by what the file begins with."""
    named = FORMATS.get(path.suffix.lower())
    first = begins.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    if named == "jsonl" and first == b"[" and parsed_json(begins.splitlines()[0]) is None:
        hint = shlex.join(["mv", str(path), str(path.with_suffix(".json"))])
        raise DataError(f"{path}: is a JSON list over many lines; a .jsonl file holds one object a line", hint)
    if named:
        return named
    if begins.startswith(_PARQUET):
        return "parquet"
    if first in (b"{", b"["):
        return "json"
    raise DataError(f"{path}: is none of the known formats", "name it by its format: .jsonl, .json, .csv or .parquet")


def _is_lines(path: Path, begins: bytes) -> bool:
    """Whether a .json file holds one object a line, as many do; a list of objects begins with a bracket."""
    if begins.removeprefix(codecs.BOM_UTF8).lstrip()[:1] != b"{":
        return False
    with readable(path) as file:
        lines = (file.readline(MOST_LINE_BYTES).removeprefix(codecs.BOM_UTF8).strip() for _ in range(100))
        return isinstance(parsed_json(next((line for line in lines if line), b"")), dict)


def _line_records(path: Path) -> Iterator[Record]:
    """One object a line; blank lines are passed over."""
    with readable(path) as file:
        for at, line in _bounded_lines(file):
            bare = line.removeprefix(codecs.BOM_UTF8) if at == 1 else line
            if len(line) > MOST_LINE_BYTES:
                yield Record(at, bad=Bad("huge-line", f"longer than {MOST_LINE_BYTES >> 20} MiB"), raw=line[:500])
            elif bare.strip():
                yield _line_record(at, bare)


def _bounded_lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Each line with its number; of a huge one the first piece only, so that no file can fill the memory."""
    at = 0
    while line := file.readline(MOST_LINE_BYTES + 1):
        at += 1
        yield at, line
        while len(line) > MOST_LINE_BYTES and not line.endswith(b"\n"):
            line = file.readline(MOST_LINE_BYTES + 1)


def _line_record(at: int, line: bytes) -> Record:
    try:
        document = json.loads(line.rstrip().decode("utf-8"), parse_constant=_no_number)
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        return Record(at, bad=Bad("not-utf8", f"byte {error.start + 1} of the line (0x{byte:02x})"), raw=line)
    except RecursionError:
        return Record(at, bad=Bad("not-json", "nested too deeply"), raw=line)
    except ValueError as error:
        whole = line.endswith(b"\n")
        return Record(at, bad=Bad("not-json" if whole else "cut-line", _why(error)), raw=line)
    if not isinstance(document, dict):
        return Record(at, bad=Bad("not-an-object", f"got {kind(document)}"), raw=line)
    return Record(at, document)


def _why(error: ValueError) -> str:
    """What the parser says, without the line of its own count."""
    return f"{error.msg}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _list_records(path: Path) -> Iterator[Record]:
    """The objects of a JSON list, each with the line on which it begins."""
    if path.stat().st_size > MOST_LIST_BYTES:
        hint = f"jq -c '.[]' {shlex.quote(str(path))} > rows.jsonl"
        raise DataError(f"{path}: a JSON list of more than {MOST_LIST_BYTES >> 30} GiB is not read", hint)
    with readable(path) as file:
        content = file.read().removeprefix(codecs.BOM_UTF8)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise DataError(
            f"{path}:{line}: not UTF-8 (byte {column} of the line, 0x{content[error.start]:02x})", to_utf8(path)
        ) from error
    begin = _blanks(text, 0)
    if text[begin : begin + 1] != "[":
        raise _no_list(path, text)
    return _elements(path, text, begin + 1)


def to_utf8(path: Path) -> str:
    """The command that makes UTF-8 of what Windows programs write; not for Parquet."""
    return f"iconv -f WINDOWS-1252 -t UTF-8 {shlex.quote(str(path))} > utf8{path.suffix}"


def _elements(path: Path, text: str, at: int) -> Iterator[Record]:
    """Walk the list; past a syntax error nothing can be read, so it is the end of the whole file."""
    decoder = json.JSONDecoder(parse_constant=_no_number)
    line, counted = 1, 0
    at = _blanks(text, at)
    if text[at : at + 1] == "]":
        return
    while True:
        line, counted = line + text.count("\n", counted, at), at
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise _broken(path, text, error, line) from error
        yield (
            Record(line, value)
            if isinstance(value, dict)
            else Record(line, bad=Bad("not-an-object", f"got {kind(value)}"), raw=text[at:end][:500].encode())
        )
        at = _blanks(text, end)
        if text[at : at + 1] != ",":
            break
        at = _blanks(text, at + 1)
    closed = text[at : at + 1] == "]"
    rest = _blanks(text, at + 1) if closed else at
    if not closed or rest < len(text):
        line += text.count("\n", counted, rest)
        wrong = "the list is not closed: was it written whole?" if rest >= len(text) else "expected , or the end"
        raise DataError(f"{path}:{line}: not JSON ({wrong})", "write the file anew, or one object a line (.jsonl)")


def _broken(path: Path, text: str, error: Exception, line: int) -> DataError:
    line = error.lineno if isinstance(error, json.JSONDecodeError) else line
    why = _why(error) if isinstance(error, ValueError) else "nested too deeply"
    cut = isinstance(error, json.JSONDecodeError) and (error.pos >= len(text.rstrip()) or "Unterminated" in error.msg)
    end = "; the file ends in the middle of a row" if cut else ""
    return DataError(f"{path}:{line}: not JSON ({why}{end})", "write the file anew, or one object a line (.jsonl)")


def _no_list(path: Path, text: str) -> DataError:
    """A JSON file that is something else; where a list of objects stands in it, the command that takes it out."""
    document = parsed_json(text.encode())
    lists = [key for key, value in document.items() if isinstance(value, list)] if isinstance(document, dict) else []
    hint = "one object a line (.jsonl), or a list of objects"
    if lists:
        hint = f"{shlex.join(['jq', f'.[{json.dumps(lists[0])}]', str(path)])} > rows.json"
    got = "text that is no JSON" if document is None else kind(document)
    return DataError(f"{path}: expected a list of objects, got {got}", hint)


def _blanks(text: str, at: int) -> int:
    """The place of the next character that is no white space."""
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at
