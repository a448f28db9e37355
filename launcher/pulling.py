"""Bringing things home: checkpoints while the job runs, results at its end, verified before the machine may go."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain, repeat
from pathlib import Path

from jobs import progress
from jobs.progress import Checkpoint
from jobs.whole_files import sha256
from launcher import books, checkpoints, egress, fence, way_in
from launcher.boot import connect, guest_of
from launcher.events import Pulled, Warned
from launcher.guest import Guest, GuestError, GuestGone, Saved
from launcher.host_keys import stranger
from launcher.interrupt import Interrupted
from launcher.landing import NoRoom, PullError
from launcher.pacing import shortened_to
from launcher.price import current_plan
from launcher.pull import CHECKPOINT_CAPS, Caps, pull, result_caps
from launcher.pull import Pulled as Haul
from launcher.remote import CommandFailed, HostKeyMismatch, RemoteError
from launcher.run import Ending, Outcome, Run
from launcher.sight import look
from launcher.small_files import SmallFiles
from launcher.steps import Ended
from launcher.tracker import Tracker
from launcher.world import World
from pricing.offer import Market
from providers.base import OVER, Instance, InstanceState

RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0, 20.0)
LATER_SECONDS = 30.0
PATIENCE_SECONDS = 3600.0
"""How long results are waited for while their machine is there, and the line to it, or room on this disk, is not
(assumed): what made them was paid for. The budget may end it sooner."""
GONE_SECONDS = 300.0
"""A machine that for so long neither answers nor is shown by its provider has ended (assumed): some show no end."""
KEPT_CHECKPOINTS = 2
LISTEN_SECONDS, MOST_CHUNKS = 1.0, 60
"""How long, and how often, a job that is over is listened to once more."""
NOT_PULLED = "not-pulled"
"""The code of an ending whose results stayed on the machine, all or in part."""


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What kept the results from coming home, and whether it may pass by itself."""

    text: str
    may_pass: bool = False
    is_silence: bool = False
    """Whether the machine did not answer at all."""


class Absence:
    """For how long neither the machine nor its provider has given a sign of it."""

    def __init__(self) -> None:
        self._since: datetime | None = None

    def seconds(self, seen: Instance | None, trouble: Trouble, now: datetime) -> float:
        """Up to now. A look that says nothing neither ends it nor begins it."""
        if not trouble.is_silence or (seen is not None and seen.state is not InstanceState.ABSENT):
            self._since = None
        elif seen is not None:
            self._since = self._since or now
        return 0.0 if self._since is None else (now - self._since).total_seconds()


def pull_results(run: Run, world: World) -> None:
    """Fetch and verify the results, then end; where only a line or a disk is in the way that is waited for, if paid."""
    ending, instance = run.ending, run.attempt.instance
    if ending is None or instance is None:
        raise ValueError(f"{run.id} has nothing to pull")
    began, limit, absence = world.now(), _pull_seconds(run, world), Absence()
    try:
        for wait_seconds in chain(RETRY_SECONDS, repeat(LATER_SECONDS)):
            trouble = _tried_where_it_is(run, lambda: limit - (world.now() - began).total_seconds(), world)
            if trouble is None:
                raise Ended(run.ending or ending)
            tried_seconds = (world.now() - began).total_seconds()
            is_short = wait_seconds in RETRY_SECONDS and tried_seconds + wait_seconds <= limit  # set aside for a pull
            is_paid = is_short and _is_paid_for(run, world)
            if not is_paid and not _may_wait(run, trouble, tried_seconds, wait_seconds, world):
                raise Ended(_without_results(ending, trouble.text))
            _tell_waiting(run, trouble, wait_seconds, world)
            if trouble.may_pass:
                way_in.reopen(run, world)
            wait(wait_seconds, world)
            seen = look(run, world, world.provider(run.attempt.offer.provider).traits.look_seconds)
            if seen is not None and seen.state in OVER:
                raise Ended(_gone_with_results(ending, f"{trouble.text}; the machine has ended"))
            if absence.seconds(seen, trouble, world.now()) > GONE_SECONDS:
                raise Ended(_gone_with_results(ending, f"{trouble.text}; the provider does not show the machine"))
            if seen is not None:  # a price that was seen: else all this time would count at the worst one
                books.note_rate(run.attempt, seen, current_plan(run, world), world.now())
                world.ledger.save_attempt(run, run.attempt)
    except GuestGone as error:
        raise Ended(_gone_with_results(ending, str(error))) from error
    except HostKeyMismatch as error:
        raise Ended(stranger(error)) from error
    finally:
        run.attempt.phases["pull"] = max(0.0, (world.now() - began).total_seconds())


def _may_wait(run: Run, trouble: Trouble, tried_seconds: float, wait: float, world: World) -> bool:
    """Whether they are worth it, it may pass, nobody gave them up, and the end is still paid for after the wait."""
    is_whole = run.ending is not None and run.ending.outcome is Outcome.SUCCEEDED
    if not (is_whole and trouble.may_pass) or tried_seconds > PATIENCE_SECONDS:
        return False
    if world.ledger.stop_asked(run.id) == "now":
        return False
    now_cap = books.cap(run, run.attempt.choice, current_plan(run, world), world)
    ending_seconds = now_cap.reserve.pull_seconds + now_cap.reserve.teardown_seconds
    return now_cap.lease_seconds > ending_seconds + wait


def _tell_waiting(run: Run, trouble: Trouble, wait: float, world: World) -> None:
    """Once, where the short tries are over."""
    if wait != RETRY_SECONDS[-1] or not trouble.may_pass:
        return
    text = f"the results are not home yet ({trouble.text}); trying on within the budget; launch stop --now gives up"
    world.console.tell(Warned(run=run.id, at=world.now(), code="pull", text=text))


def _tried_where_it_is(run: Run, left: Callable[[], float], world: World) -> Trouble | None:
    """One try at the machine's address as it was last shown; what stood in its way. No call is waited for longer."""
    instance = run.attempt.instance
    if instance is None or instance.access is None:
        return Trouble(text="the machine has no address", may_pass=True, is_silence=True)
    remote = connect(run, instance, world)
    guest = guest_of(run, remote, left)
    try:
        fence.holding(run, guest, world)
        return _bring_all(run, guest, left, world)
    finally:
        remote.close()


def rescue(run: Run, world: World) -> bool:
    """One try to bring home what there is, where our own bug or disk is why the machine must go now; whether all came.

    Where nothing can be there yet, all has. Raises what a pull raises.
    """
    instance = run.attempt.instance if run.attempts else None
    if not run.may_work or instance is None:
        return True
    remote = connect(run, instance, world)
    began, limit = world.now(), _pull_seconds(run, world)

    def left() -> float:
        return limit - (world.now() - began).total_seconds()

    try:
        trouble = _bring_all(run, guest_of(run, remote, left), left, world)
    except GuestGone:
        return False
    finally:
        remote.close()
    return trouble is None


def _bring_all(run: Run, guest: Guest, left: Callable[[], float], world: World) -> Trouble | None:
    """One try for the results, and for a checkpoint beside them; what stood in the way of the results."""
    trouble = _try_pull(run, guest, world)
    if trouble is None or not trouble.may_pass:  # it answers, and goes after this
        has_finished = _bring_unheard(run, guest, left, world)
        if has_finished and _try_pull(run, guest, world) is None:
            _note_success(run, guest, world)
            return None
    return trouble


def _note_success(run: Run, guest: Guest, world: World) -> None:
    """The job came to its end just when it was told to save, and everything is here: then that is how it ended."""
    tracker = Tracker() if run.shortened is None else _heard_again(guest, world)
    # Not in the ledger yet: its end is written next, and who takes the run up before that finds the same.
    run.ending = Ending(outcome=Outcome.SUCCEEDED, why=shortened_to(run, tracker))


def _heard_again(guest: Guest, world: World) -> Tracker:
    """All that the job told, from its beginning: how far it came is said nowhere else."""
    tracker, splitter, feed = Tracker(), progress.Splitter(), world.feed(guest, 0)
    try:
        for _ in range(MOST_CHUNKS):
            for line in splitter.feed(feed.read(LISTEN_SECONDS)):
                tracker.take(progress.parse(line), world.now())
            if tracker.done is not None or feed.over:
                break
    finally:
        feed.close()
    return tracker


def _bring_unheard(run: Run, guest: Guest, left: Callable[[], float], world: World) -> bool:
    """The newest checkpoint of a job that did not succeed: a line that was down when it saved told nobody of it.

    As many tries as results get, as long as `left` says that they are paid for; the machine goes without it after that.
    True where the job did succeed, after we had ceased to listen.
    """
    is_whole = run.ending is not None and run.ending.outcome is Outcome.SUCCEEDED
    if is_whole or run.attempt.offer.market is Market.OWNED:
        return False
    text = "the machine did not say whether it has a newer checkpoint than what is here"
    for wait_seconds in (0.0, *RETRY_SECONDS):
        if left() <= wait_seconds:
            break
        if wait_seconds:
            wait(wait_seconds, world)
        try:
            status = guest.status()
        except HostKeyMismatch:
            raise
        except GuestGone:  # it began anew since the results came: what was there is no more
            return False
        except RemoteError:
            continue
        newest = status.checkpoint
        if status.outcome == "succeeded":
            return True
        if newest is None or _is_old(newest, run, world):
            return False
        if bring_checkpoint(run, guest, newest, world, most_seconds=left()):
            return False
        text = f"{newest.name} did not come home before its machine had to go"
    world.console.tell(Warned(run=run.id, at=world.now(), code="checkpoint", text=text))
    return False


def _is_old(there: Saved, run: Run, world: World) -> bool:
    """Whether as much of the work lies here, whole and acknowledged."""
    here = checkpoints.newest_whole(world.run_folder(run.id) / "checkpoints")
    is_acknowledged = here is not None and here == world.ledger.checkpoint(run.id)
    return is_acknowledged and checkpoints.step_of(there.name) <= checkpoints.step_of(here or "")


def wait(seconds: float, world: World) -> None:
    """Whoever wants the run to stop wants its results all the same: the pull goes on."""
    try:
        world.sleep(seconds)
    except Interrupted:
        world.sleep(seconds)


def _pull_seconds(run: Run, world: World) -> float:
    """What the budget gives; the machine's own lease stands behind it."""
    return books.pull_limits(run, current_plan(run, world), world)[1]


def _is_paid_for(run: Run, world: World) -> bool:
    """Whether anything may still leave the provider's network; where not it never will, for money only goes."""
    return books.pull_limits(run, current_plan(run, world), world)[0] > 0


def _within_budget(caps: Caps, run: Run, world: World) -> Caps:
    """What leaves the provider is paid for, and so is the time that it takes."""
    most_bytes, seconds = books.pull_limits(run, current_plan(run, world), world)
    return replace(caps, bytes=min(caps.bytes, most_bytes), seconds=min(caps.seconds, seconds))


def _haul(run: Run, guest: Guest, caps: Caps, world: World, *, under: str, into: Path) -> Haul:
    """`pull`, within the budget, and in the books whatever becomes of it."""
    egress.take_in(run, world)
    limits, booked = _within_budget(caps, run, world), egress.Booked(run, guest, world)
    try:
        return pull(SmallFiles(guest), under, into, limits, world.now(), clock=lambda: world.now().timestamp())
    finally:
        booked.settle()


def _try_pull(run: Run, guest: Guest, world: World) -> Trouble | None:
    """One try; what stood in its way, None when everything is home."""
    try:
        workload = current_plan(run, world).workload
        caps = result_caps(workload.result_gib, workload.merged_gib)
        haul = _haul(run, guest, caps, world, under="out", into=run.out_dir)
    except (HostKeyMismatch, GuestGone):
        raise
    except NoRoom as error:
        return Trouble(text=f"no room on this disk: {error}", may_pass=True)
    except (RemoteError, PullError) as error:
        may_pass = not isinstance(error, GuestError | CommandFailed)
        return Trouble(text=str(error), may_pass=may_pass, is_silence=may_pass and isinstance(error, RemoteError))
    if not haul.files and run.ending is not None and run.ending.outcome is Outcome.SUCCEEDED:
        return Trouble(text="the machine has none")
    if not haul.verified:
        return Trouble(text=f"not all files came home whole: {'; '.join(haul.refused[:3])}")
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
    return None


def _without_results(ending: Ending, trouble: str) -> Ending:
    """The machine must go although its results did not come home; a success without results is none."""
    why = f"{ending.why}; " if ending.why else ""
    why += f"the results could not be pulled ({trouble})"
    outcome = Outcome.LOST if ending.outcome is Outcome.SUCCEEDED else ending.outcome
    return Ending(outcome=outcome, why=why, code=NOT_PULLED, again=ending.again, pull=False)


def _gone_with_results(ending: Ending, trouble: str) -> Ending:
    """The results are lost with the machine, which nobody wanted: another one makes them again, if the budget allows.

    Where they merely cannot be fetched (no room here, a limit, a line that is down) a second machine would not help.
    """
    again = ending.again or ending.outcome is Outcome.SUCCEEDED
    return replace(_without_results(ending, trouble), again=again)


def bring_checkpoint(
    run: Run, guest: Guest, told: Checkpoint | Saved, world: World, *, most_seconds: float = CHECKPOINT_CAPS.seconds
) -> bool:
    """Fetch one checkpoint; from then on a new machine can go on from it. False: it is worth another try."""
    folder, name = world.run_folder(run.id) / "checkpoints", told.name
    if not _is_paid_for(run, world):
        text = f"{name} is not fetched: the budget does not pay any more for what leaves the provider's network"
        world.console.tell(Warned(run=run.id, at=world.now(), code="checkpoint", text=text))
        return True
    caps = replace(CHECKPOINT_CAPS, seconds=min(CHECKPOINT_CAPS.seconds, most_seconds))
    try:
        haul = _haul(run, guest, caps, world, under=f"checkpoints/{name}", into=folder / name)
    except (RemoteError, PullError) as error:
        text = f"{name} could not be fetched ({error}); the machine still has it"
        world.console.tell(Warned(run=run.id, at=world.now(), code="checkpoint", text=text))
        return False
    if not haul.verified:
        return False
    if not _is_as_told(folder / name, told):
        _forget(folder / name)
        text = f"{name} is not what the machine announced; the one before it stays the last"
        world.console.tell(Warned(run=run.id, at=world.now(), code="checkpoint", text=text))
        return True
    world.ledger.note_checkpoint(run, name)
    _forget_old(folder, name)
    world.console.tell(
        Pulled(
            run=run.id, at=world.now(), folder=folder / name, files=haul.files, bytes=haul.bytes,
            verified=True, what=name,
        )
    )  # fmt: skip
    return True


def _is_as_told(folder: Path, told: Checkpoint | Saved) -> bool:
    """Whether it is whole by its own manifest, and that the one that the job told of when it had written it."""
    manifest = folder / checkpoints.MANIFEST
    return manifest.is_file() and sha256(manifest) == told.sha256 and checkpoints.is_whole(folder)


def _forget_old(folder: Path, newest: str) -> None:
    others = sorted((one for one in folder.iterdir() if one.name != newest), key=lambda one: one.stat().st_mtime)
    for old in others[: max(0, len(others) - KEPT_CHECKPOINTS + 1)]:
        _forget(old)


def _forget(checkpoint: Path) -> None:
    import shutil  # here for start-up time

    shutil.rmtree(checkpoint, ignore_errors=True)
