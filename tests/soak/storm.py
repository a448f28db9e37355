"""One laptop, one cloud and one bad day: the fakes of `tests`, on which a schedule's faults fire at their moments."""

import atexit
import resource
import shutil
import sqlite3
import tempfile
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path

from launcher import fetching, flow, keys, recover, resuming
from launcher.errors import LaunchError
from launcher.guest import Guest
from launcher.ledger import Ledger
from launcher.remote import HostKeyMismatch, Keys, RemoteError, RemoteUnreachable
from launcher.request import Request
from launcher.run import Ending, Run, State
from launcher.world import SteadyClock, World
from pricing.offer import Market, Offer
from providers.base import (
    Access,
    Ambiguous,
    AuthFailed,
    ContractBroken,
    EndReason,
    NoCapacity,
    NoFunds,
    ProviderError,
    QuotaExceeded,
    Ssh,
    Throttled,
    Unavailable,
    Unreachable,
)
from tests.fake_bucket import Shut
from tests.fake_guest import Work
from tests.fake_machine import Machine
from tests.fake_world import FIRST_RUN, WRITES, DyingLedger, Killed, Stage, nobody_looks
from tests.soak.clouds import StormProvider, offers_of, settle_down, traits_of
from tests.soak.disk import Disk, copy_tree
from tests.soak.line import Contact, HalfOpenFeed, Line
from tests.soak.schedule import (
    AT_A_DEATH,
    BY_CALL,
    BY_POINT,
    BY_TIME,
    FIRST_CLOUD,
    MACHINE_KINDS,
    ONLY_CREATE,
    SOMETIMES,
    STORE_BY_TIME,
    Fault,
    Kind,
    Schedule,
)

ALL_WRITES = (
    *WRITES, "note_spent", "ask_stop", "note_refusal", "note_prices", "note_event",
)  # fmt: skip
MOST_POINTS = 40_000
"""A day that is not over after so many writes, calls and sleeps never ends."""
TICK_SECONDS = 15.0
"""What one read of the progress takes at least: a third as many turns of the loop as elsewhere in the tests."""
MAIN_THREAD = threading.main_thread().ident
KNOCKING_SECONDS = 10.0
"""What a try to log in takes while nobody answers (`ssh -o ConnectTimeout`)."""
BESIDE = (Kind.SECOND_PROCESS, Kind.LEDGER_ROLLED_BACK)
"""Faults with a connection to the ledger beside that of the process at work, at any moment."""
REPORT_EVERY = 16
"""A report is written in one schedule of so many; in the others what it needs is not there, which costs a warning."""
CALL_SECONDS = 60.0
"""What a remote call waits for a line that is dead (`Remote.run`'s own patience)."""
WRONG_CLOCK_SECONDS = 60.0
"""A laptop's clock that is off by more than this counts as wrong."""
SKEW_SECONDS = 600.0
"""What a machine's clock is ahead of the truth, or behind it (failures.md: ten minutes)."""
ACTS = ("create", "terminate", "remove")
BEFORE = tuple(kind for kind in BY_CALL if kind not in (Kind.LOST_AFTER, Kind.BAD_ANSWER))


class Endless(BaseException):
    """Our process goes round in circles."""


class Storm(Stage):
    """A stage on which a schedule happens."""

    def __init__(self, folder: Path, schedule: Schedule) -> None:
        super().__init__(folder, offers_of(FIRST_CLOUD, schedule), traits_of(schedule))
        self.schedule, self.run_id = schedule, FIRST_RUN
        self.budget_usd = Decimal(schedule.budget_usd)
        """All that a person allowed by now: a resumption allows more."""
        self.asked = threading.local()
        """By thread: the name of the cloud that is asked just now."""
        self.touched: list[str] = []
        """Machines of strangers that we told to end."""
        for name, nature in schedule.clouds.items():
            made = StormProvider(self.cloud, name, nature, self._ask, self.touched.append)
            made.doubled = self._is_doubled
            self.others[name] = made
        self.provider = self.others.pop(FIRST_CLOUD)
        self.contacts: dict[str, list[Contact]] = defaultdict(list)
        self.moves: Counter[str] = Counter()
        self.wiped_at: dict[str, datetime] = {}
        self.began_at: dict[Kind, datetime] = {}
        self.spoken_with, self.patience_seconds = "", CALL_SECONDS
        self.environ: Mapping[str, str] = {}
        """The person's environment."""
        self.secrets: tuple[str, ...] = ()
        """What of it goes to the job."""
        self.errors: list[LaunchError] = []
        """What commands said at their end, where that was not good."""
        self.reaped_ids: set[str] = set()
        """Machines that `reap` said it ended."""
        self.on_checkpoint: Callable[[str], None] = lambda name: None
        self.said_now = False
        """Whether a person said `stop --now`."""
        self.fired: Counter[Kind] = Counter()
        by_time = (one for one in schedule.faults if one.kind in (*BY_TIME, *STORE_BY_TIME))
        self.pending = sorted(by_time, key=lambda one: one.at_seconds)
        self.until: dict[Kind, datetime] = {}
        self.where: dict[Kind, str] = {}
        self.verbs: Counter[tuple[str, str]] = Counter()
        self.began, self.offset = self.clock(), timedelta()
        self.is_over = self.is_nested = self.is_gone = self.power_went = False
        self.world: World | None = None
        self.disk = Disk(folder)
        self._books: list[StormLedger] = []
        """Those that are open."""
        self.absent_seconds = self.deaf_seconds = 0.0
        self.lost_ledger_at: datetime | None = None
        self.listens = True
        """Whether the command that runs takes Ctrl-C as a wish to save and end."""
        self.on_terminate: Callable[[], None] = lambda: None
        self.on_terminated: Callable[[], None] = lambda: None
        self.on_revived: Callable[[], None] = lambda: None
        self.count = 0
        self.by_verb: dict[str, list[Fault]] = {}
        for one in schedule.faults:
            self.by_verb.setdefault(one.verb, []).append(one)
        self.deaths = {one.nth: one for one in schedule.faults if one.kind in BY_POINT and not one.verb}
        self.doorways = {one.verb: one for one in schedule.faults if one.kind in BY_POINT and one.verb}
        self.passed: Counter[str] = Counter()
        self.copies = {one.nth: one for one in schedule.faults if one.kind is Kind.LEDGER_ROLLED_BACK}
        self.cloud.before_call, self.cloud.after_call = self._before, self._after
        self.cloud.access = self._access
        self.site.remote = self._remote  # type: ignore[method-assign]  # every contact is noted
        self.site.feed = self._feed  # type: ignore[method-assign]  # a line may be half-open
        self.site.work = Work(
            steps=schedule.steps, step_seconds=schedule.step_seconds, save_every=schedule.save_every,
            outcome=schedule.outcome,
        )  # fmt: skip
        self.site.tick_seconds, self.site.ready_seconds = TICK_SECONDS, schedule.ready_seconds
        self.site.knocking_seconds = KNOCKING_SECONDS
        if schedule.store:
            self._open_store()
        self._set_lies()

    def _open_store(self) -> None:
        """Every call there is a place to die, too."""
        bucket = self.with_store()
        bucket.before_call = lambda verb: self.point(f"before store {verb}")
        bucket.after_call = lambda verb: self.point(f"after store {verb}")

    def _set_lies(self) -> None:
        for fault in self.schedule.faults:
            lies = self.others.get(fault.cloud, self.provider).lies
            match fault.kind:
                case Kind.LATE_LISTED:
                    lies.visible_after_seconds = fault.seconds
                case Kind.EARLY_NOT_FOUND:
                    lies.early_not_found_seconds = fault.seconds
                case Kind.SLOW_TERMINATE:
                    lies.slow_terminate_seconds = fault.seconds
                case Kind.RATE_UNTOLD:
                    lies.tells_rate = False
                case Kind.VOLUME_LEFT:
                    lies.leaves_volume = True
                case Kind.TORN_PULL:
                    self.site.lost_pulls += fault.times
                case Kind.SPOILED_PULL:
                    self.site.spoiled = "adapter/adapter_model.safetensors"
                case Kind.STORE_LOST_BEGIN:
                    self._bucket().lost_begins += fault.times
                case Kind.STORE_SHORT:
                    self._bucket().expires = self.began + timedelta(seconds=fault.seconds)
                    self.fired[fault.kind] += 1

    # Our processes

    def laptop(self) -> World:
        """A fresh process; its clock never goes back, and begins with what this laptop shows, or the ledger says."""
        world = super().laptop()
        self.now = SteadyClock(self._shown_time, lambda: self.clock.seconds, since=world.ledger.latest())
        return replace(world, environ=self.environ, now=self.now)

    def _shown_time(self) -> datetime:
        return self.clock() + self.offset if self.offset else self.clock()

    @property
    def ledger_path(self) -> Path:
        """For whoever reads beside the process that is at work."""
        self._share_books()
        return self.folder / "home" / "ledger.sqlite"

    def ledger(self, path: Path) -> Ledger:
        """Every write is a place to die."""
        self._share_books()
        books = StormLedger(path, self.point, ALL_WRITES)
        is_first = not self._books
        self._books.append(books)
        if is_first and self.at_point is nobody_looks and not any(one.kind in BESIDE for one in self.schedule.faults):
            books.keep_alone()
        books.on_terminated = self._said_terminated
        books.on_revived = self.on_revived
        books.on_checkpoint = self.on_checkpoint
        self.disk.opened(books)
        return books

    def _share_books(self) -> None:
        self._books = [one for one in self._books if not one.is_closed]
        for one in self._books:
            one.share()

    def _said_terminated(self) -> None:
        self.on_terminated()

    def point(self, name: str) -> None:
        """A place where our process can be killed, and where time has passed."""
        if threading.get_ident() != MAIN_THREAD:
            return self._point_of_a_thread()
        if self.dead or self.is_over or self.is_nested:
            if self.dead and not self.is_nested:
                raise Killed
            return None
        self.count += 1
        if self.count > MOST_POINTS:
            raise Endless
        if self.pending or self.until:
            self._let_time_tell()
        copy = self.copies.get(self.count)
        if copy is not None:
            self._copy_ledger()
        self.at_point(name)
        death = self.deaths.get(self.count) or self._dies_in(name)
        if death is not None:
            self._die(death)
        return None

    def _dies_in(self, name: str) -> Fault | None:
        """The death that waits in a doorway of that name, if it is the one."""
        death = self.doorways.get(name)
        if death is None:
            return None
        self.passed[name] += 1
        return death if self.passed[name] == death.nth + 1 else None

    def _point_of_a_thread(self) -> None:
        """A market is asked beside the main thread: that one notices at its next point that it is dead.

        Of several clouds, which are asked at once, nobody knows which call is the first: those are no places to die.
        """
        if self.is_over or self.is_nested or self.others:
            return
        self.count += 1
        self.at_point("in a thread")
        death = self.deaths.get(self.count)
        if death is not None:
            with suppress(Killed):
                self._die(death)
        if self.dead:
            raise Unreachable("nobody listens any more", code="dead")

    def _sleep(self, seconds: float) -> None:
        super()._sleep(seconds)
        if self.world is not None:
            self.world.interrupt.check()

    def _die(self, fault: Fault) -> None:
        self.fired[fault.kind] += 1
        self.dead, self.is_gone = True, fault.kind is Kind.GONE
        if self.is_gone:
            self._prices_rise()
        for contacts in self.contacts.values():
            contacts.append(Contact(self.clock(), "", "we died"))
        self._free_disk()
        self.power_went = fault.kind is Kind.POWER_LOSS
        self.disk.freeze(is_power_lost=self.power_went)
        raise Killed

    def _prices_rise(self) -> None:
        """Nobody will look any more: a budget that holds must hold at the worst price that was agreed to."""
        for machine in self.cloud.alive():
            if machine.request.offer.market is Market.SPOT:
                self.cloud.reprice(machine.id, machine.request.offer.worst_usd_per_hour)

    def after_death(self) -> None:
        """What a dead process, or a laptop without power, leaves on the disk."""
        self.disk.thaw(self.ledger_path, is_power_lost=self.power_went)
        for fault in self.schedule.faults:
            if fault.kind in AT_A_DEATH and not self.fired[fault.kind]:
                self._lose_ledger(fault)

    def _copy_ledger(self) -> None:
        with (
            suppress(sqlite3.Error),
            closing(sqlite3.connect(self.ledger_path)) as books,
            closing(sqlite3.connect(self.folder / "older.sqlite")) as older,
        ):
            books.backup(older)

    def _lose_ledger(self, fault: Fault) -> None:
        older = self.folder / "older.sqlite"
        if fault.kind is Kind.LEDGER_ROLLED_BACK and not older.exists():
            return
        for name in ("", "-wal", "-shm"):
            self.ledger_path.with_name(self.ledger_path.name + name).unlink(missing_ok=True)
        if fault.kind is Kind.LEDGER_ROLLED_BACK:
            shutil.copy(older, self.ledger_path)
        self.fired[fault.kind] += 1
        self.lost_ledger_at = self.lost_ledger_at or self.clock()

    def calm(self) -> None:
        """All faults are over; a host that vanished stays so."""
        self._count_pulls()
        self.is_over, self.dead = True, False
        self.pending, self.until = [], {}
        self._free_disk()
        for provider in (self.provider, *self.others.values()):
            lies = provider.lies
            lies.visible_after_seconds = lies.early_not_found_seconds = lies.slow_terminate_seconds = 0
            lies.list_gaps = lies.stale_lists = lies.deaf_terminates = lies.odd_states = 0
        self.site.lost_pulls, self.site.spoiled = 0, ""
        if self.storing is not None:
            self._calm_store()

    def _calm_store(self) -> None:
        bucket, now = self._bucket(), self.clock()
        bucket.due()
        asked = sum(fault.times for fault in self.schedule.faults if fault.kind is Kind.STORE_LOST_BEGIN)
        self.fired[Kind.STORE_LOST_BEGIN] += asked - bucket.lost_begins
        bucket.lost_begins, bucket.refuses, bucket.spoils, bucket.expires = 0, "", False, None
        for one in bucket.shut:
            one.until = min(one.until, now)

    def _count_pulls(self) -> None:
        asked = sum(fault.times for fault in self.schedule.faults if fault.kind is Kind.TORN_PULL)
        self.fired[Kind.TORN_PULL] += asked - self.site.lost_pulls
        self.fired[Kind.SPOILED_PULL] += any(self.site.spoiled in paths for paths in self.site.sent_paths)

    # The line to the machines

    def _access(self, machine: Machine) -> Access:
        port = 22 + self.moves[machine.id]
        return Ssh(host=f"{machine.id}.invalid", port=port, user="fake", guard_dir="/var/lib/launch")

    def _remote(self, access: Access, _keys: Keys) -> Line:
        assert isinstance(access, Ssh)
        machine_id, port = access.host.removesuffix(".invalid"), access.port
        self.spoken_with = machine_id
        line = Line(self.site, machine_id, self._note_contact, lambda: port == 22 + self.moves[machine_id])
        line.patience = self._be_patient
        return line

    def _be_patient(self, seconds: float) -> None:
        self.patience_seconds = min(CALL_SECONDS, seconds)

    def _note_contact(self, machine_id: str, verb: str, trouble: str) -> None:
        own = "disk full here" if Kind.DISK_FULL_HERE in self.until else ""
        if abs((self.now() - self.clock()).total_seconds()) > WRONG_CLOCK_SECONDS:
            own = "this clock is wrong"  # and says that money or time are over
        self.contacts[machine_id].append(Contact(self.clock(), verb, trouble or own))

    def _feed(self, guest: Guest, offset: int) -> HalfOpenFeed:
        machine_id = self.spoken_with
        return HalfOpenFeed(
            guest, self.site, offset, lambda: max((self.began_at[kind] for kind in _SILENT if kind in self.until),
            default=None), lambda trouble: self._note_contact(machine_id, "follow", trouble),
        )  # fmt: skip

    # What happens at a time

    def seconds(self) -> float:
        """Since the day began, truly."""
        return (self.clock() - self.began).total_seconds()

    def _let_time_tell(self) -> None:
        if self.until:
            now = self.clock()
            for kind in [kind for kind, until in self.until.items() if now >= until]:
                del self.until[kind]
                if kind is Kind.DISK_FULL_HERE:
                    self._free_disk()
                self._store_is_well(kind)
        seconds = self.seconds()
        if not self.pending or seconds < self.pending[0].at_seconds:  # they are sorted
            return
        for fault in [one for one in self.pending if one.at_seconds <= seconds]:
            if fault in self.pending and self._happen(fault):
                self.pending.remove(fault)

    def _happen(self, fault: Fault) -> bool:
        """Let it; False: there is nothing yet that it could happen to."""
        if fault.kind in (Kind.SECOND_PROCESS, Kind.STOP, Kind.CTRL_C):
            return self._person(fault)
        if fault.kind in _TO_A_MACHINE:
            return self._to_machine(fault)
        self.fired[fault.kind] += 1
        match fault.kind:
            case Kind.CLOCK_FORWARD:
                self.offset += timedelta(days=1)
            case Kind.CLOCK_BACK:
                self.offset -= timedelta(days=1)
            case Kind.SUSPEND:
                self.absent_seconds += fault.seconds
                self.clock.sleep(fault.seconds)
            case _:
                self.until[fault.kind] = self.clock() + timedelta(seconds=fault.seconds)
                self.where[fault.kind] = fault.cloud
                self.began_at[fault.kind] = self.clock()
                if fault.kind is Kind.DISK_FULL_HERE:
                    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
                    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
                if fault.kind in STORE_BY_TIME:
                    self._store_is_ill(fault)
        return True

    def _store_is_ill(self, fault: Fault) -> None:
        bucket, now = self._bucket(), self.clock()
        bucket.due()
        match fault.kind:
            case Kind.STORE_REFUSES:
                bucket.refuses = "not allowed"
            case Kind.STORE_SPOILED:
                bucket.spoils = True
            case _:
                to_laptops = fault.kind is Kind.STORE_AWAY
                until = now + timedelta(seconds=fault.seconds)
                bucket.shut.append(Shut(since=now, until=until, to_laptops=to_laptops))

    def _store_is_well(self, kind: Kind) -> None:
        if kind is Kind.STORE_REFUSES:
            self._bucket().refuses = ""
        elif kind is Kind.STORE_SPOILED:
            self._bucket().spoils = False

    def _free_disk(self) -> None:
        self.until.pop(Kind.DISK_FULL_HERE, None)
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

    def _to_machine(self, fault: Fault) -> bool:
        alive = self.of_the_run(alive=True)
        if not alive:
            return False
        machine, now = alive[-1], self.clock()
        is_spot = machine.request.offer.market is Market.SPOT
        if fault.kind in (*_NOTICE_SECONDS, Kind.PRICE) and not is_spot:
            return True
        self.fired[fault.kind] += 1
        job = self.site.started.get(machine.id)
        match fault.kind:
            case Kind.HOST_VANISHED:
                self.site.store_due()
                self.site.unreachable.add(machine.id)
            case Kind.HOST_FAILED:
                machine.end(now, EndReason.FAILED)
            case Kind.FUNDS_GONE:
                machine.end(now, EndReason.FAILED)
                self.until[fault.kind] = now + timedelta(seconds=fault.seconds)
                self.where[fault.kind] = machine.provider
            case Kind.MOVED:
                self.moves[machine.id] += 1
            case Kind.WIPED:
                self.site.store_due()
                self.site.wiped.add(machine.id)
                self.wiped_at.setdefault(machine.id, now)
            case Kind.REBALANCE:
                if self.hears_notice(machine) and job is not None and job.notice_at is None:
                    job.notice_at, job.notice_action = now, "rebalance"
            case Kind.PRICE:
                usd, worst = machine.request.offer.usd_per_hour, machine.request.offer.worst_usd_per_hour
                prices = {"low": usd / 2, "high": (usd + worst) / 2, "worst": worst}
                self.cloud.reprice(machine.id, prices[fault.how])
            case Kind.DISK_FULL_THERE:
                self.site.full_ids.add(machine.id)
                if job is not None and not job.is_over(now):
                    job.work = replace(job.work, steps=min(job.work.steps, job.steps_done(now) + 1), outcome="failed")
            case _:
                notice = timedelta(seconds=_NOTICE_SECONDS[fault.kind])
                machine.end_later(now + notice, EndReason.PREEMPTED)
                machine.settle(now)
                if notice and self.hears_notice(machine) and job is not None:
                    job.notice_at, job.stop_at, job.notice_action = now, job.stop_at or now, "terminate"
        return True

    @property
    def rotten_from_birth(self) -> set[str]:
        """Machines of whose checkpoints none is what it announced."""
        return self.site.rotten_ids

    @property
    def fired_rolled_back(self) -> bool:
        """Whether the ledger came back from a copy: it knows the run then, and the checkpoints lie there."""
        return bool(self.fired[Kind.LEDGER_ROLLED_BACK]) and not self.fired[Kind.LEDGER_DELETED]

    def all_offers(self) -> tuple[Offer, ...]:
        """Of all clouds of the day."""
        return tuple(offer for one in (self.provider, *self.others.values()) for offer in one.catalogue)

    def told(self, found: object) -> None:
        """What a command came to: `reap` says what it ended."""
        if isinstance(found, recover.Reaped):
            self.reaped_ids |= {machine.id for machine in found.ended}

    def unlisted_twins(self) -> list[Machine]:
        """Twins of calls that were delivered twice, of which no list tells yet."""
        firsts = {one.request.nonce: one.id for one in reversed(self.of_the_run())}
        return [
            one for one in self.of_the_run()
            if firsts[one.request.nonce] != one.id and not self._is_listed_by_now(one)
        ]  # fmt: skip

    def _is_listed_by_now(self, machine: Machine) -> bool:
        late_seconds = self.others.get(machine.provider, self.provider).lies.visible_after_seconds
        return (self.clock() - machine.born_at).total_seconds() >= late_seconds

    def hears_notice(self, machine: Machine) -> bool:
        """Whether a job there is told what its cloud is about to do."""
        return self.schedule.clouds[machine.provider].noticed

    def of_the_run(self, *, alive: bool = False) -> list[Machine]:
        """The run's own machines, in the order of their birth."""
        mine = [one for one in self.cloud.machines() if one.owner == "me" and one.request.run_id == self.run_id]
        return [one for one in mine if not alive or one.ended_at is None]

    def _person(self, fault: Fault) -> bool:
        if self.world is None:
            return False
        self.fired[fault.kind] += 1
        if fault.kind is Kind.CTRL_C:
            self._press()
            return True
        self.is_nested = True
        try:
            if fault.kind is Kind.STOP:
                with suppress(KeyError, sqlite3.Error):
                    self.world.ledger.ask_stop(self.run_id, fault.how)
                    self.said_now = self.said_now or fault.how == "now"
            else:
                self._second(fault.how)
        finally:
            self.is_nested = False
        return True

    def _press(self) -> None:
        """Ctrl-C turns `launch` and `launch stop` round; any other command only lets go."""
        assert self.world is not None
        if self.listens:
            self.world.interrupt.ask()
        else:
            self.dead = True
            self._free_disk()
            raise Killed

    def _second(self, how: str) -> None:
        """Another command of the same person, from its beginning to its end, while the first one is in a call."""
        clock = self.now
        self.said_now = self.said_now or how == "stop now"
        with suppress(LaunchError, sqlite3.Error, KeyError, ProviderError, OSError):
            world = super().laptop()
            with closing(world.ledger):
                self.told(do(how, world, self.run_id))
        self.now = clock

    # What is said to a call

    def _before(self, verb: str) -> None:
        self.point(f"before {verb}")
        if self.is_over:
            return
        name = "" if verb == "remote" else self.asked.name
        nth = self.verbs[name, verb]
        self.verbs[name, verb] += 1
        if verb == "remote":
            self._refuse_login(nth)
            return
        due = self._due(verb, nth, name)
        for fault in due:
            self._lie(fault, name)
        for kind, error in _SHUT:
            if self._is_shut(kind, name):
                self._answer(verb, error())
        if verb == "create" and self._is_shut(Kind.FUNDS_GONE, name):
            self._answer(verb, NoFunds("the balance is at zero", code="402"))
        for fault in due:
            if fault.kind in BEFORE or (fault.kind in ONLY_CREATE and fault.kind is not Kind.DOUBLED):
                self.fired[fault.kind] += 1
                self._answer(verb, _error(fault, verb))

    def _is_shut(self, kind: Kind, name: str) -> bool:
        return kind in self.until and self.where.get(kind, "") in ("", name)

    def _ask(self, name: str) -> None:
        self.asked.name = name

    def _is_doubled(self) -> bool:
        """Whether the create call that is being served now is delivered twice."""
        name = self.asked.name
        due = [] if self.is_over else self._due("create", self.verbs[name, "create"] - 1, name)
        return any(fault.kind is Kind.DOUBLED for fault in due)

    def _answer(self, verb: str, error: ProviderError) -> None:
        if verb == "terminate":
            self.deaf_seconds += 1
        raise error

    def _due(self, verb: str, nth: int, name: str) -> list[Fault]:
        return [
            one for one in self.by_verb.get(verb, ())
            if one.nth <= nth < one.nth + one.times and one.cloud in ("", name)
        ]  # fmt: skip

    def _lie(self, fault: Fault, name: str) -> None:
        lies = self.others.get(name, self.provider).lies
        knob = _LIES.get(fault.kind)
        if knob is not None:
            setattr(lies, knob, 1)
            self.fired[fault.kind] += 1

    def _refuse_login(self, nth: int) -> None:
        if Kind.WRONG_KEY in self.until:
            raise HostKeyMismatch("another key")
        if Kind.SSH_HANG in self.until or Kind.HALF_OPEN in self.until:
            self.clock.sleep(self.patience_seconds)
            raise RemoteUnreachable(f"nothing came for {self.patience_seconds:.0f} s")
        if Kind.SSH_DOWN in self.until:
            raise RemoteUnreachable("no route to host")
        for fault in self._due("remote", nth, ""):
            if fault.kind is Kind.SSH_DROP:
                self.fired[fault.kind] += 1
                raise RemoteUnreachable("connection reset")

    def _after(self, verb: str) -> None:
        if verb == "create":
            self._born()
        if verb == "terminate":
            self.on_terminate()
        self.point(f"after {verb}")
        if self.is_over:
            return
        name = "" if verb == "remote" else self.asked.name
        for fault in self._due(verb, self.verbs[name, verb] - 1, name):
            if fault.kind is Kind.BAD_ANSWER:
                self.fired[fault.kind] += 1
                raise ContractBroken("half of a JSON document", code="shape")
            if fault.kind is Kind.LOST_AFTER:
                self.fired[fault.kind] += 1
                raise Ambiguous("its answer got lost", code="timeout") if verb in ACTS else Unavailable("got lost")
            if fault.kind is Kind.SSH_LOST_AFTER:
                self.fired[fault.kind] += 1
                raise RemoteUnreachable("connection reset")

    def _born(self) -> None:
        mine = self.of_the_run()
        if not mine:
            return
        number, machine = len(mine) - 1, mine[-1]
        twins = [one for one in mine if one.request.nonce == machine.request.nonce]
        self.fired[Kind.DOUBLED] += len(twins) > 1 and machine.born_at == self.clock()
        for fault in self.schedule.faults:
            if fault.kind in SOMETIMES and fault.cloud in ("", machine.provider):
                self.fired[fault.kind] += 1
            if fault.kind in MACHINE_KINDS and fault.nth == number and machine.born_at == self.clock():
                self._spoil(machine, fault)

    def _spoil(self, machine: Machine, fault: Fault) -> None:
        if fault.kind is Kind.DIES_PENDING:
            machine.dies_in_pending = EndReason.NO_CAPACITY
        elif fault.kind is Kind.NEVER_READY:
            self.site.unreachable.add(machine.id)
        elif fault.kind is Kind.BAD_CHECKPOINT:
            self.site.rotten_ids.add(machine.id)
        elif fault.kind is Kind.SKEWED:
            self.site.skews[machine.id] = SKEW_SECONDS * (1 if fault.times % 2 else -1)
        elif self.schedule.clouds[machine.provider].guarded:
            machine.guard_seconds = None
            self.site.unarmed_ids.add(machine.id)
        self.fired[fault.kind] += 1

    def open_first(self, world: World) -> Run:
        """The run, as it was agreed to."""
        day = self.schedule
        run = self.open_run(
            world, budget=day.budget_usd, deadline_seconds=day.deadline_seconds,
            wait_capacity_seconds=day.wait_capacity_seconds, secrets=self.secrets,
        )  # fmt: skip
        settle_down(self.cloud, self.provider, day)
        self.lay_keys()
        if day.seed % REPORT_EVERY:
            (world.run_folder(run.id) / "settings.json").unlink()
        self.disk.all_is_safe()
        return run

    def lay_keys(self) -> None:
        """The run's keys lie there already, where it has a folder: to make them takes a process of its own."""
        folder = self.folder / "home" / "runs" / self.run_id
        if folder.is_dir():
            copy_tree(keys_folder(), folder / "keys")

    def truth_usd(self) -> Decimal:
        """What the clouds bill for the run, by themselves: machines, disks, addresses, and what left their networks."""
        mine, now = self.of_the_run(), self.clock()
        sent = (one.request.offer.fees.egress_usd_per_gib * self.site.sent_by[one.id] for one in mine)
        return sum((one.billed_usd(now) for one in mine), Decimal(0)) + sum(sent, Decimal(0)) / 2**30


class StormLedger(DyingLedger):
    """Tells when it says that a run's machines are gone."""

    def __init__(self, path: Path, point: Callable[[str], None], writes: tuple[str, ...]) -> None:
        super().__init__(path, point, writes)
        self.on_terminated: Callable[[], None] = lambda: None
        self.on_checkpoint: Callable[[str], None] = lambda name: None
        self.on_revived: Callable[[], None] = lambda: None
        self.is_alone = self.is_closed = False
        self._writes = writes
        inner, ended = self.advance, self.end

        def advance(run: Run, state: State, now: datetime) -> None:
            self._must_not_be_over(run)
            if state is State.TERMINATED:
                self.on_terminated()
            inner(run, state, now)

        def end(run: Run, ending: Ending, now: datetime) -> None:
            self._must_not_be_over(run)
            ended(run, ending, now)
            if self._is_over(run):
                self.on_terminated()

        self.end = end  # type: ignore[method-assign]  # as below
        noted = self.note_checkpoint

        def note_checkpoint(run: Run, name: str) -> None:
            noted(run, name)
            self.on_checkpoint(name)

        self.note_checkpoint = note_checkpoint  # type: ignore[method-assign]  # as below
        self.advance = advance  # type: ignore[method-assign]  # the wrapped one of `DyingLedger` is an attribute, too

    def keep_alone(self) -> None:
        """Nobody else reads this file meanwhile: what is written is the same, and takes two thirds of the time."""
        self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
        self.is_alone = True

    def share(self) -> None:
        """Somebody else does from now on."""
        if self.is_alone:
            self._db.execute("PRAGMA locking_mode=NORMAL")
            self._db.execute("SELECT 1 FROM runs").fetchone()  # lets go only then
        self.is_alone = False

    def close(self) -> None:
        """Its process is over."""
        super().close()
        self.is_alone, self.is_closed = False, True
        for name in (*self._writes, "on_terminated", "on_checkpoint", "on_revived"):
            vars(self).pop(name)  # they hold it, and it holds them

    def _must_not_be_over(self, run: Run) -> None:
        """Whoever steps on with a run that another process has brought to its end does not hold it alone."""
        if self._is_over(run) and run.state is not State.TERMINATED:
            self.on_revived()

    def _is_over(self, run: Run) -> bool:
        row = self._db.execute("SELECT state FROM runs WHERE id=?", (run.id,)).fetchone()
        return row is not None and row["state"] == State.TERMINATED


def do(how: str, world: World, run_id: str) -> object:
    """One command line of a person; "settle" is what those do first that talk to a cloud about something else."""
    if how == "reap":
        return recover.reap(world)
    if how == "settle":
        recover.settle_open(world)
        return None
    if not any(one.id == run_id for one in world.ledger.runs()):
        return None
    if how.startswith("resume "):
        return resuming.resume(run_id, Request(budget_usd=Decimal(how.partition(" ")[2]), yes=True), world)
    if how == "pull":
        with suppress(RemoteError):  # a machine that nobody can reach; the command says so
            return fetching.fetch(run_id, world)
        return None
    if how.startswith("stop"):
        return recover.stop(run_id, world, now=how == "stop now")
    return flow.attach(run_id, world)


_NOTICE_SECONDS = {Kind.RECLAIM: 0.0, Kind.RECLAIM_30: 30.0, Kind.RECLAIM_120: 120.0}
_TO_A_MACHINE = (
    *_NOTICE_SECONDS, Kind.HOST_VANISHED, Kind.HOST_FAILED, Kind.PRICE, Kind.DISK_FULL_THERE, Kind.FUNDS_GONE,
    Kind.MOVED, Kind.WIPED, Kind.REBALANCE,
)  # fmt: skip
_SILENT = (Kind.SSH_HANG, Kind.HALF_OPEN)
"""Where a line is dead and nothing says so."""
_SHUT: tuple[tuple[Kind, Callable[[], ProviderError]], ...] = (
    (Kind.API_DOWN, lambda: Unreachable("no connection", code="unreachable")),
    (Kind.CREDENTIALS_EXPIRED, lambda: AuthFailed("the key has expired", code="ExpiredToken")),
    (Kind.THROTTLED_LONG, lambda: Throttled("too many requests", code="429")),
)
"""What a cloud answers to everything for a while."""
_LIES = {
    Kind.STALE_LIST: "stale_lists", Kind.LIST_GAP: "list_gaps", Kind.DEAF_TERMINATE: "deaf_terminates",
    Kind.ODD_STATE: "odd_states",
}  # fmt: skip


def _error(fault: Fault, verb: str) -> ProviderError:
    match fault.kind:
        case Kind.THROTTLED | Kind.THROTTLED_WAIT:
            return Throttled("too many requests", code="429", wait_seconds=fault.seconds)
        case Kind.UNREACHABLE:
            return Unreachable("no connection", code="unreachable")
        case Kind.CONTRACT_BROKEN:
            return ContractBroken("no such field", code="shape")
        case Kind.UNAUTHORISED:
            return AuthFailed("no such key", code="401")
        case Kind.NO_CAPACITY:
            return NoCapacity("none left", code="InsufficientInstanceCapacity")
        case Kind.NO_FUNDS:
            return NoFunds("the balance is too low", code="402")
        case Kind.QUOTA:
            return QuotaExceeded("0 of 4 allowed", code="VcpuLimitExceeded")
        case _:
            words = "no usable answer"
            return Ambiguous(words, code="500") if verb in ACTS else Unavailable(words, code="500")


@cache
def keys_folder() -> Path:
    """A set of keys, made once for all schedules of this process."""
    folder = Path(tempfile.mkdtemp(prefix="soak-keys-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    keys.make(folder / "keys")
    return folder / "keys"
