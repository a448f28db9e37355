"""What the provider's own books say that a run cost, beside ours: asked only when a person wants to compare."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from launcher import wire
from launcher.display import folded, money
from launcher.wire import Json
from launcher.world import World
from providers.base import ProviderError


@dataclass(frozen=True, kw_only=True)
class Billed:
    """One machine; `usd` is None where its provider does not say, or does not say yet."""

    provider: str
    machine: str
    usd: Decimal | None


def billed(run_id: str, world: World) -> tuple[Billed, ...]:
    """Every machine that the run had."""
    had = [attempt for attempt in world.ledger.load(run_id).attempts if attempt.instance is not None]
    found = []
    for attempt in had:
        assert attempt.instance is not None
        try:
            usd = world.provider(attempt.offer.provider).billed_usd(attempt.instance)
        except ProviderError:
            usd = None
        found.append(Billed(provider=attempt.offer.provider, machine=attempt.instance.id, usd=usd))
    return tuple(found)


def text(found: Sequence[Billed], width: int) -> str:
    """One line: each machine's amount, or that nothing is said of it."""
    told = [f"{one.provider} {one.machine} {'not told (yet)' if one.usd is None else money(one.usd)}" for one in found]
    return folded("billed", told or ["no machine was had"], width)


def document(found: Sequence[Billed]) -> list[Json]:
    """The same for programs."""
    return [
        {"provider": one.provider, "machine": one.machine, "usd": None if one.usd is None else wire.usd(one.usd)}
        for one in found
    ]
