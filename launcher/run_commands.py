"""The commands about runs that exist: look at them, speak with their machines, go on with them, end them."""

from typing import TYPE_CHECKING

import click

from launcher import options
from launcher.carrying import carried, ended, hand_over
from launcher.errors import Exit, LaunchError
from launcher.options import Session, pass_session

if TYPE_CHECKING:  # for start-up time
    from collections.abc import Iterator

    from launcher.receipt import Receipt
    from launcher.records import RunRecord
    from launcher.world import World

LOG_PIECE_SIGNS = 1 << 16
"""Of a log that is shown: in memory at once."""

# All else is imported inside the functions, for start-up time: `launch --help` needs none of it, and `ps`, `show` and
# `receipt` must not load what only a cloud needs.


@click.command()
@options.speaking
@pass_session
def ps(session: Session) -> int:
    """List runs, the latest first, from this computer's ledger; a call with a lost answer shows as maybe running."""
    from launcher import exposure_page, tables, wire

    world = session.world()
    runs = world.ledger.runs()
    risk = world.ledger.exposure(world.config.exposure_cap_usd, world.now())
    page = tables.runs_table(runs, session.now(), session.width(), risk=exposure_page.line(risk))
    session.say(page, lambda: {**wire.runs(runs, world.now()), "exposure": exposure_page.document(risk)})
    return 0


RUN = click.argument("reference", metavar="[RUN]", required=False)
"""An id, a unique prefix, a name; the latest run where it is absent."""
TAKE_OVER = click.option("--take-over", is_flag=True, help="Also a run that another computer carries.")


@click.command()
@options.speaking
@RUN
@pass_session
def show(session: Session, reference: str | None) -> int:
    """Show one run: state, machine, money, folder. RUN: id, unique prefix or name; without it the latest."""
    from launcher import deposits, tables, wire

    world = session.world()
    record = world.ledger.find(reference)
    store = deposits.line(world.run_folder(record.id))
    page = tables.run_page(record, session.now(), session.width(), store)
    session.say(page, lambda: {**wire.shown(record, world.now()), "store": store})
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
        for text in _kept_log(record):
            session.raw(text, record.id)
        return 0
    return _machine_log(session, record, follow=follow)


def _kept_log(record: "RunRecord") -> "Iterator[str]":
    """In pieces: a machine may have sent any length."""
    path = record.out_dir / "logs" / "job.log"
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            while text := file.read(LOG_PIECE_SIGNS):
                yield text
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
@TAKE_OVER
@pass_session
def attach(session: Session, reference: str | None, take_over: bool) -> int:
    """Watch a run again, and carry it on if nobody does; Ctrl-C only lets go.

    A run that another computer carries stays there (exit 2), unless it is taken over: that one is told, and lets go.
    """
    from launcher import flow
    from launcher.interrupt import HungUp, LetGo
    from launcher.lock import is_carried

    world = session.world()
    record = world.ledger.find(reference)
    try:
        with world.interrupt.listening(lets_go=True):
            if is_carried(world.run_folder(record.id)):
                return _told_by_another(session, record.id)
            return ended(flow.attach(record.id, _taking(record.id, world) if take_over else world))
    except HungUp:
        hand_over(world)
        return 0
    except LetGo:
        session.notes(
            [f"let go; {record.id} goes on, unwatched (launch attach {record.id}, or launch stop {record.id})"]
        )
        return 0


def _taking(run_id: str, world: "World") -> "World":
    from dataclasses import replace

    return replace(world, taken_over=(run_id,))


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
    """Fetch and verify what the machine has by now; the run goes on. Where it is gone: what the durable store has."""
    from launcher.fetching import fetch

    world = session.world()
    pulled = fetch(world.ledger.find(reference).id, world)
    return 0 if pulled.verified else int(Exit.PROVIDER)


@click.command(epilog="\b\nExamples:\n  launch stop\n  launch stop brave-otter --now\n")
@options.speaking
@RUN
@click.option("--now", is_flag=True, help="Without saving and pulling first.")
@click.option("--gone", is_flag=True, help="You saw that its machine is gone; the key that rented it is no more.")
@TAKE_OVER
@pass_session
def stop(session: Session, reference: str | None, now: bool, gone: bool, take_over: bool) -> int:
    """Save, pull what there is, end the machine, and prove it."""
    from launcher import recover
    from launcher.run import State

    world = session.world()
    record = world.ledger.find(reference)
    if record.state is State.TERMINATED:
        session.notes([f"{record.id} has ended already (launch receipt {record.id})"])
        return 0

    if take_over:
        world = _taking(record.id, world)

    def stopped() -> None:
        _stopped(session, record.id, recover.stop(record.id, world, now=now, gone=gone))

    return carried(world, stopped, record.id)


def _stopped(session: Session, run_id: str, receipt: "Receipt | None") -> None:
    """The receipt speaks of the run; the command itself did what it was asked, hence no exit code of the run's."""
    if receipt is None:
        session.notes([f"asked the process that carries {run_id} to stop it (launch show {run_id})"])


@click.command()
@options.speaking
@click.option("--billed", is_flag=True, help="Also what the provider's own books say by now; they may lag by an hour.")
@RUN
@pass_session
def receipt(session: Session, reference: str | None, billed: bool) -> int:
    """Show what a finished run came to."""
    from launcher import display, kept

    record = session.world().ledger.find(reference)
    document = receipt_of(record)
    zone = session.now().tzinfo
    text = display.receipt(kept.receipt(document), width=session.width(), zone=zone)
    if not billed:
        session.say(text, lambda: kept.parsed(document))
        return 0
    from launcher import billed as books  # here for start-up time: only this asks a provider

    found = books.billed(record.id, session.world())
    page = f"{text}\n{books.text(found, session.width())}"
    session.say(page, lambda: {**kept.parsed(document), "billed": books.document(found)})
    return 0


def receipt_of(record: "RunRecord") -> str:
    """The receipt as it was kept. Raises `LaunchError` where the run has not ended."""
    if record.receipt_json is not None:
        return record.receipt_json
    raise LaunchError(
        f"{record.id} has no receipt yet: it is {record.state.lower()}",
        code="no-receipt",
        exit_code=Exit.USAGE,
        hint=f"launch attach {record.id}",
    )


@click.command(
    epilog="\b\nExamples:\n  launch history\n  launch history --gpu a10g\n  launch history --csv > runs.csv\n"
)
@options.speaking
@click.option("--gpu", type=options.GpuName(), metavar="NAME", help="Only runs on this card.")
@click.option("--provider", "providers", multiple=True, metavar="NAME", help="Only runs there (repeatable).")
@click.option("--csv", "as_csv", is_flag=True, help="One line a run, for a spreadsheet.")
@pass_session
def history(session: Session, gpu: str | None, providers: tuple[str, ...], as_csv: bool) -> int:
    """Show what runs were forecast to cost and take beside what they did, and what the next forecast learns from it.

    From this computer's ledger alone. A forecast is P10 to P90: four runs in five should end inside it.
    """
    from launcher import history as past
    from launcher import history_page
    from pricing import gpus

    if as_csv and session.as_json:
        raise click.UsageError("--csv and --json are two forms of the same: give one")
    world = session.world()
    named = options.checked_providers(providers, world)
    cards = [card.name for card in gpus.match(gpu)] if gpu else []
    found = past.history(world, cards=cards, providers=named)
    if as_csv:
        session.streams().out.write(history_page.as_csv(found), end="")
        return 0
    page = history_page.text(found, session.width())
    session.say(page, lambda: history_page.document(found, world.now()))
    return 0


@click.command()
@options.speaking
@RUN
@click.option("--no-open", is_flag=True, help="Only write; do not open the report in the browser.")
@pass_session
def report(session: Session, reference: str | None, no_open: bool) -> int:
    """Open the report of a run in the browser: verdict, comparison, data, training, cost.

    Written anew from the results on this computer, with MODEL_CARD.md and try.py beside it. Nothing is opened away from
    a terminal, without a screen, or with --json.
    """
    from launcher import pages, wire
    from launcher.mistakes import mistaken

    world = session.world()
    record = world.ledger.find(reference)
    with mistaken():
        made = pages.make(record.id, record.out_dir, receipt_of(record), world)
    head = wire.head("report", world.now(), record.id)
    session.say("\n".join(f"{page}" for page in made), lambda: {**head, "files": [str(page) for page in made]})
    if not no_open and not session.as_json and session.streams().interactive:
        opened = world.browse(made[0])
        session.notes(["opened in the browser" if opened else "no browser was found: open report.html in one"])
    return 0
