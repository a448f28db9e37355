"""`launch reap` and the durable store: what of runs that are over still lies there goes, nothing of one that lives."""

from datetime import UTC, datetime, timedelta

from launcher import deposits, fence
from launcher.bucket import Bucket, BucketError
from launcher.durable import PROBE, PROBED_AT, clean, keeps
from launcher.lock import HeldElsewhere, sole_writer
from launcher.run import Run, State
from launcher.world import World

PROBE_SECONDS = 3600.0
"""No probe takes so long (assumed: it is a dozen calls of at most 40 seconds): who began it is dead."""


def reap(world: World) -> tuple[list[str], list[str]]:
    """What of runs that are over was removed from the store, and what lies there for another reason, in words."""
    if world.bucket is None:
        return [], []
    removed: list[str] = []
    left: list[str] = []
    known = {record.id for record in world.ledger.runs()}
    try:
        bucket = world.bucket()
        for run_id in sorted({key.split("/")[1] for key in _keys(bucket, "runs/")}):
            if run_id not in known:
                left.append(f"{run_id}: objects in {bucket.name}, of a run that this computer does not know")
                continue
            told = _cleaned(run_id, world)
            if told is not None:
                (left if told else removed).append(told or f"objects of {run_id} in {bucket.name}")
        if _dead_probes_go(bucket, world):
            removed.append(f"what a check left in {bucket.name}")
    except BucketError as error:
        left.append(f"the durable store could not be asked ({error})")
    return removed, left


def _keys(bucket: Bucket, under: str) -> list[str]:
    return [*(one.key for one in bucket.objects(under)), *(one.key for one in bucket.begun(under))]


def _cleaned(run_id: str, world: World) -> str | None:
    """What stays of a run that is over, in words, "" where all is gone; None: it is not over, or not ours to clean.

    It may have been resumed since it was listed. Its machine would write into uploads that are given up here, and who
    carries it into the books that are written here: so it is held, and looked at once more.
    """
    if fence.elsewhere(run_id, world) is not None:
        return None
    try:
        with sole_writer(world.run_folder(run_id), world.sleep):
            run = world.ledger.load(run_id)
            return _clean_again(run, world) if run.state is State.TERMINATED else None
    except HeldElsewhere:
        return None


def _clean_again(run: Run, world: World) -> str:
    known = deposits.load(world.run_folder(run.id))
    if known is None:
        return f"{run.id}: objects in the durable store; what this computer wrote down of them is gone"
    if known.is_clean and keeps(world):
        return f"{run.id}: its results in {known.store}, kept there as config.yaml says"
    return "; ".join(f"{run.id}: {line}" for line in clean(run, world, again=True))


def _dead_probes_go(bucket: Bucket, world: World) -> bool:
    """A probe whose process was killed removes nothing; whether there was one."""
    before = world.now() - timedelta(seconds=PROBE_SECONDS)
    uploads = [one for one in bucket.begun(PROBE) if _is_older(one.key, before)]
    objects = [one for one in bucket.objects(PROBE) if _is_older(one.key, before)]
    for begun in uploads:
        bucket.give_up(begun)
    for stored in objects:
        bucket.remove(stored.key)
    return bool(uploads or objects)


def _is_older(key: str, than: datetime) -> bool:
    """By the moment in its name; what is not named so is not ours."""
    try:
        return datetime.strptime(key.removeprefix(PROBE).removesuffix("-left"), PROBED_AT).replace(tzinfo=UTC) < than
    except ValueError:
        return False
