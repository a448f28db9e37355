"""Read and judge all files at once, so that a user mends a data set in one go, and not one fault at a time."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from ..job import sha256
from .faults import Log, structure
from .quality import doubts
from .records import Bad, Record
from .report import Fault, Source
from .rows import DataError, Row
from .shapes import KEYS, BadRow, Shaper, found, shape_of, unknown_shape
from .sources import opened, to_utf8

DECIDED_ON = 20
"""Records, the first of which with a known shape decides for the whole file (assumed: a few may be broken)."""
MOST_LEFT_OUT = 0.5
"""A file of which more rows are broken than sound was misread, or is no training data: no setting leaves them out."""


@dataclass(frozen=True)
class Wanted:
    """How files are to be read: the words of the `data` block."""

    shape: str = "auto"
    columns: Mapping[str, str] = field(default_factory=dict)
    drop: bool = False
    group: str | None = None
    split: bool = False
    """Whether the training file is split, so that each row of it must say its group."""


@dataclass(frozen=True)
class Named:
    """A file: which part it is for, where it lies, and how the user named it."""

    part: str
    path: Path
    name: str


@dataclass(frozen=True)
class Read:
    """What a file gave: rows in its order, how it was read, and what is wrong with it."""

    named: Named
    rows: tuple[Row, ...]
    source: Source
    bad: int
    """Rows that cannot be used."""
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]


def read_all(files: Sequence[Named], wanted: Wanted) -> dict[str, Read]:
    """All files by part.

    Raises:
        DataError: a file cannot be read at all, or rows are broken and are not to be left out; it tells of all files,
            with up to three examples of each kind of fault by file and line.
    """
    read, unreadable = {}, []
    for named in files:
        try:
            read[named.part] = read_file(named, wanted)
        except DataError as error:
            unreadable.append(error)
    broken = [
        one for one in read.values() if one.bad and (not wanted.drop or one.bad > MOST_LEFT_OUT * one.source.rows)
    ]
    if unreadable or broken:
        raise _stops(unreadable, broken, wanted)
    return read


def read_file(named: Named, wanted: Wanted) -> Read:
    """One file to its end, whatever stands in it. Raises `DataError` where that is not possible."""
    file = opened(named.path)
    shaper, records = _shaper(named, file.records, wanted)
    log, rows, bad, count = Log(named.part, named.name), [], 0, 0
    for record in records:
        count += 1
        row = _row(record, shaper, log, named, wanted)
        if row is None:
            bad += 1
        else:
            rows.append(row)
    if not count:
        raise DataError(f"{named.path}: the file holds no rows", "name a file with rows; `launch init` shows some")
    for row, doubt in doubts(rows):
        shown = row.target if doubt.code.endswith("-target") else row.messages[-2][1]
        log.add(doubt, row.line, doubt.shown or shown)
    return Read(
        named=named,
        rows=tuple(rows),
        source=Source(
            part=named.part,
            file=named.name,
            format=file.format,
            shape=shaper.shape,
            rows=count,
            sha256=sha256(named.path),
        ),
        bad=bad,
        faults=log.faults("left out" if wanted.drop else "stops"),
        notes=tuple(f"{named.name}: {note}" for note in shaper.notes),
    )


def _shaper(named: Named, records: Iterator[Record], wanted: Wanted) -> tuple[Shaper, Iterable[Record]]:
    """The shape of the file's rows, as it is set or as the first records show it, and all the records."""
    if wanted.columns:
        return Shaper("columns", wanted.columns), records
    if wanted.shape != "auto":
        return Shaper(wanted.shape), records
    first = list(islice(records, DECIDED_ON))
    known = [(record.line, record.value) for record in first if record.value is not None]
    shape = next((shape for _, value in known if (shape := shape_of(value))), "")
    if known and not shape:
        line, value = known[0]
        what, hint = unknown_shape(value)
        raise DataError(f"{named.path}:{line}: {what}", hint)
    return Shaper(shape or next(iter(KEYS))), chain(first, records)


def _row(record: Record, shaper: Shaper, log: Log, named: Named, wanted: Wanted) -> Row | None:
    """The row of a record; None, and each of its faults in the log, where it cannot be used."""
    if record.value is None:
        log.add(record.bad or Bad("not-an-object", ""), record.line, record.raw.decode("utf-8", "replace"))
        return None
    try:
        turns = shaper.turns(record.value)
    except BadRow as error:
        log.add(error.bad, record.line, str(record.value))
        return None
    group = found(record.value, wanted.group) if wanted.group else None
    faults = [*structure(turns), *_group_fault(group, named, wanted)]
    for bad in {bad.code: bad for bad in reversed(faults)}.values():
        log.add(bad, record.line, str(record.value))
    if faults:
        return None
    named_group = str(group) if isinstance(group, str | int) and group != "" else None
    return Row(messages=turns, line=record.line, file=named.name, group=named_group)


def _group_fault(group: Any, named: Named, wanted: Wanted) -> Iterator[Bad]:
    """Only the file that is split needs the group of each row."""
    if wanted.group and wanted.split and named.part == "train" and (group == "" or not isinstance(group, str | int)):
        yield Bad("missing-group", f"no text or whole number under {wanted.group!r}")


def _stops(unreadable: Sequence[DataError], broken: Sequence[Read], wanted: Wanted) -> DataError:
    """One error for all that is wrong."""
    lines = [error.message for error in unreadable]
    for read in broken:
        lines.append(f"{read.named.path}: {read.bad:,} of {read.source.rows:,} rows cannot be used")
        for fault in read.faults:
            if fault.severity == "error":
                lines.append(f"  {fault.reason} ({fault.code}: {fault.count:,})")
                lines += [f"    {read.named.path}:{one.place.line}: {one.detail}" for one in fault.examples]
    if wanted.drop and broken:
        lines.append("more than half of a file would be left out: it is not the file that was meant, or was misread")
    hint = next((error.hint for error in unreadable if error.hint), "") or _mend(broken, wanted)
    return DataError("\n".join(lines), hint)


def _mend(broken: Sequence[Read], wanted: Wanted) -> str:
    if wanted.drop:
        return "look at one row: " + shlex.join(["head", "-n", "1", str(broken[0].named.path)])
    for read in broken:
        coded = sum(fault.count for fault in read.faults if fault.code == "not-utf8")
        if coded > MOST_LEFT_OUT * read.bad and read.source.format != "parquet":
            return to_utf8(read.named.path)
    if any(read.bad > MOST_LEFT_OUT * read.source.rows for read in broken):
        return f"mend these rows; to read them in another shape: --set data.shape=sharegpt (one of {', '.join(KEYS)})"
    return "mend these rows, or leave them out: --set data.on_bad_row=drop"
