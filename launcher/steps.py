"""What the steps of the story share: how a step says that the machine's work is over, and how a new state is told."""

from launcher import fence
from launcher.events import StateChanged
from launcher.interrupt import Interrupted
from launcher.run import Ending, Run, State
from launcher.world import World


class Ended(Exception):
    """Raised by a step when this machine is no longer needed."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.why)
        self.ending = ending


def step_to(run: Run, state: State, world: World) -> None:
    """Write the new state down, then tell it."""
    world.ledger.advance(run, state, world.now())
    tell_state(run, world)


def turn_round_if_asked(run: Run, world: World) -> None:
    """Raise `Interrupted` where there is nothing to save, and somebody wants the run to stop, here or elsewhere.

    Asked in every long wait, hence also the moment to say that we are there. Raises `CarriedElsewhere`.
    """
    fence.beat(run, world)
    world.interrupt.check()
    if world.ledger.stop_asked(run.id):
        raise Interrupted


def tell_state(run: Run, world: World) -> None:
    """Tell where the run is."""
    attempt = run.attempts[-1] if run.attempts and not run.attempts[-1].never_was else None
    world.console.tell(
        StateChanged(
            run=run.id,
            at=world.now(),
            state=run.state,
            attempt=0 if attempt is None else attempt.number,
            offer=None if attempt is None else attempt.offer,
            instance_id="" if attempt is None or attempt.instance is None else attempt.instance.id,
        )
    )
