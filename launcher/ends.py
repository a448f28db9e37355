"""How a run ends whose machine has ended, or cannot be spoken with any more because nobody knows where it is."""

from launcher.run import Ending, Outcome, Run
from launcher.sight import look
from launcher.steps import Ended
from launcher.world import World
from providers.base import OVER, EndReason, Instance


def ending_of(instance: Instance) -> Ending:
    """By what its provider says of its end."""
    match instance.end_reason:
        case EndReason.PREEMPTED:
            return Ending(outcome=Outcome.PREEMPTED, why="the provider took the machine back", again=True, pull=False)
        case EndReason.OWN_DEADLINE:
            why = "the machine reached its own deadline and ended itself"
            return Ending(outcome=Outcome.OUT_OF_BUDGET, why=why, pull=False)
        case _:
            why = f"the machine ended: {instance.end_reason or 'nobody says why'} {instance.end_text}".strip()
            return Ending(outcome=Outcome.LOST, why=why, code="machine-ended", again=True, pull=False)


def must_have_an_address(run: Run, world: World) -> None:
    """Raises `Ended` where it has none any more: a provider takes it from a machine that ends, and that was written."""
    instance = run.attempt.instance
    if instance is None or instance.access is not None:
        return
    seen = look(run, world, 0)
    if seen is not None and seen.access is not None:
        return
    if seen is not None and seen.state in OVER:
        raise Ended(ending_of(seen))
    why = "the machine that did the work has no address any more"
    raise Ended(Ending(outcome=Outcome.LOST, why=why, code="silent", again=True, pull=False))
