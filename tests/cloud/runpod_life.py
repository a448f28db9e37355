"""Runpod's pods: provisioning, starting (the image comes), running without and with ports, gone; paid in advance."""

import json
import secrets
import shlex
import subprocess
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from tests.cloud.boxes import Gpu
from tests.cloud.http_cloud import Refused
from tests.cloud.machine import Machine
from tests.cloud.meter import RUNPOD, Metered, bill
from tests.cloud.scenario import Knobs
from tests.cloud.sight import is_shown
from tests.cloud.world import World

NO_CAPACITY = (
    "There are no longer any instances available with the requested specifications. Please refresh and try again."
)
LOW_BALANCE = "Your account balance is too low to rent a pod"
BILLING_JOB_SECONDS = 300.0
"""Zero balance is noticed about so often."""
RESTART_SECONDS = 1.0
START_SH = """\
mkdir -p /root/.ssh /etc/ssh
[ -z "$PUBLIC_KEY" ] || echo "$PUBLIC_KEY" >>/root/.ssh/authorized_keys
[ -e /etc/ssh/ssh_host_ed25519_key ] || ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
echo "Pod Started"
echo "SSH host keys:"
ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub
/usr/sbin/sshd &
echo "Start script(s) finished, Pod is ready to use."
sleep infinity
"""
"""What the official images do when `args` is absent."""


@dataclass(frozen=True, kw_only=True)
class GpuType:
    """One entry of the catalogue; prices are of one card, in USD an hour, None where a cloud has none."""

    id: str
    name: str
    memory: int
    secure: float | None
    community: float | None = None
    manufacturer: str = "NVIDIA"
    data_centers: Mapping[str, str] = field(default_factory=lambda: {"US-KS-2": "HIGH", "EU-RO-1": "LOW"})


GPUS = {
    one.id: one
    for one in (
        # prices of shared/facts/prices.md section 6, invented where it has none
        GpuType(id="NVIDIA GeForce RTX 3090", name="RTX 3090", memory=24, secure=0.46, community=0.22),
        GpuType(id="NVIDIA GeForce RTX 4090", name="RTX 4090", memory=24, secure=0.69, community=0.34),
        GpuType(id="NVIDIA L4", name="L4", memory=24, secure=0.43),
        GpuType(id="NVIDIA RTX A5000", name="RTX A5000", memory=24, secure=0.36, data_centers={}),
        GpuType(id="NVIDIA A40", name="A40", memory=48, secure=0.44, data_centers={"CA-MTL-1": "MEDIUM"}),
        GpuType(id="NVIDIA A100 80GB PCIe", name="A100 PCIe", memory=80, secure=1.79, community=1.19),
        GpuType(id="AMD Instinct MI300X OAM", name="MI300X", memory=192, secure=2.99, manufacturer="AMD"),
        GpuType(id="Tesla V100-SXM2-16GB", name="V100", memory=16, secure=0.19),
        GpuType(id="NVIDIA RTX PRO 6000 Blackwell MIG 1g.24gb", name="MIG", memory=24, secure=0.40),
    )
}
SMI = {
    "NVIDIA GeForce RTX 3090": 24576,
    "NVIDIA GeForce RTX 4090": 24564,
    "NVIDIA L4": 23034,
    "NVIDIA RTX A5000": 24564,
    "NVIDIA A40": 46068,
    "NVIDIA A100 80GB PCIe": 81920,
}
CPU_USD_PER_VCPU = 0.03


@dataclass(kw_only=True)
class RunpodKnobs(Knobs):
    """Delays (sim seconds) and misbehaviour of this cloud alone."""

    pending_seconds: float = 0.1
    """PROVISIONING."""
    pull_seconds: float = 0.1
    """STARTING: the image comes."""
    ports_seconds: float = 0.1
    """From RUNNING to a public port."""
    requests_a_minute: int = 60
    no_ports: bool = False
    """RUNNING, and no public port is ever told."""
    ignores_args: bool = False
    """The image's own start script runs, whatever `args` says."""
    errors: int = 0
    """So many pods end up in ERROR."""
    restarts: int = 0
    """So many times a container is restarted soon after its start."""
    lingers_seconds: float = 0.0
    """How long GET still shows a pod RUNNING after a DELETE."""
    billed_on_seconds: float = 0.0
    """How long a pod is billed after a DELETE, although it is shown no more."""
    balance_usd: str = "100"
    spend_limit_usd: float = 80.0
    pod_key_rights: str = "all"
    """What the key in a pod may do there: all, stop, none."""
    graphql_gone: bool = False
    own_price_factor: str = "1"
    """What a pod costs, as a factor of the list price."""
    no_cost: bool = False
    """Pods tell no cost."""
    forbidden: str = ""
    """A GPU id that this account may not have."""
    billing_lag_seconds: float = 600.0
    odd_status: str = ""
    more_fields: bool = False
    pages: int = 0
    """So many pods on a page of the list, where above 0."""


@dataclass(kw_only=True)
class Pod(Machine):
    """What only Runpod knows of a machine."""

    body: dict[str, Any]
    cost_usd: Decimal
    running_since: float | None = None
    ports_since: float | None = None
    main: "subprocess.Popen[bytes] | None" = None
    restarts: int = 0
    shown_until: float | None = None
    pod_key: str = ""
    tried: tuple[str, str] = ("", "")
    """At which address, and with which words of its sshd, a door was last opened."""
    said: list[str] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        """The environment that the request set."""
        return dict(self.body.get("env", {}))


@dataclass(kw_only=True)
class RunpodScenario:
    """What is sold where, and how much of it there really is."""

    gpus: dict[str, GpuType] = field(default_factory=lambda: dict(GPUS))
    capacity: dict[str, int] = field(default_factory=dict)
    """"CLOUD/place/gpu id" to how many more there are, whatever the catalogue shows."""


class RunpodLife:
    """The landlord "runpod". Everything is called under the world's lock."""

    name = "runpod"

    def __init__(self, world: World) -> None:
        self._world = world
        self.knobs = RunpodKnobs()
        self.url = ""
        """Where pods reach the API."""
        self.forget()
        world.add(self)

    def forget(self) -> None:
        """See `world.Landlord`."""
        self.scenario = RunpodScenario()
        self.windows: dict[int, int] = {}
        self._job_runs = False

    @property
    def pods(self) -> dict[str, Pod]:
        """Its machines."""
        return {id: one for id, one in self._world.machines.items() if isinstance(one, Pod)}

    def balance_usd(self) -> Decimal:
        """What is left of what was paid in advance."""
        now = self._world.clock.seconds()
        spent = sum((bill(one.metered, now).total_usd for one in self.pods.values()), Decimal(0))
        return Decimal(self.knobs.balance_usd) - spent

    def spending_usd(self) -> float:
        """By the hour, now."""
        return float(sum(one.cost_usd for one in self.pods.values() if one.alive and one.state != "EXITED"))

    def create(self, body: dict[str, Any]) -> Pod:
        """A new pod. Raises `Refused`."""
        cloud = body.get("cloud", "SECURE")
        if ("gpu" in body) == ("cpu" in body):
            raise Refused("Bad Request", "exactly one of gpu or cpu must be set")
        price = self._cpu_price(body["cpu"]) if "cpu" in body else self._gpu_price(body["gpu"], cloud)
        if self.balance_usd() < price:
            raise Refused("Payment Required", LOW_BALANCE, 402)
        place = self._place(body, cloud)
        return self._make(body, place, price * Decimal(self.knobs.own_price_factor))

    def _cpu_price(self, cpu: dict[str, Any]) -> Decimal:
        return Decimal(str(CPU_USD_PER_VCPU)) * int(cpu.get("vcpuCount", 2))

    def _gpu_price(self, gpu: dict[str, Any], cloud: str) -> Decimal:
        kind = self.scenario.gpus.get(gpu["id"])
        if kind is not None and kind.id == self.knobs.forbidden:
            raise Refused("Forbidden", "access denied", 403)
        price = None if kind is None else kind.secure if cloud == "SECURE" else kind.community
        if price is None:
            raise Refused("Bad Request", f"no GPU type {gpu['id']} in {cloud}")
        return Decimal(str(price)) * int(gpu.get("count", 1))

    def _place(self, body: dict[str, Any], cloud: str) -> str:
        """Where it goes. The catalogue is a hint: what counts is the capacity."""
        if body.get("disk", 20) < 20:
            raise Refused("Bad Request", "This machine does not have the resources to deploy your pod.")
        kind = self.scenario.gpus[body["gpu"]["id"]] if "gpu" in body else None
        everywhere = list(kind.data_centers) if kind else ["US-KS-2"]
        name = kind.id if kind else "cpu"
        for place in body.get("dataCenterIds") or everywhere:
            pool = f"{cloud}/{place}/{name}"
            if self.scenario.capacity.get(pool, 1 if place in everywhere or cloud != "SECURE" else 0) > 0:
                if pool in self.scenario.capacity:
                    self.scenario.capacity[pool] -= 1
                return str(place)
        raise Refused("Bad Request", NO_CAPACITY)

    def _make(self, body: dict[str, Any], place: str, cost: Decimal) -> Pod:
        world, now, id = self._world, self._world.clock.seconds(), secrets.token_hex(7)
        env = dict(body.get("env", {}))
        gpu = body.get("gpu")
        mib = SMI.get(gpu["id"], 24000) if gpu else 0
        pod = Pod(
            cloud=self.name,
            id=id,
            region=place,
            zone="",
            instance_type=gpu["id"] if gpu else "cpu",
            address=world.next_address(),
            port=20_000 + len(self.pods) % 10_000,
            created=now,
            metered=Metered(
                id=id, tags={name: value for name, value in env.items() if "KEY" not in name}, created=now,
                disk_gib=body.get("disk", 20), rules=RUNPOD, prices=[(now, cost)],
            ),
            gpu=Gpu(name=gpu["id"], mib=mib, count=gpu.get("count", 1)) if gpu else None,
            state="PROVISIONING",
            body=body,
            cost_usd=cost,
            pod_key=f"rpa_POD{secrets.token_hex(12).upper()}",
        )  # fmt: skip
        world.enter(pod)
        world.say("created", id, f"{pod.instance_type} in {place}, billed from now")
        if not self.knobs.never_ready:
            world.at(now + self.knobs.pending_seconds, lambda at: self._starting(pod, at))
        if not self._job_runs:
            self._job_runs = True
            world.at(now + BILLING_JOB_SECONDS, self._billing_job)
        return pod

    def _starting(self, pod: Pod, at: float) -> None:
        if pod.state != "PROVISIONING":
            return
        pod.state = "STARTING"
        self._world.say("starting", pod.id, "the image is pulled")
        self._world.at(at + self.knobs.pull_seconds, lambda at: self._running(pod, at))

    def _running(self, pod: Pod, at: float) -> None:
        if pod.state != "STARTING":
            return
        if self.knobs.errors > 0:
            self.knobs.errors -= 1
            pod.state = "ERROR"
            self._world.say("error", pod.id, "the container does not start")
            return
        pod.state, pod.running_since = "RUNNING", at
        self._world.say("running", pod.id, "its container starts")
        self._start_container(pod, at)
        self._world.at(at + self.knobs.ports_seconds, lambda at: self._has_ports(pod, at))

    def _has_ports(self, pod: Pod, at: float) -> None:
        if pod.state == "RUNNING" and not self.knobs.no_ports and "22/tcp" in pod.body.get("ports", []):
            pod.ports_since = at
            self._world.say("ports", pod.id, f"22 is {pod.address} port {pod.port}")

    def _start_container(self, pod: Pod, at: float) -> None:
        if self._world.by_hand:
            pod.ssh_at = at + self.knobs.boot_seconds + self.knobs.ssh_delay_seconds
            pod.said += ["launch: dead-man armed", "launch: sshd starts"]
        else:
            threading.Thread(target=self._contain, args=(pod,), daemon=True).start()

    def _contain(self, pod: Pod) -> None:
        """Run the container's main process in a box; the SSH server is open once it starts one."""
        box = self._world.box_for(pod, user="root") if pod.box is None else pod.box
        pod.box = box
        self._world.pause(self.knobs.boot_seconds)
        if box.over or not pod.alive:
            self._world.close_box(pod)
            return
        args = pod.body.get("args", "")
        argv = shlex.split(args) if args and not self.knobs.ignores_args else ["sh", "-c", START_SH]
        pod.main = box.start_main([box.own(word) for word in argv], {**pod.env, **self._inside(pod)})

    def _inside(self, pod: Pod) -> dict[str, str]:
        return {
            "RUNPOD_POD_ID": pod.id,
            "RUNPOD_DC_ID": pod.region,
            "RUNPOD_API_KEY": pod.pod_key,
            "RUNPOD_PUBLIC_IP": pod.address,
            "RUNPOD_TCP_PORT_22": str(pod.port),
            "RUNPOD_GPU_COUNT": "1",
        }

    def look_after(self, machine: Machine) -> None:
        """See `world.Landlord`: sshd opens the door, a main process that ends is started again."""
        if not isinstance(machine, Pod) or machine.box is None or machine.state != "RUNNING":
            return
        note = machine.box.sshd_note()
        if machine.sshd is None and note is not None and (machine.address, note) != machine.tried:
            machine.tried = (machine.address, note)
            told = json.loads(note)
            self._world.open_ssh(machine, told["host_key"], tuple(told["authorized"]), lambda peer: True)
        restart = self.knobs.restarts > 0 and machine.sshd is not None
        if machine.main is not None and (machine.main.poll() is not None or restart):
            if restart:
                self.knobs.restarts -= 1
            self.restart(machine)

    def restart(self, pod: Pod) -> None:
        """The container begins anew: its processes die, its disk is fresh, its uptime is 0."""
        main, pod.main = pod.main, None
        pod.restarts += 1
        self._world.say("restarted", pod.id, f"for the {pod.restarts}. time")
        self._world.close_ssh(pod)
        pod.tried = ("", "")
        if pod.box is not None and main is not None:
            pod.box.wipe()
        pod.running_since = self._world.clock.seconds()
        self._world.at(pod.running_since + RESTART_SECONDS, lambda at: self._start_container(pod, at))

    def move(self, pod: Pod) -> None:
        """Another address and port, as after a restart."""
        pod.address, pod.port = self._world.next_address(), pod.port + 1
        self._world.say("moved", pod.id, f"to {pod.address} port {pod.port}")
        if not self._world.by_hand:
            self._world.close_ssh(pod)  # look_after opens it again, elsewhere

    def stop(self, pod: Pod, why: str, at: float | None = None) -> None:
        """Its processes end and its GPU is not billed; it is still there."""
        if not pod.alive or pod.state == "EXITED":
            return
        now = self._world.clock.seconds() if at is None else at
        pod.state, pod.ports_since = "EXITED", None
        pod.metered.off.append([now, None])
        self._world.say("exited", pod.id, why)
        self._world.over(pod)

    def end(self, id: str, code: str, text: str, at: float | None = None) -> None:
        """See `world.Landlord`."""
        pod = self.pods[id]
        if not pod.alive:
            return
        now = self._world.clock.seconds() if at is None else at
        if pod.metered.off and pod.metered.off[-1][1] is None:
            pod.metered.off[-1][1] = now
        pod.state, pod.reason = "TERMINATED", (code, text)
        pod.metered.ended = pod.metered.deleted = now + self.knobs.billed_on_seconds
        pod.terminated, pod.shown_until = now, now + self.knobs.lingers_seconds
        self._world.say("terminated", id, f"{code}: {text}")
        self._world.over(pod)

    def _billing_job(self, at: float) -> None:
        """At zero, pods without a network volume are removed; ours have none."""
        alive = [one for one in self.pods.values() if one.alive]
        if not alive:
            self._job_runs = False
            return
        if self.balance_usd() <= 0:
            for pod in alive:
                self.end(pod.id, "balance", "the balance is used up", at)
        self._world.at(at + BILLING_JOB_SECONDS, self._billing_job)

    def set_places(self, gpu: str, levels: dict[str, str]) -> None:
        """Where it is listed, with how many."""
        self.scenario.gpus[gpu] = replace(self.scenario.gpus[gpu], data_centers=dict(levels))

    def set_price(self, gpu: str, usd_per_hour: str) -> None:
        """A new list price, and what pods of that type cost from now on."""
        secure = float(usd_per_hour)
        self.scenario.gpus[gpu] = replace(self.scenario.gpus[gpu], secure=secure)
        for pod in self.pods.values():
            if pod.instance_type == gpu and pod.alive:
                pod.cost_usd = Decimal(usd_per_hour)
                pod.metered.price(self._world.clock.seconds(), pod.cost_usd)

    def shown(self, pod: Pod, *, by_id: bool) -> bool:
        """Whether the API shows it now."""
        now, knobs = self._world.clock.seconds(), self.knobs
        return is_shown(
            now - pod.created,
            lag_seconds=knobs.early_not_found_seconds if by_id else knobs.list_lag_seconds,
            gone_seconds=None if pod.shown_until is None else now - pod.shown_until,
            kept_seconds=0,
        )

    def listed(self) -> Iterable[Pod]:
        """What GET /v2/pods lists."""
        if self.knobs.list_gap > 0 and any(one.alive for one in self.pods.values()):
            self.knobs.list_gap -= 1
            self._world.say("gap", "", "a listing left everything out")
            return ()
        return [one for one in self.pods.values() if self.shown(one, by_id=False)]

    def lines(self, pod: Pod) -> list[str]:
        """What its container printed."""
        return pod.said if pod.box is None else pod.box.console()
