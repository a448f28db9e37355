"""What a machine may write into the durable store: granted when it gets its job, and renewed while we live."""

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from jobs import progress
from launcher import books, deposits
from launcher.bucket import Begun, Bucket, BucketError
from launcher.config import DurableStore
from launcher.deposits import Deposit, Deposits
from launcher.events import Warned
from launcher.guest import Guest
from launcher.price import current_plan
from launcher.remote import HostKeyMismatch, RemoteError
from launcher.run import Run
from launcher.world import World
from pricing.offer import Market
from pricing.stored import SLOTS, Room, checkpoint_room, results_room, upload_seconds

if TYPE_CHECKING:
    from pricing.plan import Plan

RESULTS = "results"
CHECKPOINT = "checkpoint-"
LONGEST_SECONDS = 7 * 24 * 3600
"""Of a signed address, by the protocol."""
MARGIN_SECONDS = 3600
"""Addresses outlive the lease by so much: it may be extended while nobody can reach the machine."""
LEAST_SECONDS = 300
"""Addresses that end sooner are of no use."""
LEAST_EVERY_SECONDS = 60.0
NO_STORE = DurableStore(bucket="")
AGAIN_SECONDS = 600.0
"""Before a store that was away is tried again: each try may hold up who watches for some seconds."""
KEPT = 2
"""Checkpoints that stay in the store."""


def is_stored(run: Run, world: World) -> bool:
    """Whether this machine writes into a store: what lies on one's own computer is home already."""
    return world.bucket is not None and bool(run.attempts) and run.attempt.offer.market is not Market.OWNED


def place(run_id: str, attempt: int, name: str = "") -> str:
    """Where an object of one machine lies: nothing that it was granted lies anywhere else."""
    return f"runs/{run_id}/{attempt}/{name}"


def grant(run: Run, guest: Guest, world: World) -> bool:
    """Let the machine write: new addresses for what is still to come. A store that is away is told, and stops nothing.

    False: it was not granted.
    """
    if not is_stored(run, world):
        return True
    assert world.bucket is not None
    try:
        bucket = world.bucket()
        guest.grant(_document(run, bucket, world))
    except HostKeyMismatch:
        raise
    except (BucketError, RemoteError, OSError) as error:  # OSError: this disk is full
        _warn(run, "store", f"nothing goes to the durable store for now ({error}); results still come here", world)
        return False
    return True


def _document(run: Run, bucket: Bucket, world: World) -> bytes:
    """The grant. What is begun is on our disk before the machine hears of it."""
    plan, attempt = current_plan(run, world), run.attempt
    known = deposits.opened(world.run_folder(run.id), bucket.name)
    deposit = known.of(attempt.number)
    known.save()
    _begin(run, deposit, bucket)
    seconds = _signed_seconds(run, bucket, plan, world)
    deposit.signed_from, deposit.signed_until = world.now(), world.now() + timedelta(seconds=seconds)
    known.save()
    result_gib = plan.workload.result_gib
    return json.dumps(
        {
            "schema": 1,
            "key": deposit.key,
            "run": run.id,
            "attempt": attempt.number,
            "every_seconds": _every_seconds(run),
            "upload_seconds": upload_seconds(result_gib),
            "end": attempt.offer.guarded,
            "wait_seconds": (world.config.durable_store or NO_STORE).wait_seconds,
            "slots": [
                _slot(run, Begun(key=place(run.id, attempt.number, name), upload_id=upload), bucket, room, seconds)
                for name, upload in deposit.begun.items()
                for room in (results_room(result_gib) if name == RESULTS else checkpoint_room(result_gib),)
            ],
        }
    ).encode()


def _begin(run: Run, deposit: Deposit, bucket: Bucket) -> None:
    """One object for the results, and as many for checkpoints as a machine may fill while we are away."""
    number = run.attempt.number
    if RESULTS not in deposit.begun and RESULTS not in deposit.stored:
        deposit.begun[RESULTS] = bucket.begin(place(run.id, number, RESULTS)).upload_id
    while sum(name.startswith(CHECKPOINT) for name in deposit.begun) < SLOTS:
        deposit.made += 1
        name = f"{CHECKPOINT}{deposit.made}"
        deposit.begun[name] = bucket.begin(place(run.id, number, name)).upload_id


def _slot(run: Run, begun: Begun, bucket: Bucket, room: Room, seconds: int) -> dict[str, object]:
    name = begun.key.rpartition("/")[2]
    signed = bucket.addresses(begun, parts=room.parts, part_bytes=room.part_bytes, seconds=seconds)
    return {
        "what": "results" if name == RESULTS else "checkpoint",
        "object": name,
        "part_bytes": room.part_bytes,
        "parts": list(signed.parts),
        "complete": signed.complete,
        "read": signed.read,
    }


def _signed_seconds(run: Run, bucket: Bucket, plan: "Plan", world: World) -> int:
    """As long as the machine may live, and no longer than protocol and credentials allow."""
    life = books.lease_seconds(run, run.attempt.choice, plan, world) + MARGIN_SECONDS
    seconds, until = min(LONGEST_SECONDS, life), bucket.signed_until()
    if until is not None:
        seconds = min(seconds, int((until - world.now()).total_seconds()))
    if seconds < LEAST_SECONDS:
        raise BucketError("this computer's credentials for it end in a moment", code="store-auth")
    return seconds


def _every_seconds(run: Run) -> float:
    """The slots last for the whole training, should nobody come by and grant more."""
    phases = {phase.name: phase.seconds.expected for phase in run.attempt.choice.estimate.phases}
    return max(LEAST_EVERY_SECONDS, phases.get("train", 0.0) / SLOTS)


class Granting:
    """Keeps the grant of one machine good while its job is watched, and its deposit in our books."""

    def __init__(self, run: Run, world: World) -> None:
        self._run, self._world = run, world
        self._not_before = world.now()

    def take(self, event: progress.Event) -> None:
        """An object was stored: counted once, and what is older than the last two checkpoints goes."""
        if not isinstance(event, progress.Stored) or self._world.bucket is None:
            return
        known = deposits.load(self._world.run_folder(self._run.id))
        if known is None:
            return
        try:
            if note_stored(self._run, known, event.object, event.bytes, self._world):
                _warn(self._run, "stored", f"{event.name} of step {event.step} is in the durable store", self._world)
                _drop_old(self._run, known, self._world)
        except OSError as error:
            _warn(self._run, "store", f"what is stored cannot be written down here ({error})", self._world)

    def turn(self, guest: Guest) -> None:
        """Renew the grant where it runs out, or has run short."""
        now = self._world.now()
        if not is_stored(self._run, self._world) or now < self._not_before:
            return
        known = deposits.load(self._world.run_folder(self._run.id))
        deposit = None if known is None else known.attempts.get(self._run.attempt.number)
        if (deposit is None or _is_short(deposit, now)) and not grant(self._run, guest, self._world):
            self._not_before = now + timedelta(seconds=AGAIN_SECONDS)


def _is_short(deposit: Deposit, now: datetime) -> bool:
    if RESULTS in deposit.stored:
        return False
    if deposit.signed_from is None or deposit.signed_until is None:
        return True
    half = deposit.signed_from + (deposit.signed_until - deposit.signed_from) / 2
    return now >= half or sum(name.startswith(CHECKPOINT) for name in deposit.begun) < SLOTS


def note_stored(run: Run, known: Deposits, name: str, size_bytes: int, world: World, *, attempt: int = 0) -> bool:
    """An object is known to be there, for the first time: it has left the provider, and that costs. False: not new."""
    made = next((one for one in run.attempts if one.number == (attempt or run.attempt.number)), None)
    deposit = None if made is None else known.attempts.get(made.number)
    if made is None or deposit is None or name not in deposit.begun:
        return False
    plan = current_plan(run, world)
    result_gib = plan.workload.result_gib
    room = results_room(result_gib) if name == RESULTS else checkpoint_room(result_gib)
    books.note_egress(made, min(size_bytes, room.bytes), plan.terms.tax(made.offer.provider))
    world.ledger.save_attempt(run, made)
    del deposit.begun[name]
    deposit.stored[name] = size_bytes
    known.save()
    return True


def _drop_old(run: Run, known: Deposits, world: World) -> None:
    """A machine may not remove anything: that is ours."""
    assert world.bucket is not None
    deposit = known.of(run.attempt.number)
    checkpoints = sorted((name for name in deposit.stored if name.startswith(CHECKPOINT)), key=_number)
    for name in checkpoints[:-KEPT]:
        try:
            world.bucket().remove(place(run.id, run.attempt.number, name))
        except BucketError:
            return  # it goes with all the rest, at the end
        del deposit.stored[name]
    known.save()


def _number(name: str) -> int:
    return int(name.removeprefix(CHECKPOINT))


def _warn(run: Run, code: str, text: str, world: World) -> None:
    world.console.tell(Warned(run=run.id, at=world.now(), code=code, text=text))
