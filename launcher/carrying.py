"""Holds a run for a command: what Ctrl-C means while it does, and which exit code comes of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from launcher.errors import Exit, LaunchError

if TYPE_CHECKING:  # for start-up time
    from launcher.receipt import Receipt
    from launcher.world import World

EVER = datetime(2020, 1, 1, tzinfo=UTC)
"""Before the first run of this program: whether an old doubt still matters is `strays`' own business."""


def carried(world: "World", work: "Callable[[], Receipt | None]", run_id: str = "") -> int:
    """Work that may hold a machine: one Ctrl-C turns it round, a second one leaves with the command that ends it."""
    with interruptible(world, run_id):
        return ended(work())


@contextmanager
def interruptible(world: "World", run_id: str = "") -> "Iterator[None]":
    """The same, for a block. Raises `LaunchError` where a person will not wait."""
    from launcher.interrupt import Ended, HungUp, LetGo  # here for start-up time

    try:
        with world.interrupt.listening():
            yield
    except HungUp:
        hand_over(world)
        raise _let_go(world, run_id) from None
    except Ended:
        _note(world, "let-go", "this process was ended from outside (SIGTERM), and nobody watches")
        raise _let_go(world, run_id) from None
    except LetGo:
        raise _let_go(world, run_id) from None


def hand_over(world: "World") -> None:
    """The terminal is gone, and the run is not: a process without one carries it on, as with `--detach`."""
    run_id = world.interrupt.carries
    if not run_id:
        return
    try:
        world.spawn(run_id)
    except OSError as error:
        _note(world, "let-go", f"the terminal was closed, and no process could be begun to go on with it ({error})")
    else:
        _note(world, "detached", "the terminal was closed")


def _note(world: "World", code: str, why: str) -> None:
    """In the books, and on the terminal where there is one."""
    from launcher.events import Warned  # here for start-up time

    run_id = world.interrupt.carries
    if run_id:
        text = f"{why}; {run_id} goes on in the background" if code == "detached" else f"{why}: launch attach {run_id}"
        with suppress(OSError):
            world.console.tell(Warned(run=run_id, at=world.now(), code=code, text=text))


def settled(world: "World") -> "World":
    """The world, after one look at the calls whose answers are open; books without any cost no start-up time."""
    if world.ledger.unfinished() or world.ledger.closed_in_doubt(EVER):
        from launcher import recover  # here for start-up time

        recover.settle_open(world)
    return world


def _let_go(world: "World", run_id: str) -> LaunchError:
    """What may be left when a person will not wait: of that run, or of the latest that has not ended."""
    open_runs = world.ledger.unfinished()
    if not open_runs:
        return LaunchError("interrupted", code="interrupted", exit_code=Exit.INTERRUPTED, hint="launch ps")
    last = next((one for one in open_runs if one.id == run_id), open_runs[-1])
    machine = " ".join(part for part in (last.provider, last.instance_type, last.zone or last.region) if part)
    return LaunchError(
        f"a machine may still be running: {last.id} ({machine or 'not created yet'}), {last.state.lower()}",
        code="may-be-running",
        exit_code=Exit.MAY_BE_RUNNING,
        hint=f"launch stop {last.id}     # or launch attach {last.id}, to go on",
    )


def ended(receipt: "Receipt | None") -> int:
    """The receipt's own exit code; nothing to say about a run that goes on elsewhere."""
    return 0 if receipt is None else int(receipt.exit_code)
