"""`launch offers`: what was seen last at once, and what each provider says now as it comes."""

from collections.abc import Callable, Sequence

from launcher import freshness, market, recover
from launcher.market import Answer, Market
from launcher.price import with_last_seen
from launcher.request import Request
from launcher.world import World
from pricing.offer import Offer

Show = Callable[[Sequence[Offer], Sequence[str]], None]
"""Told of all offers as they are known now, and of the providers that have not answered yet."""


def offers(request: Request, world: World, show: Show) -> tuple[tuple[Offer, ...], tuple[str, ...]]:
    """All offers that were asked for, and notes on those who did not answer; `show` sees them grow."""
    names = request.providers or world.config.default_providers or world.provider_names
    wanted = market.query(request)
    rows = {name: () if request.fresh else market.last_seen(name, wanted, world) for name in names}
    show(_flat(rows), names)
    recover.settle_open(world)
    answers: dict[str, Answer] = {}
    for answer in market.ask(names, wanted, world):
        answers[answer.provider] = answer
        market.remember(answer, wanted, world)
        if answer.error is None:
            rows[answer.provider] = freshness.asked(Market(answers=(answer,)), request, world).offers
        show(_flat(rows), [name for name in names if name not in answers])
    found = Market(answers=tuple(answers[name] for name in names))
    if request.fresh:
        return _fresh(freshness.asked(found, request, world), world)
    shown, notes = with_last_seen(found, request, world)
    return shown, (*notes, *freshness.warnings(shown, world.now()))


def _fresh(found: Market, world: World) -> tuple[tuple[Offer, ...], tuple[str, ...]]:
    """Only what was told anew; where nothing was, the error that says why."""
    why = None if found.offers else found.why_closed(world) or freshness.too_old(found)
    if why is not None:
        raise why
    return found.offers, found.notes


def _flat(rows: dict[str, tuple[Offer, ...]]) -> list[Offer]:
    return [offer for part in rows.values() for offer in part]
