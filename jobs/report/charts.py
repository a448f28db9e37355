"""Small charts as inline SVG, drawn here: lines with axes, dots with intervals, bars.

Own code and no library, for three reasons that were looked at. The SVG of matplotlib is 20 to 60 kB a chart, with its
texts as outlines in fixed colours: it neither follows dark mode nor is read aloud. pygal puts a script and a link to
one into each chart, which the page's policy forbids, and scales its texts with the chart, to 5 px on a phone. What is
needed here is a polyline, some ticks and a dot.

So that texts stay readable on a phone, they are HTML beside the drawing, placed in per cent; only the drawing itself
is stretched (lines keep their width by `vector-effect`). Colours are CSS variables: one drawing for light and dark.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from jobs.report.markup import join, number

MOST_POINTS = 400
"""Of a curve: more would not be seen on a line that is 600 px long."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """From `low` to `high`, with its ticks; `at` is a place in per cent from the beginning. `log`: by powers."""

    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    def at(self, value: float) -> float:
        """Where a value stands, in per cent; what lies outside stands at the edge."""
        inside = min(self.high, max(self.low, value))
        if self.log:
            share = math.log(inside / self.low) / math.log(self.high / self.low)
        else:
            share = (inside - self.low) / (self.high - self.low)
        return round(100 * share, 2)

    def label(self, value: float) -> str:
        """A tick's text: as many digits as tell the ticks apart."""
        if value == 0:
            return "0"
        if abs(value) < 1e-3:
            digits, power = f"{value:.1e}".split("e")
            return f"{digits.removesuffix('.0')}e−{abs(int(power))}"
        step = abs(value) if self.log else min((b - a for a, b in pairwise(self.ticks)), default=1.0)
        digits_behind = next((n for n in range(9) if abs(round(step, n) - step) < 1e-6 * step), 9)
        return number(value, digits_behind)


SHARES = Scale(low=0.0, high=1.0, ticks=(0.0, 0.25, 0.5, 0.75, 1.0))
"""Of what lies between 0 and 1."""


def scale(values: Sequence[float], *, zero: bool = False, tight: bool = False) -> Scale:
    """A scale around those values whose ticks are 1, 2 or 5 times a power of ten (Heckbert 1990, "nice numbers").

    It ends at a tick, or with `tight` at the last value. `zero`: zero is on it.
    """
    low, high = min(values), max(values)
    if zero:
        low, high = min(0.0, low), max(0.0, high)
    if not high - low > 1e-12 * max(abs(high), abs(low), 1e-12):
        room = max(abs(low), abs(high)) / 2
        low, high = (low - room, high + room) if room > 1e-12 else (-0.5, 0.5)
    step = _nice((high - low) / TICKS)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(step * at for at in range(first, last + 1))
    if not tight:
        return Scale(low=ticks[0], high=ticks[-1], ticks=ticks)
    edge = 1e-9 * (high - low)
    return Scale(low=low, high=high, ticks=tuple(tick for tick in ticks if low - edge <= tick <= high + edge))


TICKS = 4
"""At most about so many spaces between ticks: what has room on a phone."""


def _nice(rough: float) -> float:
    power = float(10.0 ** math.floor(math.log10(rough)))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))


LOG_FROM = 8.0
"""The highest over the lowest value from which a loss is drawn by powers: its end would be a flat line (assumed)."""


def powers(values: Sequence[float]) -> Scale | None:
    """A scale by powers with ticks at 1, 2 and 5; None where the values are too near each other, or not positive."""
    low, high = min(values), max(values)
    if low <= 0 or high / low < LOG_FROM or high / low > 1e9:
        return None
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    few = (1,) if last - first > 3 else (1, 2, 5)
    ticks = tuple(factor * 10.0**power for power in range(first, last + 1) for factor in few)
    return Scale(low=low, high=high, ticks=tuple(tick for tick in ticks if low <= tick <= high), log=True)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One curve: its name in the legend, its points (step, value), and its colour, by the name of a CSS class."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: str = "tuned"


Mark = tuple[float, float, str]
"""A point on a curve (step, value) and what it is."""


def lines(
    title: str, unit: str, curves: Sequence[Line], *, mark: Mark | None = None, by_powers: bool = False
) -> Markup:
    """Curves over training steps; nothing where none has two points. `by_powers`: where the values are far apart."""
    drawn = [curve for curve in curves if len(curve.points) > 1]
    if not drawn:
        return Markup("")
    across = scale([step for curve in drawn for step, _ in curve.points], zero=True, tight=True)
    values = [value for curve in drawn for _, value in curve.points]
    up = (powers(values) if by_powers else None) or scale(values)
    grid = join(
        Markup('<line class="grid" x1="0" x2="100%" y1="{0}%" y2="{0}%"/>').format(100 - up.at(t)) for t in up.ticks
    )
    paths = join(_path(curve, across, up) for curve in drawn)
    dots = Markup("")
    if mark is not None:
        step, value, what = mark
        place = (across.at(step), 100 - up.at(value))
        dots = Markup('<circle class="mark" cx="{}%" cy="{}%" r="5"><title>{}</title></circle>').format(*place, what)
    said = f"{title} by step: " + "; ".join(
        f"{c.name} from {c.points[0][1]:.4g} to {c.points[-1][1]:.4g}" for c in drawn
    )
    return Markup(
        '<figure class="chart"><figcaption><b>{}</b>{}{}</figcaption><div class="axes"><div class="ys">{}</div>'
        '<svg class="plot" role="img" aria-label="{}">{}'
        '<svg viewBox="0 0 1000 1000" preserveAspectRatio="none">{}</svg>'
        '{}</svg><div class="xs">{}</div></div></figure>\n'
    ).format(
        title,
        " ".join(["", *([unit] if unit else []), *(["(logarithmic)"] if up.log else [])]),
        _legend(drawn, mark),
        _ys(up),
        said,
        grid,
        paths,
        dots,
        _xs(across, "step"),
    )


def _path(curve: Line, across: Scale, up: Scale) -> Markup:
    points = " ".join(f"{10 * across.at(x):g},{1000 - 10 * up.at(y):g}" for x, y in thinned(curve.points))
    return Markup('<polyline class="{}" points="{}"/>').format(curve.colour, points)


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `MOST_POINTS`: of each stretch the lowest and the highest, so that no spike is lost."""
    if len(points) <= MOST_POINTS:
        return list(points)
    stride = -(-len(points) // (MOST_POINTS // 2))
    kept: list[tuple[float, float]] = []
    for start in range(0, len(points), stride):
        some = points[start : start + stride]
        kept += sorted({min(some, key=lambda point: point[1]), max(some, key=lambda point: point[1])})
    return kept


def _legend(drawn: Sequence[Line], mark: Mark | None) -> Markup:
    """Names beside their colours, where there are two curves or a mark."""
    if len(drawn) == 1 and mark is None:
        return Markup("")
    keys = [Markup('<span class="key"><i class="{}"></i>{}</span>').format(curve.colour, curve.name) for curve in drawn]
    if mark is not None:
        keys.append(Markup('<span class="key"><i class="mark"></i>{}</span>').format(mark[2]))
    return Markup('<span class="keys">{}</span>').format(join(keys))


def _ys(up: Scale) -> Markup:
    return join(Markup('<span style="bottom:{}%">{}</span>').format(up.at(t), up.label(t)) for t in up.ticks)


def _xs(across: Scale, unit: str) -> Markup:
    """The last tick carries the unit."""
    texts = [across.label(tick) for tick in across.ticks]
    texts[0] = f"{unit} {texts[0]}"
    return join(
        Markup('<span class="{}" style="left:{}%">{}</span>').format(_edge(place), place, said)
        for place, said in ((across.at(tick), said) for tick, said in zip(across.ticks, texts, strict=True))
    )


def _edge(place: float) -> str:
    """Labels at the ends stay inside the drawing."""
    return "first" if place < 5 else "last" if place > 95 else "mid"


def dot(value: float, low: float | None, high: float | None, by: Scale, colour: str) -> Markup:
    """A dot with its interval in a table's cell; grid lines at the ticks join those of the rows above and below."""
    spread = Markup("")
    if low is not None and high is not None:
        spread = Markup('<line class="spread {}" x1="{}%" x2="{}%" y1="50%" y2="50%"/>').format(
            colour, by.at(low), by.at(high)
        )
    return Markup(
        '<svg class="dot" aria-hidden="true">{}{}<circle class="{}" cx="{}%" cy="50%" r="4.5"/></svg>'
    ).format(_grid(by), spread, colour, by.at(value))


def _grid(by: Scale) -> Markup:
    """Vertical lines at the ticks; zero is stronger where the scale goes through it."""
    return join(
        Markup('<line class="{0}" x1="{1}%" x2="{1}%" y1="0" y2="100%"/>').format(
            "zero" if tick == 0 and by.low < 0 else "grid", by.at(tick)
        )
        for tick in by.ticks
    )


def axis(by: Scale) -> Markup:
    """The ticks' texts under a column of dots; on a phone every other one (class "odd") is hidden."""
    return Markup('<div class="xs">{}</div>').format(
        join(
            Markup('<span class="mid{}" style="left:{}%">{}</span>').format(
                " odd" if at % 2 else "", by.at(tick), by.label(tick)
            )
            for at, tick in enumerate(by.ticks)
        )
    )


def bar(share: float, colour: str = "tuned") -> Markup:
    """A bar in a table's cell, `share` of its width long."""
    width = 100 * min(1.0, max(0.0, share))
    return Markup('<svg class="bar" aria-hidden="true"><rect class="{}" width="{:.2f}%" height="100%"/></svg>').format(
        colour, width
    )


def planned_and_taken(planned: float | None, taken: float, most: float) -> Markup:
    """Two thin bars in a cell, one over the other: what was planned, what it took."""
    upper = (
        Markup("")
        if planned is None
        else Markup('<rect class="plan" width="{:.2f}%" y="2" height="6"/>').format(100 * planned / most)
    )
    return Markup(
        '<svg class="bar two" aria-hidden="true">{}<rect class="tuned" width="{:.2f}%" y="10" height="6"/></svg>'
    ).format(upper, 100 * taken / most)


def stack(parts: Sequence[tuple[int, str, str]]) -> Markup:
    """One bar of several counts: (count, colour, name)."""
    total = sum(count for count, _, _ in parts) or 1
    rects = join(_stacked(parts, total))
    return Markup('<svg class="bar stack" aria-hidden="true">{}</svg>').format(rects)


def _stacked(parts: Sequence[tuple[int, str, str]], total: int) -> Iterator[Markup]:
    start = 0
    for count, colour, name in parts:
        yield Markup('<rect class="{}" x="{:.2f}%" width="{:.2f}%" height="100%"><title>{}: {}</title></rect>').format(
            colour, 100 * start / total, 100 * count / total, name, count
        )
        start += count
