"""`launch resume`: more money for a run that ended early."""

from typing import TYPE_CHECKING, Any

import click

from launcher import options
from launcher.carrying import carried, settled
from launcher.options import Session, pass_session
from launcher.run_commands import RUN

if TYPE_CHECKING:  # for start-up time
    from launcher.records import RunRecord
    from launcher.request import IfSlow, Request

# All else is imported inside the functions, for start-up time: `launch --help` needs none of it.


@click.command(epilog="\b\nExamples:\n  launch resume --budget 7\n  launch resume brave-otter --budget 7 --on-demand\n")
@options.speaking
@RUN
@click.option(
    "--budget", "budget_usd", type=options.Usd(), required=True, metavar="USD",
    help="All that the run may cost, what it has spent included.",
)  # fmt: skip
@options.choosing
@options.ending
@options.waiting
@options.agreeing
@pass_session
def resume(session: Session, /, reference: str | None, **said: Any) -> int:
    """Go on with a run that ended early, from its last verified checkpoint, under a new total budget.

    Of --budget, what the run has spent is spent: `--budget 7` after 5.00 is 2.00 more, and the question says so. The
    job and its data are those of the launch; which machines may be had can be said anew, and stays as it was where it
    is not. The rest is priced now, and the checkpoint is checked before anything is rented.
    """
    from launcher import resuming

    dry = said.pop("dry_run")
    asked, if_slow = _asked(session, said)
    world = settled(session.world())
    record = world.ledger.find(reference)
    if dry:
        return _shown(session, record, asked)
    return carried(world, lambda: resuming.resume(record.id, asked, world, if_slow=if_slow), record.id)


def _asked(session: Session, said: dict[str, Any]) -> "tuple[Request, IfSlow | None]":
    """What was typed; a policy for slow machines only where one was, as the run has its own."""
    is_typed = click.get_current_context().get_parameter_source("if_slow") is click.core.ParameterSource.COMMANDLINE
    request = options.request(said)
    options.checked_providers(request.providers, session.world())
    return request, request.if_slow if is_typed else None


def _shown(session: Session, record: "RunRecord", asked: "Request") -> int:
    """The plan of the rest, and stop there."""
    from launcher import resuming, tables, wire
    from launcher.events import PlanMade

    world = session.world()
    going = resuming.going_on(world.ledger.load(record.id), asked, world)
    session.notes(going.notes)
    page = tables.plan_table(going.plan, going.title, session.now(), session.width(), data=going.sums)
    made = PlanMade(run=record.id, at=world.now(), plan=going.plan, title=going.title, data=going.sums)
    words = f"\n\nnext  launch resume {record.id} --budget {going.budget_usd:f}"
    session.say(page + words, lambda: wire.document(made))
    return 0
