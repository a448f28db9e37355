"""EC2's machines: pending, running, shutting down, terminated; reclaims, spot prices, power-off from inside."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from tests.cloud import moto_ec2, stubs
from tests.cloud.boxes import Gpu
from tests.cloud.imds import reclaim_facts
from tests.cloud.machine import Machine
from tests.cloud.scenario import GPU_LINES, REGIONS, Knobs, Scenario
from tests.cloud.world import SSH_PORT, World


@dataclass(kw_only=True)
class Ec2Machine(Machine):
    """What only EC2 knows of a machine."""

    terminates_on_shutdown: bool
    token: str
    spot_request: str | None
    reclaim: float | None = None
    rebalance: float | None = None
    groups: set[str] = field(default_factory=set)


class Ec2Life:
    """The landlord "aws". Everything is called under the world's lock, or takes it."""

    name = "aws"

    def __init__(self, world: World) -> None:
        self._world = world
        self.scenario, self.knobs = Scenario(), Knobs()
        world.add(self)

    @property
    def machines(self) -> dict[str, Ec2Machine]:
        """Its machines."""
        return {id: one for id, one in self._world.machines.items() if isinstance(one, Ec2Machine)}

    def create(self, machine: Ec2Machine) -> None:
        """A machine that moto has just made begins its life as pending."""
        world = self._world
        with world.lock:
            world.enter(machine)
            moto_ec2.born(machine.region, machine.id, world.clock.at(machine.created), machine.spot_request)
            moto_ec2.show(machine.region, machine.id, "pending", None)
            world.say("created", machine.id, f"{machine.instance_type} {_market(machine)} in {machine.zone}")
            if not self.knobs.never_ready:
                world.at(machine.created + self.knobs.pending_seconds, lambda at: self._started(machine, at))

    def end(self, id: str, code: str, text: str, at: float | None = None) -> None:
        """Begin the end of a machine; nothing happens to one that is ending already."""
        world = self._world
        with world.lock:
            machine = self.machines[id]
            if not machine.alive:
                return
            now = world.clock.seconds() if at is None else at
            machine.state, machine.reason, machine.metered.ended = "shutting-down", (code, text), now
            moto_ec2.show(machine.region, id, machine.state, machine.address, machine.reason)
            world.say("ending", id, code)
            world.at(now + self.knobs.ending_seconds, lambda at: self._terminated(machine, at))
            world.over(machine)

    def preempt(self, id: str, notice_seconds: float) -> None:
        """Take a spot machine back: the notice shows at once, the machine goes when it is over."""
        with self._world.lock:
            machine = self.machines[id]
            machine.reclaim = self._world.clock.seconds() + notice_seconds
            self._world.say("notice", id, f"reclaimed in {notice_seconds:g} s")
            reason = ("Server.SpotInstanceTermination", "Server.SpotInstanceTermination: Spot instance termination")
            self._world.at(machine.reclaim, lambda at: self.end(id, *reason, at=at))

    def set_rebalance(self, id: str) -> None:
        """Show the rebalance hint."""
        with self._world.lock:
            self.machines[id].rebalance = self._world.clock.seconds()
            self._world.say("rebalance", id, "recommended")

    def set_spot_price(self, zone: str, instance_type: str, usd_per_hour: Decimal) -> None:
        """Move a zone's price; machines whose MaxPrice is below live on, as AWS reclaims for capacity first."""
        with self._world.lock:
            self.scenario.spot[f"{zone}/{instance_type}"] = usd_per_hour
            now = self._world.clock.seconds()
            for one in self.machines.values():
                if one.spot and (one.zone, one.instance_type) == (zone, instance_type):
                    one.metered.price(now, usd_per_hour)

    def look_after(self, machine: Machine) -> None:
        """See `world.Landlord`: a shutdown from inside ends the machine, or is pending."""
        if not isinstance(machine, Ec2Machine) or machine.box is None or machine.state != "running":
            return
        if (words := machine.box.shutdown_note()) is not None:
            delay = stubs.shutdown_delay(words)
            machine.off_at = None if delay is None else self._world.clock.seconds() + delay
            self._world.say("shutdown", machine.id, " ".join(words))
        is_due = machine.off_at is not None and machine.off_at <= self._world.clock.seconds()
        if is_due and not self.knobs.poweroff_ignored:
            machine.off_at = None
            self.power_off(machine)

    def power_off(self, machine: Ec2Machine, at: float | None = None) -> None:
        """It has switched itself off."""
        if machine.terminates_on_shutdown:
            reason = "Client.InstanceInitiatedShutdown"
            self.end(machine.id, reason, f"{reason}: Instance initiated shutdown", at)
        else:
            text = "its shutdown only stops it, and it is billed on: no more of that is simulated"
            self._world.say("stopped", machine.id, text)

    def left(self) -> list[str]:
        """Volumes, groups and keys that lie about, but for those that every account has."""
        return [one for region in REGIONS for one in moto_ec2.left(region)]

    def forget(self) -> None:
        """See `world.Landlord`."""
        moto_ec2.forget()
        self.scenario = Scenario()

    def _started(self, machine: Ec2Machine, at: float) -> None:
        if machine.state != "pending":
            return
        if code := self.knobs.die_in_pending:
            self.end(machine.id, code, f"{code}: the machine could not start", at=at)
            return
        machine.state, machine.metered.started = "running", at
        moto_ec2.show(machine.region, machine.id, "running", machine.address)
        self._world.say("running", machine.id, f"at {machine.address}, billed from now")
        self._world.boot(
            machine,
            lambda peer: moto_ec2.admits(machine.region, machine.groups, peer, {22, SSH_PORT}),
            lambda: self._imds_facts(machine),
        )

    def _terminated(self, machine: Ec2Machine, at: float) -> None:
        moto_ec2.bury(machine.region, machine.id)
        machine.state, machine.terminated, machine.metered.deleted = "terminated", at, at
        moto_ec2.show(machine.region, machine.id, "terminated", None, machine.reason)
        self._world.say("terminated", machine.id, machine.reason[0])

    def _imds_facts(self, machine: Ec2Machine) -> Mapping[str, str]:
        clock = self._world.clock
        iso = {name: None if at is None else clock.at(at).strftime("%Y-%m-%dT%H:%M:%SZ")
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


def gpu_of(instance_type: str) -> Gpu | None:
    """What `nvidia-smi` shows on a machine of that type."""
    model, count = moto_ec2.gpu(instance_type)
    if not count:
        return None
    name, mib = GPU_LINES.get(model, (f"NVIDIA {model}", 16384))
    return Gpu(name=name, mib=mib, count=count)


def _market(machine: Ec2Machine) -> str:
    return "spot" if machine.spot else "on-demand"
