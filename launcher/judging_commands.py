"""The commands about answers that exist: let a model compare them, let people compare them, count their votes."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from launcher import options
from launcher.carrying import interruptible
from launcher.options import Session, pass_session
from launcher.run_commands import RUN, receipt_of

if TYPE_CHECKING:  # for start-up time
    from jobs.results.summarise import Besides
    from launcher.records import RunRecord

# All else is imported inside the functions, for start-up time: `launch --help` needs none of it.

ITEMS = 50
"""On a blind page where nobody says: about twenty minutes of one person's time (assumed)."""


@click.command(epilog="\b\nExamples:\n  launch judge\n  launch judge brave-otter --json\n")
@options.speaking
@RUN
@pass_session
def judge(session: Session, reference: str | None) -> int:
    """Let the judge and the larger model of launch.yaml look at a finished run, or go on where they stopped.

    From the results on this computer; the keys stay here. Every answer is kept: what was answered once costs nothing
    again. The cost has a cap of its own (`cap_usd`), is told before and after, and is no part of the run's budget.
    """
    from launcher import judging, judging_page, wire
    from launcher.flow import held

    world = session.world()
    record = world.ledger.find(reference)
    receipt_of(record)
    with interruptible(world, record.id), held(record.id, world):
        of = judging.ran(record.id, record.out_dir, world)
        said = judging.asked(of, world, lambda text: session.notes([text]))
        page = _summarised(session, record, judging.besides(said))
    head = wire.head("judge", world.now(), record.id)
    text = f"{judging_page.answers(said)}\n{'report':<{judging_page.COLUMN}}{page}"
    session.say(text, lambda: {**head, **judging_page.document(said), "report": str(page)})
    if said.failure is not None:
        raise said.failure
    return 0


@click.command(epilog="\b\nExamples:\n  launch review\n  launch review brave-otter --against base --items 30\n")
@options.speaking
@RUN
@click.option(
    "--against", type=click.Choice(("prompted", "base", "larger")), help="With whom the tuned answers are compared."
)
@click.option("--items", type=click.IntRange(1, 1000), default=ITEMS, help=f"At most so many items [{ITEMS}].")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Where to write the page.")
@pass_session
def review(session: Session, reference: str | None, against: str | None, items: int, out: Path | None) -> int:
    """Write a page on which people choose between two answers without knowing whose they are.

    One file that opens anywhere, on a phone too, and sends nothing: votes are saved as a file, for `launch score`.
    """
    from launcher import judging, judging_page, reviewing, wire

    world = session.world()
    record = world.ledger.find(reference)
    receipt_of(record)
    of = judging.ran(record.id, record.out_dir, world)
    page = reviewing.make(of, against=against, most=items, out=out)
    head = wire.head("review", world.now(), record.id)
    session.say(
        judging_page.made(page, of),
        lambda: {
            **head,
            "file": str(page.file),
            "page": page.page,
            "against": page.against,
            "items": page.items,
            "identical": page.identical,
        },
    )
    return 0


@click.command(epilog="\b\nExamples:\n  launch score brave-otter votes-Ada.json votes-Bo.json\n")
@options.speaking
@click.argument("reference", metavar="RUN")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@pass_session
def score(session: Session, reference: str, files: tuple[Path, ...]) -> int:
    """Count the votes that people saved on the page of `launch review`, and show them in the report.

    All files of one call are on the same page; each item counts once, by what most of its voters chose.
    """
    from jobs.results.summarise import Besides
    from launcher import judging, judging_page, reviewing, wire

    world = session.world()
    record = world.ledger.find(reference)
    receipt_of(record)
    of = judging.ran(record.id, record.out_dir, world)
    found = reviewing.count(of, files)
    page = _summarised(session, record, Besides(votes=found))
    head = wire.head("score", world.now(), record.id)
    text = f"{judging_page.votes(found[:1])}\n{'report':<{judging_page.COLUMN}}{page}"
    session.say(text, lambda: {**head, "votes": [one.model_dump(mode="json") for one in found], "report": str(page)})
    return 0


def _summarised(session: Session, record: "RunRecord", besides: "Besides") -> Path:
    """The evaluation's summary and the report made again, with what was said; the report's path."""
    from launcher import kept, pages, scoring
    from launcher.mistakes import mistaken

    world = session.world()
    paper = receipt_of(record)
    scoring.scored(record.out_dir, world.run_folder(record.id), scoring.paid_of(kept.receipt(paper)), besides)
    with mistaken():
        return pages.make(record.id, record.out_dir, paper, world)[0]
