"""What `launch estimate` says below the plan: where time and money go, what fits, what it would cost otherwise."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from textwrap import wrap

from launcher.beside import Beside, Own
from launcher.display import folded, interval, money, span, where
from launcher.tables import left, right, table
from pricing.alternatives import Alternative
from pricing.elsewhere_prices import Quote
from pricing.estimate import Estimate, Phase
from pricing.interval import Dollars, Interval
from pricing.memory import Fit
from pricing.own_hardware import OwnRun, PaysAfter
from pricing.plan import Choice, Plan

LEAST_GIB = 0.005
"""Parts of the memory below this would read 0.00."""
SURE = 0.995
"""Odds from here on would read 100 %, which nobody can promise."""


def page(plan: Plan, around: Beside, width: int, *, verbose: bool = False) -> str:
    """Everything below the plan of a job that has at least one choice."""
    first = plan.choices[0]
    parts = [phases_table(first.estimate, width), "\n".join(_facts(plan, around, width))]
    if verbose:
        parts += [_titled(choice, width) for choice in _other_kinds(plan.choices)]
        parts += [_quotes_table(around.quotes, width)] if around.quotes else []
    return "\n\n".join(parts)


def phases_table(estimate: Estimate, width: int) -> str:
    """Time and money by phase, each P10, P50 and P90; what reclaims add, what own runs corrected; all together."""
    columns = (
        left("phase"), right("time: low"), right("expected"), right("high"),
        right("cost: low"), right("expected"), right("high"), right("own runs", 1),
    )  # fmt: skip
    factors = dict(estimate.times.factors)
    rows = [_phase_row(one, factors.get(one.name)) for one in estimate.phases]
    if estimate.rework_seconds > 0:
        rows.append(["reclaims", "", span(estimate.rework_seconds), "", "", "", "", ""])
    if estimate.egress_usd > 0:
        rows.append(["egress", "", "", "", "", money(estimate.egress_usd), "", ""])
    rows.append(["in all", *_spans(estimate.seconds), *_dollars(estimate.usd), ""])
    return table(columns, rows, width)


def _phase_row(phase: Phase, factor: float | None) -> list[str]:
    corrected = "" if factor is None else f"x{factor:.2f}"
    return [phase.name, *_spans(phase.seconds), *_dollars(phase.usd), corrected]


def _spans(seconds: Interval) -> list[str]:
    return [span(one) for one in (seconds.low, seconds.expected, seconds.high)]


def _dollars(usd: Dollars) -> list[str]:
    return [money(one) for one in (usd.low_usd, usd.expected_usd, usd.high_usd)]


def _titled(choice: Choice, width: int) -> str:
    return f"{where(choice.offer)}\n{phases_table(choice.estimate, width)}"


def _other_kinds(choices: Sequence[Choice]) -> Iterator[Choice]:
    """Of each kind of machine at each provider the best place; the other places differ by their price alone."""
    seen = {_kind(choices[0])}
    for choice in choices[1:]:
        if _kind(choice) not in seen:
            seen.add(_kind(choice))
            yield choice


def _kind(choice: Choice) -> tuple[str, str, str]:
    return choice.offer.provider, choice.offer.instance_type, str(choice.offer.market)


# The facts below the table, each under its label


def _facts(plan: Plan, around: Beside, width: int) -> Iterator[str]:
    first = plan.choices[0]
    yield from _memory(first.estimate.fit, around, width)
    yield folded("machine", _machine(first, around), width)
    yield folded("speed", [_speed(first.estimate.tokens_per_second)], width)
    limits = _limits(plan)
    if first.odds is not None and limits:
        average = f"{money(first.finish_usd)} on average, tries that do not finish counted"
        told = [f"{share(first.odds)} to finish {limits}", average if first.finish_usd > 0 else ""]
        yield folded("odds", told, width)
    if around.otherwise:
        yield folded("otherwise", [_alternative(one) for one in around.otherwise], width)
    if around.own is not None:
        yield from _own(around.own, width)
    yield folded("rests on", [f"model: {around.model_source}", f"tokens: {_tokens(plan, around)}"], width)


def _memory(fit: Fit, around: Beside, width: int) -> Iterator[str]:
    yield folded("memory", [f"{name} {gib(size)}" for name, size in fit.parts if size >= LEAST_GIB], width)
    asked = f"{gib(fit.needed_gib)} of {gib(fit.usable_gib)} GiB: {verdict(fit)}"
    yield folded("", [asked, f"{gib(fit.sure_gib)} to be sure"], width)
    room = around.room
    if room is not None:
        rows, tokens = f"{room.micro_batch} rows at a time", f"rows of {room.sequence_tokens:,} tokens"
        yield folded("", [f"up to {rows} or {tokens} surely fit too"], width)


def verdict(fit: Fit) -> str:
    """Fits, barely, or not; "barely" is when the forecast fits and its margin does not."""
    return "fits" if fit.fits else "barely fits" if fit.barely else "does not fit"


def gib(size: float) -> str:
    """A size without its unit, two decimals below one."""
    return f"{size:.2f}" if size < 1 else f"{size:.1f}"


def _machine(first: Choice, around: Beside) -> list[str]:
    gpu = first.offer.gpu
    card = [] if gpu is None else [gpu.name]
    ram = [] if gpu is None else [f"host memory {gib(around.ram_gib)} of {gib(first.offer.ram_gib)} GiB"]
    return [*card, *ram, f"disk {around.disk_gib} GiB"]


def _speed(tokens_per_second: Interval) -> str:
    low, expected, high = (
        f"{one:,.0f}" for one in (tokens_per_second.low, tokens_per_second.expected, tokens_per_second.high)
    )
    return f"{expected} tokens/s ({low}-{high}) through training"


def share(odds: float) -> str:
    """A probability in percent, which is never told as a certainty."""
    return "over 99%" if odds >= SURE else "under 1%" if odds < 1 - SURE else f"{odds:.0%}"


def _limits(plan: Plan) -> str:
    budget, deadline = plan.terms.budget_usd, plan.terms.deadline_seconds
    parts = [] if budget is None else [f"within {money(budget)}"]
    parts += [] if deadline is None else [f"before the deadline in {span(deadline)}"]
    return " and ".join(parts)


def _tokens(plan: Plan, around: Beside) -> str:
    spread = plan.workload.token_spread
    return around.tokens_are if spread == 1 else f"{around.tokens_are}, within x{spread:.2g}"


def _alternative(one: Alternative) -> str:
    """What else the budget would buy, at what price and with which odds, and what asks for it; or why it would not."""
    if one.usd is None:
        return f"{one.text}: {one.why}"
    odds = "" if one.odds is None else f", {share(one.odds)}"
    return f"{one.text}: {interval(one.usd)}{odds} ({one.flag})"


# A card of one's own


def _own(own: Own, width: int) -> Iterator[str]:
    run, gpu = own.run, own.run.hardware.gpu
    place = "in this computer" if own.is_here else "of your own"
    if not run.fit.fits:
        asked = f"{gib(run.fit.sure_gib)} GiB to be sure, it has {gib(run.fit.usable_gib)}"
        yield folded("own hardware", [f"{gpu.name} {place}: {verdict(run.fit)}", asked], width)
        return
    low, expected, high = _spans(run.seconds)
    yield folded("own hardware", [f"{gpu.name} {place}: {expected} ({low}-{high}) a run", _electricity(run)], width)
    if own.pays_after is not None and own.rented is not None:
        price, rent = run.hardware.price_usd, own.rented.estimate.usd.expected_usd
        yield folded("", [_pays(own.pays_after, price, rent)], width)


def _electricity(run: OwnRun) -> str:
    if run.kwh is None:
        return "what it draws is not known (`hardware: {watts: ...}` in config.yaml)"
    if run.electricity_usd is None:
        return f"{run.kwh.expected:.2f} kWh; `electricity_usd_per_kwh` in config.yaml prices them"
    return f"{run.kwh.expected:.2f} kWh, {interval(run.electricity_usd)} for electricity"


def _pays(after: PaysAfter, price_usd: Decimal | None, rent_usd: Decimal) -> str:
    high = "never" if after.high is None else _rounded(after.high)
    middle = "never" if after.expected is None else f"after about {_rounded(after.expected)} such runs"
    against = f"against renting at {money(rent_usd)}"
    return f"at {money(price_usd)} it pays for itself {middle} ({_rounded(after.low)} to {high}), {against}"


def _rounded(runs: int) -> str:
    """To two figures: the forecast knows no more."""
    digits = max(0, len(str(runs)) - 2)
    return f"{round(runs, -digits):,}"


# Elsewhere


def _quotes_table(quotes: Sequence[Quote], width: int) -> str:
    """All list prices that apply, what this run would cost at each, and their sources."""
    columns = (
        left("elsewhere"), left("paid by"), right("list price"), right("seen"),
        right("low"), right("expected"), right("high"),
    )  # fmt: skip
    rows = [
        [one.listed.service, _paid_by(one), money(one.listed.usd), str(one.listed.seen), *_dollars(one.usd)]
        for one in quotes
    ]
    sources = dict.fromkeys(f"{one.listed.service}: {one.listed.source}" for one in quotes)
    told = [line for one in sources for line in wrap(one, width, subsequent_indent="  ", break_on_hyphens=False)]
    return "\n".join([table(columns, rows, width), "by the token: training alone; all without tax", *told])


def _paid_by(quote: Quote) -> str:
    gpu = quote.listed.gpu
    return "million tokens" if gpu is None else f"hour of {gpu.name}"
