"""The market: all providers asked at once, each for so long; what was seen last is there at once, with its age."""

import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from launcher.errors import Exit, LaunchError
from launcher.mistakes import from_provider
from launcher.request import Request
from launcher.world import World
from pricing import gpus, snapshot
from pricing.offer import Offer
from providers.base import NoCredentials, OfferQuery, ProviderError, Unavailable
from providers.funds import Funds

ANSWER_SECONDS = 30.0
"""How long one provider may take; the others do not wait for it."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one provider said, or why it said nothing. `funds` only where they were asked for, and are known."""

    provider: str
    offers: tuple[Offer, ...] = ()
    funds: Funds | None = None
    hides_funds: bool = False
    """It is paid in advance, was asked what the account holds, and did not tell."""
    error: ProviderError | None = None
    too_old: int = 0
    """Offers that were left out for the age of their prices (`--fresh`)."""


@dataclass(frozen=True, kw_only=True)
class Market:
    """All answers."""

    answers: tuple[Answer, ...]

    @property
    def offers(self) -> tuple[Offer, ...]:
        """Of all providers that answered."""
        return tuple(offer for answer in self.answers for offer in answer.offers)

    @property
    def failed(self) -> tuple[tuple[str, ProviderError], ...]:
        """Those that did not answer, and why; the ones without any credentials last."""
        found = [(one.provider, one.error) for one in self.answers if one.error is not None]
        return tuple(sorted(found, key=lambda one: isinstance(one[1], NoCredentials)))

    @property
    def left_out(self) -> tuple[str, ...]:
        """What to know before renting: a line for each that failed or hides something; not for who is not set up."""
        failed = [(name, error) for name, error in self.failed if not isinstance(error, NoCredentials)]
        hiding = [one.provider for one in self.answers if one.hides_funds]
        return (
            *(f"{name} left out: {error.text}" for name, error in failed),
            *(f"{one.provider}: {one.too_old} prices older than a day left out" for one in self.answers if one.too_old),
            *(f"{name} does not tell what the account holds: it may end before the budget does" for name in hiding),
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """The same, and a line for all that are not set up: for who finds nothing."""
        strangers = [name for name, error in self.failed if isinstance(error, NoCredentials)]
        if not strangers or len(strangers) == len(self.answers):
            return self.left_out
        return (*self.left_out, f"not asked, no credentials: {', '.join(strangers)} (launch doctor)")

    def why_closed(self, world: World) -> LaunchError | None:
        """What kept us out, where that is why there is nothing to rent: no offer of a provider that bills.

        Who has no credentials for some provider was never going to rent there, as long as another one answered.
        """
        if any(world.provider(offer.provider).traits.bills for offer in self.offers):
            return None
        failed = self.failed
        if any(one.error is None and world.provider(one.provider).traits.bills for one in self.answers):
            failed = tuple(one for one in failed if not isinstance(one[1], NoCredentials))
        if not failed:
            return None
        name, error = failed[0]
        told = from_provider(error, name)
        others = [f"{other}: {why.text}" for other, why in failed[1:]]
        if not others:
            return told
        message = "\n".join([told.message, *others])
        return LaunchError(message, code=told.code, exit_code=Exit(told.exit_code), hint=told.hint, detail=told.detail)


def query(request: Request) -> OfferQuery:
    """What a person's request lets the providers be asked for."""
    names = tuple(gpu.name for gpu in gpus.match(request.gpu)) if request.gpu else ()
    return OfferQuery(
        gpus=names,
        markets=request.markets,
        regions=request.regions,
        max_usd_per_hour=request.max_price_usd_per_hour,
        community=request.community,
    )


def ask(names: Sequence[str], query: OfferQuery, world: World, *, with_funds: bool = False) -> Iterator[Answer]:
    """Ask all of them at once; their answers as they come, each within `ANSWER_SECONDS`."""
    answers: queue.Queue[Answer | BaseException] = queue.Queue()
    for name in names:

        def look(name: str = name) -> None:
            try:
                answers.put(_answer(name, query, world, with_funds=with_funds))
            except BaseException as bug:  # whoever waits must hear of it; and it is raised again
                answers.put(bug)
                raise

        # Nobody waits for a thread that hangs: it ends with the process.
        threading.Thread(target=look, name=f"ask-{name}", daemon=True).start()
    waiting, began = set(names), world.now()
    while waiting:
        left = ANSWER_SECONDS - (world.now() - began).total_seconds()
        try:
            answer = answers.get(timeout=max(0.001, left))
        except queue.Empty:
            yield from (_late(name) for name in sorted(waiting))
            return
        if isinstance(answer, BaseException):
            raise answer
        waiting.discard(answer.provider)
        yield answer


def whole(names: Sequence[str], query: OfferQuery, world: World, *, with_funds: bool = False) -> Market:
    """All answers, in the order of `names`; prices that came are kept for the next look."""
    found = {one.provider: one for one in ask(names, query, world, with_funds=with_funds)}
    for answer in found.values():
        remember(answer, query, world)
    return Market(answers=tuple(found[name] for name in names))


def remember(answer: Answer, query: OfferQuery, world: World) -> None:
    """Keep an answer's prices; an answer to an open question replaces all that was kept of that provider."""
    if answer.error is None:
        world.ledger.sightings.keep_offers(answer.provider, answer.offers, whole=query == OfferQuery())


def last_seen(name: str, query: OfferQuery, world: World) -> tuple[Offer, ...]:
    """What is known of a provider without asking it: the prices it told last, else those that ship with us."""
    seen = world.ledger.sightings.offers(name)
    shown = seen or tuple(one for one in snapshot.offers(world.now()) if one.provider == name)
    return tuple(one for one in shown if query.allows(one))


def _answer(name: str, query: OfferQuery, world: World, *, with_funds: bool) -> Answer:
    try:
        provider = world.provider(name)
        offers = provider.offers(query)
        is_asked = with_funds and provider.traits.prepaid
        funds = provider.funds() if is_asked else None
    except ProviderError as error:
        return Answer(provider=name, error=error)
    return Answer(provider=name, offers=offers, funds=funds, hides_funds=is_asked and funds is None)


def _late(name: str) -> Answer:
    error = Unavailable(f"no answer within {ANSWER_SECONDS:.0f} s")
    return Answer(provider=name, error=error)
