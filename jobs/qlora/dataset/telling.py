"""Write the parts, and the account of what was found in the data and done to it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from math import ceil
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from ..job import PARTS, sha256, write_text
from .faults import Log
from .records import Bad
from .report import Conflict, DataReport, Dropped, Fault, PartSize, Removed
from .rows import Row, written

if TYPE_CHECKING:
    from .curate import Work

SHOWN = 20
"""Pairs of each stage, and conflicts, in the report; all of them stand in dropped.jsonl and conflicts.jsonl."""
REPORT, DROPPED, CONFLICTS = "report.json", "dropped.jsonl", "conflicts.jsonl"
_STAGES = ("bad", "exact", "near", "leak", "select")


def forget(into: Path) -> None:
    """Make room for new parts; the report goes first, since it says that all is whole."""
    for name in (REPORT, DROPPED, CONFLICTS, *(f"{part}.jsonl" for part in PARTS)):
        (into / name).unlink(missing_ok=True)
    for path in (into / "adjacent").glob("*.jsonl"):
        path.unlink()


def write_parts(into: Path, parts: Mapping[str, Sequence[Row]]) -> tuple[PartSize, ...]:
    """Each part with rows as JSONL; how large it is."""
    sizes = []
    for part, rows in parts.items():
        if rows:
            path = into / f"{part}.jsonl"
            write_text(path, written(rows))
            sizes.append(_size(part, rows, sha256(path)))
    return tuple(sizes)


def _size(part: str, rows: Sequence[Row], digest: str) -> PartSize:
    characters = sorted(row.characters for row in rows)
    return PartSize(
        part=part,
        rows=len(rows),
        answers=sum(row.answers for row in rows),
        median_characters=round(median(characters)),
        p95_characters=characters[ceil(0.95 * len(characters)) - 1],
        longest_characters=characters[-1],
        sha256=digest,
    )


def tell_all(into: Path, work: Work, made: tuple[PartSize, ...], *, private: bool) -> DataReport:
    """Write dropped.jsonl, conflicts.jsonl and, last, report.json."""
    near = work.near
    threshold = None if near is None else work.asked.threshold or near.threshold
    report = DataReport(
        sources=tuple(read.source for read in work.read.values()),
        parts=made,
        faults=(*(fault for read in work.read.values() for fault in read.faults), *_shared_groups(work)),
        removed=_removed(work),
        pairs=tuple(_first(work.dropped)),
        conflict_count=len(work.conflicts),
        conflicts=work.conflicts[:SHOWN],
        diversity=work.diversity,
        deduplicated_by=work.asked.by,
        embedder="" if work.space is None else work.space.name,
        threshold=threshold,
        threshold_means=_meaning(threshold, own=work.asked.threshold is None),
        selected=work.asked.select,
        split_seed=work.seed,
        private=private,
        notes=tuple(_notes(work)),
    )
    write_text(into / DROPPED, _lines(work.dropped))
    write_text(into / CONFLICTS, _lines(work.conflicts))
    write_text(into / REPORT, report.text())
    return report


def _removed(work: Work) -> tuple[Removed, ...]:
    counts = Counter({("bad", part): read.bad for part, read in work.read.items()})
    counts.update((one.stage, one.part) for one in work.dropped)
    order = list(work.read) + [part for part in PARTS if part not in work.read]
    places = sorted(counts, key=lambda at: (_STAGES.index(at[0]), order.index(at[1])))
    return tuple(Removed(stage=at[0], part=at[1], count=counts[at]) for at in places if counts[at])


def _first(dropped: Iterable[Dropped]) -> Iterator[Dropped]:
    seen: Counter[str] = Counter()
    for one in dropped:
        seen[one.stage] += 1
        if seen[one.stage] <= SHOWN:
            yield one


def _shared_groups(work: Work) -> tuple[Fault, ...]:
    """Groups on both sides of a test file that was given: no split kept them apart."""
    groups = {row.group for row in work.parts["test"]} - {None}
    log = Log("train", work.read["train"].named.name)
    for row in work.parts["train"]:
        if row.group in groups:
            bad = Bad("shared-group", f"{work.asked.split.group}: {row.group} stands in the test file too")
            log.add(bad, row.line, row.messages[-2][1])
    return log.faults("")


def _meaning(threshold: float | None, *, own: bool) -> str:
    if threshold is None:
        return ""
    whence = "measured for this embedder (docs/data.md)" if own else "as the job file sets it"
    return (
        f"questions whose embeddings have a cosine of at least {threshold:g} count as the same, {whence}; "
        "a training row goes only if the answers agree too, and for a leak the question alone decides"
    )


def _notes(work: Work) -> Iterator[str]:
    """What a reader should know besides."""
    for read in work.read.values():
        yield from read.notes
    if any(read.source.shape == "alpaca" for read in work.read.values()):
        yield "alpaca: instruction and input are joined by a blank line"
    yield from _split_notes(work)
    if work.asked.by == "off":
        yield "repeated rows were left in, as the job file says; leaks were still taken out, by the exact question"
    if work.space is None:
        yield "spread was not measured: it needs embeddings, which deduplicate.by: near computes"
    if work.asked.select is not None and len(work.parts["train"]) < work.asked.select:
        yield f"select: {work.asked.select:,} rows were asked for; there are only {len(work.parts['train']):,}"
    yield from _adjacent_notes(work)


def _split_notes(work: Work) -> Iterator[str]:
    total = sum(work.drawn[part] for part in PARTS if part == "train" or part not in work.read)
    for part, share in (("validation", work.asked.split.validation), ("test", work.asked.split.test)):
        count = work.drawn[part]
        if share and part not in work.read and count > 1.5 * share * total:
            yield f"{part}: {count:,} of {total:,} rows are {count / total:.0%}, not {share:.0%}: no less is possible"
        if count and not work.parts[part]:
            yield f"{part}: no row is left, since all of them stand in test too"


def _adjacent_notes(work: Work) -> Iterator[str]:
    trained = {row.question for row in work.parts["train"]}
    for part, read in work.read.items():
        same = sum(row.question in trained for row in read.rows) if part not in PARTS else 0
        if same:
            yield f"{part}: {same:,} of its {len(read.rows):,} questions are trained on: no loss will show in them"


def _lines(values: Iterable[Dropped | Conflict]) -> str:
    return "".join(json.dumps(asdict(value), ensure_ascii=False, sort_keys=True) + "\n" for value in values)
