"""`launch offers`: what was seen last at once, and what each provider says now as it comes."""

from collections.abc import Callable, Sequence

from launcher import market, recover
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
    rows = {name: market.last_seen(name, wanted, world) for name in names}
    show(_flat(rows), names)
    recover.settle_open(world)
    answers: dict[str, Answer] = {}
    for answer in market.ask(names, wanted, world):
        answers[answer.provider] = answer
        market.remember(answer, wanted, world)
        if answer.error is None:
            rows[answer.provider] = answer.offers
        show(_flat(rows), [name for name in names if name not in answers])
    return with_last_seen(Market(answers=tuple(answers[name] for name in names)), request, world)


def _flat(rows: dict[str, tuple[Offer, ...]]) -> list[Offer]:
    return [offer for part in rows.values() for offer in part]
