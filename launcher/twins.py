"""A create call that was delivered twice: where the cloud knows no tokens there are two machines, and one must go."""

from datetime import timedelta
from decimal import Decimal

from launcher.events import Warned
from launcher.run import Attempt, Run
from launcher.world import World
from providers.base import OVER, Instance, InstanceState, ProviderError

ENDING_SECONDS = 60.0
"""What a twin that was told to end is billed on, at most (as `pricing.budget` sets aside for every end)."""


def end_twins(run: Run, world: World) -> None:
    """Tell machines that came of the same call as ours to end, and count them. Asks nobody: by what was listed last."""
    attempt = run.attempt
    provider = world.provider(attempt.offer.provider)
    if provider.traits.idempotent_create or attempt.instance is None:
        return
    region = "" if provider.traits.one_list else attempt.offer.region
    listing = world.ledger.sightings.listing(provider.name, region)
    for machine in listing.machines if listing is not None else ():
        if machine.nonce == attempt.nonce and machine.id != attempt.instance.id:
            count(run, attempt, machine, world)
            if machine.state in OVER:
                continue
            text = f"{machine.id} ({provider.name}) came of the same create call as {attempt.instance.id}: told to end"
            world.console.tell(Warned(run=run.id, at=world.now(), code="twin", text=text))
            try:
                provider.terminate(machine)
            except ProviderError:
                continue  # told again after the next look, and by the end of the run


def count(run: Run, attempt: Attempt, twin: Instance, world: World) -> None:
    """What it has cost since it was counted last, and will until it is gone, at the worst rate.

    One that ends already was told to by us, and counted then; or it ends by itself, and is counted once.
    """
    before = attempt.twin_seconds.get(twin.id, 0.0)
    if twin.state is InstanceState.GONE or (before and twin.state in OVER):
        return
    until = world.now() + timedelta(seconds=ENDING_SECONDS)
    life = max(before, (until - attempt.started_at).total_seconds())
    attempt.twin_seconds[twin.id] = life
    more = _billed_seconds(attempt, life) - (_billed_seconds(attempt, before) if before else 0)
    attempt.metered_usd += attempt.choice.worst_usd_per_hour * Decimal(more) / 3600
    world.ledger.save_attempt(run, attempt)


def _billed_seconds(attempt: Attempt, life: float) -> float:
    return attempt.offer.billing.billed_seconds(life)
