"""Before a machine is ended: whether another computer carries its run by now. Who was away for long may not know."""

from launcher import fence
from launcher.boot import connect, guest_of
from launcher.remote import RemoteError
from launcher.run import Run
from launcher.world import World

ASK_SECONDS = 15.0
"""What a machine may take to say who carries it."""


def must_still_be_ours(run: Run, world: World) -> None:
    """Raises `CarriedElsewhere`. A machine that does not answer is ours to end: the budget comes first."""
    if run.id not in world.taken_over:
        fence.must_be_free(run.id, world)
    attempt = run.attempt if run.attempts else None
    if attempt is None or attempt.gone_at is not None or not attempt.is_fenced or attempt.instance is None:
        return
    if attempt.instance.access is None or not fence.is_due(run, world):
        return
    remote = connect(run, attempt.instance, world)
    try:
        fence.hold(run, guest_of(run, remote, lambda: ASK_SECONDS), world)
    except RemoteError:
        return
    finally:
        remote.close()
