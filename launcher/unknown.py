"""Machines of a run that its books do not know: from a ledger that was put back, or of another computer."""

from launcher.price import current_plan
from launcher.run import Ending, Outcome, Run
from launcher.steps import Ended
from launcher.world import World
from providers.base import OVER, Instance, ProviderError

TAKEN_UP = "taken up"
"""In `Run.beats`: when this process took a run up that another one had begun."""


def unknown(run: Run, world: World, *, everywhere: bool) -> tuple[list[Instance], ProviderError | None]:
    """Those that the clouds list which it used, or may use (`everywhere`); and why one of them could not be asked."""
    found: list[Instance] = []
    trouble: ProviderError | None = None
    known = {attempt.nonce for attempt in run.attempts}
    choices = current_plan(run, world).choices
    used, planned = ({one.offer.provider for one in some} for some in (run.attempts, choices))
    for name in sorted(used | planned if everywhere else used or planned):
        try:
            found += [one for one in world.provider(name).list() if one.run_id == run.id and one.nonce not in known]
        except ProviderError as error:
            trouble = trouble or error
    return found, trouble


def must_be_the_only_one(run: Run, world: World) -> None:
    """Two computers may have asked for a machine at once: who took the run up later gives way. Raises `Ended`.

    Then its own machine ends before any work, and the other one is taken in, if nobody carries it.
    """
    if TAKEN_UP not in run.beats:
        return
    others = [one for one in unknown(run, world, everywhere=True)[0] if one.state not in OVER]
    if others:
        why = f"there is another machine of this run, which its books do not know: {others[0].id}"
        raise Ended(Ending(outcome=Outcome.LOST, why=why, code="second-machine", again=True, pull=False))
