"""From the plan to one machine: choice after choice, at every provider that it names, within the same budget."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from launcher.called import wait_for_unknown
from launcher.codec import load
from launcher.creating import BY_A_PERSON, COOL_DOWN_SECONDS, create
from launcher.intents import find_machine
from launcher.mistakes import from_provider
from launcher.price import current_plan, plan_again
from launcher.request import Request
from launcher.run import Ending, Outcome, Run, State
from launcher.steps import Ended, step_to, turn_round_if_asked
from launcher.strays import take_in
from launcher.world import World
from pricing.plan import Choice, Plan
from providers.base import NoCapacity, ProviderError, QuotaExceeded, Unreachable


def provision(run: Run, world: World) -> None:
    """Get one machine, from the best choice that is to be had; the run goes on to BOOTING."""
    if run.state is State.PLANNED:
        step_to(run, State.PROVISIONING, world)
    if world.ledger.open_intents(run.id):
        created = find_machine(run, world)
    else:
        if any(not one.never_was for one in run.attempts):
            take_in(run, world, everywhere=True)  # one that another computer has made meanwhile
        if not _has_machine(run):
            wait_for_unknown(run, current_plan(run, world), world)
        created = _has_machine(run) or _from_choices(run, world)
    if created:
        step_to(run, State.BOOTING, world)


def _has_machine(run: Run) -> bool:
    """A process that died right after the answer has left it to us."""
    return bool(run.attempts) and run.attempt.gone_at is None and run.attempt.instance is not None


@dataclass
class _Round:
    """What one pass over the choices of a plan came to."""

    run: Run
    plan: Plan
    world: World
    barred: dict[tuple[str, ...], ProviderError] = field(default_factory=dict)
    """What falls with a refusal: a provider, or a family in a region and market."""
    errors: list[ProviderError] = field(default_factory=list)
    resting: list[datetime] = field(default_factory=list)
    """Until when pools are left alone that refused a moment ago."""

    def try_all(self) -> bool:
        """True as soon as there is a machine."""
        return any(self._try(choice) for choice in self.plan.choices)

    def _try(self, choice: Choice) -> bool:
        turn_round_if_asked(self.run, self.world)
        until = self.world.ledger.refused_until(choice.offer.pool, self.world.now())
        if until is not None:
            self.resting.append(until)
            return False
        if any(scope in self.barred for scope in _scopes(choice)):
            return False
        error = create(self.run, choice, self.plan, self.world)
        if error is None:
            return True
        self.errors.append(error)
        if isinstance(error, (*BY_A_PERSON, Unreachable)):
            provider, family = _scopes(choice)
            self.barred[family if isinstance(error, QuotaExceeded) else provider] = error
        return False

    def must_make_sense_to_wait(self, *, may_wait: bool) -> None:
        """Quota, balance and credentials do not pass by waiting: when nothing else is left, say so.

        A run that had a machine before keeps the ending of that one.
        """
        refused = self._by_a_person()
        if refused is None or (may_wait and isinstance(refused[0], Unreachable)):
            return
        error, provider = refused
        told = from_provider(error, provider)
        if self.run.ending is not None:
            raise Ended(_no_other(self.run.ending, told.message)) from error
        raise told from error

    def _by_a_person(self) -> tuple[ProviderError, str] | None:
        choices = self.plan.choices
        if not choices:
            return None  # the market has changed while we waited
        if self.barred and all(any(scope in self.barred for scope in _scopes(choice)) for choice in choices):
            (provider, *_), error = next(iter(self.barred.items()))
            return error, provider
        meant = [one.or_else if isinstance(one, NoCapacity) else None for one in self.errors]
        first = meant[0] if meant else None
        asked_all = not self.resting and {choice.offer.provider for choice in choices} == {choices[0].offer.provider}
        if first is None or not asked_all or any(one is None for one in meant):
            return None
        return first, choices[0].offer.provider


def _scopes(choice: Choice) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What falls with a choice: its whole provider (credentials), or its family in a region and market (quota)."""
    offer = choice.offer
    return (offer.provider,), (offer.provider, offer.region, str(offer.market), offer.instance_type.split(".")[0])


def _from_choices(run: Run, world: World) -> bool:
    request = load(Request, world.ledger.request(run.id))
    until = world.now() + timedelta(seconds=request.wait_capacity_seconds)
    while True:
        now = _Round(run, current_plan(run, world), world)
        if now.try_all():
            return True
        now.must_make_sense_to_wait(may_wait=world.now() < until)
        turn_round_if_asked(run, world)
        if world.now() >= until:
            raise Ended(_nothing_to_be_had(run, now))
        world.sleep(COOL_DOWN_SECONDS / 6)
        plan_again(run, world)


def _nothing_to_be_had(run: Run, last: _Round) -> Ending:
    if run.ending is not None:
        return _no_other(run.ending)
    tried = len({attempt.offer.pool for attempt in run.attempts})
    if tried:
        why = f"none of the {tried} places asked had a machine"
    elif last.resting:
        why = f"every place refused a moment ago; the first may be asked again at {min(last.resting):%H:%M:%S} UTC"
    else:
        why = "no place is left to ask"
    return Ending(outcome=Outcome.FAILED, why=why, code="no-capacity")


def _no_other(before: Ending, why_not: str = "") -> Ending:
    """How the last machine ended is how the run ended, where there is no other one."""
    why = f"{before.why}; and no other machine was to be had" + (f": {why_not}" if why_not else "")
    return Ending(outcome=before.outcome, why=why, code=before.code)
