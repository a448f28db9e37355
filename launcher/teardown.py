"""The end of every run: terminate, again and again, until the provider itself shows nothing of ours.

The only room where a broad `except` is right: whatever went wrong before, the machine must go.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from launcher import books, seen, twins
from launcher.awake import Awake
from launcher.errors import Exit, LaunchError
from launcher.events import Warned
from launcher.fence import CarriedElsewhere
from launcher.interrupt import Interrupted
from launcher.price import current_plan
from launcher.pulling import rescue
from launcher.run import Attempt, Ending, Outcome, Run, State
from launcher.steps import tell_state
from launcher.unknown import TAKEN_UP
from launcher.world import World
from providers.base import Instance, InstanceState, NotFound, Provider, ProviderError

LOOKS = 3
"""How many agreeing looks prove an end."""
SEEN_DEAD_SECONDS = 0.3
"""Between looks that read a terminal state: the provider says so itself."""
NOT_SEEN_SECONDS = 10.0
"""Between looks that merely do not find the machine: lists lag and have gaps."""
PATIENCE_SECONDS = 900.0
"""How long we stand and ask, before a person is told that it is still there."""
ASK_AGAIN_SECONDS = 10.0
FIRST_WAIT_SECONDS = 0.2
"""Before the second look; each wait for a machine that is still there is longer than the one before."""


@contextmanager
def leaving(run: Run, world: World) -> Iterator[None]:
    """Whatever ends the block, a machine of this run ends too; a death of our process is `recover`'s to mend."""
    try:
        yield
    except Exception as error:
        is_left = isinstance(error, LaunchError) and error.exit_code is Exit.MAY_BE_RUNNING
        if not (is_left or isinstance(error, CarriedElsewhere)):
            _end_after(error, run, world)
        raise


def _end_after(error: Exception, run: Run, world: World) -> None:
    """A bug of ours, a full disk: what there is comes home if it can, the machine goes, the books follow."""
    is_home = False
    with suppress(Exception):
        is_home = rescue(run, world)
    lost = _lost(run, error, is_home=is_home)
    if lost:
        with suppress(Exception):
            text = f"{run.id}: its machine is ended ({str(error) or type(error).__name__}); {lost}"
            world.console.tell(Warned(run=run.id, at=world.now(), code="ended-early", text=text))
    if run.state is State.TERMINATED:
        return  # proven gone already; what went wrong concerns the books
    ending = Ending(outcome=Outcome.FAILED, why=str(error) or type(error).__name__, code="bug")
    with suppress(sqlite3.Error):
        if run.state not in (State.TERMINATING, State.TERMINATED):
            world.ledger.end(run, ending, world.now())
    tear_down(run, world)
    with suppress(sqlite3.Error):
        if run.state is State.TERMINATING:
            world.ledger.advance(run, State.TERMINATED, world.now())


def _lost(run: Run, error: Exception, *, is_home: bool) -> str:
    """What a person is to know of work that goes with the machine; "" where none can, or the error itself says it."""
    if not is_home:
        return "not all of it came home"
    if run.state in (State.TERMINATING, State.TERMINATED):  # there will be no receipt that says how it had ended
        return "" if isinstance(error, LaunchError) or run.ending is None else run.ending.why
    is_there = any(one.gone_at is None for one in run.attempts)
    is_idle = run.state in (State.PROVISIONING, State.BOOTING, State.SHIPPING) and not run.may_work
    # Books that were put back are older than the machine: what we took up may have worked although they do not say so.
    return "these books know of no work of its job" if is_there and is_idle and TAKEN_UP in run.beats else ""


def tear_down(run: Run, world: World) -> None:
    """End every machine of the run and prove it. Raises `LaunchError` (exit 7) when the provider does not let go."""
    with suppress(Exception):  # a bug in what is shown must not keep a machine
        tell_state(run, world)
    while (attempt := next((one for one in run.attempts if one.gone_at is None), None)) is not None:
        try:
            ending = _Ending(run, attempt, world)
        except ProviderError as error:
            raise still_there(attempt, ()) from error
        ending.see_through()


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one look showed: machines alive, and whether the end was read rather than merely not seen."""

    alive: tuple[Instance, ...]
    read: bool
    certain: bool


class _Ending:
    """The end of one attempt's machine."""

    def __init__(self, run: Run, attempt: Attempt, world: World) -> None:
        self.run, self.attempt, self.world = run, attempt, world
        self.provider: Provider = world.provider(attempt.offer.provider)
        self.began = world.now()
        self.awake = Awake(attempt, world)
        self.asked_seconds_ago = ASK_AGAIN_SECONDS
        self.absent_since: datetime | None = None
        self.is_asked = False
        """Whether terminate was sent at all."""

    def see_through(self) -> None:
        """Ask, look, ask again, until `LOOKS` looks agree."""
        agreed, wait = 0, FIRST_WAIT_SECONDS
        while agreed < LOOKS:
            look = self._look()
            self._ask_once_unseen(look)
            agreed = agreed + 1 if look.certain and not look.alive else 0
            if agreed == LOOKS and not look.read:
                self._must_be_the_same_account()
            if agreed == LOOKS and self._another_door_shows_it():
                agreed = 0
            self.absent_since = (self.absent_since or self.world.now()) if agreed else None
            self.attempt.looks = agreed
            if look.alive:
                self._ask(look.alive, wait)
            if agreed == LOOKS:
                break
            if self._seconds() > PATIENCE_SECONDS:
                raise self._still_there(look.alive)
            wait = self._wait_seconds(look, wait)
            self._sleep(wait)
        self._proven()

    def _ask_once_unseen(self, look: Look) -> None:
        """Not to be shown a machine is no proof that it went: it is asked to, once, by the id that we know."""
        instance = self.attempt.instance
        if instance is None or look.alive or look.read or self.is_asked or not look.certain:
            return
        self.is_asked = True
        with suppress(Exception):
            self.provider.terminate(instance)

    def _must_be_the_same_account(self) -> None:
        """With a key of another account nothing of ours is shown, whatever there is. Raises `LaunchError` (exit 7)."""
        known = self.attempt.account
        if not known or self.attempt.instance is None:
            return
        if self.provider.account() != known:
            raise another_account(self.attempt)

    def _look(self) -> Look:
        """Both doors: the machine by its id, and the list of what is ours there."""
        self.awake.now()
        try:
            listed = [one for one in self.provider.list(self.attempt.offer.region) if one.run_id == self.run.id]
            self._turned_up(listed)
            listed = [one for one in listed if one.nonce == self.attempt.nonce]
            known, read = self._known(listed)
        except Exception:  # an answer that nobody foresaw says nothing either: the machine must go
            return Look(alive=(), read=False, certain=False)
        alive = {one.id: one for one in (*listed, *known) if one.state is not InstanceState.GONE}
        if self.attempt.instance is not None and self.attempt.instance.id in alive:
            self.attempt.account = self.provider.account() or self.attempt.account  # who is shown it may have a new key
        self._note_rate(alive.get(self.attempt.instance.id) if self.attempt.instance else None)
        self._count_twins(tuple(alive.values()))
        self._note(tuple(one.state for one in alive.values()), read)
        return Look(alive=tuple(alive.values()), read=read, certain=self._settled() or read)

    def _count_twins(self, alive: tuple[Instance, ...]) -> None:
        """A call that was delivered twice made two machines: both are asked to end, and both are paid for."""
        known = self.attempt.instance
        for one in alive:
            if known is not None and one.id != known.id:
                with suppress(sqlite3.Error):
                    twins.count(self.run, self.attempt, one, self.world)

    def _turned_up(self, listed: list[Instance]) -> None:
        """A machine of an earlier attempt that was held to be gone, or never to have been: its end is to be seen to."""
        for other in self.run.attempts:
            found = next((one for one in listed if one.nonce == other.nonce), None)
            if found is not None and other.gone_at is not None:
                other.instance, other.never_was, other.ended_at, other.gone_at = found, False, None, None
                with suppress(sqlite3.Error):
                    self.world.ledger.save_attempt(self.run, other)

    def _known(self, listed: list[Instance]) -> tuple[list[Instance], bool]:
        instance = self.attempt.instance or (listed[0] if listed else None)
        if instance is None:
            return [], False
        if self.attempt.instance is None:
            self.attempt.instance = instance
            self._save()
        try:
            now = self.provider.get(instance)
        except NotFound:
            return [], False
        return [now], now.state is InstanceState.GONE

    def _settled(self) -> bool:
        """Not seeing a machine proves nothing while a fresh one, never seen yet, may still be invisible."""
        return (
            self.attempt.seen_at is not None
            or self.attempt.unanswered_seconds(self.awake.now()) >= self.provider.traits.settle_seconds
        )

    def _note_rate(self, instance: Instance | None) -> None:
        """What it is billed at may never have been seen before: the books are the receipt."""
        if instance is None or instance.billed_usd_per_hour is None:
            return
        with suppress(LaunchError, sqlite3.Error):  # the plan is in the ledger, which must not keep a machine
            books.note_rate(self.attempt, instance, current_plan(self.run, self.world), self.world.now())

    def _another_door_shows_it(self) -> bool:
        """A second, independent look, where the provider has one; who shows the machine is asked to end it again."""
        instance = self.attempt.instance
        try:
            shows = instance is not None and self.provider.still_there(instance)
        except ProviderError:
            return False
        if instance is None or not shows:
            return False
        self._warn(f"{instance.id} is not listed any more, and still shown by the provider's other interface")
        self._ask((instance,), ASK_AGAIN_SECONDS)
        return True

    def _note(self, states: tuple[InstanceState, ...], read: bool) -> None:
        """Billing is over from the moment at which the provider says that the machine is ending, if it stays so."""
        over = read if not states else all(state is InstanceState.ENDING for state in states)
        if states and self.attempt.seen_at is None:
            self.attempt.seen_at = self.world.now()
            self._save()
        if over == (self.attempt.ended_at is not None) or not (over or states):
            return
        self.attempt.ended_at = self.world.now() if over else None
        self._save()

    def _ask(self, alive: tuple[Instance, ...], waited: float) -> None:
        self.asked_seconds_ago += waited
        if self.asked_seconds_ago < ASK_AGAIN_SECONDS:
            return
        self.asked_seconds_ago = 0.0
        for instance in alive:
            if instance.state is InstanceState.ENDING:
                continue
            self.is_asked = True
            try:
                self.provider.terminate(instance)
            except Exception as error:
                self.asked_seconds_ago = ASK_AGAIN_SECONDS / 2
                why = error.text if isinstance(error, ProviderError) else f"{type(error).__name__}: {error}"
                self._warn(f"terminate of {instance.id} got no clear yes ({why}); asking again")

    def _wait_seconds(self, look: Look, last: float) -> float:
        if look.alive:
            return min(last * 2, 5.0)
        return SEEN_DEAD_SECONDS if look.read else NOT_SEEN_SECONDS

    def _sleep(self, seconds: float) -> None:
        """Nobody interrupts this: the second Ctrl-C leaves the process, the first changes nothing any more."""
        try:
            self.world.sleep(seconds)
        except Interrupted:
            self._warn("already ending the machine; Ctrl-C again leaves it to `launch reap`")

    def _seconds(self) -> float:
        return (self.awake.now() - self.began - self.awake.leapt).total_seconds()

    def _proven(self) -> None:
        now = self.world.now()
        if self.attempt.instance is None:
            was_seen = seen.is_noted(self.run, self.attempt, self.world)
            books.note_absent(self.attempt, self.provider.traits, now, was_seen=was_seen)
        self.attempt.ended_at = self.attempt.ended_at or self.absent_since or now
        self.attempt.gone_at = now
        with suppress(sqlite3.Error):  # as in `_save`
            self.world.ledger.save_answered(self.run, self.attempt, "gone", now)

    def _save(self) -> None:
        """A ledger that cannot be written (a full disk) must not keep a machine alive, and not hide that it was."""
        try:
            self.world.ledger.save_attempt(self.run, self.attempt)
        except sqlite3.Error:
            if self.attempt.instance is not None:
                seen.note(self.run, self.attempt, self.world)

    def _warn(self, text: str) -> None:
        with suppress(Exception):  # as above
            self.world.console.tell(Warned(run=self.run.id, at=self.world.now(), code="teardown", text=text))

    def _still_there(self, alive: tuple[Instance, ...]) -> LaunchError:
        return still_there(self.attempt, alive)


def still_there(attempt: Attempt, alive: tuple[Instance, ...]) -> LaunchError:
    """The loud end: a machine may still be running, what it costs, and until when."""
    offer = attempt.offer
    names = ", ".join(one.id for one in alive) or (attempt.instance.id if attempt.instance else attempt.nonce)
    price = f"at most {attempt.choice.worst_usd_per_hour:.4f}/h, since {attempt.started_at:%H:%M} UTC"
    ends = f"it ends itself at {attempt.deadline:%H:%M} UTC" if offer.guarded else "nothing ends it but us"
    return LaunchError(
        f"a machine may still be running: {names} ({offer.provider} {offer.zone or offer.region}, "
        f"{offer.instance_type}, {price})\n"
        f"  terminate was asked for and not confirmed; {ends}",
        code="may-be-running",
        exit_code=Exit.MAY_BE_RUNNING,
        hint="`launch reap` tries again, and shows what is left",
    )


def another_account(attempt: Attempt) -> LaunchError:
    """The same loud end, where we look with another key than the one that rented the machine."""
    told = still_there(attempt, ())
    name = attempt.offer.provider
    return LaunchError(
        f"{told.message.partition(chr(10))[0]}\n"
        f"  the key that rented it at {name} is not the one that is set here, which shows no such machine",
        code="another-account",
        exit_code=Exit.MAY_BE_RUNNING,
        hint=f"set the key that rented it, then `launch reap`; if {name}'s console shows it gone: launch stop --gone",
    )


def sweep(run: Run, world: World) -> tuple[str, ...]:
    """Remove what lies about beside the machines of this run; what could not be removed, in words."""
    left: list[str] = []
    for name in sorted({attempt.offer.provider for attempt in run.attempts}):
        provider = world.provider(name)
        try:
            remains = [one for one in provider.leftovers() if one.run_id == run.id]
        except ProviderError as error:
            left.append(f"unknown: {name} did not say what is left ({error.text})")
            continue
        for one in remains:
            try:
                provider.remove(one)
            except ProviderError as error:
                left.append(f"{one.kind} {one.id} in {one.region} ({error.text})")
    return tuple(left)
