"""A run that has just got its machine, for tests of what comes after."""

from launcher.creating import create_for
from launcher.price import current_plan
from launcher.run import Run, State
from launcher.world import World
from tests.fake_world import Stage

LEASE_SECONDS = 3600


def rented(stage: Stage, world: World, **said: object) -> Run:
    """It is PROVISIONING still; its machine was created a moment ago, and nobody has looked at it yet."""
    run = stage.open_run(world, **said)  # type: ignore[arg-type]  # whatever a request may say
    world.ledger.advance(run, State.PROVISIONING, stage.clock())
    assert create_for(run, current_plan(run, world).choices[0], LEASE_SECONDS, world) is None
    return run
