"""How old a price may be: an older one is warned of, and with `--fresh` it is left out."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from launcher.display import age
from launcher.errors import Exit, LaunchError
from launcher.market import Market
from launcher.request import Request
from launcher.world import World
from pricing.offer import Offer

LIMIT = timedelta(hours=24)
"""A list price changes a few times a year (one GPU's at Runpod three times from August to November 2026), a spot price
within hours: after a day either may have moved (assumed). What ships with us counts as old at any age."""
SHIPPED = "snapshot"
"""In the source of every price that ships with us."""


def is_old(offer: Offer, now: datetime) -> bool:
    """Whether its price is older than the limit, or shipped with us."""
    return offer.age(now) > LIMIT or SHIPPED in offer.source


def asked(found: Market, request: Request, world: World) -> Market:
    """The answers as they are; with `--fresh` without old prices, each answer with how many it lost."""
    if not request.fresh:
        return found
    answers = []
    for answer in found.answers:
        kept = tuple(offer for offer in answer.offers if not is_old(offer, world.now()))
        answers.append(replace(answer, offers=kept, too_old=len(answer.offers) - len(kept)))
    return Market(answers=tuple(answers))


def warnings(offers: Iterable[Offer], now: datetime) -> tuple[str, ...]:
    """A line that names who told old prices, and how old they are; none where all are new."""
    oldest: dict[str, timedelta] = {}
    for offer in offers:
        if is_old(offer, now):
            oldest[offer.provider] = max(offer.age(now), oldest.get(offer.provider, timedelta()))
    if not oldest:
        return ()
    told = ", ".join(f"{name} {age(gone_by)}" for name, gone_by in sorted(oldest.items()))
    return (f"old prices: {told} (more than a day, or shipped with us); --fresh leaves them out",)


def too_old(found: Market) -> LaunchError | None:
    """The refusal, where prices were left out for their age."""
    names = [one.provider for one in found.answers if one.too_old]
    if not names:
        return None
    count = sum(one.too_old for one in found.answers)
    return LaunchError(
        f"no price is as new as --fresh wants it: all {count} of {', '.join(names)} are older than a day, "
        "or shipped with us",
        code="stale-prices",
        exit_code=Exit.REFUSED,
        hint=f"launch doctor --provider {names[0]}     # says why it tells no prices; or leave --fresh out",
    )
