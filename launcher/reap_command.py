"""`launch reap`: end what should not run, now, on another machine, or every ten minutes on this one."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from launcher import options
from launcher.options import Session, pass_session

if TYPE_CHECKING:  # for start-up time
    from launcher.recover import Reaped
    from launcher.world import World

# All else is imported inside the functions, for start-up time.

ELSEWHERE = ("cron", "systemd", "github")


@click.command(
    epilog="\b\nExamples:\n  launch reap\n  launch reap --install-timer\n  launch reap --elsewhere systemd\n"
)
@options.speaking
@click.option("--provider", "providers", multiple=True, metavar="NAME", help="Only at this provider (repeatable).")
@click.option("--overdue", is_flag=True, help="Only what is past its deadline, where nothing else ends it; for timers.")
@click.option("--take-over", is_flag=True, help="Also machines whose run another computer carries.")
@click.option("--log", type=click.Path(path_type=Path), metavar="FILE", help="Write what was found there instead.")
@click.option(
    "--elsewhere",
    type=click.Choice(ELSEWHERE),
    help="Print a ready-made timer or workflow that runs it on another machine.",
)
@click.option("--install-timer", is_flag=True, help="Run it every ten minutes on this computer.")
@click.option("--remove-timer", is_flag=True, help="Do so no more.")
@click.option("--print", "only_print", is_flag=True, help="With --install-timer: show what would be written, and stop.")
@pass_session
def reap(session: Session, /, **said: Any) -> int:
    """End machines of ours that should not run, at every provider; take back those whose job runs inside its budget.

    Works from what the clouds list, so it needs no ledger. Volumes, keys and groups of ours that nothing uses go too.
    Exit 7 when a machine is still there. Where nothing but this computer ends a machine (Lambda), a timer on another
    one can: --elsewhere prints it.
    """
    world = session.world()
    if said["elsewhere"] is not None:
        return _print_guard(session, said["elsewhere"])
    if said["install_timer"] or said["remove_timer"]:
        return _set_timer(session, world, removes=said["remove_timer"], only_print=said["only_print"])
    found = _reaped(said, world)
    return _told(session, found, said["log"])


def _reaped(said: dict[str, Any], world: "World") -> "Reaped":
    from dataclasses import replace

    from launcher import fence, recover

    names = options.checked_providers(said["providers"], world)
    if said["overdue"]:
        options.must_know_owner(world)
        return recover.reap_overdue(world, names)
    return recover.reap(replace(world, taken_over=fence.All()) if said["take_over"] else world, names)


def _told(session: Session, found: "Reaped", log: Path | None) -> int:
    from launcher import reaping, timer, wire

    document = reaping.document(found, session.world().now())
    if log is None:
        session.say(reaping.text(found), lambda: document)
    else:
        timer.keep(wire.text(document), log)
    failure = reaping.failure(found)
    if failure is not None:
        raise failure
    return 0


def _set_timer(session: Session, world: "World", *, removes: bool, only_print: bool) -> int:
    from launcher import timer, timer_page, wire

    made = timer.timer(world)
    if only_print:
        page = timer_page.shown(made)
    elif removes:
        page = timer_page.removed(timer.remove(made, world), made)
    else:
        timer.install(made, world)
        page = timer_page.installed(made, world)
    head = wire.head("timer", world.now(), "")
    files: list[wire.Json] = [str(path) for path in made.files]
    session.say(page, lambda: {**head, "kind": made.kind, "files": files, "line": made.line})
    return 0


def _print_guard(session: Session, kind: str) -> int:
    from launcher import elsewhere, wire
    from launcher.world import owner_id

    world = session.world()
    page = elsewhere.guard(kind, owner_id(world.environ, world.home))
    session.say(page.rstrip(), lambda: {**wire.head("guard", world.now(), ""), "kind": kind, "text": page})
    return 0
