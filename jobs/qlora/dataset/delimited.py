"""Read CSV as spreadsheets write it: a head row, quoted fields over many lines, semicolons or tabs too."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from .records import MOST_LINE_BYTES, Bad, Record, readable
from .rows import DataError

DELIMITERS = ",;\t"
LONGEST_NAME = 200
"""Characters of a column's name; what is longer is a row, not a head (assumed)."""
_SEP = re.compile(r"(?i:sep)=([,;\t]?),?")
"""Excel's own first line, which says the delimiter; read as a row of it, the sign itself is gone."""
_ESCAPED = re.compile("[\udc80-\udcff]")
"""What a byte that is no UTF-8 becomes on reading (PEP 383)."""


@dataclass
class Lines:
    """The file's lines as text; remembers the first byte that is no UTF-8 of each line, until a row has asked."""

    file: BinaryIO
    at: int = 0
    odd: dict[int, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[str]:
        while line := self.file.readline(MOST_LINE_BYTES + 1):
            self.at += 1
            line = line.removeprefix(codecs.BOM_UTF8) if self.at == 1 else line
            try:
                yield line.decode("utf-8")
            except UnicodeDecodeError as error:
                self.odd[self.at] = f"line {self.at}, byte {error.start + 1} (0x{line[error.start]:02x})"
                yield line.decode("utf-8", "surrogateescape")


def csv_records(path: Path) -> Iterator[Record]:
    """Each row below the head; the line is the one on which the row begins.

    Raises:
        DataError: there is no head, or a quote is never closed.
    """
    csv.field_size_limit(MOST_LINE_BYTES)  # of the whole process; the default of 131,072 is less than a long row
    with readable(path) as file:
        lines = Lines(file)
        reader = csv.reader(lines, delimiter=_delimiter(path), strict=True)
        begins = 1
        names: list[str] = []
        while True:
            begins = reader.line_num + 1
            try:
                fields = next(reader, None)
            except csv.Error as error:
                raise _broken(path, begins, str(error)) from error
            if fields is None:
                break
            if not any(one.strip() for one in fields):
                continue
            if not names and _SEP.fullmatch(",".join(fields)):
                continue
            if not names:
                names = _head(path, begins, fields)
                continue
            yield _record(begins, names, fields, lines)
            lines.odd.clear()
    if not names:
        raise DataError(f"{path}: the file holds no rows", "the first line names the columns, each other is a row")


def _delimiter(path: Path) -> str:
    """Whichever of comma, semicolon and tab makes the most columns of the first line."""
    with readable(path) as file:
        first = file.readline(MOST_LINE_BYTES).removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace")
    if said := _SEP.fullmatch(first.strip()):
        return said[1] or DELIMITERS[0]
    return max(DELIMITERS, key=first.count)


def _head(path: Path, at: int, fields: list[str]) -> list[str]:
    names = [name.strip() for name in fields]
    twice = sorted({name for name in names if names.count(name) > 1})
    longest = max(map(len, names))
    if longest > LONGEST_NAME or any("\n" in name for name in names) or _ESCAPED.search("".join(names)):
        what = "the first row does not name the columns"
    elif twice:
        what = f"the head names a column twice: {', '.join(map(repr, twice))}"
    else:
        return names
    raise DataError(f"{path}:{at}: {what}", "put a head above the rows, as: prompt,completion")


def _record(at: int, names: list[str], fields: list[str], lines: Lines) -> Record:
    raw = ",".join(fields)[:500].encode("utf-8", "surrogateescape")
    if len(fields) != len(names):
        return Record(at, bad=Bad("wrong-width", f"{len(fields)} fields under {len(names)} columns"), raw=raw)
    if any(map(_ESCAPED.search, fields)):
        return Record(at, bad=Bad("not-utf8", next(iter(lines.odd.values()), "")), raw=raw)
    return Record(at, dict(zip(names, fields, strict=True)))


def _broken(path: Path, at: int, why: str) -> DataError:
    if why in ("unexpected end of data", f"field larger than field limit ({MOST_LINE_BYTES})"):
        why = "a quote that is opened in this row is never closed"
    return DataError(
        f"{path}:{at}: not CSV ({why})", 'a quote inside a quoted field is written twice: "he said ""yes"""'
    )
