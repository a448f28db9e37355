"""What `launch data` shows: what was read, what is wrong and where, what was taken out and why, lengths and spread."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from textwrap import wrap
from typing import TYPE_CHECKING

from launcher import wire
from launcher.answers import printable
from launcher.display import LABEL, fit, folded
from launcher.job_data import PRIVATE
from launcher.tables import left, right, table

if TYPE_CHECKING:  # for start-up time
    from jobs.checked_data import Checked
    from jobs.qlora.dataset.report import Conflict, DataReport, Dropped, Fault, Place
    from launcher.wire import Json

SHOWN_PAIRS, SHOWN_CONFLICTS, SHOWN_CLUSTERS = 3, 3, 3
"""Of each kind, where `-v` does not ask for all that the report holds."""
STAGES = {
    "bad": ("broken", "the row cannot be used"),
    "exact": ("repeat", "the same after normalising; the first stays"),
    "near": ("repeat", "close by embedding, and the answers agree; the first stays"),
    "leak": ("leak", "also stands in what is tested on"),
    "select": ("not selected", "rows that differ more from each other were chosen"),
}
"""A stage that takes rows out: what they are then, and why they go."""


def document(found: "Checked", at: datetime) -> "dict[str, Json]":
    """One JSON document: the data report (docs/data.md), under the usual head."""
    return {**wire.head("data", at, ""), "job": found.loaded.spec.name, **found.report.document()}


def page(found: "Checked", width: int, *, verbose: bool = False) -> str:
    """All of it for a person, below 80 columns; texts of rows are shortened and made printable."""
    report = found.report
    parts = [
        _title(found, width),
        _parts(report, width),
        *(_fault(fault, width) for fault in _worst_first(report.faults)),
        _taken_out(report, width, verbose=verbose),
        _conflicts(report, width, verbose=verbose),
        "\n".join(_facts(report, width, verbose=verbose)),
        _next(found),
    ]
    return "\n\n".join(part for part in parts if part)


def _title(found: "Checked", width: int) -> str:
    report = found.report
    rows = sum(source.rows for source in report.sources)
    lines = wrap(f"{found.loaded.spec.name} · {rows:,} rows read", width)
    for source in report.sources:
        told = f"{source.part}: {printable(source.file)}, {source.rows:,} rows, {source.format}, {source.shape}"
        lines += wrap(told, width - 2, initial_indent="  ", subsequent_indent="    ")
    return "\n".join(lines)


def _parts(report: "DataReport", width: int) -> str:
    """Each part as it is shipped: rows, answers, and how long the rows are, in tokens where they could be counted."""
    tokens = {one.part: one for one in report.tokens}
    counted = bool(tokens)
    unit = "tokens" if counted else "characters"
    columns = (
        left("part"), right("rows"), right("answers"), right("tokens", 2), right(f"{unit}: median"), right("95 %"),
        right("longest"),
    )  # fmt: skip
    rows = []
    for part in report.parts:
        own = tokens.get(part.part)
        if own is not None:
            sizes = [f"{one:,}" for one in (own.tokens, own.median, own.p95, own.longest)]
        elif counted:
            sizes = [""] * 4
        else:
            sizes = ["", *(f"{n:,}" for n in (part.median_characters, part.p95_characters, part.longest_characters))]
        rows.append([part.part, f"{part.rows:,}", f"{part.answers:,}", *sizes])
    return table(columns, rows, width)


# Faults


def _worst_first(faults: "Sequence[Fault]") -> "list[Fault]":
    return sorted(faults, key=lambda fault: (fault.severity != "error", fault.part, fault.code))


def _fault(fault: "Fault", width: int) -> str:
    """One kind: how many, what it is, what becomes of them, and its first rows."""
    many = f"{fault.count:,} {'row' if fault.count == 1 else 'rows'} of {fault.part}"
    effect = "the job is refused" if fault.effect == "stops" else fault.effect
    head = f"{fault.severity}: {many}: {fault.reason} ({fault.code}; {effect})"
    lines = wrap(head, width, subsequent_indent="  ", break_on_hyphens=False)
    for one in fault.examples:
        detail = f"  {_place(one.place)}  {printable(one.detail)}".rstrip()
        lines += [fit(detail, width), fit(f"    {printable(one.text)}", width)]
    more = fault.count - len(fault.examples)
    return "\n".join([*lines, *([f"  ... and {more:,} more"] if more > 0 and fault.examples else [])])


def _place(place: "Place") -> str:
    return f"{printable(place.file)}:{place.line}"


# What was taken out


def _taken_out(report: "DataReport", width: int, *, verbose: bool) -> str:
    lines = []
    for stage, (what, why) in STAGES.items():
        removed = [one for one in report.removed if one.stage == stage]
        if not removed:
            continue
        counts = ", ".join(f"{one.count:,} of {one.part}" for one in removed)
        lines += wrap(f"taken out: {what}, {counts} ({why})", width, subsequent_indent="  ")
        pairs = [one for one in report.pairs if one.stage == stage]
        shown = pairs if verbose else pairs[:SHOWN_PAIRS]
        lines += [line for pair in shown for line in _pair(pair, width)]
        more = sum(one.count for one in removed) - len(shown)
        lines += [f"  ... and {more:,} more, all in dropped.jsonl of a run"] if shown and more > 0 else []
    return "\n".join(lines)


def _pair(pair: "Dropped", width: int) -> Iterator[str]:
    close = f"{pair.similarity:.2f}" if pair.similarity < 1 else "same"
    yield fit(f"  {close}  {_place(pair.dropped)}  {printable(pair.dropped_text)}", width)
    if pair.kept.line:
        yield fit(f"   for  {_place(pair.kept)}  {printable(pair.kept_text)}", width)


def _conflicts(report: "DataReport", width: int, *, verbose: bool) -> str:
    """Rows that ask the same and are answered differently: nothing was done, since only a person can."""
    if not report.conflict_count:
        return ""
    many = "1 question is" if report.conflict_count == 1 else f"{report.conflict_count:,} questions are"
    lines = wrap(f"conflicts: {many} answered in more than one way (kept: you decide)", width, subsequent_indent="  ")
    shown = report.conflicts if verbose else report.conflicts[:SHOWN_CONFLICTS]
    lines += [line for one in shown for line in _conflict(one, width)]
    more = report.conflict_count - len(shown)
    return "\n".join([*lines, *([f"  ... and {more:,} more, all in conflicts.jsonl of a run"] if more > 0 else [])])


def _conflict(conflict: "Conflict", width: int) -> Iterator[str]:
    yield fit(f"  {printable(conflict.prompt)}", width)
    for place, target in zip(conflict.places, conflict.targets, strict=False):
        yield fit(f"    {_place(place)}  {printable(target)}", width)


# The facts below


def _facts(report: "DataReport", width: int, *, verbose: bool) -> Iterator[str]:
    yield from _spread(report, width, verbose=verbose)
    if report.threshold_means:
        told = (
            [f"{report.embedder} embeddings", report.threshold_means] if verbose else [f"cosine {report.threshold:g}"]
        )
        yield folded("the same", [*told, "" if verbose else f"from {report.embedder} embeddings on"], width)
    if report.template:
        yield folded("template", [printable(report.template)], width)
    if report.private:
        yield folded("privacy", [PRIVATE], width)
    for at, note in enumerate(report.notes):
        yield folded("" if at else "notes", [printable(note)], width)


def _spread(report: "DataReport", width: int, *, verbose: bool) -> Iterator[str]:
    found = report.diversity
    if found is None:
        return
    as_varied = f"as varied as {found.effective:.0f} of equal size"
    largest = f"the largest holds {found.largest_share:.0%}"
    yield folded("spread", [f"{found.clusters:,} clusters in {found.rows:,} training rows", as_varied, largest], width)
    for name, clusters in (("common", found.largest), ("rare", found.rare)):
        shown = clusters if verbose else clusters[:SHOWN_CLUSTERS]
        for at, one in enumerate(shown):
            head = f"{'' if at else name:<{LABEL - 2}}  "
            yield fit(f"{head}{one.size:>5,}  {_place(one.place)}  {printable(one.text)}", width)


def _next(found: "Checked") -> str:
    codes = {code for code, _ in groupby(sorted(fault.code for fault in found.stopping))}
    if codes:
        return f"next  mend what refuses the job ({', '.join(sorted(codes))}), then launch data"
    return f"next  launch estimate --job {found.loaded.file}"
