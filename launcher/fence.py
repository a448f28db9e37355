"""One computer carries a run: the lock of this one, a sign in the run's folder, and the word of the machine itself.

The machine keeps who carries it, under a number that only grows: taken by compare and set, said with every verb that
changes something, refused once another computer has followed (docs/guest.md). Where the cloud keeps marks, the same
stands there, for a computer that has neither the ledger nor the keys (docs/decisions/0023).
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta

from launcher import place
from launcher.errors import Exit, LaunchError
from launcher.events import Warned
from launcher.guest import Carriage, Guest
from launcher.remote import RemoteError
from launcher.run import Attempt, Run
from launcher.world import World
from providers.base import Instance, ProviderError
from providers.carried import Carried

BEAT_SECONDS = 60.0
"""Between signs of life in the run's folder, and words with the machine."""
MARK_SECONDS = 300.0
"""Between marks at the provider: each is a call."""
MARK_COUNTS_SECONDS = 540.0
"""How long a mark counts: one may fail, and what a dead computer left is ended ten minutes later."""
TRY_SECONDS = 15.0
"""Between words with a machine that has not granted us its run yet."""


class All:
    """In `World.taken_over`: every run."""

    def __contains__(self, run_id: object) -> bool:
        return True


class CarriedElsewhere(LaunchError):
    """Another computer carries the run: this process leaves it alone, machine, results and books."""


def elsewhere(run_id: str, world: World) -> place.Sign | None:
    """Who carries the run on another computer, by the sign in its folder."""
    return place.elsewhere(world.run_folder(run_id), world.here, world.now())


def must_be_free(run_id: str, world: World) -> None:
    """Raises `CarriedElsewhere` where another computer gave a sign of life lately."""
    sign = elsewhere(run_id, world)
    if sign is not None:
        raise refused(run_id, sign.host, sign.since, world)


@contextmanager
def carrying(run_id: str, world: World) -> Iterator[None]:
    """Say that the run is carried from here, for the length of a block. Raises `CarriedElsewhere`."""
    if run_id not in world.taken_over:
        must_be_free(run_id, world)
    folder, now = world.run_folder(run_id), world.now()
    place.give(folder, world.here, now, now)
    world.interrupt.carries = run_id
    try:
        yield
    finally:
        place.take_down(folder, world.here)
    world.interrupt.carries = ""  # not where it was let go: somebody else may carry it on


def beat(run: Run, world: World) -> None:
    """A sign of life, once a minute. Raises `CarriedElsewhere` where another computer has given one since."""
    if not _is_due(run, "folder", BEAT_SECONDS, world):
        return
    folder, now = world.run_folder(run.id), world.now()
    sign = place.elsewhere(folder, world.here, now)
    if sign is not None and "folder" in run.beats:
        raise overtaken(run.id, sign.host, sign.since, world)
    since = run.beats.setdefault("since", now)
    run.beats["folder"] = now
    place.give(folder, world.here, since, now)


def hold(run: Run, guest: Guest, world: World) -> None:
    """Carry the machine's run from here, or be heard again. Raises `CarriedElsewhere`, and `RemoteError`s.

    Beyond the deadline that we wrote down ourselves nobody's word keeps a machine: it is not trusted. Nor does its word
    keep it from a person who takes it: one that does not give itself up is ended without its leave.
    """
    attempt = run.attempt
    run.beats["machine"] = world.now()
    known = run.granted.get(attempt.number, "")
    guest.carrier = known
    is_taken = run.id in world.taken_over and not known
    carriage = guest.carry(world.here.id, world.here.host, take=is_taken)
    if carriage.granted:
        _note(run, attempt, guest, world)
    elif world.now() < attempt.deadline and not is_taken:
        told = overtaken if known else refused
        raise told(run.id, carriage.host, _since(carriage, world), world)
    mark(run, carriage.epoch, world)


def _since(carriage: Carriage, world: World) -> datetime:
    return world.now() - timedelta(seconds=min(carriage.since_seconds, timedelta(days=365).total_seconds()))


def _note(run: Run, attempt: Attempt, guest: Guest, world: World) -> None:
    run.granted[attempt.number] = guest.carrier
    if not attempt.is_fenced:
        attempt.is_fenced = True
        world.ledger.save_attempt(run, attempt)


def holding(run: Run, guest: Guest, world: World) -> None:
    """`beat` and `hold`, once a minute; a line that is down says nothing. Raises `CarriedElsewhere`."""
    beat(run, world)
    if not run.attempt.is_fenced or not is_due(run, world):
        return
    with suppress(RemoteError):
        hold(run, guest, world)


def may_act(run: Run) -> bool:
    """Whether this process was granted the machine's run, or the machine keeps no such thing."""
    return not run.attempt.is_fenced or run.attempt.number in run.granted


def is_due(run: Run, world: World) -> bool:
    """Whether it is time for the next word with the machine."""
    return _is_due(run, "machine", BEAT_SECONDS if may_act(run) else TRY_SECONDS, world)


def mark(run: Run, epoch: int, world: World) -> None:
    """The same at the provider, where it keeps marks; for those who know the machine from there alone."""
    instance = run.attempt.instance
    if instance is None or not _is_due(run, "mark", MARK_SECONDS, world):
        return
    run.beats["mark"] = world.now()
    until = world.now() + timedelta(seconds=MARK_COUNTS_SECONDS)
    here = Carried(epoch=epoch, place=world.here.id, host=world.here.host, until=until)
    with suppress(ProviderError):
        world.provider(run.attempt.offer.provider).mark(instance, here)


def marked_elsewhere(machine: Instance, world: World) -> Carried | None:
    """Who carries a machine on another computer, by its mark; None: nobody, or nobody who was heard of lately."""
    carried = machine.carried
    if carried is None or carried.place == world.here.id:
        return None
    left_seconds = (carried.until - world.now()).total_seconds()
    return carried if 0 < left_seconds <= 2 * MARK_COUNTS_SECONDS else None


def _is_due(run: Run, what: str, every_seconds: float, world: World) -> bool:
    last = run.beats.get(what)
    return last is None or abs((world.now() - last).total_seconds()) >= every_seconds


def refused(run_id: str, host: str, since: datetime | None, world: World) -> CarriedElsewhere:
    """What a second computer is told."""
    return CarriedElsewhere(
        f"{run_id} is carried by {host or 'another computer'}{_words(since, world)}",
        code="carried-elsewhere",
        exit_code=Exit.USAGE,
        hint=f"launch attach {run_id} --take-over     # takes it; the other one is told, and lets go",
    )


def overtaken(run_id: str, host: str, since: datetime, world: World) -> CarriedElsewhere:
    """What a computer is told whose run another one took."""
    told = refused(run_id, host, since, world)
    text = f"{told.message}: this process has let go, and its machine runs on"
    world.console.tell(Warned(run=run_id, at=world.now(), code="overtaken", text=text))
    return CarriedElsewhere(text, code="overtaken", exit_code=Exit.MAY_BE_RUNNING, hint=told.hint)


def _words(since: datetime | None, world: World) -> str:
    if since is None:
        return ""
    is_today = since.date() == world.now().date()
    return f" since {since:%H:%M} UTC" if is_today else f" since {since:%Y-%m-%d %H:%M} UTC"
