"""What answering costs: measured seconds of a request times the machine's price; break-even with another arm."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, InvalidOperation

from jobs.results.items import ArmItems
from jobs.results.summary import Serving

LEAST_USD = Decimal("0.00000001")
"""Of 1,000 requests: a small model answers them for a hundredth of a cent, and break-even is made of differences."""
ALIKE = Decimal("0.05")
"""Two timings of the same work differ by so much (assumed): a saving below it is none."""
MOST_USD = Decimal(1_000_000)


@dataclass(frozen=True, kw_only=True)
class Paid:
    """What the run came to. `usd_per_hour`: of the machine that evaluated, all in; None where nobody bills it."""

    training_usd: Decimal | None = None
    usd_per_hour: Decimal | None = None
    machine: str = ""


def serving(arms: Sequence[ArmItems], paid: Paid) -> tuple[Serving, ...]:
    """Each arm whose answers were timed or billed."""
    found = (_endpoint(arm) if arm.arm == "larger" else _own(arm, paid) for arm in arms)
    return tuple(one for one in found if one is not None)


def _own(arm: ArmItems, paid: Paid) -> Serving | None:
    """On the machine of this run: it is paid by the hour, so that a longer prompt and a longer answer cost more."""
    told, n = arm.told, len(arm.items) or arm.told.n
    if not told.seconds or not n:
        return None
    seconds = told.seconds / n
    usd = None if paid.usd_per_hour is None else paid.usd_per_hour * Decimal(seconds) / 3600 * 1000
    batch = f" in batches of {told.batch}" if told.batch else ""
    where = paid.machine or "the machine of this run"
    price = "whose electricity is not counted" if usd is None else f"at ${paid.usd_per_hour:.4f}/h, busy all the time"
    return Serving(
        arm=arm.arm,
        seconds_per_request=seconds,
        usd_per_1000=None if usd is None else _text(usd),
        how=f"{n} requests{batch}, generation alone, measured on {where}, {price}",
    )


def _endpoint(arm: ArmItems) -> Serving | None:
    """Behind an endpoint: what its tokens cost by the price list of the job file."""
    n = len(arm.items)
    if not n:
        return None
    cost_usd = _usd(arm.told.cost_usd)
    each_usd = _usd(arm.told.usd_per_request) or (None if cost_usd is None else cost_usd / n)
    return Serving(
        arm=arm.arm,
        seconds_per_request=arm.told.seconds / n if arm.told.seconds else None,
        usd_per_1000=None if each_usd is None else _text(each_usd * 1000),
        how=f"{n} requests, by the prices per token in the job file",
    )


def _usd(told: str | None) -> Decimal | None:
    try:
        found = Decimal(told or "")
    except InvalidOperation:
        return None
    return found if found.is_finite() and 0 <= found <= MOST_USD else None


def _text(usd: Decimal) -> str:
    return f"{usd.quantize(LEAST_USD):f}"


def break_even(paid: Paid, ours: Serving | None, theirs: Serving | None) -> int | None:
    """From how many requests on the training has paid for itself; None: never, or not known.

    Dollars of the whole run over what one request saves; a saving that two timings of the same work could show is none.
    """
    if paid.training_usd is None or ours is None or theirs is None:
        return None
    if ours.usd_per_1000 is None or theirs.usd_per_1000 is None:
        return None
    saved_usd = (Decimal(theirs.usd_per_1000) - Decimal(ours.usd_per_1000)) / 1000
    if saved_usd <= 0 or saved_usd * 1000 < ALIKE * Decimal(theirs.usd_per_1000):
        return None
    return int((paid.training_usd / saved_usd).to_integral_value(rounding=ROUND_CEILING))
