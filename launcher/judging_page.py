"""What a judge, a larger model and people said of a run, as text for a person and as JSON."""

from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING

from launcher.judging import Ran, Said, cost
from launcher.wire import Json, usd

if TYPE_CHECKING:  # for start-up time
    from jobs.results.summary import Judged, Judging, Votes
    from launcher.reviewing import Made

COLUMN = 14


def answers(said: Said) -> str:
    """What judge and larger model came to."""
    rows = [*_larger(said), *([] if said.judging is None else _judging(said.judging)), ("cost", cost(said))]
    return "\n".join(_row(name, text) for name, text in rows)


def votes(found: "Iterable[Votes]") -> str:
    """What people came to, each pair of arms."""
    return "\n".join(_row(name, text) for one in found for name, text in _votes(one))


def made(page: "Made", of: Ran) -> str:
    """A page that waits for people."""
    left = f"; {page.identical} more had the same answer twice, and count as ties" if page.identical else ""
    return "\n".join(
        (
            _row("page", str(page.file)),
            _row("compares", f"tuned against {page.against}, {page.items} items, blind{left}"),
            "",
            f"next  open it, vote, save; then  launch score {of.id} votes-*.json",
        )
    )


def document(said: Said) -> dict[str, Json]:
    """The same as JSON."""
    judging = None if said.judging is None else said.judging.model_dump(mode="json")
    failure = said.failure
    return {
        "larger": said.larger,
        "judging": judging,
        "unfinished": "" if failure is None else failure.message,
        "cost_usd": usd(_usd(said)),
    }


def _row(name: str, text: str) -> str:
    return f"{name:<{COLUMN}}{text}".rstrip()


def _larger(said: Said) -> list[tuple[str, str]]:
    found = said.larger
    if found is None:
        return []
    figures = ", ".join(f"{name} {value:.3f}" for name, value in found["metrics"].items())
    price = found["usd_per_request"]
    each = "" if price is None else f"; ${Decimal(price):.6f} a request"
    told = f"{found['model']}: {found['n']} items, {figures or 'not scored'}{each}"
    rest = [("", f"not finished: {found['unfinished']}")] if found["unfinished"] else []
    return [("larger model", told), *rest]


def _judging(found: "Judging") -> list[tuple[str, str]]:
    rows = [("judge", f"{found.model}: {found.items} of {found.of} items, every pair in both orders")]
    for pair in found.pairs:
        rows += _pair(pair)
    if found.counted_by_us:
        rows.append(("", f"tokens of {found.counted_by_us} answers were not told truly: counted at the worst case"))
    if found.unfinished:
        rows.append(("", f"not finished: {found.unfinished}"))
    return rows


def _pair(pair: "Judged") -> list[tuple[str, str]]:
    rows = [(f"  {pair.against}", _share(pair))]
    if pair.wins + pair.ties + pair.losses > pair.identical:
        first = _percent(pair.first_position)
        rows.append(("", f"both orders agreed on {_percent(pair.agreement)}; the first place was chosen in {first}"))
    if pair.unusable:
        rows.append(("", f"{pair.unusable} more got no verdict, and count for nothing"))
    return rows


def _votes(one: "Votes") -> list[tuple[str, str]]:
    rows = [("votes", "1 person" if one.voters == 1 else f"{one.voters} people"), (f"  {one.against}", _share(one))]
    if one.agreement is not None:
        rows.append(("", f"two of them chose the same on {_percent(one.agreement)} of what both saw"))
    if one.skipped:
        rows.append(("", f"{one.skipped} items that nobody chose on count for nothing"))
    return rows


def _share(one: "Judged | Votes") -> str:
    """How tuned fared against the arm of the row."""
    share = one.share
    told = f"tuned won {one.wins}, tied {one.ties}, lost {one.losses}: {share.value:.2f}"
    if share.low is None or share.high is None:
        return told
    return f"{told} ({share.low:.2f} to {share.high:.2f}), {_apart(one, share.low, share.high)}"


def _apart(one: "Judged | Votes", low: float, high: float) -> str:
    if one.distinguishable:
        return "better" if one.share.value > 0.5 else "worse"
    return "cannot be told apart" if low <= 0.5 <= high else "too few differ to be told apart"


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def _usd(said: Said) -> Decimal:
    larger = Decimal(0) if said.larger is None else Decimal(said.larger["cost_usd"])
    return larger + (Decimal(0) if said.judging is None else Decimal(said.judging.cost_usd))
