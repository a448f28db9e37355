"""When something happens to a run in a test: at a moment, in a state, or before a provider answers."""

from collections.abc import Callable
from datetime import timedelta
from typing import NoReturn

import pytest

from launcher import flow
from launcher.ledger import Ledger
from launcher.run import State
from pricing.offer import Offer
from providers.base import OfferQuery, Traits
from tests.fake_machine import fake_traits
from tests.fake_provider import FakeProvider
from tests.fake_world import Killed, Stage


def when(stage: Stage, is_time: Callable[[str], bool], do: Callable[[], object]) -> None:
    """Let something happen once, before the first call to the cloud or a machine at which it is time."""
    before = stage.cloud.before_call
    done: list[bool] = []

    def at(verb: str) -> None:
        if not done and is_time(verb):
            done.append(True)
            do()
        before(verb)

    stage.cloud.before_call = at


def after(stage: Stage, seconds: float) -> Callable[[str], bool]:
    """So many virtual seconds from now."""
    due = stage.clock() + timedelta(seconds=seconds)
    return lambda verb: stage.clock() >= due


def in_state(stage: Stage, state: State, call: str | None = None) -> Callable[[str], bool]:
    """As soon as the ledger says so, at any call or at that one."""
    books = Ledger(stage.folder / "home" / "ledger.sqlite")
    return lambda verb: call in (None, verb) and books.find(None).state is state


def raising(error: Exception) -> Callable[..., NoReturn]:
    """A function that does nothing else."""

    def do(*asked: object) -> NoReturn:
        raise error

    return do


def started_by_who_died(stage: Stage) -> str:
    """A run whose process died right after it had started the job: its books say that it is being shipped."""
    world = stage.laptop()
    run = stage.open_run(world)
    stage.at_point = lambda name: stage.kill() if stage.site.started else None
    with pytest.raises(Killed):
        flow.carry(run, world)
    stage.at_point = lambda name: None
    stage.revive()
    assert stage.laptop().ledger.load(run.id).state is State.SHIPPING
    return run.id


class Waiting(FakeProvider):
    """A provider to which something happens before it tells its offers."""

    def __init__(self, stage: Stage, name: str, *offers: Offer, traits: Traits | None = None) -> None:
        super().__init__(stage.cloud, name, offers or stage.offers, owner="me", traits=traits or fake_traits())
        self.first: Callable[[], object] = lambda: None
        stage.others[name] = self

    def offers(self, query: OfferQuery) -> tuple[Offer, ...]:
        """What happens, then the price list."""
        self.first()
        return super().offers(query)
