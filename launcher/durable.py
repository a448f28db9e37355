"""Results that outlived their machine: found in the durable store, brought home, verified, and then removed there."""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from launcher import books, deposits
from launcher.bucket import Bucket, BucketError, Stored
from launcher.checkpoints import NAME, step_of
from launcher.deposits import Deposits
from launcher.errors import Exit, LaunchError
from launcher.events import Pulled, Warned
from launcher.granting import CHECKPOINT, RESULTS, note_stored, place
from launcher.guest import GuestError
from launcher.interrupt import Interrupted
from launcher.landing import Landing, PullError
from launcher.price import current_plan
from launcher.pull import CHECKPOINT_CAPS, Caps, pull, result_caps
from launcher.pull import Pulled as Haul
from launcher.pulling import NOT_PULLED
from launcher.remote import RemoteError
from launcher.run import Ending, Outcome, Run, State
from launcher.store_reading import Index, InStore
from launcher.world import World

TRIES_SECONDS = (1.0, 5.0, 15.0, 30.0)
"""Before a store that does not answer is asked again: nothing is billed meanwhile but what is billed anyway."""
IN_STORE = "in-store"
"""The code of an ending whose results lie in the durable store, and not yet here."""
PROBE, PROBED_AT = "probe-", "%Y%m%dT%H%M%S%f"
"""Where a probe writes: the moment that it began, in UTC."""
Value = TypeVar("Value")


class _NotNow(Exception):
    """The store, or this disk, does not do it; the results are as safe as they were."""


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What the store holds of one machine."""

    results: Stored | None
    checkpoints: tuple[Stored, ...]


def after(run: Run, ending: Ending, world: World) -> Ending:
    """How one machine's work ended, by what it left in the store: results make a success, a checkpoint a better start.

    Nothing changes where the results came from the machine itself, or where there is no store. Raises nothing: a store
    that does not answer leaves the ending as it is, unless we know that the results are there.
    """
    known = deposits.load(world.run_folder(run.id))
    is_wanted = not _was_pulled(ending) and (ending.outcome is not Outcome.CANCELLED or ending.code == NOT_PULLED)
    if known is None or world.bucket is None or not run.attempts or not is_wanted:
        return ending
    deposit = known.attempts.get(run.attempt.number)
    if deposit is None:
        return ending
    try:
        return _from_store(run, ending, known, world)
    except _NotNow as error:
        known.unfetched = True
        with suppress(OSError):  # a full disk: that something is there is asked anew, if need be
            known.save()
        if RESULTS not in deposit.stored:
            return ending
        why = f"the results are in the durable store {known.store}, and could not be fetched ({error})"
        hint = f"launch pull {run.id}"
        return Ending(outcome=Outcome.LOST, why=why, code=IN_STORE, hint=hint, pull=False)


def _was_pulled(ending: Ending) -> bool:
    """Whether the results came from the machine itself: of one that was lost they did not, whatever was wished."""
    if ending.code in (IN_STORE, NOT_PULLED):
        return False
    return ending.outcome is Outcome.SUCCEEDED or (ending.pull and ending.outcome is not Outcome.LOST)


def _from_store(run: Run, ending: Ending, known: Deposits, world: World) -> Ending:
    number = run.attempt.number
    found = _patiently(lambda: _look(run, number, known, world), world)
    if found.results is not None:
        stored = found.results
        index = _patiently(lambda: _fetch_results(run, number, stored, known, world), world)
        ending = _ending_by(index, ending)
    if ending.outcome is not Outcome.SUCCEEDED:
        _fetch_newest(run, number, found.checkpoints, known, world)
    return ending


def _patiently(call: Callable[[], Value], world: World) -> Value:
    """Again after a while, where it may pass. Raises `_NotNow`."""
    for seconds in (*TRIES_SECONDS, None):
        try:
            return call()
        except OSError as error:  # no room on this disk for what it sends, or for our books of it
            raise _NotNow(str(error)) from error
        except (BucketError, RemoteError, PullError) as error:
            passes = isinstance(error, RemoteError) and not isinstance(error, GuestError)
            passes = passes or (isinstance(error, BucketError) and error.passing)
            if seconds is None or not passes:
                raise _NotNow(str(error)) from error
        try:
            world.sleep(seconds)
        except Interrupted as error:
            raise _NotNow("interrupted") from error
    raise AssertionError("the last try returns or raises")


def _look(run: Run, number: int, known: Deposits, world: World) -> _Found:
    """What is there; what we had not heard of has left the provider all the same, and is counted."""
    assert world.bucket is not None
    objects = {one.key.rpartition("/")[2]: one for one in world.bucket().objects(place(run.id, number))}
    for name, one in objects.items():
        note_stored(run, known, name, one.bytes, world, attempt=number)
    checkpoints = [one for name, one in objects.items() if re.fullmatch(CHECKPOINT + r"[0-9]{1,9}", name)]
    newest_first = sorted(checkpoints, key=lambda one: -int(one.key.rpartition("-")[2]))
    return _Found(results=objects.get(RESULTS), checkpoints=tuple(newest_first))


def _source(run: Run, number: int, stored: Stored, known: Deposits, world: World) -> InStore:
    assert world.bucket is not None
    return InStore(world.bucket(), stored, known.attempts[number].key, (run.id, number))


def _fetch_results(run: Run, number: int, stored: Stored, known: Deposits, world: World) -> Index:
    """Into the run's own folder, by the reader that trusts no machine. Raises `PullError` where not all came whole."""
    source = _source(run, number, stored, known, world)
    index = source.index()
    workload = current_plan(run, world).workload
    haul = _haul(source, "out", run, result_caps(workload.result_gib, 0.0), world)
    if not haul.verified or (not haul.files and index.done is not None and index.done.outcome == "succeeded"):
        raise PullError(f"not all files came whole from the store: {'; '.join(haul.refused[:3]) or 'there are none'}")
    known.results_from = number
    known.save()
    return index


def _haul(source: InStore, under: str, run: Run, caps: Caps, world: World) -> Haul:
    into = run.out_dir if under == "out" else world.run_folder(run.id) / under
    haul = pull(source, under, into, caps, world.now(), clock=lambda: world.now().timestamp())
    if haul.verified:
        what = "results" if under == "out" else into.name
        world.console.tell(
            Pulled(
                run=run.id,
                at=world.now(),
                folder=into,
                files=haul.files,
                bytes=haul.bytes,
                verified=True,
                what=what,
                refused=haul.refused,
            )
        )
    return haul


def _ending_by(index: Index, seen: Ending) -> Ending:
    """The job's own last word, which nobody heard; a machine's end after it is what was agreed."""
    done = index.done
    if done is None:
        return seen
    if done.outcome == "succeeded":
        return Ending(outcome=Outcome.SUCCEEDED, pull=False)
    if done.outcome == "stopped":
        return replace(seen, code="" if seen.code == NOT_PULLED else seen.code)
    why = f"{done.step} failed with exit code {done.exit_code}: {done.text}".rstrip(": ")
    return Ending(outcome=Outcome.FAILED, why=why, pull=False)


def _fetch_newest(run: Run, number: int, checkpoints: tuple[Stored, ...], known: Deposits, world: World) -> None:
    """The newest whole one that is newer than what lies here: the next machine goes on from it."""
    for stored in checkpoints:
        try:
            source = _source(run, number, stored, known, world)
            index = source.index()
            here = step_of(world.ledger.checkpoint(run.id) or "")
            if not NAME.fullmatch(index.name) or index.step <= here:
                break
            haul = _haul(source, f"checkpoints/{index.name}", run, CHECKPOINT_CAPS, world)
        except (RemoteError, PullError) as error:
            _warn(run, "checkpoint", f"a stored checkpoint could not be fetched ({error})", world)
            known.unfetched = True
            known.save()
            continue
        if haul.verified:
            world.ledger.note_checkpoint(run, index.name)
            _warn(run, "checkpoint", f"{index.name} came from the durable store", world)
            break
    else:
        if checkpoints:
            return  # none of them could be fetched
    known.unfetched = False
    known.save()


# Later: `launch pull`; `launch reap` has launcher.store_reaping


def is_over(run: Run, world: World) -> bool:
    """Whether the results of the run's machine are there: then its work is done, whatever became of it.

    A look alone: whoever asks does not hold the run, and must not write its books.
    """
    known = deposits.load(world.run_folder(run.id))
    if known is None or world.bucket is None or not run.attempts or run.attempt.number not in known.attempts:
        return False
    try:
        found = world.bucket().objects(place(run.id, run.attempt.number, RESULTS))
    except BucketError:
        return False
    return any(one.key.endswith(f"/{RESULTS}") for one in found)


def pull_later(run: Run, world: World) -> Index | None:
    """Fetch what the store holds of a run whose machine is gone; None: no results. Raises `LaunchError`."""
    known = deposits.load(world.run_folder(run.id))
    if known is None or world.bucket is None:
        return None
    for number in sorted(known.attempts, reverse=True):  # a ledger that was put back may know of none
        try:
            found = _look(run, number, known, world)
            index = None if found.results is None else _fetch_results(run, number, found.results, known, world)
            if index is None or index.done is None or index.done.outcome != "succeeded":
                _fetch_newest(run, number, found.checkpoints, known, world)
            if index is not None:
                return index
        except (BucketError, RemoteError, PullError) as error:
            raise LaunchError(
                f"{run.id}: the results could not be fetched from {known.store} ({error})",
                code="store",
                exit_code=Exit.PROVIDER,
                hint=f"launch pull {run.id}     # again; launch doctor shows how the store does",
            ) from error
    return None


def note_fetched(run: Run, index: Index, world: World) -> bool:
    """The run had ended without its results, and has them now; whether its receipt is to be written anew."""
    ending = run.ending
    if run.state is not State.TERMINATED or ending is None or not run.attempts:
        return False
    if ending.code not in (IN_STORE, NOT_PULLED, "") and ending.outcome is not Outcome.LOST:
        return False
    before = replace(ending, code="", hint="", why=ending.why.partition("; the results could not")[0])
    world.ledger.note_ending(run, before if _was_pulled(ending) else _ending_by(index, before))
    return True


def clean(run: Run, world: World, *, again: bool = False) -> tuple[str, ...]:
    """Remove what is home, or worth nothing any more, by who holds the run; what stays there, in words.

    `again`: also where our books say that nothing is left; something was seen there all the same.
    """
    known = deposits.load(world.run_folder(run.id))
    if known is None or (known.is_clean and not again):
        return ()
    if world.bucket is None:
        return (f"objects below runs/{run.id}/ in {known.store or 'the durable store'}, which is not set up any more",)
    goes_on = known.unfetched and (run.ending is None or run.ending.outcome is not Outcome.SUCCEEDED)
    try:
        left = _cleaned(run, known, world, checkpoints=goes_on)
        known.is_clean = not left
        known.save()
    except (BucketError, OSError) as error:
        return (f"objects below runs/{run.id}/ in {known.store} ({error}): launch reap removes them",)
    return tuple(f"{one} in {known.store}: launch pull {run.id}" for one in left)


def keeps(world: World) -> bool:
    """Whether results stay in the store once they are home, as config.yaml says."""
    return world.config.durable_store is not None and world.config.durable_store.keep


def _cleaned(run: Run, known: Deposits, world: World, *, checkpoints: bool) -> list[str]:
    """Unfinished uploads go, results that are home, and checkpoints but for those to `keep`. What is owed, by key."""
    assert world.bucket is not None
    bucket, under, owed = world.bucket(), place(run.id, 0).removesuffix("0/"), []
    for begun in bucket.begun(under):
        bucket.give_up(begun)
    for stored in bucket.objects(under):
        is_results = stored.key.endswith(f"/{RESULTS}")
        if not _is_home(run, stored, known, world) if is_results else checkpoints:
            owed.append(stored.key)
        elif not (is_results and keeps(world)):
            bucket.remove(stored.key)
    return owed


def _is_home(run: Run, stored: Stored, known: Deposits, world: World) -> bool:
    """Whether these results are not needed any more: the run has its own, or each file of them lies here."""
    number = int(stored.key.split("/")[-2])
    if known.results_from == number or (run.ending is not None and run.ending.outcome is Outcome.SUCCEEDED):
        return True
    if number not in known.attempts or not run.out_dir.is_dir():
        return False
    try:
        with Landing(run.out_dir) as landing:
            files = _source(run, number, stored, known, world).index().files
            return all(landing.sha256(one.path) == one.sha256 for one in files)
    except (RemoteError, PullError, OSError):
        return False


def came_from(run: Run, world: World) -> str:
    """Where the results here came from: the store's name, "" for the machine itself."""
    known = deposits.load(world.run_folder(run.id))
    return known.store if known is not None and known.results_from else ""


# Before money is spent


def must_work(world: World) -> tuple[str, ...]:
    """Try all that a run will need, for the price of a few requests; remarks on it. Raises `LaunchError`."""
    if world.bucket is None:
        return ()
    try:
        bucket = world.bucket()
        bucket.probe(probe_key(world))
        return tuple(line for line in (remark(bucket, world),) if line)
    except BucketError as error:
        raise LaunchError(
            f"the durable store does not work: {error}",
            code=error.code if error.code.startswith("store-") else "store",
            exit_code=Exit.PROVIDER,
            hint=error.fix or "launch doctor     # what is missing; or remove `durable_store` from config.yaml",
        ) from error


def probe_key(world: World) -> str:
    """A name of its own for each probe: two at once must not meet, and what a dead one left shows its age."""
    return f"{PROBE}{world.now():{PROBED_AT}}"


def remark(bucket: Bucket, world: World) -> str:
    """Until when a machine can write there, should nobody renew its addresses; "" where that is no limit."""
    until = bucket.signed_until()
    if until is None:
        return ""
    hours = max(0.0, (until - world.now()).total_seconds() / books.SECONDS_PER_HOUR)
    return (
        f"the credentials for {bucket.name} are temporary: until {until:%Y-%m-%d %H:%M} UTC ({hours:.1f} h) a machine "
        "can store results while nobody watches; while somebody does, they are renewed"
    )


def _warn(run: Run, code: str, text: str, world: World) -> None:
    world.console.tell(Warned(run=run.id, at=world.now(), code=code, text=text))
