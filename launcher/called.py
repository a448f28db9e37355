"""Create calls of a run, noted beside its ledger: one that was put back from a copy knows less, and that is seen."""

import os
from contextlib import suppress

from launcher import on_disk, seen
from launcher.errors import Exit, LaunchError
from launcher.events import Warned
from launcher.intents import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS
from launcher.run import Ending, Outcome, Run
from launcher.steps import Ended, turn_round_if_asked
from launcher.strays import end_machine, take_in
from launcher.teardown import LOOKS, PATIENCE_SECONDS
from launcher.unknown import TAKEN_UP, unknown
from launcher.world import World
from pricing.plan import Plan
from providers.base import OVER

REAP = "launch reap     # ends what it finds of this run"
UNKNOWN = "unknown-machine"
"""Also the code of an ending before which something had been rented, although the books know of nothing."""


def note(run: Run, nonce: str, world: World) -> None:
    """The ledger knows the call already: this only tells whoever finds an older ledger that there was one."""
    path = world.run_folder(run.id) / seen.CALLS
    with suppress(OSError):  # a full disk: the ledger has it, and that is what counts
        is_new = not path.exists()
        with path.open("a", encoding="ascii") as file:
            file.write(f"{nonce}\n")
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            on_disk.sync_name(path)


def unknown_calls(run: Run, world: World) -> set[str]:
    """Nonces of calls that were made for the run, and of which its ledger knows nothing."""
    return seen.all_calls(run, world) - {attempt.nonce for attempt in run.attempts}


def wait_for_unknown(run: Run, plan: Plan, world: World) -> None:
    """Take in what came of calls that the ledger does not know; a list may show their machines late.

    Nothing is rented before the clouds' settle window has passed since the run was taken up: whoever made such a call
    had let go of the run by then. Raises `LaunchError` (exit 7) where a cloud does not say for too long, and
    `Ended` where there was a machine that could not be taken in.
    """
    taken_up_at = run.beats.get(TAKEN_UP)
    if taken_up_at is None or not unknown_calls(run, world):
        return
    names = {choice.offer.provider for choice in plan.choices} | {one.offer.provider for one in run.attempts}
    settle_seconds = max((world.provider(name).traits.settle_seconds for name in names), default=0.0)
    wait_seconds, looks = FIRST_WAIT_SECONDS, 0
    while True:
        age_seconds = (world.now() - taken_up_at).total_seconds()
        trouble = take_in(run, world, everywhere=True)
        if not unknown_calls(run, world):
            return
        looks += trouble is None and age_seconds >= settle_seconds
        if looks == LOOKS:
            _must_be_alone(run, world)
            return
        if age_seconds > settle_seconds + PATIENCE_SECONDS:
            why = "a create call was made that the ledger does not know, and its cloud does not say what came of it"
            raise _open(f"{run.id}: {why}", "create-unclear")
        turn_round_if_asked(run, world)
        world.sleep(wait_seconds)
        wait_seconds = min(wait_seconds * 1.5, LONGEST_WAIT_SECONDS)


def _must_be_alone(run: Run, world: World) -> None:
    """A machine that no choice of the plan is like cannot be taken in, nor priced: it is ended. Raises `Ended`."""
    others = [one for one in unknown(run, world, everywhere=True)[0] if one.state not in OVER]
    if not others:
        return
    names = ", ".join(f"{one.id} ({one.provider} {one.instance_type})" for one in others)
    text = f"{names} belongs to {run.id}, and no plan of it knows such a machine: ending it"
    world.console.tell(Warned(run=run.id, at=world.now(), code=UNKNOWN, text=text))
    ended = [end_machine(world.provider(one.provider), one, world) for one in others]
    if not all(ended):
        raise _open(f"{names} of {run.id} was told to end, and does not", UNKNOWN)
    why = f"{names} was of this run, and no plan of it knew such a machine: ended"
    raise Ended(Ending(outcome=Outcome.LOST, why=why, code=UNKNOWN, hint=REAP, pull=False))


def _open(what: str, code: str) -> LaunchError:
    """A machine may be running, so that the run is not over: whoever takes it up next looks again."""
    return LaunchError(what, code=code, exit_code=Exit.MAY_BE_RUNNING, hint=REAP)
