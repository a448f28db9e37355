"""The commands, one function each: options in, the story's functions called, what they answer shown. No logic."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from launcher import options
from launcher.carrying import carried, settled
from launcher.errors import Exit
from launcher.options import Session, pass_session
from launcher.run_commands import attach, logs, ps, pull, receipt, report, resume, show, ssh, stop

if TYPE_CHECKING:  # for start-up time
    from launcher.request import Request

# All else is imported inside the functions, for start-up time: `launch --help` needs none of it, and `ps`, `show` and
# `receipt` must not load what only a cloud needs.


def run(session: Session, said: dict[str, Any]) -> int:
    """`launch` itself: the story from price to receipt."""
    from launcher import flow

    if said.pop("dry_run"):
        return _priced(session, _request(session, said))
    asked = _request(session, said)
    world = settled(session.world())
    return carried(world, lambda: flow.launch(asked, world))


def _request(session: Session, said: dict[str, Any]) -> "Request":
    request = options.request(said)
    options.checked_providers(request.providers, session.world())
    return request


def _priced(session: Session, request: "Request") -> int:
    """Show the plan, and stop there."""
    from launcher import tables, wire
    from launcher.events import PlanMade
    from launcher.price import price

    world = settled(session.world())
    priced = price(request, world, from_snapshot=True)
    session.notes(priced.notes)
    now, width, plan = session.now(), session.width(), priced.plan
    page = tables.plan_table(plan, priced.title, now, width, verbose=session.verbose)
    if session.verbose and plan.choices:
        page += "\n\n" + tables.phases_table(plan.choices[0].estimate, width)
    page += "\n\nnext  " + _next_after_plan(request)
    session.say(page, lambda: wire.document(PlanMade(run="", at=world.now(), plan=plan, title=priced.title)))
    return 0


def _next_after_plan(request: "Request") -> str:
    """The same request as a launch; without a budget only where a provider was named."""
    words = [f" --provider {name}" for name in request.providers]
    if request.budget_usd is not None or not words:
        words.insert(0, f" --budget {request.budget_usd or 5:f}")
    return "launch" + "".join(words) + (f" --gpu {request.gpu}" if request.gpu else "")


@click.command(epilog="\b\nExamples:\n  launch estimate --gpu a10g\n  launch estimate --budget 5 -v\n")
@options.speaking
@options.describing
@pass_session
def estimate(session: Session, /, **said: Any) -> int:
    """Show what the job would cost to finish, on what; nothing is rented.

    Ranked by expected dollars to finish, each price with its age. With -v: all choices, what was left out and why, and
    where the time goes.
    """
    return _priced(session, _request(session, said))


@click.command(epilog="\b\nExamples:\n  launch offers --gpu a100 --spot\n  launch offers --provider local\n")
@options.speaking
@options.choosing
@pass_session
def offers(session: Session, /, **said: Any) -> int:
    """List what can be rented now, cheapest hour first, each price with its age."""
    from launcher import listing, tables, wire
    from launcher.moving import moving

    request = _request(session, said)
    world = session.world()
    with moving(session.streams().talk.stream, session.width()) as draw:
        found, notes = listing.offers(
            request,
            world,
            lambda so_far, waiting: draw(tables.growing(so_far, waiting, session.now(), session.width())),
        )
    session.notes(notes)
    page = tables.offers_table(found, session.now(), session.width())
    session.say(page, lambda: wire.offers(found, world.now()))
    return 0


@click.command()
@options.speaking
@pass_session
def reap(session: Session) -> int:
    """End machines of ours that should not run, at every provider; take back those whose job runs inside its budget.

    Works from what the clouds list, so it needs no ledger. Exit 7 when a machine is still there.
    """
    from launcher import reaping, recover

    world = session.world()
    found = recover.reap(world)
    session.say(reaping.text(found), lambda: reaping.document(found, world.now()))
    failure = reaping.failure(found)
    if failure is not None:
        raise failure
    return 0


@click.command(epilog="\b\nExamples:\n  launch doctor\n  launch doctor --provider local -v\n")
@options.speaking
@click.option("--provider", "providers", multiple=True, metavar="NAME", help="Only this provider (repeatable).")
@pass_session
def doctor(session: Session, providers: tuple[str, ...]) -> int:
    """Check credentials, quotas, network and tools; costs nothing. Exit 4 when something must be fixed."""
    from launcher import tables, wire
    from providers.base import Level

    world = settled(session.world())
    names = options.checked_providers(providers, world) or world.config.default_providers or world.provider_names
    found = [(name, finding) for name in names for finding in world.provider(name).check()]
    session.say(tables.findings(found, session.width()), lambda: wire.findings(found, world.now()))
    return int(Exit.PROVIDER) if any(finding.level is Level.ERROR for _, finding in found) else 0


@click.command(epilog="\b\nExamples:\n  launch init\n  launch init --yes --model Qwen/Qwen2.5-0.5B --data rows.jsonl\n")
@options.speaking
@click.option("--yes", is_flag=True, help="Take what is given and the defaults; ask nothing.")
@click.option("--model", metavar="MODEL", help="A model of the Hub, or a folder.")
@click.option("--data", metavar="FILE", help="The training rows (JSONL).")
@click.option("--test", metavar="FILE", help="The test rows; without it a tenth of the data is set aside.")
@click.option("--name", metavar="TEXT", help="A name for the job.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("launch.yaml"), help="Where to write [launch.yaml]."
)
@pass_session
def init(session: Session, /, yes: bool, out: Path, **given: str | None) -> int:
    """Ask a few questions and write a commented launch.yaml, with the model's revision pinned."""
    from launcher import init as writer
    from launcher import wire

    answers = writer.answers(given, None if yes else session.ask_line)
    written = writer.write(answers, out, session.environ, None if yes else session.console().ask)
    session.notes(written.notes)
    text = f"wrote {written.path}\n\nnext  launch estimate --job {written.path}"
    head = wire.head("init", session.now(), "")
    session.say(text, lambda: {**head, "file": str(written.path), "revision": written.revision})
    return 0


ALL = (estimate, offers, ps, show, logs, attach, ssh, pull, stop, resume, receipt, report, reap, doctor, init)
