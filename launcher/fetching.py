"""`launch pull`: from the machine while there is one, else from the durable store."""

from launcher import deposits, durable
from launcher.errors import Exit, LaunchError
from launcher.events import Pulled
from launcher.flow import held
from launcher.lock import is_carried
from launcher.look import FRESH_SECONDS, pull_now
from launcher.remote import RemoteUnreachable
from launcher.run import Run
from launcher.settle import settle
from launcher.sight import shown
from launcher.world import World
from providers.base import OVER, InstanceState


def fetch(run_id: str, world: World) -> Pulled:
    """What the machine has by now, verified; where it is gone, what the durable store has of it.

    Raises `LaunchError`, also where the machine is gone and another process carries the run: that one fetches it.
    """
    run, folder = world.ledger.load(run_id), world.run_folder(run_id)
    has_store = deposits.load(folder) is not None
    if has_store and not _has_machine(run, world):
        with held(run_id, world):
            return _from_store(run_id, world)
    try:
        return pull_now(run_id, world)
    except RemoteUnreachable:
        # It may just have ended itself, and be shown as running for a while. Who carries the run waits for it instead.
        if not has_store or is_carried(folder) or not durable.is_over(run, world):
            raise
        with held(run_id, world):
            return _from_store(run_id, world)


def _has_machine(run: Run, world: World) -> bool:
    """As far as it can be known without speaking to it."""
    if not run.attempts or run.attempt.gone_at is not None or run.attempt.instance is None:
        return False
    instance = shown(run.attempt, world, FRESH_SECONDS) or run.attempt.instance
    return instance.state not in OVER and instance.state is not InstanceState.ABSENT


def _from_store(run_id: str, world: World) -> Pulled:
    """The same, by who holds the run: its books are written, and it must not be resumed before they are.

    A run that had ended without its results gets its receipt anew.
    """
    run = world.ledger.load(run_id)
    index = durable.pull_later(run, world)
    if index is None:
        raise LaunchError(
            f"{run.id} has no machine to speak with ({run.state}), and the durable store has no results of it",
            code="no-machine",
            exit_code=Exit.USAGE,
            hint=f"launch show {run.id}",
        )
    if durable.note_fetched(run, index, world):
        settle(run, world)
    return Pulled(
        run=run.id,
        at=world.now(),
        folder=run.out_dir,
        files=len(index.files),
        bytes=sum(file.bytes for file in index.files),
        verified=True,
    )
