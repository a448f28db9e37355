"""What a judge model and people said of the answers, and what answering costs."""

from decimal import Decimal

from markupsafe import Markup

from jobs.report import charts
from jobs.report.given import amount_usd
from jobs.report.markup import Head, folded, note, number, section, table, text, with_code
from jobs.results.summary import Judged, Judging, Serving, Summary, Votes
from jobs.results.verdict import NAMES, about

_KEYS = Markup(
    '<span class="key"><i class="win"></i>wins</span><span class="key"><i class="tie"></i>ties</span>'
    '<span class="key"><i class="loss"></i>losses</span>'
)


LEAST_AGREEMENT = 0.6
"""Of both orders, below which a judge's choices say little: a coin agrees with itself on half of them (assumed)."""


def judge(summary: Summary | None) -> Markup:
    """Pairs of answers, each shown to the judge in both orders."""
    judging = None if summary is None else summary.judging
    if judging is None:
        return Markup("")
    rows = [
        [*_counts(one), f"{100 * one.agreement:.0f} %", f"{100 * one.first_position:.0f} %", _share_reading(one)]
        for one in judging.pairs
    ]
    heads = (*_COUNT_HEADS, ("orders agree", "n"), ("first chosen", "n"), "reading")
    return section(
        "judge",
        "Judge model",
        note(text(_how(judging))),
        _alarm(judging.unfinished),
        _alarm(_doubtful(judging)),
        Markup('<p class="sub">{}</p>').format(_KEYS),
        table(heads, rows, "Judge"),
        note(
            "Share: wins and half the ties (“the same”: equal answers, that nobody was asked about). Where the two "
            "orders disagree, the pair is a tie. “First chosen” is 50 % for a judge that does not care who is first."
        ),
        folded("Rubric", Markup("<pre>{}</pre>").format(text(judging.rubric, 8_000))),
    )


_COUNT_HEADS = (
    "arms",
    ("", "plot"),
    ("wins", "n"),
    ("ties", "n"),
    ("losses", "n"),
    ("share", "n"),
    ("95 % interval", "n"),
)


def _how(judging: Judging) -> str:
    cost = f"${judging.cost_usd} of at most ${judging.cap_usd}"
    return f"{judging.model} compared {judging.items:,} of {judging.of:,} items, every pair in both orders; {cost}."


def _doubtful(judging: Judging) -> str:
    """What weakens the judge's word."""
    unusable = sum(one.unusable for one in judging.pairs)
    parts = (
        [f"{unusable:,} pairs count for nothing: the judge gave no verdict on them, asked twice"] if unusable else []
    )
    if judging.counted_by_us:
        parts.append(f"the endpoint told no honest cost of {judging.counted_by_us:,} calls: counted at the worst case")
    parts += [
        f"against {one.against} both orders agreed on only {100 * one.agreement:.0f} % of the pairs: "
        "this judge looks at the place, or sees no difference"
        for one in judging.pairs
        if one.agreement < LEAST_AGREEMENT
    ]
    return "; ".join(parts)


def _alarm(unfinished: str) -> Markup:
    return Markup('<div class="alarm"><p>{}</p></div>').format(text(unfinished)) if unfinished else Markup("")


def _counts(one: Judged | Votes) -> list[object]:
    bar = charts.stack([(one.wins, "win", "wins"), (one.ties, "tie", "ties"), (one.losses, "loss", "losses")])
    low, high = one.share.low, one.share.high
    interval = "–" if low is None or high is None else f"{number(low, 2)} to {number(high, 2)}"
    same = f" ({one.identical:,} the same)" if one.identical else ""
    counts = [f"{one.wins:,}", f"{one.ties:,}{same}", f"{one.losses:,}"]
    return [f"{one.arm} against {one.against}", bar, *counts, number(one.share.value, 2), interval]


def _share_reading(one: Judged | Votes) -> Markup:
    if not one.distinguishable:
        return Markup('<span class="warn tick">not distinguishable</span>')
    won = one.share.value > 0.5
    return Markup('<span class="{}">{}</span>').format(
        "good" if won else "bad", "preferred" if won else "not preferred"
    )


def votes(summary: Summary | None) -> Markup:
    """People on the blind page."""
    found = () if summary is None else summary.votes
    rows = [[*_counts(one), f"{one.voters:,}", _agreed(one), f"{one.skipped:,}", _share_reading(one)] for one in found]
    heads = (*_COUNT_HEADS, ("voters", "n"), ("voters agree", "n"), ("skipped", "n"), "reading")
    made = table(heads, rows, "Votes")
    said = "People chose on the blind page of `launch review`, without knowing which arm had answered."
    return (
        section("votes", "People", note(with_code(said)), Markup('<p class="sub">{}</p>').format(_KEYS), made)
        if made
        else made
    )


def _agreed(one: Votes) -> str:
    return "–" if one.agreement is None else f"{100 * one.agreement:.0f} %"


def serving(summary: Summary | None) -> Markup:
    """Seconds and dollars of answering, as it was measured in the test."""
    found = () if summary is None else summary.serving
    ways = list(dict.fromkeys(one.how for one in found))
    rows = [_served(one, said_beside=len(ways) > 1) for one in found]
    heads: list[Head] = ["arm", ("seconds a request", "n"), ("$ per 1,000", "n")]
    made = table([*heads, *([("how it is known", "long")] if len(ways) > 1 else [])], rows, "Serving")
    if summary is None or not made:
        return Markup("")
    even = summary.verdict
    said = ""
    if even.break_even_requests is not None:
        rival = NAMES.get(even.break_even_against, "the other arm")
        said = f"After about {about(even.break_even_requests)} requests training has paid for itself against {rival}."
    return section("serving", "Serving", note(text(ways[0], 600)) if len(ways) == 1 else Markup(""), made, note(said))


def _served(one: Serving, *, said_beside: bool) -> list[object]:
    usd = amount_usd(one.usd_per_1000)
    price = "–" if usd is None else f"${digits(usd)}"
    seconds = "–" if one.seconds_per_request is None else digits(one.seconds_per_request)
    return [one.arm, seconds, price, *([text(one.how, 600)] if said_beside else [])]


def digits(value: float | Decimal) -> str:
    """Three digits of it, however small: seconds and dollars of one request are."""
    return f"{float(f'{value:.3g}'):,.10f}".rstrip("0").rstrip(".") if value else "0"
