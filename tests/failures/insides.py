"""The insides of machines without boxes: who answers SSH there, and what ends them when their lease is over."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from launcher.remote import Keys
from pricing import gpus
from pricing.gpus import Gpu
from providers.base import Access, Ssh
from tests.cloud import userdata
from tests.cloud.ec2_life import Ec2Life, Ec2Machine
from tests.cloud.lambda_life import LambdaLife, LambdaMachine
from tests.cloud.machine import Machine
from tests.cloud.runpod_life import Pod, RunpodLife
from tests.cloud.world import Event, World
from tests.fake_guest import FakeRemote, Inside, Lived

LEASE_AT = 5
"""Where in the argv of bootcmd's only entry the lease stands (`providers.cloud_init`)."""


@dataclass(frozen=True, kw_only=True)
class Inhabited:
    """A machine of the test cloud, as its guest sees it."""

    id: str
    born_at: datetime
    ended_at: datetime | None
    gpu: Gpu | None
    ready_at: datetime | None


class Houses:
    """All machines of one world; keeps what each one's dead-man was told."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.before_call: Callable[[str], None] = lambda verb: None
        self.after_call: Callable[[str], None] = lambda verb: None
        self.over: Callable[[str], None] = lambda machine: None
        """What else happens when a lease is over."""
        self.on_event: Callable[[Event], None] = lambda event: None
        self._lives: dict[str, float] = {}
        world.watcher = self._watch

    def call(self, verb: str) -> None:
        """Before a call to a machine."""
        self.before_call(verb)

    def machines(self) -> Iterable[Inhabited]:
        """All that ever were."""
        return [self._inhabited(one) for one in list(self._world.machines.values())]

    def extend(self, machine_id: str, lease_seconds: float) -> None:
        """The dead-man may let it live for so many seconds of life."""
        self._lives[machine_id] = lease_seconds
        machine = self._world.machines[machine_id]
        self._world.at(machine.created + lease_seconds, lambda at: self._is_over(machine, at))

    def _inhabited(self, machine: Machine) -> Inhabited:
        at, metered = self._world.clock.at, machine.metered
        card = None if machine.gpu is None else gpus.canonical(machine.gpu.name, machine.gpu.mib)
        off = machine.ssh_at is None and machine.state not in ("pending", "booting", "PROVISIONING", "STARTING")
        return Inhabited(
            id=machine.id,
            born_at=at(machine.created),
            ended_at=at(metered.ended) if metered.ended is not None else at(0) if off else None,
            gpu=card,
            ready_at=None if machine.ssh_at is None else at(machine.ssh_at),
        )

    def _watch(self, event: Event) -> None:
        """The dead-man is armed by the create call itself."""
        self.on_event(event)
        machine = self._world.machines.get(event.machine)
        if event.kind == "created" and machine is not None:
            lease = lease_of(machine)
            if lease is not None:
                self.extend(machine.id, lease)

    def _is_over(self, machine: Machine, at: float) -> None:
        if not machine.alive or machine.created + self._lives[machine.id] > at:
            return
        self.over(machine.id)
        landlord = self._world.landlords[machine.cloud]
        if isinstance(machine, Ec2Machine) and isinstance(landlord, Ec2Life) and not landlord.knobs.poweroff_ignored:
            landlord.power_off(machine, at)
        elif isinstance(machine, LambdaMachine) and isinstance(landlord, LambdaLife):
            if any(one.path.endswith("/end.json") for one in userdata.parse(machine.user_data).files):
                landlord.end(machine.id, "own deadline", "by the key on it", at)
        elif isinstance(machine, Pod) and isinstance(landlord, RunpodLife):
            if landlord.knobs.pod_key_rights == "all":
                landlord.end(machine.id, "own deadline", "by the key in it", at)
            elif landlord.knobs.pod_key_rights == "stop":
                landlord.stop(machine, "by the key in it", at)


def lease_of(machine: Machine) -> float | None:
    """How long it was told that it may live, read from what the create call gave it; None where it was not told."""
    if isinstance(machine, Pod):
        told = machine.env.get("LAUNCH_LEASE")
        return None if told is None else float(told)
    text = machine.user_data.decode()
    if not text.startswith("#cloud-config\n"):
        return None
    return float(json.loads(text.partition("\n")[2])["bootcmd"][0][LEASE_AT])


@dataclass
class Guests(Inside):
    """The guests of those machines: reached at the address and port that the cloud tells."""

    world: World = field(kw_only=True)
    strangers: set[str] = field(default_factory=set)
    """Machines at whose address somebody else answers."""

    def remote(self, access: Access, keys: Keys) -> FakeRemote:
        """A connection to whatever lives there now; to nobody where there is none."""
        del keys
        assert isinstance(access, Ssh)
        there = [
            one.id for one in list(self.world.machines.values())
            if (one.address, one.port) == (access.host, access.port) and one.alive
        ]  # fmt: skip
        return FakeRemote(self, there[0] if there else "nobody")

    def answers(self, machine: Lived) -> bool:
        """From the moment at which its SSH server listens."""
        assert isinstance(machine, Inhabited)
        knobs = self.world.landlords[self.world.machines[machine.id].cloud].knobs
        return not knobs.ssh_refuse and machine.ready_at is not None and self.clock() >= machine.ready_at
