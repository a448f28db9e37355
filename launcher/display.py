"""What a person reads while a run goes on and at its end, as text: pure, and the only place that formats money."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import ROUND_HALF_UP, Decimal
from functools import singledispatch
from textwrap import wrap

from launcher import receipt_parts, receipt_scores
from launcher.errors import LaunchError
from launcher.events import (
    Forecast,
    Happened,
    IntentWritten,
    OfferRefused,
    PlanMade,
    Progressed,
    Pulled,
    Settled,
    Snapshot,
    StateChanged,
    Warned,
)
from launcher.receipt import Receipt, Results, Terminated
from launcher.run import State
from pricing.estimate import Dollars
from pricing.offer import Market, Offer

UNKNOWN = "unknown"
LABEL = 15
"""Columns that the labels of a receipt take; the longest outcome has 13 letters."""


@dataclass(frozen=True, kw_only=True)
class View:
    """All that the live lines show of one run."""

    run: str
    state: State = State.PLANNED
    offer: Offer | None = None
    started_at: datetime | None = None
    snapshot: Snapshot = field(default_factory=Snapshot)
    forecast: Forecast | None = None


# Figures


def money(usd: Decimal | None) -> str:
    """Dollars: two decimals, four below ten cents, "unknown" for None."""
    if usd is None:
        return UNKNOWN
    cents = Decimal("0.01") if usd == 0 or abs(usd) >= Decimal("0.1") else Decimal("0.0001")
    return f"{usd.quantize(cents, rounding=ROUND_HALF_UP):f}"


def rate(usd_per_hour: Decimal | None) -> str:
    """A price by the hour."""
    return UNKNOWN if usd_per_hour is None else f"{money(usd_per_hour)}/h"


def interval(usd: Dollars) -> str:
    """Expected, with low and high behind it."""
    return f"{money(usd.expected_usd)} ({money(usd.low_usd)}-{money(usd.high_usd)})"


def age(gone_by: timedelta) -> str:
    """How old something is, in its largest unit; a clock that runs ahead makes nothing younger than new."""
    seconds = max(0, int(gone_by.total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def span(seconds: float) -> str:
    """A duration as a clock shows it: 1:12, 1:04:09."""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def size(count: int) -> str:
    """Bytes in the unit that a file browser would use (decimal)."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def clock(instant: datetime, zone: tzinfo | None, *, seconds: bool = False) -> str:
    """The time of day in the reader's zone."""
    return instant.astimezone(zone or UTC).time().isoformat("seconds" if seconds else "minutes")


def market(kind: Market | str | None) -> str:
    """The market in words."""
    return str(kind or "").replace("-", " ")


def where(offer: Offer) -> str:
    """A machine in one breath: provider, type, market, place."""
    return f"{offer.provider} {offer.instance_type} {market(offer.market)} {offer.zone or offer.region}".rstrip()


def fit(line: str, width: int) -> str:
    """The line, cut with an ellipsis where it is too long."""
    return line if len(line) <= width else line[: max(0, width - 1)].rstrip() + "…"


def folded(label: str, facts: Sequence[str], width: int) -> str:
    """A labelled line of facts, three spaces apart, folded under itself where it is too long."""
    head = f"{label:<{LABEL - 2}}  "
    lines = flowing([fact for fact in facts if fact], width - LABEL)
    return "\n".join((" " * LABEL if at else head) + line for at, line in enumerate(lines)).rstrip()


def flowing(facts: Sequence[str], width: int) -> list[str]:
    """Facts, three spaces apart, on as few lines as hold them; one that is longer than a line is wrapped."""
    lines: list[str] = [""]
    for fact in facts:
        if lines[-1] and len(lines[-1]) + 3 + len(fact) > width:
            lines.append("")
        lines[-1] += ("   " if lines[-1] else "") + fact
    return [part for line in lines for part in wrap(line, width, break_on_hyphens=False, drop_whitespace=True) or [""]]


# Errors


def error(failure: LaunchError, *, width: int = 80, verbose: bool = False) -> str:
    """What happened with its figures, a blank line, what to do; the raw code only when `verbose`."""
    first, *more = failure.message.splitlines() or [""]
    lines = [f"error: {first}", *(f"  {line.strip()}" for line in more)]
    if verbose:
        lines += [f"  code: {failure.code}", *(f"  {line}" for line in failure.detail.splitlines())]
    if failure.hint:
        lines += ["", f"hint: {failure.hint}"]
    # A command must stay in one piece to be copied: only prose before the hint is folded.
    return "\n".join(line if line.startswith("hint:") else _prose(line, width) for line in lines)


def _prose(line: str, width: int) -> str:
    return (
        "\n".join(wrap(line, max(width, 20), subsequent_indent="  ", break_long_words=False, break_on_hyphens=False))
        or line
    )


# Events, one line each


@singledispatch
def text(event: Happened, now: datetime, width: int = 80) -> str:
    """One event as plain text; "" for an event that says nothing to a person. Times in the zone of `now`."""
    raise TypeError(f"no words for {type(event).__name__}")


@text.register
def _(event: PlanMade, now: datetime, width: int = 80) -> str:
    choices, rejected = len(event.plan.choices), len(event.plan.rejected)
    first = event.plan.choices[0] if choices else None
    best = f"first {where(first.offer)}, {interval(first.estimate.usd)} to finish" if first else "nothing fits"
    return _stamped(event, now, f"plan: {choices} choices, {rejected} left out; {best}", width)


@text.register
def _(event: IntentWritten, now: datetime, width: int = 80) -> str:
    most = rate(event.worst_usd_per_hour)
    ends = "ends itself" if event.offer.guarded else "to be ended from here"
    return _stamped(
        event,
        now,
        f"asking for {where(event.offer)}, at most {most}; {ends} by {_on_what_day(event.deadline, now)}",
        width,
    )


def _on_what_day(instant: datetime, now: datetime) -> str:
    """The time of day, and the day where that is not within the next one."""
    told = clock(instant, now.tzinfo)
    return told if instant - now < timedelta(days=1) else f"{told} on {instant.astimezone(now.tzinfo or UTC):%Y-%m-%d}"


@text.register
def _(event: OfferRefused, now: datetime, width: int = 80) -> str:
    return _stamped(event, now, f"not to be had: {where(event.offer)}: {event.reason}", width)


@text.register
def _(event: StateChanged, now: datetime, width: int = 80) -> str:
    return _stamped(event, now, f"{WORDS[event.state]}{_machine(event)}", width)


@text.register
def _(event: Progressed, now: datetime, width: int = 80) -> str:
    facts = [_phase_now(event.snapshot), *_measured(event.snapshot)]
    return _stamped(event, now, "   ".join(one for one in facts if one), width)


@text.register
def _(event: Forecast, now: datetime, width: int = 80) -> str:
    return _stamped(event, now, _forecast(event, now), width)


@text.register
def _(event: Warned, now: datetime, width: int = 80) -> str:
    return _stamped(event, now, event.text if event.code in NEWS else f"warning: {event.text}", width)


@text.register
def _(event: Pulled, now: datetime, width: int = 80) -> str:
    proof = "verified" if event.verified else "NOT verified"
    first = f"pulled {event.what}: {event.files} files, {size(event.bytes)}, {proof}, in {event.folder}"
    return "\n".join([_stamped(event, now, first, width), *(f"          refused: {one}" for one in event.refused)])


@text.register
def _(event: Settled, now: datetime, width: int = 80) -> str:
    return receipt(event.receipt, width=width, zone=now.tzinfo)


NEWS = frozenset({"note", "unguarded", "detached", "resumed", "saving", "unwatched", "judge", "new-budget"})
"""Codes of `Warned` that tell what goes on, and are nothing to worry about."""
WORDS = {
    State.PLANNED: "planned",
    State.PROVISIONING: "provisioning",
    State.BOOTING: "booting",
    State.SHIPPING: "shipping the job to",
    State.RUNNING: "running on",
    State.PULLING: "pulling the results from",
    State.TERMINATING: "ending",
    State.TERMINATED: "terminated, confirmed by the provider:",
}


def _machine(event: StateChanged) -> str:
    place = "" if event.offer is None else f" {where(event.offer)}"
    name = f" {event.instance_id}" if event.instance_id else ""
    again = f" (attempt {event.attempt})" if event.attempt > 1 else ""
    return place + name + again


def _stamped(event: Happened, now: datetime, words: str, width: int) -> str:
    line = f"{clock(event.at, now.tzinfo, seconds=True)}  {words}"
    if len(line) <= max(width, 30) and line.isprintable():  # most are so, and need no folding
        return line.rstrip()
    return "\n".join(
        wrap(line, max(width, 30), subsequent_indent=" " * 10, break_long_words=False, break_on_hyphens=False)
    )


# The live lines


def progress(view: View, now: datetime, width: int = 80) -> str:
    """The run in a few lines: who and where, the phases, the bar, the facts."""
    lines = [_head(view, now), _phases(view.snapshot, width), _bar(view.snapshot, width), *_facts(view, now, width)]
    return "\n".join(fit(line, width) for line in lines if line)


def _head(view: View, now: datetime) -> str:
    facts = [view.run, where(view.offer) if view.offer else "", view.state.lower()]
    if view.started_at:
        facts.append(f"started {clock(view.started_at, now.tzinfo)}")
    return "   ".join(fact for fact in facts if fact)


def _phases(snapshot: Snapshot, width: int) -> str:
    shown = [f"{name} {span(seconds)}" for name, seconds in snapshot.phases]
    while len(shown) > 1 and len("   ".join(shown)) + 2 > width:
        shown.pop(0)  # the oldest says least about now
    return "  " + "   ".join(shown) if shown else ""


def _bar(snapshot: Snapshot, width: int) -> str:
    done, of, unit = _counted(snapshot)
    if not of:
        return ""
    tail = f"  {100 * done // of:3d} %  {unit} {done}/{of}"
    room = max(10, min(40, width - len(tail) - 4))
    full = min(room, room * done // of)
    return f"  {'━' * full}{'─' * (room - full)}{tail}"


def _counted(snapshot: Snapshot) -> tuple[int, int, str]:
    """How far the present phase is: done, of how many, of what."""
    if snapshot.phases and snapshot.phases[-1][0] == "evaluate":
        return snapshot.evaluated, snapshot.evaluate_of, _asked(snapshot.arm)
    return snapshot.step, snapshot.of, "step"


def _asked(arm: str) -> str:
    """What is counted: "base test row"; "base general row" of an adjacent task; "prompt trial" before one is chosen."""
    model, _, task = arm.partition("/")
    if task:
        return f"{model} {task} row"
    return "prompt trial" if arm == "prompts" else f"{arm} test row".strip()


def _facts(view: View, now: datetime, width: int) -> list[str]:
    told = [] if view.forecast is None else [_forecast(view.forecast, now)]
    return [f"  {line}" for line in flowing([*_measured(view.snapshot), *told], width - 2)]


def _phase_now(snapshot: Snapshot) -> str:
    done, of, unit = _counted(snapshot)
    phase = snapshot.phases[-1] if snapshot.phases else None
    counted = f" {unit} {done}/{of}" if of else ""
    return f"{phase[0]} {span(phase[1])}{counted}" if phase else counted.strip()


def _measured(snapshot: Snapshot) -> list[str]:
    facts = []
    if snapshot.loss is not None:
        facts.append(f"loss {snapshot.loss:.3f}{' ↓' if snapshot.loss_falls else ''}")
    if snapshot.validation is not None:
        step, loss, is_best = snapshot.validation
        facts.append(f"validation {loss:.3f} at step {step}{' (best)' if is_best else ''}")
    if snapshot.tokens_per_second is not None:
        facts.append(f"{snapshot.tokens_per_second:,.0f} tok/s")
    if snapshot.vram_gib is not None:
        facts.append(f"VRAM {snapshot.vram_gib:.1f} GiB")
    return [*facts, f"spent {money(snapshot.spent_usd)}"]


def _forecast(event: Forecast, now: datetime) -> str:
    early, late = (
        clock(event.at + timedelta(seconds=at), now.tzinfo) for at in (event.seconds.low, event.seconds.high)
    )
    done = early if early == late else f"{early}-{late}"
    return f"forecast {interval(event.usd)}   done {done}"


# The receipt


def receipt(paper: Receipt, *, width: int = 80, zone: tzinfo | None = UTC) -> str:
    """The end in a handful of lines: scores, machine, money, files, and the next command."""
    lines = [
        folded(str(paper.outcome), receipt_scores.figures(paper) or [paper.why or "no scores"], width),
        folded("", [paper.why], width) if paper.why and paper.scores else "",
        folded("verdict", [paper.verdict], width) if paper.verdict else "",
        folded("adjacent", receipt_scores.regressions(paper), width) if receipt_scores.regressions(paper) else "",
        *(folded("gate", [one], width) for one in paper.gate),
        folded("machine", _machine_end(paper, zone), width),
        folded("cost", _cost(paper), width),
        *(folded("" if at else "parts", one, width) for at, one in enumerate(receipt_parts.of_each(paper, money))),
        folded("price", [_price(paper)], width),
        folded("results", _results(paper.results), width),
        folded("next", receipt_parts.next_steps(paper, money), width),
    ]
    return "\n".join(line for line in lines if line)


def _machine_end(paper: Receipt, zone: tzinfo | None) -> list[str]:
    if paper.market is None:
        return ["none was ever had"]
    left = "nothing left behind" if not paper.leftovers else f"left behind: {', '.join(paper.leftovers)}"
    return [_proof(paper.terminated, zone), left]


def _proof(terminated: Terminated, zone: tzinfo | None) -> str:
    if not terminated.confirmed or terminated.at is None:
        return "NOT confirmed as terminated"
    looks = "1 look" if terminated.looks == 1 else f"{terminated.looks} looks"
    return f"terminated and confirmed {clock(terminated.at, zone, seconds=True)} ({looks})"


def _cost(paper: Receipt) -> list[str]:
    budget = "" if paper.budget_usd is None else f" of {money(paper.budget_usd)}"
    planned = [] if paper.planned_usd is None else [f"planned {interval(paper.planned_usd)}"]
    phases = " · ".join(f"{phase.name} {money(phase.usd)}" for phase in paper.phases if phase.usd)
    return [f"{money(paper.spent_usd)}{budget}", *planned, *([phases] if phases else [])]


def _price(paper: Receipt) -> str:
    if not paper.price_source:
        return ""
    seen = "seen " + (
        age(paper.started_at - paper.price_seen_at) + " before the start" if paper.price_seen_at else UNKNOWN
    )
    return f"{paper.provider} {paper.instance_type} {market(paper.market)}: {paper.price_source}, {seen}"


def _results(results: Results) -> list[str]:
    if not results.files:
        return ["none"]
    proof = "verified" if results.verified else "NOT verified"
    proof += f", from {results.store}" if results.store else ""
    return [str(results.folder), f"{results.files} files, {size(results.bytes)}, {proof}"]
