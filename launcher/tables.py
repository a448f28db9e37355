"""Plans, offers, runs and findings as tables that fit 80 columns; money comes formatted from `display`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from textwrap import wrap

from launcher import corrected
from launcher.display import age, clock, fit, flowing, folded, interval, market, money, rate, span
from launcher.records import RunRecord
from pricing import elsewhere_prices
from pricing.estimate import Estimate
from pricing.offer import Offer
from pricing.plan import Choice, Plan, Rejected
from providers.base import Finding, Level

SHOWN_CHOICES = 5
LEAST_WORDS, LEAST_FINDING = 8, 30
PRIVATE = " * a private host, who can read all that is on it"
"""Columns of words are not cut below this."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column. `drop` above 0: it goes when the table is too wide, the highest number first."""

    title: str
    right: bool = False
    drop: int = 0


def left(title: str, drop: int = 0) -> Column:
    """A column of words."""
    return Column(title=title, drop=drop)


def right(title: str, drop: int = 0) -> Column:
    """A column of figures."""
    return Column(title=title, right=True, drop=drop)


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> str:
    """Rows under titles, money to the right; where it gets narrow, gaps close, then words are cut, never figures."""
    kept = _kept(columns, rows, width)
    shown = [[row[at] for at in kept] for row in [[column.title for column in columns], *rows]]
    chosen = [columns[at] for at in kept]
    wanted = [max(len(cell) for cell in column) for column in zip(*shown, strict=True)]
    gap = 2 if sum(wanted) + 2 * (len(wanted) - 1) <= width else 1
    widths = _fitted(chosen, wanted, width - gap * (len(wanted) - 1))
    return "\n".join(line for row in shown for line in _lines(row, widths, chosen, " " * gap))


def _kept(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """The columns that stay: those that may go do so when empty, and then one by one until the rest fits."""
    kept = [at for at, column in enumerate(columns) if not column.drop or any(row[at] for row in rows)]
    widths = [max(len(column.title), *(len(row[at]) for row in rows), 0) for at, column in enumerate(columns)]
    while sum(widths[at] + 2 for at in kept) - 2 > width:
        most = max(kept, key=lambda at: columns[at].drop)
        if not columns[most].drop:
            break
        kept.remove(most)
    return kept


def _fitted(columns: Sequence[Column], widths: list[int], room: int) -> list[int]:
    """What is too wide is taken from the widest column of words."""
    while (excess := sum(widths) - room) > 0:
        words = [at for at, column in enumerate(columns) if not column.right and widths[at] > LEAST_WORDS]
        if not words:
            break
        widest = max(words, key=lambda at: widths[at])
        widths[widest] = max(LEAST_WORDS, widths[widest] - excess)
    return widths


def _lines(row: Sequence[str], widths: Sequence[int], columns: Sequence[Column], gap: str) -> list[str]:
    """One row; its last cell goes on below itself where it is too long, other cells are cut."""
    last = wrap(row[-1], widths[-1]) or [""]
    cells = [*(fit(cell, room) for cell, room in zip(row[:-1], widths[:-1], strict=True)), last[0]]
    first = gap.join(
        cell.rjust(room) if column.right else cell.ljust(room)
        for cell, room, column in zip(cells, widths, columns, strict=True)
    )
    indent = " " * (sum(widths[:-1]) + len(gap) * (len(widths) - 1))
    return [first.rstrip(), *(indent + more for more in last[1:])]


# The plan

PLAN_COLUMNS = (
    left(""),
    left("provider"),
    left("instance"),
    left("market"),
    left("place"),
    right("$/h"),
    right("age"),
    right("hours", 3),
    right("cost to finish"),
    right("fits", 2),
    left("note", 1),
)


def plan_table(plan: Plan, title: str, now: datetime, width: int = 80, *, data: str = "", verbose: bool = False) -> str:
    """The ranked choices, what was left out, the sentence that a person agrees to; `data`: a line below the title."""
    top = [part for line in (title, data) for part in wrap(line, width, subsequent_indent="  ")]
    if not plan.choices:
        return "\n".join([*top, "", *_rejected(plan.rejected, now, width), "nothing is left to choose from"])
    shown = plan.choices if verbose else plan.choices[:SHOWN_CHOICES]
    rows = [_plan_row(choice, at == 0, now) for at, choice in enumerate(shown)]
    parts = [*top, "", table(PLAN_COLUMNS, rows, width), *_more(plan, len(shown), verbose=verbose)]
    if not all(choice.offer.guarded for choice in shown):
        parts.append(" ! does not end itself if this computer dies")
    if not all(choice.offer.vetted for choice in shown):
        parts.append(PRIVATE)
    parts += _elsewhere(plan, width)
    parts += wrap(corrected.line(plan), width, initial_indent="   ", subsequent_indent="   ")
    if verbose and plan.rejected:
        parts += ["", *_rejected(plan.rejected, now, width)]
    return "\n".join([*parts, "", *_agreement(plan, plan.choices[0], now, width)])


def _plan_row(choice: Choice, first: bool, now: datetime) -> list[str]:
    offer, estimate = choice.offer, choice.estimate
    return [
        (">" if first else " ") + (" " if offer.guarded else "!"),
        offer.provider,
        _short(offer.instance_type),
        market(offer.market),
        _place(offer),
        money(offer.usd_per_hour),
        age(offer.age(now)),
        _hours(estimate),
        "  ".join(money(usd) for usd in (estimate.usd.low_usd, estimate.usd.expected_usd, estimate.usd.high_usd)),
        _memory(estimate),
        _note(choice),
    ]


def _place(offer: Offer) -> str:
    """Where it stands, marked where a private person's hands are on it."""
    return (offer.zone or offer.region) + ("" if offer.vetted else "*")


def _hours(estimate: Estimate) -> str:
    return f"{estimate.seconds.low / 3600:.1f}-{estimate.seconds.high / 3600:.1f}"


def _memory(estimate: Estimate) -> str:
    return f"{estimate.fit.needed_gib:.1f} of {estimate.fit.usable_gib:.1f} GiB"


def _note(choice: Choice) -> str:
    """What sets a choice apart, the gravest first."""
    if not choice.high_fits:
        return "may be saved before it is done"
    return "memory is tight" if choice.estimate.fit.barely else ""


def _more(plan: Plan, shown: int, *, verbose: bool) -> list[str]:
    rest = [f"{len(plan.choices) - shown} more"] if len(plan.choices) > shown else []
    left_out = [f"{len(plan.rejected)} left out"] if plan.rejected else []
    return [f"   ... {', '.join(rest + left_out)} (launch estimate -v)"] if (rest or left_out) and not verbose else []


def _elsewhere(plan: Plan, width: int) -> list[str]:
    """What the cheapest managed service asks for the same tokens, and how old that price is."""
    quotes = elsewhere_prices.by_the_token(elsewhere_prices.quotes(plan.workload, plan.terms))
    if not quotes:
        return []
    cost, seen = money(quotes[0].usd.expected_usd), quotes[0].listed.seen
    text = f"elsewhere: about {cost} at managed fine-tuning services (list price, {seen:%Y-%m})"
    return wrap(text, width, initial_indent="   ", subsequent_indent="   ")


def _rejected(rejected: Sequence[Rejected], now: datetime, width: int) -> list[str]:
    """Every offer that was left out, with its price, its age and the reason."""
    if not rejected:
        return []
    columns = (
        left("left out"),
        left("market"),
        left("place"),
        right("$/h"),
        right("age"),
        left("why"),
    )
    rows = [[*_offer_cells(one.offer, now), one.reason] for one in rejected]
    return [table(columns, rows, width)]


def _offer_cells(offer: Offer, now: datetime) -> list[str]:
    name = f"{offer.provider} {_short(offer.instance_type)}"
    return [name, market(offer.market), offer.zone or offer.region, money(offer.usd_per_hour), age(offer.age(now))]


def _agreement(plan: Plan, first: Choice, now: datetime, width: int) -> list[str]:
    budget = "no budget needed" if plan.terms.budget_usd is None else f"budget {money(plan.terms.budget_usd)}"
    facts = [budget, f"planned {interval(first.estimate.usd)}", f"{_hours(first.estimate)} h", _memory(first.estimate)]
    price = f"price {rate(first.offer.usd_per_hour)} from {first.offer.source}, {age(first.offer.age(now))} old"
    return [*flowing(facts, width), *wrap(price, width), *wrap(_guard(plan, first, now), width)]


def _guard(plan: Plan, first: Choice, now: datetime) -> str:
    """When the machine ends without us, or what it costs if it does not."""
    worst = first.worst_usd_per_hour
    if not first.offer.guarded:
        cost = f"{rate(worst)}, {money(worst * 24)} a day"
        return f"nothing ends this machine if this computer dies: {cost}, until somebody runs `launch reap`"
    if not first.lease_seconds:
        return "" if not worst else "with a --budget it is said here when the machine ends itself"
    delay = plan.terms.guard_delay_seconds.get(first.offer.provider, 0.0)
    latest = now + timedelta(seconds=first.lease_seconds + delay)
    return f"the machine ends itself {_moment(latest, now)} at the latest, whatever happens here"


def _moment(latest: datetime, now: datetime) -> str:
    there = latest.astimezone(now.tzinfo)
    days = (there.date() - now.date()).days
    day = "" if days == 0 else "tomorrow " if days == 1 else f"on {there:%Y-%m-%d} "
    return f"{day}at {clock(latest, now.tzinfo)}"


# Other tables


def offers_table(offers: Sequence[Offer], now: datetime, width: int = 80) -> str:
    """What can be rented, cheapest hour first, each price with its age."""
    if not offers:
        return "no offers match\n\nnext  launch offers      # without filters\n      launch doctor"
    return _offer_lines(offers, now, width) + "\n\nnext  launch estimate     # what this job costs to finish on them"


OFFER_COLUMNS = (
    left("provider"),
    left("instance"),
    left("gpu"),
    left("market", 1),
    left("place"),
    right("$/h"),
    right("age"),
    left("guarded", 2),
    left("stock", 3),
    right("boot", 4),
)


def _offer_lines(offers: Sequence[Offer], now: datetime, width: int) -> str:
    rows = [_offer_row(offer, now) for offer in sorted(offers, key=lambda one: (one.usd_per_hour, one.id))]
    legend = [] if all(offer.vetted for offer in offers) else [PRIVATE]
    return "\n".join([table(OFFER_COLUMNS, rows, width), *legend, "", _sources(offers, width)])


def _sources(offers: Sequence[Offer], width: int) -> str:
    """Who told the prices: few sources for many rows."""
    by_provider: dict[str, dict[str, None]] = {}
    for offer in sorted(offers, key=lambda one: one.id):
        by_provider.setdefault(offer.provider, {})[offer.source] = None
    told = [f"{name}: {', '.join(sources)}" for name, sources in by_provider.items()]
    return folded("prices from", told, width)


def growing(offers: Sequence[Offer], waiting: Sequence[str], now: datetime, width: int = 80) -> str:
    """The offers as they are known so far, under the names of those who are being asked."""
    asked = f"asking {', '.join(waiting)}; prices as last seen" if waiting else "all have answered"
    return "\n".join([asked, "", _offer_lines(offers, now, width) if offers else ""])


def _offer_row(offer: Offer, now: datetime) -> list[str]:
    gpu = (
        "none"
        if offer.gpu is None
        else offer.gpu.name
        if offer.gpu_count == 1
        else f"{offer.gpu_count} x {offer.gpu.name}"
    )
    place = _place(offer)
    guarded = "yes" if offer.guarded else "no"
    price, seen, boot = money(offer.usd_per_hour), age(offer.age(now)), span(offer.boot_seconds)
    return [
        offer.provider, _short(offer.instance_type), gpu, market(offer.market), place, price, seen, guarded,
        str(offer.stock), boot if offer.boot_seconds else "",
    ]  # fmt: skip


def _short(instance_type: str) -> str:
    """A machine type without the maker's name, where a type is called after its card."""
    return re.sub(r"^NVIDIA (GeForce )?", "", instance_type)


def runs_table(runs: Sequence[RunRecord], now: datetime, width: int = 80, *, risk: str = "") -> str:
    """`ps`: one line a run, the latest first; an open intent is said aloud; `risk`: what all may still cost."""
    if not runs:
        return "no runs yet\n\nnext  launch --budget 5 --gpu a10g"
    columns = (
        left("run"),
        left("state"),
        left("outcome", 1),
        left("machine"),
        left("place", 2),
        right("spent"),
        right("of"),
        right("age"),
    )
    shown = table(columns, [_run_row(run, now) for run in runs], width)
    exposed = wrap(risk, width, subsequent_indent=" " * 10)
    return "\n".join([shown, "", *exposed, *(line for run in runs for line in _maybe(run)), _after_ps(runs)])


def _run_row(run: RunRecord, now: datetime) -> list[str]:
    machine = " ".join(part for part in (run.provider, run.instance_type, market(run.market)) if part) or "none"
    outcome = str(run.outcome or "")
    spent, of, old = (
        money(run.spent_usd),
        money(run.budget_usd) if run.budget_usd is not None else "-",
        age(now - run.created_at),
    )
    return [run.id, run.state.lower(), outcome, machine, run.zone or run.region, spent, of, old]


def _maybe(run: RunRecord) -> list[str]:
    if not run.open_intents:
        return []
    return [f"{run.id}: maybe running, ${rate(run.maybe_usd_per_hour)}: a call's answer got lost"]


def _after_ps(runs: Sequence[RunRecord]) -> str:
    if any(run.open_intents for run in runs):
        return "next  launch reap         # asks the cloud, and ends what should not run"
    return f"next  launch show {runs[0].id}"


def findings(found: Sequence[tuple[str, Finding]], width: int = 80) -> str:
    """`doctor`: a block for this computer and for each provider, with the fix under what is not in order."""
    lines: list[str] = []
    subjects = max((len(one.subject) for _, one in found), default=0)
    for name, part in groupby(found, key=lambda one: one[0]):
        lines += ["", name, *(line for _, one in part for line in _finding(one, subjects, width))]
    bad = sum(finding.level is Level.ERROR for _, finding in found)
    last = "next  launch estimate" if not bad else f"{bad} to fix, then: launch doctor"
    return "\n".join([*lines[1:], "", last])


def _finding(finding: Finding, subjects: int, width: int) -> list[str]:
    """Level and subject, then the text; the fix below, in one piece, so that it can be copied."""
    level = "" if finding.level is Level.UNUSED else str(finding.level)
    head = f"  {level:<8} {finding.subject:<{subjects}}  "
    room = max(width - len(head), LEAST_FINDING)
    first, *rest = wrap(" ".join(finding.text.split()), room, break_on_hyphens=False) or [""]
    fix = [f"{'':<{len(head)}}fix: {finding.fix}"] if finding.fix and finding.level is not Level.OK else []
    return [head + first, *(f"{'':<{len(head)}}{line}" for line in rest), *fix]


def run_page(run: RunRecord, now: datetime, width: int = 80, store: str = "") -> str:
    """`show`: one run in full, from what lies on this computer; `store`: what the durable one has of it, in words."""
    machine = " ".join(
        part for part in (run.provider, run.instance_type, market(run.market), run.zone or run.region) if part
    )
    budget = "" if run.budget_usd is None else f" of {money(run.budget_usd)}"
    lines = [
        folded("run", [run.id, run.name], width),
        folded("state", [run.state.lower(), str(run.outcome or "")], width).rstrip(),
        folded("machine", [machine or "none was ever had", run.instance_id], width).rstrip(),
        folded("cost", [f"{money(run.spent_usd)}{budget}", _resumed(run)], width),
        folded("age", [age(now - run.created_at)], width),
        folded("results", [str(run.out_dir)], width),
        *([folded("store", [store], width)] if store else []),
        *_maybe(run),
        "",
        f"next  {_next_for(run)}",
    ]
    return "\n".join(lines)


def _resumed(run: RunRecord) -> str:
    return "" if not run.resumed else "resumed once" if run.resumed == 1 else f"resumed {run.resumed} times"


def _next_for(run: RunRecord) -> str:
    if run.open_intents:
        return "launch reap"
    return f"launch receipt {run.id}" if run.receipt_json else f"launch attach {run.id}"
