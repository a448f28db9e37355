"""Plays one life against a test cloud: types each command, kills it at its moment, and lets somebody come back."""

import contextlib
import json
import os
import select
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.cloud.client import Cloud
from tests.launches.drive import JOB
from tests.launches.laptop import Laptop
from tests.soak_kill import forking
from tests.soak_kill.changes import Changes
from tests.soak_kill.drawn import Life, Moment, Step, Trouble
from tests.soak_kill.drive import CLOCK, ORDERS, carrying

MOST_SECONDS = 90.0
"""Real ones that a command may take: longer than every patience of the program at that scale."""
CALM = {
    "list_lag_seconds": 0,
    "early_not_found_seconds": 0,
    "list_gap": 0,
    "terminate_ignored": 0,
    "ending_seconds": 0.2,
}
SEASONING = ("aws/types.json", "aws/sold.json", "aws/on-demand.json")
TIDY_SECONDS = 8.0
"""Real ones in which what a command left behind (an ssh that shares its connection) must have gone by itself."""


@dataclass(kw_only=True)
class Death:
    """One process of ours that a signal ended."""

    command: str
    phase: str
    """The state of the run in its ledger just then."""
    moment: Moment


@dataclass(kw_only=True)
class Typed:
    """One command that was typed, and how it ended: an exit code, or a negative signal."""

    words: tuple[str, ...]
    code: int
    began: float
    ended: float
    err: str


@dataclass(kw_only=True)
class Running:
    """A process of ours that lives."""

    process: int
    words: tuple[str, ...]
    began: float
    err: Path
    fd: int


@dataclass
class Seasoning:
    """What laptops before this one were told by the clouds of machine types and list prices."""

    kept: dict[str, bytes] = field(default_factory=dict)

    def lay_in(self, home: Path) -> None:
        """As if this laptop had asked before."""
        for name, data in self.kept.items():
            (home / name).parent.mkdir(exist_ok=True)
            (home / name).write_bytes(data)

    def keep(self, home: Path) -> None:
        """What it knows now."""
        for name in SEASONING:
            if (home / name).is_file():
                self.kept[name] = (home / name).read_bytes()


@dataclass
class Player:
    """One laptop in one life."""

    cloud: Cloud
    life: Life
    folder: Path
    seasoning: "Seasoning"
    tell: Callable[[str], None] = lambda text: None
    clouds: frozenset[int] = frozenset()
    """The processes of all clouds that live beside this player, this one's among them."""
    deaths: list[Death] = field(default_factory=list)
    survived: list[Death] = field(default_factory=list)
    """Who was over before its moment came."""
    typed: list[Typed] = field(default_factory=list)
    budgets: list[str] = field(default_factory=list)
    """What `launch resume` was given, in order."""
    carriers: list[Running] = field(default_factory=list)
    sick_books: list[str] = field(default_factory=list)
    """What SQLite found wrong in a ledger after a death."""
    left_seconds: float = 0.0
    """Real seconds in which no process of ours was at work, or only a stopped one."""
    fired: list[str] = field(default_factory=list)
    billed_after_reap: tuple[str, ...] | None = None
    """What was still billed after the first `reap` with all faults over, and whatever that took back."""

    def __post_init__(self) -> None:
        self.laptop = Laptop(self.cloud, self.folder)
        self.laptop.quick(**self.life.job)
        self.laptop.at(self.life.cloud)
        told = self.cloud.call("clock")
        self.orders, self._ordering = os.pipe()
        os.set_blocking(self.orders, False)
        os.set_inheritable(self._ordering, True)  # also by a cold one
        self.environ = {
            **self.laptop.environ,
            CLOCK: json.dumps([told["origin"], told["started"], told["scale"]]),
            ORDERS: str(self._ordering),
        }
        assert JOB in self.environ
        self.laptop.home.mkdir(parents=True)
        if self.life.is_seasoned:
            self.seasoning.lay_in(self.laptop.home)
        self.clouds = self.clouds | {self.cloud.process}
        self.changes = Changes(self.laptop.home, self.laptop.work)
        self._began = self._idle_since = time.monotonic()
        self._to_come: list[Trouble] = []

    # The story

    def play(self) -> None:
        """From `launch` to the last `reap`, or to the machine's own deadline."""
        for trouble in self.life.troubles:
            if trouble.at_seconds < 0:
                self.cloud.call(trouble.verb, **trouble.asked)
        self._to_come = sorted(
            (one for one in self.life.troubles if one.at_seconds >= 0), key=lambda one: one.at_seconds
        )
        for step in self.life.steps:
            self._wait(step.pause_seconds)
            self._do(step)
            if self.phase() == "TERMINATED" and not self.carriers and not self.cloud.meter().alive:
                break
        if self.life.is_away:
            self._see_the_deadline()
        for step in self.life.afterwards:
            self._until_stopped(step)
            self._wait(step.pause_seconds)
            self._do(step)
        self._quieten()
        if self.life.returns:
            self._come_back()
        else:
            self._see_the_deadline()
        self._idle(False)
        self.seasoning.keep(self.laptop.home)

    def _do(self, step: Step) -> None:
        if step.words:
            words = step.words
            if step.is_elsewhere and self.phase() == "none":
                return  # there is nothing yet that another laptop could know of
            if words[0] == "resume":
                self.budgets.append(words[2])
            if words[0] == "launch" or self.phase() == "none":  # it died before it was written down: typed again
                words = (*self.life.words, "--job", str(self.laptop.job))
            self._run(words, step.moment, is_cold=step.is_cold, is_elsewhere=step.is_elsewhere)
        elif self.carriers:
            self._await(self.carriers[-1], step.moment)

    def _until_stopped(self, step: Step) -> None:
        """Who gives a run more money waits until it has ended, and ends it where nobody carries it."""
        if step.words[:1] != ("resume",):
            return
        self._until_carried()
        for words in (("attach", "--json"), ("reap", "--json")):
            if self.phase() not in ("TERMINATED", "none"):
                self._run(words, None)
                self._until_carried()

    def _come_back(self) -> None:
        """Faults are over: what works works to its end, and `reap` ends the rest; once more for what only began."""
        self._until_carried()
        if (self.folder / "second").exists():
            self._run(("reap", "--take-over", "--json"), None, is_elsewhere=True)
            self._until_carried()
        for _ in range(4):
            self._run(("reap", "--json"), None)
            took_back = bool(self.carriers)
            self._until_carried()
            if self.billed_after_reap is None:
                self.billed_after_reap = self.cloud.meter().alive
            if not took_back:
                if self.phase() in ("TERMINATED", "none"):
                    return
                if "lists no machine of it" in self._out.read_text(errors="replace"):
                    self._run(("attach", "--json"), None)  # as `reap` has just said
                    self._until_carried()
                self._wait(60 / self.life.scale + 0.2)

    def _until_carried(self) -> None:
        while self.carriers:
            self._await(self.carriers[-1], None)

    def _see_the_deadline(self) -> None:
        """Nobody comes back: only the machine itself is left to end it."""
        for one in list(self.carriers):
            self._blow(one, Moment(point="time", blow="kill"))
            self._await(one, None)
        until = time.monotonic() + MOST_SECONDS
        while self.cloud.meter().alive and time.monotonic() < until:
            self._wait(0.5)

    def _quieten(self) -> None:
        """All faults are over."""
        api = [one for one in self.life.troubles if one.verb == "fault"]
        planted = [one for one in self.cloud.call("faults") if one["when"] != "signal"]
        self.fired += [one.name for one, told in zip(api, planted, strict=True) if told["fired"]]
        if self.cloud.machines():
            self.fired += [one.name for one in self.life.troubles if one.verb == "knobs"]
        self.cloud.call("unplant")
        self.cloud.knobs(cloud=self.life.cloud, **CALM)
        self._to_come.clear()

    # One process

    def _run(
        self, words: tuple[str, ...], moment: Moment | None, *, is_cold: bool = False, is_elsewhere: bool = False
    ) -> None:
        number = len(self.typed) + len(self.carriers)
        self._out = self.folder / f"out-{number}"
        order = forking.Order(
            words=words,
            environ=self._second() if is_elsewhere else self.environ,
            folder=self.laptop.work,
            out=self._out,
            err=self.folder / f"err-{number}",
            is_cold=is_cold,
        )
        self._await(self._start(order, moment), moment)

    def _second(self) -> dict[str, str]:
        """The environment of a second laptop, whose state folder is a copy of this one's."""
        home = self.folder / "second"
        if not home.exists():
            shutil.copytree(self.laptop.home, home, ignore=lambda folder, names: _sockets(Path(folder), names))
        return {**self.environ, "LAUNCH_HOME": str(home)}

    def _start(self, order: forking.Order, moment: Moment | None) -> Running:
        self.changes.begin()
        self._idle(False)
        process = forking.start(order, lambda process: self._plant(process, moment))
        fd = os.pidfd_open(process)
        self.tell(f"{self._at()} {process}: {' '.join(order.words)}{' (cold)' if order.is_cold else ''}  [{moment}]")
        return Running(process=process, words=order.words, began=time.monotonic(), err=order.err, fd=fd)

    def _plant(self, process: int, moment: Moment | None) -> None:
        """A death that the cloud deals out, at the edge of its API or of a machine's SSH server."""
        if moment is None or moment.point in ("time", "ledger", "files"):
            return
        self.cloud.call(
            "fault",
            operation=moment.operation if moment.point == "call" else moment.point,
            when="signal",
            skip=moment.nth - 1,
            applied=moment.applied,
            process=-process if moment.blow == "group" else process,
        )

    def _await(self, one: Running, moment: Moment | None) -> None:
        """Until it is over; its moment, other processes' orders and the cloud's troubles come by meanwhile."""
        if moment is not None and one in self.carriers:
            self.changes.begin()
            self._plant(one.process, moment)
        since = time.monotonic()
        is_dealt = False
        while not self._look(one.fd, since, moment if not is_dealt else None):
            if moment is not None and not is_dealt and self._is_now(moment, since):
                is_dealt = True
                self._blow(one, moment)
            if time.monotonic() - since > MOST_SECONDS:
                self._blow(one, Moment(point="time", blow="kill"))
                self.sick_books.append(f"{' '.join(one.words[:2])} did not end within {MOST_SECONDS:.0f} s")
        self._over(one, moment)

    def _look(self, over: int, since: float, moment: Moment | None) -> bool:
        """Wait for the next thing; True where the process has ended."""
        now = time.monotonic()
        ends = [now + 1.0]
        if moment is not None and moment.point == "time":
            ends.append(since + moment.seconds)
        if self._to_come:
            ends.append(self._began + self._to_come[0].at_seconds)
        counted = [self.changes.number] if moment is not None and moment.point in ("ledger", "files") else []
        readable, _, _ = select.select([over, self.orders, *counted], [], [], max(0.0, min(ends) - now))
        if self.orders in readable:
            self._obey()
        if self.changes.number in readable:
            self.changes.read()
        self._trouble()
        return over in readable

    def _is_now(self, moment: Moment, since: float) -> bool:
        if moment.point == "time":
            return time.monotonic() - since >= moment.seconds
        return moment.point in ("ledger", "files") and self.changes.seen[moment.point] >= moment.nth

    def _blow(self, one: Running, moment: Moment) -> None:
        with contextlib.suppress(ProcessLookupError):
            if moment.blow == "group":
                os.killpg(one.process, signal.SIGKILL)
            elif moment.blow == "stopped":
                os.kill(one.process, signal.SIGSTOP)
                self.left_seconds += moment.stopped_seconds
                select.select([], [], [], moment.stopped_seconds)
                os.kill(one.process, signal.SIGKILL)
            else:
                named = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "hup": signal.SIGHUP}
                os.kill(one.process, named[moment.blow])

    def _over(self, one: Running, moment: Moment | None) -> None:
        _, status = os.waitpid(one.process, 0)
        os.close(one.fd)
        code = os.waitstatus_to_exitcode(status)
        if one in self.carriers:
            self.carriers.remove(one)
        self._idle(not self.carriers)
        err = one.err.read_text(errors="replace") if one.err.exists() else ""
        ended = time.monotonic()
        self.typed.append(Typed(words=one.words, code=code, began=one.began, ended=ended, err=err))
        phase = self.phase() if code < 0 else ""
        if moment is not None:
            name = "carrier" if one.err.name == "carrier.log" else _named(one.words)
            kept = self.deaths if code < 0 else self.survived
            kept.append(Death(command=name, phase=phase, moment=moment))
        self.cloud.call("unplant", when="signal")
        self.tell(f"{self._at()} {one.process}: {'killed in ' + phase if code < 0 else f'exit {code}'}")

    def _obey(self) -> None:
        """Somebody asked for a background process."""
        for line in os.read(self.orders, 65536).decode().splitlines():
            home, run_id = line.split("\t")
            log = Path(home) / "runs" / run_id / "carrier.log"
            environ = {**self.environ, "LAUNCH_HOME": home}
            order = forking.Order(words=carrying(run_id), environ=environ, folder=self.laptop.work, out=log, err=log)
            self.carriers.append(self._start(order, None))

    # Time, and what is seen

    def _wait(self, real_seconds: float) -> None:
        """Nobody types anything; carriers may end, and the cloud's troubles come."""
        until = time.monotonic() + real_seconds
        while (left := until - time.monotonic()) > 0:
            fds = [one.fd for one in self.carriers]
            next_trouble = self._began + self._to_come[0].at_seconds - time.monotonic() if self._to_come else left
            readable, _, _ = select.select([self.orders, *fds], [], [], max(0.0, min(left, next_trouble)))
            if self.orders in readable:
                self._obey()
            for one in [one for one in self.carriers if one.fd in readable]:
                self._over(one, None)
            self._trouble()

    def _trouble(self) -> None:
        while self._to_come and time.monotonic() - self._began >= self._to_come[0].at_seconds:
            trouble = self._to_come.pop(0)
            if trouble.verb == "drop":
                self.cloud.call("drop")
            else:
                alive = [one for one in self.cloud.machines() if one.state == "running"]
                spot = [one for one in alive if one.spot] if trouble.verb == "preempt" else alive
                for one in spot[:1]:
                    self.cloud.call(trouble.verb, machine=one.id, **trouble.asked)
            self.tell(f"{self._at()} {trouble.name}")
            self.fired.append(trouble.name)

    def _idle(self, is_idle: bool) -> None:
        """Count the time in which nobody of ours is at work."""
        now = time.monotonic()
        if self._idle_since:
            self.left_seconds += now - self._idle_since
        self._idle_since = now if is_idle else 0.0

    def phase(self) -> str:
        """The state of the run by its ledger: read in a copy, which is also held against SQLite's own rules."""
        ledger = self.laptop.home / "ledger.sqlite"
        if not ledger.exists():
            return "none"
        if self.carriers:
            return _state(f"file:{ledger}?mode=ro", [])
        with _copied(ledger, self.folder / "copy") as copy:
            return _state(f"file:{copy}", self.sick_books)

    def left_over(self) -> list[str]:
        """Processes of ours that do not go by themselves."""
        until = time.monotonic() + TIDY_SECONDS
        while found := forking.descendants(os.getpid(), but=self.clouds):
            if time.monotonic() > until:
                return sorted(found.values())
            select.select([], [], [], 0.05)  # they are on their way
            _reap_orphans()
        return []

    def close(self) -> None:
        """Nothing of it stays."""
        self.changes.close()
        forking.end_all(forking.descendants(os.getpid(), but=self.clouds))
        _reap_orphans()
        for fd in (self.orders, self._ordering, *(one.fd for one in self.carriers)):
            os.close(fd)

    def _at(self) -> str:
        return f"{time.monotonic() - self._began:7.3f}"


def _sockets(folder: Path, names: list[str]) -> list[str]:
    """What cannot be copied: ssh's shared connections."""
    return [name for name in names if (folder / name).is_socket()]


def _named(words: tuple[str, ...]) -> str:
    return "launch" if words[0].startswith("--") else words[0]


def _reap_orphans() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _state(address: str, sick: list[str]) -> str:
    """Of the latest run; what SQLite finds wrong goes into `sick`."""
    books = sqlite3.connect(address, uri=True)
    try:
        (told,) = books.execute("PRAGMA integrity_check").fetchone()
        row = books.execute("SELECT state FROM runs ORDER BY created_at DESC LIMIT 1").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):  # it died while it made them
            return "none"
        raise
    finally:
        books.close()
    if told != "ok":
        sick.append(told)
    return str(row[0]) if row else "none"


@contextlib.contextmanager
def _copied(ledger: Path, folder: Path) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    for name in (ledger.name, f"{ledger.name}-wal"):
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(ledger.with_name(name), folder / name)
    try:
        yield folder / ledger.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)
