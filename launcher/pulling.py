"""Bringing things home: checkpoints while the job runs, results at its end, verified before the machine may go."""

from pathlib import Path

from launcher import books
from launcher.boot import connect, guest_of
from launcher.events import Pulled, Warned
from launcher.guest import Guest
from launcher.landing import NoRoom, PullError
from launcher.price import current_plan
from launcher.pull import CHECKPOINT_CAPS, RESULT_CAPS, pull
from launcher.pull import Pulled as Haul
from launcher.remote import RemoteError
from launcher.run import Ending, Outcome, Run
from launcher.small_files import SmallFiles
from launcher.steps import Ended
from launcher.world import World

RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0, 20.0)
KEPT_CHECKPOINTS = 2


def pull_results(run: Run, world: World) -> None:
    """Fetch and verify the results, then end; tried again for as long as the budget's reserve for it lasts."""
    ending, instance = run.ending, run.attempt.instance
    if ending is None or instance is None:
        raise ValueError(f"{run.id} has nothing to pull")
    began, limit = world.now(), _pull_seconds(run, world)
    remote = connect(run, instance, world)
    try:
        for wait in (*RETRY_SECONDS, None):
            trouble = _try_pull(run, guest_of(run, remote), world)
            if not trouble:
                raise Ended(ending)
            if wait is None or (world.now() - began).total_seconds() + wait > limit:
                raise Ended(_without_results(ending, trouble))
            world.sleep(wait)
    finally:
        run.attempt.phases["pull"] = (world.now() - began).total_seconds()
        remote.close()


def _pull_seconds(run: Run, world: World) -> float:
    """What the reserve gives; the machine's own lease stands behind it."""
    plan = current_plan(run, world)
    now_cap = books.cap(run, run.attempt.choice, plan, world)
    return max(now_cap.reserve.pull_seconds, now_cap.lease_seconds - now_cap.reserve.teardown_seconds)


def _try_pull(run: Run, guest: Guest, world: World) -> str:
    """One try; what stood in its way, "" when everything is home."""
    try:
        haul = pull(SmallFiles(guest), "out", run.out_dir, RESULT_CAPS, world.now())
    except NoRoom as error:
        return f"no room on this disk: {error}"
    except (RemoteError, PullError) as error:
        return str(error)
    _count(run, haul, world)
    if not haul.verified:
        return f"not all files came home whole: {'; '.join(haul.refused[:3])}"
    world.console.tell(
        Pulled(
            run=run.id,
            at=world.now(),
            folder=run.out_dir,
            files=haul.files,
            bytes=haul.bytes,
            verified=haul.verified,
            refused=haul.refused,
        )
    )
    return ""


def _count(run: Run, haul: Haul, world: World) -> None:
    books.note_egress(run.attempt, haul.bytes, current_plan(run, world).terms.tax_fraction)
    world.ledger.save_attempt(run, run.attempt)


def _without_results(ending: Ending, trouble: str) -> Ending:
    """The machine must go although its results did not come home; a success without results is none."""
    why = f"{ending.why}; " if ending.why else ""
    why += f"the results could not be pulled ({trouble})"
    outcome = Outcome.LOST if ending.outcome is Outcome.SUCCEEDED else ending.outcome
    return Ending(outcome=outcome, why=why, code="not-pulled", again=ending.again, pull=False)


def bring_checkpoint(run: Run, guest: Guest, name: str, world: World) -> None:
    """Fetch one checkpoint; from then on a new machine can go on from it. A failure costs nothing but the try."""
    folder = world.run_folder(run.id) / "checkpoints"
    try:
        haul = pull(SmallFiles(guest), f"checkpoints/{name}", folder / name, CHECKPOINT_CAPS, world.now())
    except (RemoteError, PullError) as error:
        text = f"{name} could not be fetched ({error}); the machine still has it"
        world.console.tell(Warned(run=run.id, at=world.now(), code="checkpoint", text=text))
        return
    if not haul.verified:
        return
    world.ledger.note_checkpoint(run, name)
    _count(run, haul, world)
    _forget_old(folder, name)
    world.console.tell(
        Pulled(
            run=run.id, at=world.now(), folder=folder / name, files=haul.files, bytes=haul.bytes,
            verified=True, what=name,
        )
    )  # fmt: skip


def _forget_old(folder: Path, newest: str) -> None:
    import shutil  # here for start-up time

    others = sorted((one for one in folder.iterdir() if one.name != newest), key=lambda one: one.stat().st_mtime)
    for old in others[: max(0, len(others) - KEPT_CHECKPOINTS + 1)]:
        shutil.rmtree(old, ignore_errors=True)
