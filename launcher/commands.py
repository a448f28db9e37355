"""The commands, one function each: options in, the story's functions called, what they answer shown. No logic."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from launcher import options
from launcher.carrying import carried, settled
from launcher.errors import Exit, LaunchError
from launcher.judging_commands import judge, review, score
from launcher.options import Session, pass_session
from launcher.reap_command import reap
from launcher.resume_command import resume
from launcher.run_commands import attach, history, logs, ps, pull, receipt, report, show, ssh, stop

if TYPE_CHECKING:  # for start-up time
    from launcher.request import Request
    from providers.base import Finding

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
    from launcher import estimate_page, estimate_wire, exposure, job_data, tables
    from launcher.beside import beside
    from launcher.events import PlanMade
    from launcher.price import price

    world = settled(session.world())
    priced = price(request, world, from_snapshot=True)
    now, width, plan = session.now(), session.width(), priced.plan
    usd = request.budget_usd or plan.choices[0].estimate.usd.high_usd
    told = exposure.note(world.ledger.exposure(world.config.exposure_cap_usd, world.now()), usd)
    session.notes((*priced.notes, *([told] if told else [])))
    data = job_data.line(priced.data.report)
    page = tables.plan_table(plan, priced.title, now, width, data=data, verbose=session.verbose)
    around = beside(priced, world)
    page += "\n\n" + estimate_page.page(plan, around, width, verbose=session.verbose)
    page += "\n\nnext  " + _next_after_plan(request)
    made = PlanMade(run="", at=world.now(), plan=plan, title=priced.title, data=data)
    session.say(page, lambda: estimate_wire.estimated(made, around))
    return 0


def _next_after_plan(request: "Request") -> str:
    """The same request as a launch; without a budget only where a provider was named."""
    from shlex import quote

    from pricing.offer import Market

    budget = request.budget_usd or (None if request.providers else Decimal(5))
    seconds = request.deadline_seconds
    said = [
        ("--budget", None if budget is None else f"{budget:f}"),
        *(("--provider", name) for name in request.providers),
        ("--gpu", request.gpu),
        *(("--region", name) for name in request.regions),
        ("--max-price", request.max_price_usd_per_hour),
        ("--job", request.job),
        ("--model", request.model),
        ("--data", request.data),
        ("--name", request.name),
        *(("--set", one) for one in request.sets),
        ("--deadline", None if seconds is None else f"{seconds:.0f}s"),
    ]
    flags = {
        "--fit-budget": request.fit_budget,
        "--spot": request.markets == (Market.SPOT,),
        "--on-demand": request.markets == (Market.ON_DEMAND,),
        "--community": request.community,
        "--fresh": request.fresh,
    }
    words = [f"{option} {quote(str(value))}" for option, value in said if value is not None]
    return " ".join(["launch", *words, *(flag for flag, is_set in flags.items() if is_set)])


@click.command(epilog="\b\nExamples:\n  launch estimate --gpu a10g\n  launch estimate --budget 5 -v\n")
@options.speaking
@options.describing
@pass_session
def estimate(session: Session, /, **said: Any) -> int:
    """Show what the job would cost to finish, on what; nothing is rented.

    Ranked by expected dollars to finish, each price with its age; then, of the first: time and money by phase, memory
    by part, the odds, what else the budget would buy, a card of your own, and what it all rests on. With -v: all
    choices, what was left out and why, the phases of each kind of machine, and list prices elsewhere.
    """
    return _priced(session, _request(session, said))


@click.command(epilog="\b\nExamples:\n  launch data\n  launch data --job my-job/launch.yaml -v\n")
@options.speaking
@options.naming
@pass_session
def data(session: Session, /, **said: Any) -> int:
    """Show what is in the job's data: faults, repeats, leaks, conflicts, lengths, spread; nothing is rented.

    What a launch does with the rows before it asks for a price. Exit 2 when the job would refuse them. With -v: every
    kind of fault, every pair that was taken for the same, every conflict.
    """
    from launcher import data_page, job_data
    from launcher.request import Request

    world = session.world()
    ready = job_data.looked_at(Request(**said), world)
    refused = () if ready.misfit is None else (f"a launch is refused: {ready.misfit.message}",)
    session.notes((*ready.notes, *refused))
    page = data_page.page(ready.data, session.width(), verbose=session.verbose)
    session.say(page, lambda: data_page.document(ready.data, world.now()))
    return int(Exit.USAGE) if ready.data.stopping or ready.misfit is not None else 0


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


@click.command(epilog="\b\nExamples:\n  launch doctor\n  launch doctor --provider local -v\n")
@options.speaking
@click.option("--provider", "providers", multiple=True, metavar="NAME", help="Only this provider (repeatable).")
@click.option("--live", is_flag=True, help="Also rent what proves that a machine ends itself: says the cents, asks.")
@click.option("--yes", is_flag=True, help="With --live: do not ask.")
@click.option("--iam-policy", is_flag=True, help="Print the least that the credentials must be allowed, and stop.")
@pass_session
def doctor(session: Session, providers: tuple[str, ...], live: bool, yes: bool, iam_policy: bool) -> int:
    """Check this computer, credentials, rights, quotas, balances, clocks, and what guards a machine if we die.

    Costs nothing without --live. Each finding comes with its fix. Exit 4 when something must be fixed.
    """
    from launcher import checkup, tables, wire
    from providers.base import Level

    world = session.world()
    names = options.checked_providers(providers, world) or world.config.default_providers or world.provider_names
    if iam_policy:
        return _print_policy(session, names)
    settled(world)
    found = [*checkup.findings(names, world, named=bool(providers))]
    if live:
        found += _proven(session, names, yes=yes)
    session.say(tables.findings(found, session.width()), lambda: wire.findings(found, world.now()))
    if world.interrupt.asked:
        return int(Exit.INTERRUPTED)
    return int(Exit.PROVIDER) if any(finding.level is Level.ERROR for _, finding in found) else 0


def _proven(session: Session, names: Sequence[str], *, yes: bool) -> "list[tuple[str, Finding]]":
    """The trials that were agreed to, one after the other."""
    from launcher import trial
    from launcher.carrying import interruptible

    world = session.world()
    found, failed = trial.trials(names, world)
    with interruptible(world):
        for one in found:
            if world.interrupt.asked:
                break
            if trial.agreed(one, world, yes=yes):
                session.notes([trial.told(one)])
                failed.append((one.offer.provider, trial.prove(one, world)))
    if not found and not failed:
        session.notes(["there is nothing to prove by renting at these providers"])
    return failed


def _print_policy(session: Session, names: Sequence[str]) -> int:
    from launcher import wire

    world = session.world()
    page = next((policy for name in names if (policy := world.provider(name).policy())), "")
    if not page:
        raise LaunchError(
            "what a key may do at these providers is not set by a policy",
            code="usage",
            exit_code=Exit.USAGE,
            hint="launch doctor --iam-policy",
        )
    session.say(page.rstrip(), lambda: {**wire.head("policy", world.now(), ""), "text": page})
    return 0


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


ALL = (
    *(estimate, data, offers, ps, show, logs, attach, ssh, pull, stop, resume, receipt, history),
    *(report, judge, review, score, reap, doctor, init),
)
