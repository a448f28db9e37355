"""Machines that no run in hand accounts for: ended on their own, and proven; among them those that turn up too late."""

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from launcher.events import Warned
from launcher.fence import marked_elsewhere, refused
from launcher.interrupt import Interrupted
from launcher.price import current_plan
from launcher.run import Attempt, Run
from launcher.teardown import ASK_AGAIN_SECONDS, LOOKS, NOT_SEEN_SECONDS, PATIENCE_SECONDS, SEEN_DEAD_SECONDS
from launcher.unknown import unknown
from launcher.world import World
from pricing.plan import Choice
from providers.base import Instance, InstanceState, NotFound, Provider, ProviderError

FIRST_WAIT_SECONDS = 1.0
"""Before the second look at a machine that was told to end; each wait for one that is still there is longer."""
DOUBT = timedelta(hours=24)
"""How long after an unanswered create call was given up its machine is still looked for, by every command."""


def end_late(world: World, run_id: str = "") -> None:
    """End what came of create calls that were held to have come to nothing; of that run alone, where one is named.

    Costs one list for each place where such a call was made within `DOUBT`; nothing where there was none. An intent
    that an older launcher left open when its run was over is closed where that list shows nothing of it: from then on
    it is in doubt like the others.
    """
    left_open = [one for one in world.ledger.left_open() if run_id in ("", one.run)]
    doubts = [one for one in world.ledger.closed_in_doubt(world.now() - DOUBT) if run_id in ("", one.run)]
    attempts: dict[str, Attempt] = {}
    for one in (*doubts, *left_open):
        found = next((made for made in world.ledger.load(one.run).attempts if made.nonce == one.nonce), None)
        if found is not None:
            attempts[one.nonce] = found
    for name, region in sorted({(one.offer.provider, one.offer.region) for one in attempts.values()}):
        try:
            provider = world.provider(name)
            listed = [one for one in provider.list(region) if one.nonce in attempts]
        except ProviderError:
            continue  # asked again by the next command
        late = [one for one in listed if one.state is not InstanceState.GONE or attempts[one.nonce].instance is None]
        for machine in late:
            _end_one(provider, machine, world)
        here = {nonce for nonce, one in attempts.items() if (one.offer.provider, one.offer.region) == (name, region)}
        for intent in left_open:
            age_seconds = (world.now() - intent.opened_at).total_seconds()
            is_seen = any(one.nonce == intent.nonce for one in late)
            if intent.nonce in here and not is_seen and age_seconds >= provider.traits.settle_seconds:
                world.ledger.close_intent(intent.run, intent.attempt, "absent", world.now())


def take_in(run: Run, world: World, *, everywhere: bool) -> ProviderError | None:
    """Write down machines of this run that its books do not know: they come from a ledger that was put back.

    The run has them from then on as if their create calls had just been answered. `everywhere`: also where the run may
    still rent, not only where it did. What is returned is why a cloud could not be asked; None: all were.
    """
    machines, trouble = unknown(run, world, everywhere=everywhere)
    choices = current_plan(run, world).choices
    for machine in machines:
        carried = None if run.id in world.taken_over else marked_elsewhere(machine, world)
        if carried is not None:
            raise refused(run.id, carried.host, None, world)
        choice = next((one for one in choices if _is_of(one, machine)), None)
        if choice is not None:
            _write_down(run, machine, choice, world)
    return trouble


def _is_of(choice: Choice, machine: Instance) -> bool:
    offer = choice.offer
    return (offer.provider, offer.instance_type, offer.market, offer.region) == (
        machine.provider, machine.instance_type, machine.market, machine.region,
    )  # fmt: skip


def _write_down(run: Run, machine: Instance, choice: Choice, world: World) -> None:
    deadline = machine.deadline or world.now()
    attempt = Attempt(
        number=len(run.attempts) + 1,
        choice=choice,
        nonce=machine.nonce,
        started_at=machine.created_at,
        deadline=deadline,
        lease_seconds=max(0, int((deadline - machine.created_at).total_seconds())),
        rate_usd_per_hour=choice.worst_usd_per_hour,
        instance=machine,
        seen_at=world.now(),
    )
    world.ledger.open_attempt(run, attempt, "")
    world.ledger.save_answered(run, attempt, "found", world.now())
    text = f"{machine.id} ({machine.provider}) belongs to {run.id}, and the ledger did not know it: taken in"
    world.console.tell(Warned(run=run.id, at=world.now(), code="unknown-machine", text=text))


def _end_one(provider: Provider, machine: Instance, world: World) -> None:
    """It goes, is told, and counts in the books of its run."""
    gone = end_machine(provider, machine, world)
    text = f"{machine.id} ({provider.name}) turned up long after its create call got no answer"
    text += ": ended" if gone else ", and does not end: launch reap"
    world.console.tell(Warned(run=machine.run_id, at=world.now(), code="late-machine", text=text))
    run = world.ledger.load(machine.run_id)
    known = next((one for one in run.attempts if one.nonce == machine.nonce), None)
    if known is None or known.instance is not None:
        return
    known.instance, known.never_was = machine, False
    known.ended_at = known.gone_at = world.now()
    with suppress(sqlite3.Error):
        world.ledger.save_attempt(run, known)


def end_machines(provider: Provider, machines: Sequence[Instance], world: World) -> list[bool]:
    """All of them told first, so that they end at the same time; then each is seen through."""
    told = [_is_told(provider, one) for one in machines]
    return [end_machine(provider, one, world, is_told=is_told) for one, is_told in zip(machines, told, strict=True)]


def _is_told(provider: Provider, machine: Instance) -> bool:
    try:
        provider.terminate(machine)
    except ProviderError:
        return False
    return True


def end_machine(provider: Provider, machine: Instance, world: World, *, is_told: bool = False) -> bool:
    """Terminate until it is read as gone, or not found any more by both doors; False when patience ends."""
    began, wait, agreed = world.now(), FIRST_WAIT_SECONDS, 0
    ask_at = began + timedelta(seconds=ASK_AGAIN_SECONDS if is_told else 0)
    while agreed < LOOKS:
        if (world.now() - began).total_seconds() > PATIENCE_SECONDS:
            return False
        if agreed == 0 and world.now() >= ask_at:
            ask_at = world.now() + timedelta(seconds=ASK_AGAIN_SECONDS)
            with suppress(ProviderError):
                provider.terminate(machine)
        gone, spacing = _look(provider, machine)
        agreed = agreed + 1 if gone else 0
        if agreed == LOOKS and _another_door_shows(provider, machine):
            agreed, ask_at = 0, world.now()
        wait = spacing if gone else min(wait * 1.5, NOT_SEEN_SECONDS)
        if agreed < LOOKS:
            with suppress(Interrupted):  # there is nothing to turn round for: the end is what is being waited for
                world.sleep(wait)
    return True


def _look(provider: Provider, machine: Instance) -> tuple[bool, float]:
    """Whether it is gone, and how long to wait for the next look: longer where it is merely not seen."""
    try:
        return provider.get(machine).state is InstanceState.GONE, SEEN_DEAD_SECONDS
    except NotFound:
        pass
    except ProviderError:
        return False, SEEN_DEAD_SECONDS
    try:
        return all(one.id != machine.id for one in provider.list(machine.region)), NOT_SEEN_SECONDS
    except ProviderError:
        return False, SEEN_DEAD_SECONDS


def _another_door_shows(provider: Provider, machine: Instance) -> bool:
    try:
        return provider.still_there(machine) is True
    except ProviderError:
        return False
