"""Looking at a run from outside: its machine's voice, for `logs`, `ssh` and `pull`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from jobs.report import Base
from launcher import books
from launcher.boot import connect, guest_of
from launcher.egress import ByHand, counted
from launcher.errors import Exit, LaunchError
from launcher.events import Pulled
from launcher.guest import Guest
from launcher.ledger import Told
from launcher.lock import is_carried
from launcher.price import current_plan
from launcher.pull import pull, result_caps
from launcher.remote import Remote
from launcher.run import Run
from launcher.sight import shown
from launcher.small_files import SmallFiles
from launcher.world import World
from providers.base import OVER

LOOK_SECONDS = 0.5
FRESH_SECONDS = 5.0


@contextmanager
def machine_of(run_id: str, world: World) -> Iterator[tuple[Run, Remote, Guest]]:
    """The machine of a run that has one. Raises `LaunchError` (exit 2) where it has none any more."""
    run = world.ledger.load(run_id)
    instance = run.attempt.instance if run.attempts and run.attempt.gone_at is None else None
    if instance is not None:
        instance = run.attempt.instance = shown(run.attempt, world, FRESH_SECONDS) or instance
    if instance is None or instance.access is None or instance.state in OVER:
        raise LaunchError(
            f"{run_id} has no machine to speak with ({run.state})",
            code="no-machine",
            exit_code=Exit.USAGE,
            hint=f"launch show {run_id}",
        )
    remote = connect(run, instance, world)
    try:
        yield run, remote, guest_of(run, remote)
    finally:
        remote.close()


def story(run_id: str, world: World) -> Iterator[Told]:
    """What another process of ours tells of a run, until that process is over.

    From the beginning on; of a resumed run, from where it went on: what it came to before ends with a receipt.
    """
    seen = world.ledger.resumptions.last_event(run_id)
    while True:
        is_over = not is_carried(world.run_folder(run_id))
        for told in world.ledger.events(run_id, after=seen):
            seen = told.number
            yield told
        if is_over:
            return
        world.sleep(LOOK_SECONDS)


def base_of(run_id: str, world: World) -> Base:
    """The base model of a run, from what we wrote down ourselves before anything was rented."""
    try:
        settings = json.loads((world.run_folder(run_id) / "settings.json").read_text())
        return Base(model=settings.get("model_folder") or settings["model"], revision=settings.get("revision"))
    except (OSError, ValueError, KeyError) as error:
        raise LaunchError(
            f"what {run_id} was started with is not on this computer any more ({error})",
            code="no-settings",
            exit_code=Exit.USAGE,
            hint="launch ps",
        ) from error


def pull_now(run_id: str, world: World) -> Pulled:
    """Fetch what the machine has by now, verified; the run goes on."""
    with machine_of(run_id, world) as (run, _, guest):
        plan = current_plan(run, world)
        counted(run, world)  # in no books: those are written by whoever carries the run
        paid_bytes, _ = books.pull_limits(run, plan, world)
        caps = result_caps(plan.workload.result_gib, plan.workload.merged_gib)
        caps = replace(caps, bytes=min(caps.bytes, paid_bytes))
        ByHand(world.run_folder(run_id), guest)
        haul = pull(SmallFiles(guest), "out", run.out_dir, caps, world.now())
    event = Pulled(
        run=run_id,
        at=world.now(),
        folder=run.out_dir,
        files=haul.files,
        bytes=haul.bytes,
        verified=haul.verified,
        refused=haul.refused,
    )
    world.console.tell(event)
    return event
