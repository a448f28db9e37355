"""The commands, one function each: options in, the story's functions called, what they answer shown. No logic."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from launcher import options
from launcher.carrying import carried, ended
from launcher.errors import Exit, LaunchError
from launcher.options import Session, pass_session

if TYPE_CHECKING:  # for start-up time
    from launcher.receipt import Receipt
    from launcher.records import RunRecord
    from launcher.request import Request
    from launcher.world import World

# All else is imported inside the functions, for start-up time: `launch --help` needs none of it, and `ps`, `show` and
# `receipt` must not load what only a cloud needs.


def run(session: Session, said: dict[str, Any]) -> int:
    """`launch` itself: the story from price to receipt."""
    from launcher import flow

    if said.pop("dry_run"):
        return _priced(session, _request(session, said))
    asked = _request(session, said)
    world = _settled(session)
    return carried(world, lambda: flow.launch(asked, world))


def _request(session: Session, said: dict[str, Any]) -> "Request":
    request = options.request(said)
    options.checked_providers(request.providers, session.world())
    return request


def _settled(session: Session) -> "World":
    """The world, after one look at the calls whose answers are open."""
    from launcher import recover

    world = session.world()
    recover.settle_open(world)
    return world


def _priced(session: Session, request: "Request") -> int:
    """Show the plan, and stop there."""
    from launcher import tables, wire
    from launcher.events import PlanMade
    from launcher.price import price

    world = _settled(session)
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
    from launcher import tables, wire
    from launcher.price import ask_market

    request = _request(session, said)
    world = _settled(session)
    market = ask_market(request, world, from_snapshot=True)
    found, notes = market.offers, market.notes
    session.notes(notes)
    page = tables.offers_table(found, session.now(), session.width())
    session.say(page, lambda: wire.offers(tuple(found), world.now()))
    return 0


@click.command()
@options.speaking
@pass_session
def ps(session: Session) -> int:
    """List runs, the latest first, from this computer's ledger; a call with a lost answer shows as maybe running."""
    from launcher import tables, wire

    world = session.world()
    runs = world.ledger.runs()
    session.say(tables.runs_table(runs, session.now(), session.width()), lambda: wire.runs(runs, world.now()))
    return 0


RUN = click.argument("reference", metavar="[RUN]", required=False)
"""An id, a unique prefix, a name; the latest run where it is absent."""


@click.command()
@options.speaking
@RUN
@pass_session
def show(session: Session, reference: str | None) -> int:
    """Show one run: state, machine, money, folder. RUN: id, unique prefix or name; without it the latest."""
    from launcher import tables, wire

    world = session.world()
    record = world.ledger.find(reference)
    session.say(tables.run_page(record, session.now(), session.width()), lambda: wire.shown(record, world.now()))
    return 0


@click.command(epilog="\b\nExamples:\n  launch logs\n  launch logs brave-otter -f\n")
@options.speaking
@RUN
@click.option("-f", "--follow", is_flag=True, help="Go on as more comes; Ctrl-C lets go, the run goes on.")
@pass_session
def logs(session: Session, reference: str | None, follow: bool) -> int:
    """Show what the job printed: from the machine while there is one, else from the results."""
    from launcher.run import State

    record = session.world().ledger.find(reference)
    if record.state is State.TERMINATED:
        session.raw(_kept_log(record), record.id)
        return 0
    return _machine_log(session, record, follow=follow)


def _kept_log(record: "RunRecord") -> str:
    path = record.out_dir / "logs" / "job.log"
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise LaunchError(
            f"{record.id} brought no log home ({path})",
            code="no-log",
            exit_code=Exit.USAGE,
            hint=f"launch show {record.id}",
        ) from None


def _machine_log(session: Session, record: "RunRecord", *, follow: bool) -> int:
    from codecs import getincrementaldecoder

    from launcher.interrupt import LetGo
    from launcher.look import machine_of

    world = session.world()
    # A character may be cut in two between chunks.
    decoder = getincrementaldecoder("utf-8")(errors="replace")
    try:
        with world.interrupt.listening(lets_go=True), machine_of(record.id, world) as (_, _, guest):
            for chunk in guest.log(0, follow=follow):
                session.raw(decoder.decode(chunk), record.id)
    except LetGo:
        session.notes([f"let go; {record.id} goes on (launch attach {record.id})"])
    return 0


@click.command()
@options.speaking
@RUN
@pass_session
def attach(session: Session, reference: str | None) -> int:
    """Watch a run again, and carry it on if nobody does; Ctrl-C only lets go."""
    from launcher import flow
    from launcher.interrupt import LetGo
    from launcher.lock import is_carried

    world = session.world()
    record = world.ledger.find(reference)
    try:
        with world.interrupt.listening(lets_go=True):
            if is_carried(world.run_folder(record.id)):
                return _told_by_another(session, record.id)
            return ended(flow.attach(record.id, world))
    except LetGo:
        session.notes(
            [f"let go; {record.id} goes on, unwatched (launch attach {record.id}, or launch stop {record.id})"]
        )
        return 0


def _told_by_another(session: Session, run_id: str) -> int:
    """Show what the process that carries the run tells; the run's own exit code, once there is one."""
    import json  # all here for start-up time

    from launcher import look

    out, exit_code = session.streams().out, 0
    for told in look.story(run_id, session.world()):
        out.write(told.document if session.as_json else told.text)
        if told.event == "receipt":
            exit_code = int(json.loads(told.document)["exit_code"])
    return exit_code


@click.command(
    cls=options.Relaying,
    epilog="\b\nExamples:\n  launch ssh\n  launch ssh -- nvidia-smi\n  launch ssh brave-otter -- nvidia-smi -l\n",
)
@options.speaking
@RUN
@pass_session
def ssh(session: Session, reference: str | None) -> int:
    """Open a shell on the run's machine, with its pinned key; or run CMD there."""
    from launcher.look import machine_of

    world = session.world()
    record = world.ledger.find(reference)
    with machine_of(record.id, world) as (_, remote, _):
        return remote.interactive(options.relayed())


@click.command()
@options.speaking
@RUN
@pass_session
def pull(session: Session, reference: str | None) -> int:
    """Fetch and verify what the machine has by now; the run goes on."""
    from launcher.look import pull_now

    world = session.world()
    pulled = pull_now(world.ledger.find(reference).id, world)
    return 0 if pulled.verified else int(Exit.PROVIDER)


@click.command(epilog="\b\nExamples:\n  launch stop\n  launch stop brave-otter --now\n")
@options.speaking
@RUN
@click.option("--now", is_flag=True, help="Without saving and pulling first.")
@pass_session
def stop(session: Session, reference: str | None, now: bool) -> int:
    """Save, pull what there is, end the machine, and prove it."""
    from launcher import recover
    from launcher.run import State

    world = session.world()
    record = world.ledger.find(reference)
    if record.state is State.TERMINATED:
        session.notes([f"{record.id} has ended already (launch receipt {record.id})"])
        return 0
    return carried(world, lambda: _stopped(session, record.id, recover.stop(record.id, world, now=now)), record.id)


def _stopped(session: Session, run_id: str, receipt: "Receipt | None") -> None:
    """The receipt speaks of the run; the command itself did what it was asked, hence no exit code of the run's."""
    if receipt is None:
        session.notes([f"asked the process that carries {run_id} to stop it (launch show {run_id})"])


@click.command()
@options.speaking
@RUN
@click.option("--budget", "budget_usd", type=options.Usd(), required=True, metavar="USD", help="The new total budget.")
@pass_session
def resume(session: Session, reference: str | None, budget_usd: Any) -> int:
    """Go on with a run that ended early, from its last verified checkpoint, under a new total budget."""
    from launcher import flow

    world = _settled(session)
    record = world.ledger.find(reference)
    return carried(world, lambda: flow.resume(record.id, budget_usd, world), record.id)


@click.command()
@options.speaking
@RUN
@pass_session
def receipt(session: Session, reference: str | None) -> int:
    """Show what a finished run came to."""
    from launcher import display, kept

    record = session.world().ledger.find(reference)
    document = _receipt_of(record)
    zone = session.now().tzinfo
    text = display.receipt(kept.receipt(document), width=session.width(), zone=zone)
    session.say(text, lambda: kept.parsed(document))
    return 0


def _receipt_of(record: "RunRecord") -> str:
    if record.receipt_json is not None:
        return record.receipt_json
    raise LaunchError(
        f"{record.id} has no receipt yet: it is {record.state.lower()}",
        code="no-receipt",
        exit_code=Exit.USAGE,
        hint=f"launch attach {record.id}",
    )


@click.command()
@options.speaking
@RUN
@pass_session
def report(session: Session, reference: str | None) -> int:
    """Write report.html and try.py beside the results of a run."""
    from jobs.report import write
    from launcher import kept, look, wire
    from launcher.mistakes import mistaken

    record = session.world().ledger.find(reference)
    with mistaken():
        pages = write(record.out_dir, kept.parsed(_receipt_of(record)), look.base_of(record.id, session.world()))
    text = "\n".join(f"{page}" for page in pages)
    head = wire.head("report", session.world().now(), record.id)
    session.say(text, lambda: {**head, "files": [str(page) for page in pages]})
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

    world = _settled(session)
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
