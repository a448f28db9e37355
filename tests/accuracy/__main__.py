"""`make accuracy`: how far predictions of memory and time are off, on sources that no constant was fitted on."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pricing.memory import sure_gib
from tests.accuracy import judge, rivals
from tests.accuracy.judge import Fits, Score, fits, fits_on_own_card, memory_ratios, score, time_ratios
from tests.accuracy.points import Point, memory_points, points, time_points

RESIDUALS = Path(__file__).with_name("residuals.csv")
Ratios = Sequence[tuple[Point, float]]


def main() -> None:
    """Print the table of docs/accuracy.md, and with `--write` the residuals for the simulation of runs."""
    if "--write" in sys.argv[1:]:
        RESIDUALS.write_text(residuals())
    print(table())


def table() -> str:
    """All of it, as Markdown."""
    return "\n\n".join((_time(), _memory(), _fits(), _rivals(), _left_out()))


def summary() -> str:
    """The few lines of it that README.md shows."""
    times, sizes = score(time_ratios("source")), score(memory_ratios())
    found = fits(memory_points(), lambda row: sure_gib(row.workload))
    inside = judge.covered()
    share = sum(held for _, held in inside) / len(inside)
    lines = (
        "| on published runs, each predicted without its own source | runs | median error | P90 error |",
        "|---|---:|---:|---:|",
        f"| time | {times.n} | {times.median:.0%} | {times.p90:.0%} |",
        *(f"| time, by {name} | {one.n} | {one.median:.0%} | {one.p90:.0%} |" for name, one in _best_rival(_times())),
        f"| peak memory | {sizes.n} | {sizes.median:.0%} | {sizes.p90:.0%} |",
        *(
            f"| peak memory, by {name} | {one.n} | {one.median:.0%} | {one.p90:.0%} |"
            for name, one in _best_rival(_sizes())
        ),
        "",
        f"{share:.0%} of them took a time inside P10-P90. Of pairs of a run and a card of {judge.CARDS_GIB[0]} to",
        f"{judge.CARDS_GIB[-1]} GiB that it did not fit, {found.false_fits} were said to; of those that it did fit,",
        f"{found.refused / found.fitted:.0%} were refused.",
    )
    return "\n".join(lines)


def residuals() -> str:
    """Measured over predicted, each without its own source."""
    lines = ["kind,group,ratio"]
    for kind, ratios in (("time", time_ratios("source")), ("memory", memory_ratios())):
        lines += [f"{kind},{point.source},{1 / ratio:.4f}" for point, ratio in ratios]
    return "\n".join(lines) + "\n"


def _time() -> str:
    by_source, by_card = time_ratios("source"), time_ratios("gpu_name")
    told = [pair for pair in by_source if not pair[0].is_hours]
    rows = [
        _row("all, leave one source out", score(by_source)),
        _row("tokens/s told", score(told)),
        _row("a whole run's hours told", score([pair for pair in by_source if pair[0].is_hours])),
        _row("all, leave one GPU out", score(by_card)),
        *_grouped(by_source, lambda point: point.source, "source"),
        *_grouped(by_card, lambda point: point.gpu_name, "GPU"),
        *_grouped(by_source, _quantisation, "weights"),
    ]
    rows.append(_row("mixtures of experts, of which nothing was fitted", score(judge.mixture_ratios())))
    inside = judge.covered()
    share = sum(held for _, held in inside) / len(inside)
    text = f"Inside P10-P90, constants and width fitted without the source: {share:.0%} of {len(inside)} runs."
    return _headed("Time of a micro-step, predicted against measured", rows) + "\n\n" + text


def _memory() -> str:
    ratios = memory_ratios()
    rows = [
        _row("all, leave one source out", score(ratios)),
        *_grouped(ratios, lambda point: point.source, "source"),
        *_grouped(ratios, lambda point: point.gpu_name, "GPU"),
        *_grouped(ratios, _quantisation, "weights"),
    ]
    return _headed("Peak memory, predicted against measured", rows)


def _fits() -> str:
    rows = memory_points()
    usual = fits(rows, lambda row: sure_gib(row.workload))
    own = fits_on_own_card(rows)
    without = [_without(source) for source in sorted({row.source for row in rows})]
    nested = Fits(
        false_fits=sum(one.false_fits for one in without),
        refused=sum(one.refused for one in without),
        fitted=sum(one.fitted for one in without),
    )
    cards = ", ".join(map(str, judge.CARDS_GIB))
    lines = (
        f"| Fits or not, at the default margin, on cards of {cards} GiB | false fits | did fit and were refused |",
        "|---|---:|---:|",
        _fit_row("every run on every such card", usual),
        _fit_row("every run on the card that it ran on", own),
        _fit_row("every run on every such card, margin chosen without its source", nested),
    )
    return "\n".join(lines)


def _without(source: str) -> Fits:
    """Runs of a source, by the margin that the others alone would have led to."""
    constants = judge.margin_without(source)
    return fits([row for row in memory_points() if row.source == source], lambda row: sure_gib(row.workload, constants))


def _fit_row(name: str, one: Fits) -> str:
    return f"| {name} | {one.false_fits} | {one.refused} of {one.fitted} ({one.refused / one.fitted:.0%}) |"


def _rivals() -> str:
    """What a person would use instead, on the same runs; ours once more, for the eye."""
    lines = [_row("this, leave one source out", score(time_ratios("source")))]
    lines += [_row(name, one) for name, one in _rival_scores(_times())]
    more = [_row("this, leave one source out", score(memory_ratios()))]
    more += [_row(name, one) for name, one in _rival_scores(_sizes())]
    return (
        _headed("Time: what a person would use instead", lines)
        + "\n\n"
        + _headed("Memory: what a person would use instead", more)
    )


Asked = Sequence[tuple[Point, dict[str, float | None], float]]
"""Points with what each rival says of them, and what was measured."""


def _times() -> Asked:
    return [(point, rivals.seconds(point), point.micro_step_seconds or 1.0) for point in time_points()]


def _sizes() -> Asked:
    return [(point, rivals.memory(point), point.memory_gib or 1.0) for point in memory_points()]


def _rival_scores(asked: Asked) -> list[tuple[str, Score]]:
    names = list(dict.fromkeys(name for _, answers, _ in asked for name in answers))
    found = []
    for name in names:
        ratios = [(point, said / true) for point, answers, true in asked if (said := answers.get(name)) is not None]
        if ratios:
            found.append((name, score(ratios)))
    return found


def _best_rival(asked: Asked) -> list[tuple[str, Score]]:
    return sorted(_rival_scores(asked), key=lambda pair: pair[1].median)[:1]


def _left_out() -> str:
    """How many rows of the file are not in the tables, and why."""
    counts: dict[str, int] = {}
    for point in points():
        if point.memory_says and point.time_says:
            why = point.time_says if point.memory_says == "no memory told" else point.memory_says
            counts[why] = counts.get(why, 0) + 1
    listed = "; ".join(f"{why}: {count}" for why, count in sorted(counts.items(), key=lambda item: -item[1]))
    return f"Of {len(points())} rows of `measured.csv`, {sum(counts.values())} are in no table ({listed})."


def _headed(title: str, rows: Sequence[str]) -> str:
    head = f"| {title} | runs | sources | median error | P90 error | too low |"
    return "\n".join((head, "|---|---:|---:|---:|---:|---:|", *rows))


def _grouped(ratios: Ratios, key: Callable[[Point], str], what: str) -> list[str]:
    groups = sorted({key(point) for point, _ in ratios})
    return [_row(f"{what} {name}", score([pair for pair in ratios if key(pair[0]) == name])) for name in groups]


def _row(name: str, one: Score) -> str:
    return f"| {name} | {one.n} | {one.sources} | {one.median:.0%} | {one.p90:.0%} | {one.low:.0%} |"


def _quantisation(point: Point) -> str:
    return str(point.workload.quantisation)


if __name__ == "__main__":
    main()
