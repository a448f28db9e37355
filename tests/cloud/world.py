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
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import asyncssh

from tests.cloud import moto_ec2, stubs, userdata
from tests.cloud.boxes import Box, Gpu, surroundings
from tests.cloud.clock import SimClock
from tests.cloud.faults import Faults
from tests.cloud.imds import Imds, reclaim_facts
from tests.cloud.meter import Meter, Metered
from tests.cloud.scenario import GPU_LINES, Knobs, Scenario
from tests.cloud.sshd import Door, Sshd

SSH_PORT = 2222
TICK_REAL_SECONDS = 0.02
Due = tuple[float, int, Callable[[float], None]]


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing that happened; `at` in sim seconds since the world began."""

    number: int
    at: float
    kind: str
    machine: str
    text: str


@dataclass(kw_only=True)
class Machine:
    """One instance. Changed only under the world's lock."""

    id: str
    region: str
    zone: str
    instance_type: str
    spot: bool
    address: str
    created: float
    metered: Metered
    terminates_on_shutdown: bool
    user_data: bytes
    token: str
    spot_request: str | None
    state: str = "pending"
    reason: tuple[str, str] = ("", "")
    terminated: float | None = None
    reclaim: float | None = None
    rebalance: float | None = None
    off_at: float | None = None
    """When its own shutdown takes effect."""
    groups: set[str] = field(default_factory=set)
    box: Box | None = None
    sshd: Sshd | None = None
    imds: Imds | None = None

    @property
    def alive(self) -> bool:
        """Whether it still holds capacity and quota."""
        return self.state in {"pending", "running"}


class World:
    """All machines and the clockwork. Public methods may be called from any thread."""

    def __init__(self, *, scale: float = 1.0, knobs: Knobs | None = None) -> None:
        self.id = secrets.token_hex(6)
        self.clock, self.scenario, self.faults, self.meter = SimClock(scale), Scenario(), Faults(), Meter()
        self.knobs = knobs or Knobs()
        self.machines: dict[str, Machine] = {}
        self.events: list[Event] = []
        self.watcher: Callable[[Event], None] = lambda event: None
        self.lock = threading.RLock()
        self._happened = threading.Condition()
        self._due: list[Due] = []
        self._order = itertools.count()
        self._over = threading.Event()
        self.root = Path(tempfile.mkdtemp(prefix="cloud-"))
        self._net, self._claim = _claim_network()
        self._addresses = (f"127.{self._net}.{n // 250}.{n % 250 + 2}" for n in itertools.count())
        self._undertaker = _undertaker(self.id, self.root)
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(max_workers=128))
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._loop.run_forever, self._clockwork)]
        for thread in self._threads:
            thread.start()

    # what the API calls

    def create(self, machine: Machine) -> None:
        """A machine that moto has just made begins its life as pending."""
        with self.lock:
            self.machines[machine.id] = machine
            self.meter.add(machine.metered)
            request, at = machine.spot_request, self.clock.at(machine.created)
            moto_ec2.born(machine.region, machine.id, at, request)
            moto_ec2.show(machine.region, machine.id, "pending", None)
            self.say("created", machine.id, f"{machine.instance_type} {_market(machine)} in {machine.zone}")
            if not self.knobs.never_ready:
                self._at(machine.created + self.knobs.pending_seconds, lambda at: self._started(machine, at))

    def next_address(self) -> str:
        """A loopback address that no other machine has or had."""
        return next(self._addresses)

    def terminate(self, id: str, code: str, text: str, at: float | None = None) -> None:
        """Begin the end of a machine; nothing happens to one that is ending already."""
        with self.lock:
            machine = self.machines[id]
            if not machine.alive:
                return
            now = self.clock.seconds() if at is None else at
            machine.state, machine.reason, machine.metered.ended = "shutting-down", (code, text), now
            moto_ec2.show(machine.region, id, machine.state, machine.address, machine.reason)
            self.say("ending", id, code)
            self._at(now + self.knobs.ending_seconds, lambda at: self._terminated(machine, at))
        threading.Thread(target=self._close_box, args=(machine,), daemon=True).start()

    def preempt(self, id: str, notice_seconds: float) -> None:
        """Take a spot machine back: the notice shows at once, the machine goes when it is over."""
        with self.lock:
            machine = self.machines[id]
            machine.reclaim = self.clock.seconds() + notice_seconds
            self.say("notice", id, f"reclaimed in {notice_seconds:g} s")
            reason = ("Server.SpotInstanceTermination", "Server.SpotInstanceTermination: Spot instance termination")
            self._at(machine.reclaim, lambda at: self.terminate(id, *reason, at=at))

    def set_rebalance(self, id: str) -> None:
        """Show the rebalance hint."""
        with self.lock:
            self.machines[id].rebalance = self.clock.seconds()
            self.say("rebalance", id, "recommended")

    def set_spot_price(self, zone: str, instance_type: str, usd_per_hour: Decimal) -> None:
        """Move a zone's price; machines whose MaxPrice is below live on, as AWS reclaims for capacity first."""
        with self.lock:
            self.scenario.spot[f"{zone}/{instance_type}"] = usd_per_hour
            now = self.clock.seconds()
            for one in self.machines.values():
                if one.spot and (one.zone, one.instance_type) == (zone, instance_type):
                    one.metered.price(now, usd_per_hour)

    def drop_connections(self, id: str | None = None) -> None:
        """Cut the SSH connections of one machine, or of all."""
        servers = [one.sshd for one in list(self.machines.values()) if one.sshd and id in {None, one.id}]
        for sshd in servers:
            self._loop.call_soon_threadsafe(sshd.drop)

    def set_knobs(self, changes: Mapping[str, object]) -> None:
        """Turn knobs. Raises `ValueError` for one that there is not."""
        strange = [name for name in changes if not hasattr(self.knobs, name)]
        if strange:
            raise ValueError(f"no such knob: {', '.join(strange)}")
        for name, value in changes.items():
            setattr(self.knobs, name, value)
        for machine in list(self.machines.values()):
            if machine.box is not None and not machine.box.over:
                machine.box.show_gpu(self.knobs.gpu, _gpu(machine.instance_type))

    # what happens by itself

    def _started(self, machine: Machine, at: float) -> None:
        if machine.state != "pending":
            return
        if code := self.knobs.die_in_pending:
            self.terminate(machine.id, code, f"{code}: the machine could not start", at=at)
            return
        machine.state, machine.metered.started = "running", at
        moto_ec2.show(machine.region, machine.id, "running", machine.address)
        self.say("running", machine.id, f"at {machine.address}, billed from now")
        threading.Thread(target=self._boot, args=(machine,), daemon=True).start()

    def _boot(self, machine: Machine) -> None:
        """First boot, in the order of cloud-init: bootcmd, files and keys, SSH, runcmd."""
        try:
            wanted = userdata.parse(machine.user_data)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            self.say("user-data", machine.id, f"refused: {error}")
            wanted = userdata.UserData()
        box = Box(machine.id, self.root / machine.id, self.id, self.clock, surroundings())
        box.show_gpu(self.knobs.gpu, _gpu(machine.instance_type))
        machine.imds = Imds(machine.address, lambda: self._imds_facts(machine))
        box.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = machine.imds.url
        machine.box = box
        self._pause(self.knobs.boot_seconds)
        self._tell_script(machine, "bootcmd", box.run_script("bootcmd", wanted.bootcmd))
        box.write_files(wanted)
        self._pause(self.knobs.ssh_delay_seconds)
        self._open_ssh(machine, box, wanted)
        self._tell_script(machine, "runcmd", box.run_script("runcmd", wanted.runcmd))
        box.finished()
        if not machine.alive:  # it was ended while it booted
            self._close_box(machine)

    def _open_ssh(self, machine: Machine, box: Box, wanted: userdata.UserData) -> None:
        if box.over or not machine.alive:
            return
        door = Door(
            address=machine.address,
            port=SSH_PORT,
            host_key=wanted.host_key,
            authorized_keys=wanted.authorized_keys,
            knobs=self.knobs,
            admits=lambda peer: moto_ec2.admits(machine.region, machine.groups, peer, {22, SSH_PORT}),
            sent=lambda count: self._sent(machine, count),
            told=lambda user: self.say("login", machine.id, user),
        )
        sshd = Sshd(box, door)
        try:
            asyncio.run_coroutine_threadsafe(sshd.open(), self._loop).result()
        except (OSError, asyncssh.KeyImportError) as error:
            self.say("no ssh", machine.id, str(error))
            return
        machine.sshd = sshd
        self.say("ssh", machine.id, f"listens at {machine.address} port {SSH_PORT}")

    def _sent(self, machine: Machine, count: int) -> None:
        machine.metered.egress_bytes += count

    def _tell_script(self, machine: Machine, name: str, code: int | None) -> None:
        if code is not None and machine.alive:
            self.say(name, machine.id, f"ran, exit code {code}")

    def _imds_facts(self, machine: Machine) -> dict[str, str]:
        iso = {name: None if at is None else self.clock.at(at).strftime("%Y-%m-%dT%H:%M:%SZ")
               for name, at in (("reclaim", machine.reclaim), ("rebalance", machine.rebalance))}  # fmt: skip
        return {
            "instance-id": machine.id,
            "instance-type": machine.instance_type,
            "instance-life-cycle": "spot" if machine.spot else "on-demand",
            "placement/availability-zone": machine.zone,
            "placement/region": machine.region,
            "public-ipv4": machine.address,
            **reclaim_facts(iso["reclaim"], iso["rebalance"]),
        }

    def _terminated(self, machine: Machine, at: float) -> None:
        moto_ec2.bury(machine.region, machine.id)
        machine.state, machine.terminated, machine.metered.deleted = "terminated", at, at
        moto_ec2.show(machine.region, machine.id, "terminated", None, machine.reason)
        self.say("terminated", machine.id, machine.reason[0])

    def _close_box(self, machine: Machine) -> None:
        """The machine's power goes: its network first, then all that runs in it. Again is harmless."""
        with self.lock:
            imds, machine.imds = machine.imds, None
        if machine.sshd is not None:
            self._loop.call_soon_threadsafe(machine.sshd.close)
        if machine.box is not None:
            machine.box.end()
        if imds is not None:
            imds.close()
            self.say("off", machine.id, "no process left")

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

    def _at(self, seconds: float, then: Callable[[float], None]) -> None:
        heapq.heappush(self._due, (seconds, next(self._order), then))

    def _pause(self, sim_seconds: float) -> None:
        self._over.wait(self.clock.real(sim_seconds))

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
        """One look at a box: its uptime, and whether it wants to be off."""
        if machine.box is None or machine.state != "running" or machine.box.over:
            return
        with suppress(OSError):  # a full disk for a moment must not stop this world's clock, and its bills
            machine.box.refresh()
        if (words := machine.box.shutdown_note()) is not None:
            delay = stubs.shutdown_delay(words)
            machine.off_at = None if delay is None else self.clock.seconds() + delay
            self.say("shutdown", machine.id, " ".join(words))
        if machine.off_at is not None and machine.off_at <= self.clock.seconds() and not self.knobs.poweroff_ignored:
            machine.off_at = None
            if machine.terminates_on_shutdown:
                reason = "Client.InstanceInitiatedShutdown"
                self.terminate(machine.id, reason, f"{reason}: Instance initiated shutdown")
            else:
                self.say(
                    "stopped",
                    machine.id,
                    "its shutdown only stops it, and it is billed on: no more of that is simulated",
                )

    def reset(self) -> None:
        """End every machine, forget everything, and begin anew under the same addresses' network."""
        for machine in list(self.machines.values()):
            self.terminate(machine.id, "Client.UserInitiatedShutdown", "reset")
            self._close_box(machine)
        with self.lock:
            moto_ec2.forget()
            self.machines.clear()
            self._due.clear()
            self.scenario, self.meter = Scenario(), Meter()
            vars(self.knobs).update(vars(Knobs()))
            self.faults.clear()

    def close(self) -> None:
        """End everything: no process, no thread of ours, no folder stays."""
        self._over.set()
        self._threads[1].join(timeout=5)
        for machine in self.machines.values():
            self._close_box(machine)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._threads[0].join(timeout=5)
        with contextlib.suppress(OSError):
            self._undertaker.stdin.close()  # type: ignore[union-attr]  # it was asked for as a pipe
        self._undertaker.wait(timeout=10)
        self._claim.close()
        shutil.rmtree(self.root, ignore_errors=True)


def _market(machine: Machine) -> str:
    return "spot" if machine.spot else "on-demand"


def _gpu(instance_type: str) -> Gpu | None:
    model, count = moto_ec2.gpu(instance_type)
    if not count:
        return None
    name, mib = GPU_LINES.get(model, (f"NVIDIA {model}", 16384))
    return Gpu(name=name, mib=mib, count=count)


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
