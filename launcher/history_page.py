"""`launch history` for people, spreadsheets and programs: a table, a plot, and what is learned from it. Pure."""

import csv
import io
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from math import ceil, floor, log10
from textwrap import wrap
from typing import TypeVar

from launcher import wire
from launcher.attempt_records import AttemptRecord, PhaseRecord
from launcher.display import folded, market, money, span
from launcher.history import Compared, History, Score
from launcher.tables import Column, left, right, table
from launcher.wire import Json
from pricing.interval import Interval

Amount = TypeVar("Amount", Decimal, float)
COLUMNS: tuple[Column, ...] = (
    left("run"),
    left("on"),
    left("market", 4),
    right("cost P10  P50  P90"),
    right("cost"),
    right("error"),
    right("time P10  P50  P90", 3),
    right("time", 1),
    right("error", 2),
)
EMPTY = "no run is over yet; after the first one its forecast stands here beside what it came to"
OUTSIDE = " * outside of P10 to P90, where one run in five should be"
SHOWN_RUNS, SHOWN_LEARNED = 20, 6
PLOT_ROWS, PLOT_LEAST, PLOT_MOST = 12, 30, 90
"""Lines of the plot, and columns that it may take beside its labels."""
LABELS = 15
"""Columns that the labels of the vertical axis take."""
PLANNED = "planned"
"""Stands behind the axis where the library would write it, out of the page."""
LEAST_PLOTTED = 2
LEAST_SHARE = 0.01
"""Shares that differ by less read the same."""
CSV_COLUMNS = (
    "run", "name", "at", "provider", "instance_type", "market", "gpu", "model", "method", "outcome", "attempts",
    "counts", "left_out", "planned_usd_low", "planned_usd_expected", "planned_usd_high", "spent_usd", "usd_error",
    "usd_inside", "planned_seconds_low", "planned_seconds_expected", "planned_seconds_high", "actual_seconds",
    "seconds_error", "seconds_inside", "planned_tokens_per_second", "tokens_per_second", "planned_vram_gib",
    "vram_gib",
)  # fmt: skip


def text(found: History, width: int = 80) -> str:
    """All of it for a person; without colour, within `width`."""
    if not found.runs:
        return "\n".join([*wrap(EMPTY, width), "", "next  launch estimate"])
    shown = found.runs[:SHOWN_RUNS]
    parts = [table(COLUMNS, [_row(one) for one in shown], width)]
    if len(found.runs) > len(shown):
        parts.append(f"   ... {len(found.runs) - len(shown)} more (launch history --csv)")
    if any(_is_outside(one) for one in shown):
        parts.append(OUTSIDE)
    parts += ["", *_scores(found, width), *_learned(found, width)]
    plotted = plot(found, width)
    return "\n".join([*parts, *(["", plotted] if plotted else []), "", f"next  launch receipt {found.runs[0].run}"])


def _row(one: Compared) -> list[str]:
    where = one.gpu or "CPU"
    planned = one.planned_usd
    cost = "" if one.usd_error is None else _three((planned.low_usd, planned.expected_usd, planned.high_usd), money)
    if one.left_out:
        return [one.run, where, market(one.market), cost, money(one.spent_usd), one.left_out, _times(one), "", ""]
    return [
        one.run,
        where,
        market(one.market),
        cost,
        "" if one.usd_error is None else money(one.spent_usd),
        "" if one.usd_error is None else _error(one.usd_error, inside=one.usd_inside),
        _times(one),
        span(one.actual_seconds),
        _error(one.seconds_error, inside=one.seconds_inside),
    ]


def _times(one: Compared) -> str:
    planned = one.planned_seconds
    return _three((planned.low, planned.expected, planned.high), span)


def _three(values: tuple[Amount, Amount, Amount], form: Callable[[Amount], str]) -> str:
    return "  ".join(form(one) for one in values)


def _error(error: float, *, inside: bool) -> str:
    return f"{round(error * 100):+d} %{' ' if inside else '*'}"


def _is_outside(one: Compared) -> bool:
    billed = one.usd_error is not None
    return not one.left_out and not (one.seconds_inside and (one.usd_inside or not billed))


def _scores(found: History, width: int) -> list[str]:
    told = [folded(what, _score(one), width) for what, one in (("cost", found.usd), ("time", found.seconds)) if one]
    return told or wrap(
        "none of them counts yet: only a run that did all its work says how good its forecast was", width
    )


def _score(one: Score) -> list[str]:
    runs = "1 run" if one.runs == 1 else f"{one.runs} runs"
    return [
        f"median error {one.median_error * 100:.0f} %",
        f"bias {round(one.bias * 100):+d} %",
        f"inside P10-P90 {one.inside * 100:.0f} %",
        runs,
    ]


def _learned(found: History, width: int) -> list[str]:
    lines = []
    if found.learned:
        told = [f"{one.what} {one.where} x {one.factor:.2f}" for one in found.learned[:SHOWN_LEARNED]]
        more = len(found.learned) - len(told)
        lines.append(folded("next estimate", [*told, *([f"{more} more (--json)"] if more else [])], width))
    if found.memory is not None:
        one = found.memory
        share = f"peak {one.expected:.2f} of what was predicted"
        span_of = [f"from {one.low:.2f} to {one.high:.2f}"] if one.high - one.low >= LEAST_SHARE else []
        lines.append(folded("memory", [share, *span_of], width))
    return lines


# The plot


def plot(found: History, width: int) -> str:
    """Actual against planned on logarithmic axes: dollars, or hours where nothing is billed; "" for too few runs."""
    counted = [one for one in found.runs if not one.left_out]
    billed = [one for one in counted if one.usd_error is not None and one.spent_usd > 0]
    if len(billed) >= LEAST_PLOTTED:
        points = [(_usd(one), float(one.spent_usd)) for one in billed]
        return _plot(points, "dollars", width)
    timed = [(one.planned_seconds.times(1 / 3600), one.actual_seconds / 3600) for one in counted if one.actual_seconds]
    return _plot(timed, "hours", width) if len(timed) >= LEAST_PLOTTED else ""


def _usd(one: Compared) -> Interval:
    planned = one.planned_usd
    return Interval(low=float(planned.low_usd), expected=float(planned.expected_usd), high=float(planned.high_usd))


def _plot(points: Sequence[tuple[Interval, float]], unit: str, width: int) -> str:
    import plotille  # here for start-up time: only this command plots

    ends = [end for planned, actual in points for end in (planned.low, planned.high, actual) if end > 0]
    least, most = floor(log10(min(ends)) * 4) / 4, ceil(log10(max(ends)) * 4) / 4
    figure = plotille.Figure()
    figure.width = max(PLOT_LEAST, min(PLOT_MOST, width - LABELS))
    figure.height = PLOT_ROWS
    figure.with_colors, figure.origin = False, False
    figure.x_label, figure.y_label = PLANNED, "actual"
    figure.set_x_limits(min_=least, max_=most)
    figure.set_y_limits(min_=least, max_=most)
    figure.register_label_formatter(float, _label)
    figure.plot([least, most], [least, most])
    for planned, actual in points:
        height = log10(actual)
        figure.plot([max(least, log10(planned.low or actual)), log10(planned.high)], [height, height])
        figure.scatter([log10(planned.expected)], [height], marker="o")
    drawn = "\n".join(line.removesuffix(f"> ({PLANNED})").rstrip(" ⠀") for line in figure.show().splitlines())
    keys = f"{unit}, actual over planned: o is a run, its line P10 to P90; where it held, the diagonal crosses that"
    return "\n".join([drawn, *wrap(keys, width)])


def _label(value: float, chars: int, delta: float, left: bool = False) -> str:
    """A tick of a logarithmic axis, in dollars or hours."""
    del delta
    shown = f"{10**value:.2g}"
    return f"{shown:<{chars}}" if left else f"{shown:>{chars}}"


# For programs


def document(found: History, at: datetime) -> dict[str, Json]:
    """`--json`: every run with its machines and phases, the scores, and what is learned."""
    return {
        **wire.head("history", at, ""),
        "runs": [_run(one) for one in found.runs],
        "cost": _score_document(found.usd),
        "time": _score_document(found.seconds),
        "learned": [
            {"what": one.what, "where": one.where, "factor": round(one.factor, 4), "runs": one.runs}
            for one in found.learned
        ],
        "memory": None if found.memory is None else _shares(found.memory),
    }


def _shares(one: Interval) -> dict[str, Json]:
    return {"low": round(one.low, 3), "expected": round(one.expected, 3), "high": round(one.high, 3)}


def _score_document(one: Score | None) -> Json:
    if one is None:
        return None
    return {
        "runs": one.runs,
        "median_error": round(one.median_error, 4),
        "bias": round(one.bias, 4),
        "inside": round(one.inside, 4),
    }


def _run(one: Compared) -> dict[str, Json]:
    return {
        "run": one.run,
        "name": one.name,
        "at": wire.instant(one.at),
        "provider": one.provider,
        "instance_type": one.instance_type,
        "market": one.market,
        "gpu": one.gpu or None,
        "model": one.model,
        "method": one.method,
        "outcome": one.outcome,
        "attempts": one.attempts,
        "counts": not one.left_out,
        "left_out": one.left_out,
        "planned_usd": wire.dollars(one.planned_usd),
        "spent_usd": wire.usd(one.spent_usd),
        "usd_error": _rounded(one.usd_error),
        "usd_inside": one.usd_inside,
        "planned_seconds": wire.interval(one.planned_seconds),
        "actual_seconds": round(one.actual_seconds, 1),
        "seconds_error": _rounded(one.seconds_error),
        "seconds_inside": one.seconds_inside,
        "planned_tokens_per_second": round(one.planned_tokens_per_second, 1),
        "tokens_per_second": _rounded(one.tokens_per_second),
        "planned_vram_gib": round(one.planned_vram_gib, 3),
        "vram_gib": _rounded(one.vram_gib),
        "machines": [_machine(machine) for machine in one.machines],
    }


def _rounded(value: float | None) -> Json:
    return None if value is None else round(value, 4)


def _machine(one: AttemptRecord) -> dict[str, Json]:
    return {
        "attempt": one.attempt,
        "had_machine": one.had_machine,
        "finished": one.finished,
        "provider": one.provider,
        "instance_type": one.instance_type,
        "gpu": one.gpu or None,
        "parameters": one.parameters,
        "max_length": one.max_length,
        "micro_batch": one.micro_batch,
        "steps": one.steps,
        "first_step": one.first_step,
        "last_step": one.last_step,
        "step_seconds": _rounded(one.step_seconds),
        "phases": [_phase(phase) for phase in one.phases],
    }


def _phase(one: PhaseRecord) -> dict[str, Json]:
    low, expected, high = one.planned_low_seconds, one.planned_seconds, one.planned_high_seconds
    return {
        "name": one.name,
        "planned_seconds": {"low": round(low, 1), "expected": round(expected, 1), "high": round(high, 1)},
        "planned_usd": wire.usd(Decimal(one.planned_usd)),
        "factor": round(one.factor, 4),
        "actual_seconds": _rounded(one.actual_seconds),
        "whole_seconds": _rounded(one.whole_seconds),
    }


def as_csv(found: History) -> str:
    """`--csv`: one line a run; intervals as three columns, nothing of single machines and phases."""
    out = io.StringIO()
    writer = csv.DictWriter(out, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_flat(_run(one)) for one in found.runs)
    return out.getvalue()


def _flat(run: dict[str, Json]) -> dict[str, Json]:
    flat: dict[str, Json] = {}
    for name, value in run.items():
        if isinstance(value, dict):
            flat |= {f"{name}_{part}": end for part, end in value.items()}
        elif not isinstance(value, list):
            flat[name] = value
    return flat
