"""The way in to a machine whose firewall lets only us in: opened again where we are now, when nobody hears it."""

from launcher.events import Warned
from launcher.run import Run
from launcher.world import World
from providers.base import ProviderError

EVERY_SECONDS = 60.0
"""Between two tries while a machine is not heard: a laptop goes from an office to a train, and its address changes."""


def reopen(run: Run, world: World) -> None:
    """Let the provider see from where we come now. What stands in its way costs nothing but the try."""
    attempt = run.attempt
    if attempt.instance is None:
        return
    try:
        moved = world.provider(attempt.offer.provider).let_in(attempt.instance)
    except ProviderError:
        return
    if moved:
        text = f"this computer's address has changed: SSH is now open to {moved}, and to nobody else"
        world.console.tell(Warned(run=run.id, at=world.now(), code="way-in", text=text))
