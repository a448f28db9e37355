"""An intent whose create call has no answer yet: the machine is found by its nonce, or proven not to be there."""

from launcher import books, seen, twins
from launcher.awake import Awake
from launcher.run import Attempt, Ending, Outcome, Run
from launcher.steps import Ended, turn_round_if_asked
from launcher.teardown import LOOKS, PATIENCE_SECONDS
from launcher.world import World
from providers.base import Instance, ProviderError

LEAST_LOOKS = 5
"""A lost create answer means "nothing there" only after so many lists without it, the last `LOOKS` of them after the
provider's settle window."""
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 15.0


def find_machine(run: Run, world: World) -> bool:
    """The machine of a create call without an answer, or the proof (over the settle window) that there is none."""
    attempt, began = run.attempt, world.now()
    awake, wait_seconds = Awake(attempt, world), FIRST_WAIT_SECONDS
    while attempt.gone_at is None and not look_for_machine(run, attempt, world, awake):
        turn_round_if_asked(run, world)
        if (awake.now() - began - awake.leapt).total_seconds() > PATIENCE_SECONDS:
            why = f"{attempt.offer.provider} does not say whether a machine was created"
            raise Ended(Ending(outcome=Outcome.LOST, why=why, code="create-unclear"))
        world.sleep(wait_seconds)
        wait_seconds = min(wait_seconds * 1.5, LONGEST_WAIT_SECONDS)
    if attempt.gone_at is not None:  # also where a process died between the two notes of it
        world.ledger.close_intent(run.id, attempt.number, "absent", world.now())
    return attempt.gone_at is None


def look_for_machine(run: Run, attempt: Attempt, world: World, awake: Awake | None = None) -> bool:
    """One look. True: found and adopted. `attempt.gone_at` is set by enough looks in vain over the settle window.

    `awake`: of whoever looks again and again; who looks once takes for waited what was before, and no leap within it.
    """
    provider, awake = world.provider(attempt.offer.provider), awake or Awake(attempt, world)
    try:
        found = [one for one in provider.list(attempt.offer.region) if one.nonce == attempt.nonce]
    except ProviderError:  # a key that is refused, or an answer that breaks its contract, tells of no machine either
        return False
    if found:
        adopt(run, attempt, found[0], world)
        attempt.seen_at = attempt.seen_at or world.now()
        world.ledger.save_attempt(run, attempt)
        for twin in found[1:]:  # told to end by the next look; it may be gone by itself until then
            twins.count(run, attempt, twin, world)
        return True
    now = awake.now()
    settled = attempt.unanswered_seconds(now) >= provider.traits.settle_seconds
    # A list has gaps just when a machine would first be in it: some looks are kept for afterwards.
    attempt.looks = attempt.looks + 1 if settled else min(attempt.looks + 1, LEAST_LOOKS - LOOKS)
    if attempt.looks >= LEAST_LOOKS and settled:
        books.note_absent(attempt, provider.traits, now, was_seen=seen.is_noted(run, attempt, world))
        world.ledger.save_answered(run, attempt, "absent", now)
    else:
        world.ledger.save_attempt(run, attempt)
    return False


def adopt(run: Run, attempt: Attempt, instance: Instance, world: World) -> None:
    """The create call's answer is this machine."""
    attempt.instance, attempt.looks = instance, 0
    world.ledger.save_answered(run, attempt, "created", world.now())


def close_absent(run: Run, attempt: Attempt, answer: str, world: World) -> None:
    """The create call was refused: nothing came of it, for certain."""
    attempt.never_was, attempt.ended_at, attempt.gone_at = True, world.now(), world.now()
    world.ledger.save_answered(run, attempt, answer, world.now())
