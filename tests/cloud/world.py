"""The world: every machine's life on one clock, from its create call to the last second that is billed."""

import asyncio
import contextlib
import heapq
import itertools
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import asyncssh

from tests.cloud import userdata
from tests.cloud.boxes import Box, surroundings
from tests.cloud.clock import Clock, HandClock, SimClock
from tests.cloud.faults import Faults
from tests.cloud.imds import Facts, Imds
from tests.cloud.machine import Machine
from tests.cloud.meter import Meter
from tests.cloud.scenario import Knobs
from tests.cloud.sshd import Door, Sshd

SSH_PORT = 2222
TICK_REAL_SECONDS = 0.02
Admits = Callable[[str], bool]
"""Whether a peer address may reach a machine's SSH port."""
Due = tuple[float, int, Callable[[float], None]]


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing that happened; `at` in sim seconds since the world began."""

    number: int
    at: float
    kind: str
    machine: str
    text: str


class Landlord(Protocol):
    """A cloud: it rents machines out in this world. All is called under the world's lock."""

    name: str
    knobs: Any
    """A `scenario.Knobs`, or one of its own that derives from it."""

    def look_after(self, machine: Machine) -> None:
        """One look at a machine whose box is open: has it asked for something (a shutdown, an SSH server)?"""

    def end(self, id: str, code: str, text: str, at: float | None = None) -> None:
        """Begin the end of a machine, for that reason; nothing happens to one that is ending already."""

    def forget(self) -> None:
        """All machines are gone: prices, names and the rest begin anew."""


class World:
    """All machines and the clockwork. Public methods may be called from any thread.

    With a `HandClock` there are no processes and no threads: machines have no boxes, and time passes by `pass_time`.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.id = secrets.token_hex(6)
        self.clock = clock or SimClock()
        self.faults, self.meter = Faults(), Meter()
        self.slow_hosts: list[float] = []
        """How many times as long everything takes on the next machines, in their order."""
        self.landlords: dict[str, Landlord] = {}
        self.machines: dict[str, Machine] = {}
        self.events: list[Event] = []
        self.watcher: Callable[[Event], None] = lambda event: None
        self.lock = threading.RLock()
        self._happened = threading.Condition()
        self._due: list[Due] = []
        self._order = itertools.count()
        self._over = threading.Event()
        self._addresses: Iterator[str]
        self._ends: list[Callable[[], None]] = []
        if isinstance(self.clock, HandClock):
            self._addresses = (f"127.0.{n // 250}.{n % 250 + 2}" for n in itertools.count())
        else:
            self._settle_down()

    def _settle_down(self) -> None:
        """A folder, a network of its own, and the threads that a world with processes needs."""
        self.root = Path(tempfile.mkdtemp(prefix="cloud-"))
        net, claim = _claim_network()
        self._addresses = (f"127.{net}.{n // 250}.{n % 250 + 2}" for n in itertools.count())
        undertaker = _undertaker(self.id, self.root)
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(max_workers=128))
        threads = [threading.Thread(target=one, daemon=True) for one in (self._loop.run_forever, self._clockwork)]
        for thread in threads:
            thread.start()
        self._ends = [
            lambda: threads[1].join(timeout=5),
            self._close_boxes,
            self._stop_loop,
            lambda: threads[0].join(timeout=5),
            lambda: _let_go(undertaker),
            claim.close,
            lambda: shutil.rmtree(self.root, ignore_errors=True),
        ]

    def _close_boxes(self) -> None:
        for machine in self.machines.values():
            self.close_box(machine)

    def _stop_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)

    @property
    def by_hand(self) -> bool:
        """Whether time passes only by `pass_time`, and machines have no boxes."""
        return isinstance(self.clock, HandClock)

    # what the clouds call

    def add(self, landlord: Landlord) -> None:
        """A cloud opens."""
        self.landlords[landlord.name] = landlord

    def enter(self, machine: Machine) -> None:
        """A machine begins its life."""
        self.machines[machine.id] = machine
        self.meter.add(machine.metered)

    def next_address(self) -> str:
        """A loopback address that no other machine has or had."""
        return next(self._addresses)

    def at(self, seconds: float, then: Callable[[float], None]) -> None:
        """Let something happen at that sim second; `then` gets the instant it was due at."""
        heapq.heappush(self._due, (seconds, next(self._order), then))

    def over(self, machine: Machine) -> None:
        """Its power goes; what runs in it is ended in a thread of its own."""
        if self.by_hand:
            machine.ssh_at = None
        else:
            threading.Thread(target=self.close_box, args=(machine,), daemon=True).start()

    def boot(self, machine: Machine, admits: Admits, facts: Facts | None) -> None:
        """First boot by user-data, in the order of cloud-init: bootcmd, files and keys, SSH, runcmd."""
        knobs: Knobs = self.landlords[machine.cloud].knobs
        if self.by_hand:
            machine.ssh_at = self.clock.seconds() + knobs.boot_seconds + knobs.ssh_delay_seconds
        else:
            threading.Thread(target=self._boot, args=(machine, admits, facts), daemon=True).start()

    def _boot(self, machine: Machine, admits: Admits, facts: Facts | None) -> None:
        knobs: Knobs = self.landlords[machine.cloud].knobs
        try:
            wanted = userdata.parse(machine.user_data)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            self.say("user-data", machine.id, f"refused: {error}")
            wanted = userdata.UserData()
        box = self.box_for(machine)
        if facts is not None:
            machine.imds = Imds(machine.address, facts)
            box.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = machine.imds.url
        machine.box = box
        self.pause(knobs.boot_seconds)
        self._tell_script(machine, "bootcmd", box.run_script("bootcmd", wanted.bootcmd))
        box.write_files(wanted)
        self.pause(knobs.ssh_delay_seconds)
        host_key = None if knobs.ignores_host_key else wanted.host_key
        self.open_ssh(machine, host_key, (*wanted.authorized_keys, *machine.account_keys), admits)
        self._tell_script(machine, "runcmd", box.run_script("runcmd", wanted.runcmd))
        box.finished()
        if not machine.alive:  # it was ended while it booted
            self.close_box(machine)

    def box_for(self, machine: Machine, user: str = "ubuntu") -> Box:
        """A box, empty but for what every machine has."""
        box = Box(machine.id, self.root / machine.id, self.id, self.clock, surroundings(), user=user)
        box.show_gpu(self.landlords[machine.cloud].knobs.gpu, machine.gpu)
        with self.lock:
            factor = self.slow_hosts.pop(0) if self.slow_hosts else 1.0
        box.slow_down(factor)
        return box

    def open_ssh(self, machine: Machine, host_key: str | None, authorized: tuple[str, ...], admits: Admits) -> None:
        """Its SSH server listens, with that host key (None: one of its own)."""
        box = machine.box
        if box is None or box.over or not machine.alive:
            return
        door = Door(
            address=machine.address,
            port=machine.port,
            host_key=host_key,
            authorized_keys=authorized,
            knobs=self.landlords[machine.cloud].knobs,
            admits=admits,
            sent=lambda count: self._sent(machine, count),
            told=lambda user: self.say("login", machine.id, user),
            befall=self._befall_ssh,
        )
        sshd = Sshd(box, door)
        try:
            asyncio.run_coroutine_threadsafe(sshd.open(), self._loop).result()
        except (OSError, asyncssh.KeyImportError) as error:
            self.say("no ssh", machine.id, str(error))
            return
        machine.sshd = sshd
        self.say("ssh", machine.id, f"listens at {machine.address} port {machine.port}")

    def close_ssh(self, machine: Machine) -> None:
        """Its SSH server is gone, and every connection with it."""
        sshd, machine.sshd = machine.sshd, None
        if sshd is not None:
            self._loop.call_soon_threadsafe(sshd.close)

    def drop_connections(self, id: str | None = None) -> None:
        """Cut the SSH connections of one machine, or of all."""
        servers = [one.sshd for one in list(self.machines.values()) if one.sshd and id in {None, one.id}]
        for sshd in servers:
            self._loop.call_soon_threadsafe(sshd.drop)

    def set_knobs(self, cloud: str, changes: Mapping[str, object]) -> None:
        """Turn knobs of one cloud. Raises `ValueError` for one that there is not."""
        knobs = self.landlords[cloud].knobs
        strange = [name for name in changes if not hasattr(knobs, name)]
        if strange:
            raise ValueError(f"no such knob: {', '.join(strange)}")
        for name, value in changes.items():
            setattr(knobs, name, value)
        for machine in list(self.machines.values()):
            if machine.cloud == cloud and machine.box is not None and not machine.box.over:
                machine.box.show_gpu(knobs.gpu, machine.gpu)

    def close_box(self, machine: Machine) -> None:
        """The machine's power goes: its network first, then all that runs in it. Again is harmless."""
        with self.lock:
            imds, machine.imds = machine.imds, None
        if machine.sshd is not None:
            self._loop.call_soon_threadsafe(machine.sshd.close)
        if machine.box is not None:
            machine.box.end()
            if not machine.box.told_off:
                machine.box.told_off = True
                self.say("off", machine.id, "no process left")
        if imds is not None:
            imds.close()

    def _sent(self, machine: Machine, count: int) -> None:
        machine.metered.egress_bytes += count

    def _befall_ssh(self, moment: str) -> None:
        fault = self.faults.take(moment, "")
        if fault is not None:
            self.say("fault", "", f"{fault.when} {moment}")
            fault.strike()

    def _tell_script(self, machine: Machine, name: str, code: int | None) -> None:
        if code is not None and machine.alive:
            self.say(name, machine.id, f"ran, exit code {code}")

    # time and telling

    def say(self, kind: str, machine: str, text: str) -> None:
        """Write an event down, and wake whoever waits for one."""
        with self._happened:
            event = Event(number=len(self.events) + 1, at=self.clock.seconds(), kind=kind, machine=machine, text=text)
            self.events.append(event)
            self._happened.notify_all()
        self.watcher(event)

    def wait(self, after: int, real_seconds: float) -> list[Event]:
        """The events after number `after`; waits so long for the first."""
        with self._happened:
            self._happened.wait_for(lambda: len(self.events) > after or self._over.is_set(), real_seconds)
            return self.events[after:]

    def pause(self, sim_seconds: float) -> None:
        """Wait, in a thread of this world's own."""
        self._over.wait(self.clock.real(sim_seconds))

    def pass_time(self, seconds: float) -> None:
        """By hand: so many seconds pass, and everything happens that is due in them, each at its instant."""
        clock = self.clock
        if not isinstance(clock, HandClock):
            raise TypeError("this world's clock runs by itself")
        with self.lock:
            until = clock.seconds() + max(0.0, seconds)
            while self._due and self._due[0][0] <= until:
                at, _, then = heapq.heappop(self._due)
                clock.move_to(at)
                then(at)
            clock.move_to(until)

    def _clockwork(self) -> None:
        while not self._over.wait(TICK_REAL_SECONDS):
            with self.lock:
                for at, then in self._ripe():
                    then(at)
                for machine in list(self.machines.values()):
                    self._look_after(machine)

    def _ripe(self) -> Iterator[tuple[float, Callable[[float], None]]]:
        """What is due now, each with the instant that it was due at, so that a late tick costs nobody money."""
        while self._due and self._due[0][0] <= self.clock.seconds():
            at, _, then = heapq.heappop(self._due)
            yield at, then

    def _look_after(self, machine: Machine) -> None:
        """One look at a box: its uptime, and what its landlord wants to see."""
        if machine.box is None or machine.box.over or not machine.alive:
            return
        with suppress(OSError):  # a full disk for a moment must not stop this world's clock, and its bills
            machine.box.refresh()
            self.landlords[machine.cloud].look_after(machine)

    def reset(self) -> None:
        """End every machine, forget everything, and begin anew under the same addresses' network."""
        for machine in list(self.machines.values()):
            with self.lock:
                self.landlords[machine.cloud].end(machine.id, "reset", "reset")
            if not self.by_hand:
                self.close_box(machine)
        with self.lock:
            self.machines.clear()
            self._due.clear()
            self.slow_hosts.clear()
            self.meter = Meter()
            self.faults.clear()
            for landlord in self.landlords.values():
                vars(landlord.knobs).update(vars(type(landlord.knobs)()))
                landlord.forget()

    def close(self) -> None:
        """End everything: no process, no thread of ours, no folder stays."""
        self._over.set()
        for end in self._ends:
            end()


def _let_go(undertaker: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(OSError):
        undertaker.stdin.close()  # type: ignore[union-attr]  # it was asked for as a pipe
    undertaker.wait(timeout=10)


def _claim_network() -> tuple[int, socket.socket]:
    """A second byte of 127.x that no other world on this computer uses, and the socket that says so."""
    for net in range(20 + os.getpid() % 100, 250):
        claim = socket.socket()
        try:
            claim.bind((f"127.{net}.255.254", SSH_PORT))
        except OSError:
            claim.close()
        else:
            claim.listen(1)
            return net, claim
    raise OSError("no free loopback network between 127.20 and 127.250; other test clouds hold them")


def _undertaker(world: str, root: Path) -> "subprocess.Popen[bytes]":
    argv = [sys.executable, "-m", "tests.cloud.undertaker", world, str(root)]
    home = Path(__file__).resolve().parents[2]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, cwd=home, start_new_session=True)
