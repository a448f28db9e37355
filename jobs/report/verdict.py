"""The top of the page: was it worth it, what that rests on, and what it cost, before anything else is read."""

from collections.abc import Mapping

from markupsafe import Markup

from jobs.report.given import Base, instant, is_billed, said, usd
from jobs.report.markup import join, number, signed, text
from jobs.report.read import Found
from jobs.results.summary import Difference, Metric, Summary
from jobs.results.verdict import NAMES, about

_LOOKS = {"worth it": "worth", "not worth it": "not", "not distinguishable": "unclear", "unknown": "unknown"}
_ANSWERS = {
    "worth it": "Fine-tuning was worth it",
    "not worth it": "Fine-tuning was not worth it",
    "not distinguishable": "No difference that this test could show",
    "unknown": "No verdict",
}


def header(receipt: Mapping[str, object], base: Base) -> Markup:
    """Which run this is, and how it ended."""
    outcome = said(receipt, "outcome")
    machine = " ".join(said(receipt, key) for key in ("provider", "instance_type", "market"))
    model = base.model.rstrip("/").rsplit("/", 1)[-1]
    line = join(Markup('<span>{}</span>{}').format(text(part), " · ") for part in (
        said(receipt, "run"), model, instant(said(receipt, "at")),
    ))  # fmt: skip
    failed = " failed" if outcome in ("failed", "lost") else ""
    state = " succeeded" if outcome == "succeeded" and not receipt.get("gate") else failed
    return Markup(
        '<header><h1>{}</h1><span class="state{}">{}</span><p class="sub">{}<span>{}</span></p></header>\n'
    ).format(text(said(receipt, "name")), state, text(outcome.replace("_", " ")), line, text(machine))


def alarms(receipt: Mapping[str, object], found: Found) -> Markup:
    """What went wrong, said before the verdict: why it ended, what the gate wants, which files could not be read."""
    why = receipt.get("why")
    lines = [text(why)] if why else []
    gate = receipt.get("gate")
    lines += [Markup("gate: {}").format(text(one)) for one in gate] if isinstance(gate, list) else []
    left = receipt.get("leftovers")
    lines += [Markup("still there: {}").format(text(one)) for one in left] if isinstance(left, list) else []
    lines += [Markup("not readable, left out: {}").format(text(one)) for one in found.unsound]
    if found.summary is not None:
        lines += [text(one) for one in found.summary.warnings]
    items = join(Markup("<li>{}</li>").format(line) for line in lines)
    return Markup('<div class="alarm"><ul>{}</ul></div>\n').format(items) if items else items


def verdict(receipt: Mapping[str, object], found: Found) -> Markup:
    """Answer, headline, reasons, and the few figures that one has to remember."""
    summary = found.summary
    reasons: tuple[str, ...] = ()
    answer = "unknown" if summary is None else summary.verdict.answer
    if summary is None:
        headline = _without_summary(found)
    else:
        headline, reasons = _headline(summary), summary.verdict.reasons
    items = join(_reason(one) for one in reasons)
    doubted = summary is not None and answer == "worth it" and bool(summary.verdict.doubts)
    facts = join(
        Markup("<div><dt>{}</dt><dd>{}<small>{}</small></dd></div>").format(*fact) for fact in _facts(receipt, summary)
    )
    return Markup(
        '<div class="verdict {}"><p class="answer">{}</p><p class="headline">{}</p>{}<dl class="facts">{}</dl></div>\n'
    ).format(
        "unclear" if doubted else _LOOKS[answer],
        _ANSWERS[answer] + (", with doubts" if doubted else ""),
        text(headline.replace(" %", "\u00a0%")),
        Markup("<ul>{}</ul>").format(items) if items else "",
        facts,
    )


def _reason(said: str) -> Markup:
    """What speaks against the answer stands out."""
    but = said.startswith("but ")
    return Markup("<li>{}</li>").format(Markup('<span class="bad">{}</span>').format(text(said)) if but else text(said))


def _headline(summary: Summary) -> str:
    """Without the answer at its beginning, which stands above it."""
    said = summary.verdict.headline.removeprefix(f"{summary.verdict.answer}: ")
    return said[:1].upper() + said[1:]


def _without_summary(found: Found) -> str:
    if not found.scores:
        return "Nothing was evaluated, so nothing can be said about quality."
    arms = " and ".join(score.arm for score in found.scores)
    return f"There are scores of {arms}, but no comparison with intervals: see below."


Fact = tuple[str, Markup, str]


def _facts(receipt: Mapping[str, object], summary: Summary | None) -> list[Fact]:
    facts: list[Fact] = []
    if summary is not None and summary.metrics:
        facts += _quality(summary.metrics[0], summary)
    of = "" if receipt.get("budget_usd") is None else f"of {usd(receipt.get('budget_usd'))}, "
    planned = f"{of}planned {usd(said(receipt, 'planned_usd', 'expected'))}"
    facts.append(
        ("spent", text(usd(receipt.get("spent_usd"))), planned if is_billed(receipt) else "nobody bills this machine")
    )
    if summary is not None and summary.verdict.break_even_requests is not None:
        rival = NAMES.get(summary.verdict.break_even_against, "the other arm")
        facts.append(
            ("breaks even after", text(about(summary.verdict.break_even_requests)), f"requests, against {rival}")
        )
    return facts


def _quality(metric: Metric, summary: Summary) -> list[Fact]:
    facts: list[Fact] = []
    tuned = metric.values.get("tuned")
    if tuned is not None:
        facts.append((f"{metric.title}, tuned", text(number(tuned.value)), spread(tuned.low, tuned.high, tuned.n)))
    difference = main_difference(metric)
    if difference is not None:
        known = "" if difference.distinguishable else "; not distinguishable"
        low, high = signed(difference.low), signed(difference.high)
        facts.append((f"over {difference.against}", text(signed(difference.value)), f"95 % {low} to {high}{known}"))
    smallest = summary.verdict.smallest_difference
    if smallest is not None:
        facts.append(("smallest visible difference", text(number(smallest)), "shown by this test in 4 of 5 cases"))
    return facts


def main_difference(metric: Metric) -> Difference | None:
    """Of the tuned arm: against the prompted one, else the base."""
    found = {one.against: one for one in metric.differences if one.arm == "tuned"}
    return found.get("prompted") or found.get("base")


def spread(low: float | None, high: float | None, n: int) -> str:
    """An interval in words; what is not known is left out."""
    known = "" if low is None or high is None else f"95 % {number(low)} to {number(high)}, "
    return f"{known}n\u00a0=\u00a0{n:,}"
