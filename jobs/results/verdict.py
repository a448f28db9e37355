"""Was fine-tuning worth it? Tuned against the best prompt (and the larger model), with what it cost, in a sentence."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

from jobs.results.compare import Comparison
from jobs.results.kinds import Kind
from jobs.results.serving import Paid, break_even
from jobs.results.summary import Adjacent, Difference, Judged, Judging, Metric, Serving, Verdict, Votes

Answer = Literal["worth it", "not worth it", "not distinguishable", "unknown"]
MATTERS = 0.05
"""A gain that is surely smaller does not pay for a model of one's own: 5 points of a share, or 0.05 nats, which is 5 %
of the perplexity (assumed)."""
NAMES = {"base": "the bare base model", "prompted": "the best prompt", "larger": "the larger model"}


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the verdict rests on. `comparisons`: of the first metric, tuned minus each arm, by that arm's name."""

    kind: Kind | None
    comparisons: Mapping[str, Comparison]
    metrics: Sequence[Metric]
    adjacent: Sequence[Adjacent]
    serving: Mapping[str, Serving]
    paid: Paid
    judging: Judging | None = None
    votes: Sequence[Votes] = ()


def opponent(arms: Sequence[str]) -> str:
    """Whom tuning has to beat: the prompt, where one was tried."""
    return next((arm for arm in ("prompted", "base", "larger") if arm in arms), "")


def verdict(found: Evidence) -> Verdict:
    """The answer about the first metric, its headline, and everything that speaks for or against it."""
    against = opponent(list(found.comparisons))
    if found.kind is None or not against:
        return unknown("tuned was not compared with any other arm, item by item")
    against_prompt, kind = found.comparisons[against], found.kind
    difference = first_difference(found, kind, against)
    other = "larger" if "larger" in found.serving else against
    even = break_even(found.paid, found.serving.get("tuned"), found.serving.get(other))
    answer, headline = _headline(kind, difference, against_prompt.shown, found.paid)
    untried = "" if "prompted" in found.comparisons else "; a written prompt was not tried"
    return Verdict(
        answer=answer,
        headline=headline + untried + (_unlearned(found.adjacent) if answer == "worth it" else ""),
        reasons=tuple(_reasons(found, kind, against, (even, other))),
        smallest_difference=round(against_prompt.shown, 4) if math.isfinite(against_prompt.shown) else None,
        break_even_requests=even,
        break_even_against="" if even is None else other,
    )


def unknown(why: str) -> Verdict:
    """Where nothing can be compared."""
    return Verdict(answer="unknown", headline=f"unknown: {why}", reasons=(), smallest_difference=None)


def first_difference(found: Evidence, kind: Kind, against: str) -> Difference:
    """Of the first metric, as it stands in the summary: after Holm's correction."""
    listed = [one for metric in found.metrics if metric.name == kind.name for one in metric.differences]
    return next((one for one in listed if one.against == against), found.comparisons[against].difference)


def _headline(kind: Kind, one: Difference, shown: float, paid: Paid) -> tuple[Answer, str]:
    better = kind.sign * one.value > 0
    gain = f"{kind.title} {signed(one)} {over(one.against)} ({ends(one)}, n={one.n})"
    most = one.high if kind.sign > 0 else -one.low
    if one.distinguishable and better:
        cost = "" if paid.training_usd is None else f", for ${_money(paid.training_usd)}"
        return "worth it", f"worth it: {gain}{cost}"
    if one.distinguishable:
        return "not worth it", f"not worth it: tuned is worse: {gain}"
    if most < MATTERS:
        same = "a better prompt does the same" if one.against == "prompted" else f"{NAMES[one.against]} does the same"
        return "not worth it", f"not worth it: {same} (difference {signed(one)}, {ends(one)}, n={one.n})"
    could = f"this test set of {one.n} could {_could(shown)}"
    seen = f"{kind.title} {signed(one)} {over(one.against)}, {ends(one)}"
    return "not distinguishable", f"not distinguishable: {could}; it showed {seen}"


def _could(shown: float) -> str:
    return f"only have shown differences above {shown:.2f}" if math.isfinite(shown) else "have shown none"


def _unlearned(tasks: Sequence[Adjacent]) -> str:
    """What a gain was paid with besides money: whoever reads one line only has to read it too."""
    names = [task.name for task in tasks if task.state == "dropped"]
    return f"; but {', '.join(names)} dropped" if names else ""


def signed(one: Difference) -> str:
    """The difference with its sign."""
    return f"{one.value:+z.2f}"


def ends(one: Difference) -> str:
    """The interval in words."""
    return f"95 % {one.low:z.2f} to {one.high:z.2f}"


def over(against: str) -> str:
    """Compared with whom."""
    return f"over {NAMES[against]}"


def _money(usd: Decimal) -> str:
    return f"{usd.quantize(Decimal('0.01') if usd >= Decimal('0.1') else Decimal('0.0001'), rounding=ROUND_HALF_UP):f}"


def _reasons(found: Evidence, kind: Kind, against: str, even: tuple[int | None, str]) -> list[str]:
    """What speaks against the answer first, then what is said besides."""
    yours = first_difference(found, kind, against)
    gained = yours.distinguishable and kind.sign * yours.value > 0
    said = [
        *_of_the_larger(found, kind, against),
        *_of_adjacent(found.adjacent),
        *_of_other_metrics(found, kind, against, gained=gained),
        *_of_readers(found, gained=gained),
        *_of_serving(found, even),
        *_of_its_size(found, kind, against, gained=gained),
    ]
    return sorted(said, key=lambda one: not one.startswith("but "))


def _of_the_larger(found: Evidence, kind: Kind, against: str) -> list[str]:
    """The larger model besides the prompt."""
    if "larger" not in found.comparisons or against == "larger":
        return []
    one = first_difference(found, kind, "larger")
    known = "tuned is better than" if kind.sign * one.value > 0 else "tuned is worse than"
    word = known if one.distinguishable else "tuned cannot be told from"
    return [f"{word} the larger model: {kind.title} {signed(one)} ({ends(one)}, n={one.n})"]


def _of_its_size(found: Evidence, kind: Kind, against: str, *, gained: bool) -> list[str]:
    """A gain that is real and small."""
    one = first_difference(found, kind, against)
    most = one.high if kind.sign > 0 else -one.low
    return [f"but the gain is small: at most {most:.2f}"] if gained and most < MATTERS else []


def _of_other_metrics(found: Evidence, kind: Kind, against: str, *, gained: bool) -> list[str]:
    """Figures that say the opposite, told apart from chance. Perplexity says what loss says."""
    said = []
    for metric in found.metrics:
        if metric.name in (kind.name, "perplexity"):
            continue
        for one in metric.differences:
            better = one.value > 0 if metric.better == "higher" else one.value < 0
            if one.against == against and one.distinguishable and better is not gained:
                how = "better" if better else "worse"
                said.append(f"but {metric.title} got {how}: {signed(one)} ({ends(one)})")
    return said


def _of_adjacent(tasks: Sequence[Adjacent]) -> list[str]:
    """What was unlearned, and what may have been."""
    return [
        f"but {task.name} {task.state}: {task.metric} {task.base.value:.2f} to {task.tuned.value:.2f} "
        f"({ends(task.difference)}, {task.allow_drop:g} allowed)"
        for task in tasks
        if task.state in ("dropped", "may have dropped")
    ]


def _of_readers(found: Evidence, *, gained: bool) -> list[str]:
    """A judge model, and people."""
    heard: list[tuple[str, Judged | Votes]] = [("people", one) for one in found.votes]
    if found.judging is not None:
        heard = [*((found.judging.model, one) for one in found.judging.pairs), *heard]
    said = []
    for who, one in heard:
        if one.arm != "tuned":
            continue
        word = f"{who} preferred {'tuned' if one.share.value > 0.5 else NAMES.get(one.against, one.against)}"
        if not one.distinguishable:
            word = f"{who} did not tell tuned from {NAMES.get(one.against, one.against)}"
        turn = "but " if one.distinguishable and (one.share.value > 0.5) is not gained else ""
        said.append(f"{turn}{word} ({one.wins} wins, {one.ties} ties, {one.losses} losses)")
    return said


def _of_serving(found: Evidence, even: tuple[int | None, str]) -> list[str]:
    """What a thousand requests cost and take, and from when on tuning is cheaper."""
    requests, other = even
    ours, theirs = found.serving.get("tuned"), found.serving.get(other)
    if ours is None:
        return []
    name, said = NAMES.get(other, other), []
    if found.paid.training_usd is None:
        said.append(
            "what training and requests cost is not known: nobody bills this machine, electricity is not counted"
        )
    elif theirs is not None and ours.usd_per_1000 is not None and theirs.usd_per_1000 is not None:
        costs_usd = Decimal(ours.usd_per_1000), Decimal(theirs.usd_per_1000)
        paid_back = _paid_back(requests, costs_usd, name)
        said.append(
            f"1,000 requests cost ${_money(costs_usd[0])} tuned, ${_money(costs_usd[1])} with {name}: {paid_back}"
        )
    if theirs is not None and ours.seconds_per_request and theirs.seconds_per_request:
        times = _time(ours.seconds_per_request), _time(theirs.seconds_per_request)
        said.append(f"in the test a request took {times[0]} tuned, {times[1]} with {name}")
    return said


def _paid_back(requests: int | None, costs_usd: tuple[Decimal, Decimal], name: str) -> str:
    if requests is not None:
        return f"training has paid for itself after about {about(requests)} requests"
    why = "that is cheaper" if costs_usd[1] < costs_usd[0] else "that is about the same"
    return f"{why}, and training never pays for itself by it"


def about(count: int) -> str:
    """Two digits: the speeds that it comes from are no truer."""
    return f"{round(count, 2 - len(str(count))) if count > 99 else count:,}"


def _time(seconds: float) -> str:
    """Two or three digits of it."""
    return f"{seconds:,.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
