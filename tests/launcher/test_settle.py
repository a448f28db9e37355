"""The receipt of a run, and of whoever looks at it again."""

from datetime import timedelta
from pathlib import Path

from launcher import flow
from launcher.world import World
from tests.fake_world import FIRST_RUN, Stage


def _told(stage: Stage, world: World) -> tuple[str, str | None]:
    """On the disk, and in the ledger."""
    folder = Path(world.ledger.find(FIRST_RUN).out_dir)
    return (folder / "receipt.json").read_text().strip(), world.ledger.find(FIRST_RUN).receipt_json


def test_whoever_looks_at_a_run_again_has_the_receipt_of_the_moment_at_which_it_was_closed(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world)
    first = flow.carry(run, world)
    on_disk, in_ledger = _told(stage, world)
    stage.clock.sleep(timedelta(days=2).total_seconds())
    again = flow.attach(run.id, stage.laptop())
    assert again.at == first.at.replace(microsecond=0)
    assert _told(stage, world) == (on_disk, in_ledger)


def test_a_receipt_that_says_something_else_has_its_own_time(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world)
    first = flow.carry(run, world)
    stage.clock.sleep(100)
    stage.laptop().ledger.note_receipt(run, '{"at": "2026-11-24T12:00:00Z"}')
    again = flow.attach(run.id, stage.laptop())
    assert (again.at - first.at).total_seconds() >= 100
