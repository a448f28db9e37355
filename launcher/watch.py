"""Watching a running job: what to do next (`decide`, pure), and the loop that looks, listens, forecasts and acts."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from jobs import progress
from launcher import books, egress, fence, way_in
from launcher.boot import connect, guest_of
from launcher.ends import ending_of, must_have_an_address
from launcher.events import Progressed, Warned
from launcher.granting import Granting
from launcher.guest import GuestError, GuestGone
from launcher.heard import Heard
from launcher.host_keys import stranger
from launcher.interrupt import Interrupted
from launcher.owed import Owed
from launcher.pacing import Pacer, shortened_to
from launcher.price import current_plan
from launcher.remote import HostKeyMismatch, RemoteError
from launcher.run import Ending, Outcome, Run, State
from launcher.sight import look
from launcher.steps import Ended, step_to
from launcher.tracker import Tracker
from launcher.world import World
from providers.base import OVER, Instance, InstanceState

LISTEN_SECONDS = 1.0
LOOK_SECONDS = 15.0
"""Between looks at the provider: finds a reclaimed machine, and what it bills."""
LEASE_SECONDS = 60.0
"""Between renewals of the machine's lease."""
LEASE_STEP_SECONDS = 60
"""A lease is renewed when it would change by more than this."""
FORECAST_SECONDS = 10.0
SILENT_SECONDS = 900.0
"""A machine that the provider shows, and that cannot be heard for so long, is given up. Time in which the provider did
not answer either does not count: then it is our own line that is down, and the job works on."""
DOUBTFUL_SECONDS = 60.0
"""The same for a machine that the provider calls unhealthy, or does not show any more."""
UNFIT = 69
"""A step's exit code for "this machine cannot do it" (EX_UNAVAILABLE): not the job's fault, so another one may try."""
TICK_SECONDS = 5.0
"""The most that one turn of the loop counts as silence: a laptop that slept has not listened."""


class Act(StrEnum):
    """What the loop does next."""

    CONTINUE = "continue"
    SAVE = "save"
    STOP = "stop"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """An act, and with SAVE and STOP the ending that it leads to."""

    act: Act
    ending: Ending | None = None


@dataclass(frozen=True, kw_only=True)
class View:
    """All that a decision needs to know."""

    done: progress.Done | None
    instance: Instance | None
    noticed: bool
    stop_asked: str | None
    interrupted: bool
    stop_seconds: float
    """Until the last moment at which saving, pulling and ending still fit into the budget."""
    silent_seconds: float
    supervisor_alive: bool | None
    """None where nobody could be asked."""
    doubt: str = ""
    """What the provider says that makes a silent machine a lost one, sooner."""
    past_deadline: bool = False
    """The machine's own deadline is over, by our count."""
    too_slow: Ending | None = None
    """How it ends where the pace of the training says so."""
    shortened: str = ""
    """What is to be said of a training that ended earlier than asked for."""


def decide(view: View) -> Decision:
    """What to do about a job that runs: its own end first, then people, money, pace, silence."""
    slow = Decision(act=Act.SAVE, ending=view.too_slow) if view.too_slow is not None else None
    saves = _asked(view) or _out_of_money(view) or slow
    if saves is not None and view.supervisor_alive is False:  # nobody is there who could save: that is not waited for
        saves = replace(saves, act=Act.STOP)
    return _over(view) or saves or _silent(view) or Decision(act=Act.CONTINUE)


def _over(view: View) -> Decision | None:
    if view.instance is not None and view.instance.state in OVER:
        return Decision(act=Act.STOP, ending=ending_of(view.instance))
    return None if view.done is None else Decision(act=Act.STOP, ending=_job_ending(view.done, view))


def _asked(view: View) -> Decision | None:
    if view.stop_asked == "now":
        why = "stopped without saving, as asked"
        return Decision(act=Act.STOP, ending=Ending(outcome=Outcome.CANCELLED, why=why, pull=False))
    if view.interrupted or view.stop_asked:
        return Decision(act=Act.SAVE, ending=Ending(outcome=Outcome.CANCELLED, why="stopped, as asked"))
    return None


def _out_of_money(view: View) -> Decision | None:
    if view.stop_seconds > 0:
        return None
    why = "the budget or the deadline does not allow it to go on"
    return Decision(act=Act.SAVE, ending=Ending(outcome=Outcome.OUT_OF_BUDGET, why=why))


def _silent(view: View) -> Decision | None:
    dead = view.supervisor_alive is False
    if dead:
        why = "the supervisor on the machine died"
    elif view.doubt and view.silent_seconds > DOUBTFUL_SECONDS:
        return Decision(act=Act.STOP, ending=_doubtful_ending(view))
    elif view.silent_seconds > SILENT_SECONDS:
        why = f"nothing was heard of the machine for {view.silent_seconds:.0f} s"
    else:
        return None
    # Where only the supervisor is dead the machine can be spoken with, and what lies on it is worth a try.
    ending = Ending(outcome=Outcome.LOST, why=why, code="silent", again=True, pull=dead)
    return Decision(act=Act.STOP, ending=ending)


def _doubtful_ending(view: View) -> Ending:
    """Where a machine's end is not shown, but only that it is not there: at its deadline it has ended itself."""
    if view.past_deadline:
        why = "the machine reached its own deadline and ended itself"
        return Ending(outcome=Outcome.OUT_OF_BUDGET, why=why, pull=False)
    why = f"{view.doubt}, and nothing was heard of it for {view.silent_seconds:.0f} s"
    return Ending(outcome=Outcome.LOST, why=why, code="silent", again=True, pull=False)


def _job_ending(done: progress.Done, view: View) -> Ending:
    if done.outcome == "succeeded":
        return Ending(outcome=Outcome.SUCCEEDED, why=view.shortened)
    if done.outcome == "stopped" and (view.stop_asked or view.interrupted):
        return Ending(outcome=Outcome.CANCELLED, why="stopped, as asked")
    if done.outcome == "stopped" and view.noticed:
        return Ending(outcome=Outcome.PREEMPTED, why="the provider wanted the machine back", again=True)
    if done.outcome == "stopped":
        why = "the machine's lease ran short, and the job saved and stopped"
        return Ending(outcome=Outcome.OUT_OF_BUDGET, why=why)
    if done.exit_code == UNFIT:
        why = f"this machine cannot do it: {done.text}"
        return Ending(outcome=Outcome.FAILED, why=why, code="not-as-rented", again=True)
    why = f"{done.step} failed with exit code {done.exit_code}: {done.text}".rstrip(": ")
    return Ending(outcome=Outcome.FAILED, why=why)


def watch(run: Run, world: World) -> None:
    """Stay with the job until it is done, or must not go on; on to PULLING, or to the end."""
    must_have_an_address(run, world)
    _Watch(run, world).stay()


class _Watch:
    """The loop, with what it remembers between ticks."""

    def __init__(self, run: Run, world: World) -> None:
        self.run, self.world, self.plan = run, world, current_plan(run, world)
        self.tracker, self.splitter = Tracker(), progress.Splitter()
        self.pacer, self.granting = Pacer(run, world, self.plan), Granting(run, world)
        self.silent_seconds, self.ticked_at, self.provider_answers = 0.0, world.now(), True
        self.doubt, self.interrupted, self.is_asked = "", False, False
        self.due: dict[str, datetime] = {}
        self.saving: Ending | None = None
        self.save_until, self.owed, self.heard = world.now(), Owed(run, world), Heard(run, world)
        self._connect(0)

    def _connect(self, offset: int) -> None:
        """A line to where the machine is now; what it tells is taken up where it was left."""
        instance = self.run.attempt.instance
        if instance is None:
            raise ValueError(f"{self.run.id} has no machine to watch")
        self.access = instance.access
        self.remote = connect(self.run, instance, self.world)
        self.guest = guest_of(self.run, self.remote, lambda: books.talking_seconds(self.run, self.plan, self.world))
        self.feed = self.world.feed(self.guest, offset)

    def stay(self) -> None:
        """Listen, decide, act; leaves by `Ended`, or by stepping on to PULLING."""
        try:
            while self.run.state is State.RUNNING:
                fence.holding(self.run, self.guest, self.world)
                self._listen()
                decision = decide(self._view())
                if decision.ending is not None:
                    self._act(decision.act, decision.ending)
        finally:
            self._hang_up()

    def _hang_up(self) -> None:
        self.feed.close()
        self.remote.close()

    def _listen(self) -> None:
        chunk = b""
        try:
            chunk = self.feed.read(LISTEN_SECONDS)
            self.world.interrupt.check()
        except HostKeyMismatch as error:
            raise Ended(stranger(error)) from error
        except Interrupted:
            self.interrupted = True  # what was read meanwhile counts: it is not told twice
        if chunk:
            self.silent_seconds = 0.0
            self.heard.count(len(chunk))
            self._take_all([progress.parse(line) for line in self.splitter.feed(chunk)])
            self._tell_progress()
        self.owed.try_again(self.guest)
        if self._is_due("forecast", FORECAST_SECONDS) or self.pacer.is_news(self.tracker):
            self.pacer.turn(self.tracker, self.guest)

    def _take_all(self, events: list[progress.Event]) -> None:
        """In order."""
        for event in events:
            self._take(event)
        self.owed.hear(events, self.tracker.done, self.guest)

    def _take(self, event: progress.Event) -> None:
        self.tracker.take(event, self.world.now())
        self.granting.take(event)
        self.heard.take(event)

    def _view(self) -> View:
        instance, feed = None, self.feed
        if self._is_due("look", LOOK_SECONDS / 5 if feed.trouble or feed.over else LOOK_SECONDS):
            instance = look(self.run, self.world, self._fresh_seconds())
            self.provider_answers = instance is not None
            self._check_rate(instance)
            self._note_doubt(instance)
            self._follow(instance)
        if feed.trouble and self._is_due("way in", way_in.EVERY_SECONDS):
            way_in.reopen(self.run, self.world)
        if self._is_due("lease", LEASE_SECONDS):
            self._renew_lease()
            self._renew_grant()
        return View(
            done=self.tracker.done,
            instance=instance,
            noticed=self.tracker.notice is not None and self.tracker.notice.action != "rebalance",
            stop_asked=self.world.ledger.stop_asked(self.run.id),
            interrupted=self.interrupted,
            stop_seconds=books.cap(self.run, self.run.attempt.choice, self.plan, self.world).stop_seconds,
            silent_seconds=self._silence(),
            supervisor_alive=self._ask_alive(),
            doubt=self.doubt,
            past_deadline=self.world.now() >= self.run.attempt.deadline,
            too_slow=self.pacer.ending,
            shortened=shortened_to(self.run, self.tracker),
        )

    def _fresh_seconds(self) -> float:
        """How old a look may be that another process of ours made: a tick, or less where something is wrong."""
        traits = self.world.provider(self.run.attempt.offer.provider).traits
        return max(traits.look_seconds, LOOK_SECONDS / 5) if self.feed.trouble else LOOK_SECONDS

    def _note_doubt(self, instance: Instance | None) -> None:
        if instance is None:
            return
        words = {
            InstanceState.ABSENT: "the provider does not show the machine any more",
            InstanceState.UNHEALTHY: "the provider calls the machine unhealthy",
        }
        self.doubt = words.get(instance.state, "")

    def _follow(self, instance: Instance | None) -> None:
        """Some machines come back from a restart at another address; they keep their host key."""
        if instance is None or instance.access is None or instance.access == self.access:
            return
        self._warn("moved", "the machine has another address now; going on there")
        offset = self.feed.offset
        self._hang_up()
        self._connect(offset)

    def _silence(self) -> float:
        """How long we have listened in vain, while the provider did show the machine."""
        now = self.world.now()
        if self.provider_answers:
            self.silent_seconds += min(max(0.0, (now - self.ticked_at).total_seconds()), TICK_SECONDS)
        self.ticked_at = now
        return self.silent_seconds

    def _is_due(self, what: str, every_seconds: float) -> bool:
        now = self.world.now()
        wait_seconds = (self.due.get(what, now) - now).total_seconds()
        if 0 < wait_seconds <= every_seconds:  # longer: the clock was set back
            return False
        self.due[what] = now + timedelta(seconds=every_seconds)
        return True

    def _check_rate(self, instance: Instance | None) -> None:
        attempt = self.run.attempt
        if instance is not None:
            if books.note_rate(attempt, instance, self.plan, self.world.now()):
                self._warn("price", f"billed at {instance.billed_usd_per_hour}/h, above what was agreed")
            self.world.ledger.save_attempt(self.run, attempt)
        egress.take_in(self.run, self.world)
        self.world.ledger.note_spent(self.run, books.spent_usd(self.run, self.world.now()))

    def _renew_lease(self) -> None:
        """Less was spent than the worst case: it may live longer; more: shorter. If we vanish, the last one stands."""
        attempt, now = self.run.attempt, self.world.now()
        seconds = books.lease_seconds(self.run, attempt.choice, self.plan, self.world)
        step_seconds = abs(seconds - (attempt.deadline - now).total_seconds())
        if step_seconds < LEASE_STEP_SECONDS or not fence.may_act(self.run):
            return
        try:
            self.guest.lease(seconds)
        except (RemoteError, GuestError):
            return
        attempt.deadline, attempt.lease_seconds = books.deadline(now, seconds), seconds
        self.world.ledger.save_attempt(self.run, attempt)

    def _renew_grant(self) -> None:
        try:
            self.granting.turn(self.guest)
        except HostKeyMismatch as error:
            raise Ended(stranger(error)) from error

    def _ask_alive(self) -> bool | None:
        """Asked only where the feed ended without a last word, or the machine does not let us read it."""
        if self.tracker.done is not None or not (self.feed.over or self.feed.refused):
            return None
        try:
            return self.guest.status().supervisor_alive
        except GuestGone:
            return False
        except (RemoteError, GuestError):
            return None

    def _act(self, act: Act, ending: Ending) -> None:
        if self.saving is not None:
            self._go_on_saving(act, ending)
        elif act is Act.SAVE:
            self._ask_save(ending)
        else:
            self._leave(ending)

    def _ask_save(self, ending: Ending) -> None:
        """The job gets as long as its bundle says for a last checkpoint; a line that is down may come back in it."""
        if self.saving is None:
            self._warn("saving", f"{ending.why}; saving what there is")
            reserve = books.cap(self.run, self.run.attempt.choice, self.plan, self.world).reserve
            self.saving, self.save_until = ending, self.world.now() + timedelta(seconds=reserve.save_seconds)
        try:
            self.guest.stop()
            self.is_asked = True
        except (RemoteError, GuestError) as error:
            self._warn("saving", f"the machine could not be asked to save ({error})")
            self.save_until = self.world.now() if isinstance(error, GuestError) else self.save_until

    def _go_on_saving(self, act: Act, ending: Ending) -> None:
        assert self.saving is not None
        if act is Act.STOP and self.tracker.done is None:
            self._leave(ending)
        elif self.tracker.done is not None:
            self._leave(ending if ending.outcome is Outcome.SUCCEEDED else self.saving)
        elif self.world.now() >= self.save_until:
            self._leave(self.saving)
        elif not self.is_asked:
            self._ask_save(self.saving)

    def _leave(self, ending: Ending) -> None:
        """On to the results; a machine that is gone, or that was to be stopped at once, has none to give."""
        attempt = self.run.attempt
        attempt.phases.update(self.tracker.seconds_by_phase(self.world.now()))
        attempt.measured = self.tracker.measured
        self.world.ledger.save_attempt(self.run, attempt)
        if not ending.pull:
            raise Ended(ending)
        self.owed.settle(self.guest)
        self.world.ledger.note_ending(self.run, ending)
        step_to(self.run, State.PULLING, self.world)

    def _warn(self, code: str, text: str) -> None:
        self.world.console.tell(Warned(run=self.run.id, at=self.world.now(), code=code, text=text))

    def _tell_progress(self) -> None:
        now = self.world.now()
        snapshot = self.tracker.snapshot(self.run.attempt.phases, books.spent_usd(self.run, now), now)
        self.world.console.tell(Progressed(run=self.run.id, at=now, snapshot=snapshot))
