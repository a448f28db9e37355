"""The control API `/_sim/...`: what a test may see of the world, and what it may do to it, as JSON over HTTP."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from tests.cloud.aws import Aws, Environ, StartResponse, send
from tests.cloud.faults import Fault
from tests.cloud.http_cloud import HttpCloud
from tests.cloud.machine import Machine
from tests.cloud.meter import bill
from tests.cloud.wire import Answer
from tests.cloud.world import World

Asked = Mapping[str, Any]
CHECKIP = "/checkip"


class Control:
    """The outermost WSGI application: control, the caller's address, and AWS for everything else."""

    def __init__(self, world: World, aws: Aws, others: Mapping[str, HttpCloud]) -> None:
        self._world, self._aws, self._others = world, aws, others
        self._verbs: dict[str, Callable[[Asked], object]] = {
            "state": self._state,
            "clock": self._clock,
            "left": self._left,
            "meter": self._meter,
            "events": lambda asked: self._events(asked, 0.0),
            "wait": lambda asked: self._events(asked, float(asked.get("seconds", 1))),
            "fault": self._fault,
            "calls": self._calls,
            "violations": lambda asked: [one for cloud in others.values() for one in cloud.violations],
            "unplant": lambda asked: world.faults.clear(asked.get("when")),
            "faults": lambda asked: [asdict(one) for one in world.faults.all()],
            "capacity": self._capacity,
            "price": self._price,
            "quota": self._quota,
            "knobs": self._knobs,
            "preempt": lambda asked: aws.life.preempt(asked["machine"], float(asked.get("notice_seconds", 120))),
            "rebalance": lambda asked: aws.life.set_rebalance(asked["machine"]),
            "drop": lambda asked: world.drop_connections(asked.get("machine")),
            "end": self._end,
            "move": self._move,
            "balance": lambda asked: {"usd": str(world.landlords["runpod"].balance_usd())},  # type: ignore[attr-defined]  # what only that cloud has
            "slow": self._slow,
            "pace": self._pace,
            "sell": self._sell,
            "reset": self._reset,
        }

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = str(environ.get("PATH_INFO", ""))
        if path == CHECKIP:
            address = f"{environ['REMOTE_ADDR']}\n".encode()
            return send(Answer(body=address, content_type="text/plain"), start_response)
        if not path.startswith("/_sim/"):
            return self._aws(environ, start_response)
        return send(self._controlled(path.removeprefix("/_sim/"), environ), start_response)

    def _controlled(self, name: str, environ: Environ) -> Answer:
        """Run one verb; what it does not understand comes back as 400 with a sentence."""
        if name not in self._verbs:
            return _json({"error": f"no such verb: {name}", "verbs": sorted(self._verbs)}, 404)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        try:
            asked = {**dict(parse_qsl(str(environ.get("QUERY_STRING", "")))), **json.loads(body or b"{}")}
            return _json(self._verbs[name](asked) or {}, 200)
        except (KeyError, ValueError, TypeError) as error:
            return _json({"error": f"{type(error).__name__}: {error}"}, 400)

    def _state(self, asked: Asked) -> object:
        world = self._world
        with world.lock:
            machines = [self._shown(one) for one in world.machines.values()]
        now = world.clock.seconds()
        last = len(world.events)
        return {"now": now, "scale": world.clock.scale, "last_event": last, "machines": machines}

    def _clock(self, asked: Asked) -> object:
        """Sim time is `origin` plus `scale` times what the computer's monotonic clock has gone on since `started`."""
        return dict(zip(("origin", "started", "scale"), self._world.clock.told(), strict=True))

    def _left(self, asked: Asked) -> object:
        """What lies about beside machines."""
        with self._world.lock:
            return self._aws.life.left() + [f"lambda key {name}" for name in self._lambda_keys()]

    def _lambda_keys(self) -> list[str]:
        landlord: Any = self._world.landlords["lambda"]
        return [key["name"] for key in landlord.keys.values()]

    def _shown(self, machine: Machine) -> dict[str, object]:
        costs = bill(machine.metered, self._world.clock.seconds())
        box = machine.box
        return {
            "cloud": machine.cloud,
            "id": machine.id,
            "region": machine.region,
            "zone": machine.zone,
            "instance_type": machine.instance_type,
            "spot": machine.spot,
            "state": machine.state,
            "reason": machine.reason[0],
            "address": machine.address,
            "port": machine.port,
            "ssh": machine.sshd is not None and machine.alive,
            "root": "" if box is None else str(box.root),
            "tags": machine.metered.tags,
            "created": machine.metered.created,
            "started": machine.metered.started,
            "ended": machine.metered.ended,
            "egress_bytes": machine.metered.egress_bytes,
            "usd": str(costs.total_usd),
            "bill": {name: str(value) for name, value in asdict(costs).items()},
            "user_data": machine.user_data.decode(errors="replace"),
        }

    def _meter(self, asked: Asked) -> object:
        world, tag = self._world, (asked.get("tag"), asked.get("value"))
        with world.lock:
            now = world.clock.seconds()
            total, alive = world.meter.total_usd(now, *tag), world.meter.alive(*tag)
            most, count = world.meter.peak(now, *tag), len(world.meter.tagged(*tag))
        return {"total_usd": str(total), "alive": alive, "peak": most, "machines": count}

    def _events(self, asked: Asked, real_seconds: float) -> object:
        return [asdict(one) for one in self._world.wait(int(asked.get("after", 0)), real_seconds)]

    def _fault(self, asked: Asked) -> object:
        self._world.faults.plant(fault := Fault(**asked))
        return asdict(fault)

    def _calls(self, asked: Asked) -> object:
        """AWS's by their form, those of the other clouds ("lambda.launch") by their JSON body."""
        cloud, dot, operation = str(asked["operation"]).partition(".")
        if not dot:
            return [one.form for one in self._aws.calls if one.operation == cloud]
        return [one.body for one in self._others[cloud].calls if operation in (one.operation, "*")]

    def _slow(self, asked: Asked) -> object:
        """Each answer of every cloud takes so many real seconds."""
        self._aws.slow_seconds = float(asked["seconds"])
        for cloud in self._others.values():
            cloud.slow_seconds = float(asked["seconds"])
        return {}

    def _pace(self, asked: Asked) -> object:
        """Everything takes so many times as long: on a machine that there is, or on the next ones."""
        factor = float(asked["factor"])
        if "machine" not in asked:
            self._world.slow_hosts += [factor] * int(asked.get("machines", 1))
            return {}
        box = self._world.machines[asked["machine"]].box
        if box is None:
            raise ValueError(f"{asked['machine']} has not booted yet")
        box.slow_down(factor)
        return {}

    def _sell(self, asked: Asked) -> object:
        """What the catalogue of a cloud says of one machine type: its price by the hour, its places."""
        landlord: Any = self._world.landlords[asked["cloud"]]
        if "usd_per_hour" in asked:
            landlord.set_price(asked["instance_type"], asked["usd_per_hour"])
        if "places" in asked:
            landlord.set_places(asked["instance_type"], asked["places"])
        return {}

    def _capacity(self, asked: Asked) -> object:
        """`units` null: any number again. AWS's pools are "zone/type/market"; the others' begin with their name."""
        landlord: Any = self._world.landlords.get(str(asked["pool"]).partition("/")[0], self._aws.life)
        pools, units = landlord.scenario.capacity, asked["units"]
        if landlord is not self._aws.life:
            asked = {**asked, "pool": str(asked["pool"]).partition("/")[2]}
        if units is None:
            pools.pop(asked["pool"], None)
        else:
            pools[asked["pool"]] = int(units)
        return pools

    def _price(self, asked: Asked) -> object:
        self._aws.life.set_spot_price(asked["zone"], asked["instance_type"], Decimal(asked["usd_per_hour"]))
        return {}

    def _quota(self, asked: Asked) -> object:
        self._aws.life.scenario.quotas[asked["region"], asked["code"]] = float(asked["value"])
        return {}

    def _knobs(self, asked: Asked) -> object:
        cloud = str(asked.get("cloud", "aws"))
        self._world.set_knobs(cloud, {name: value for name, value in asked.items() if name != "cloud"})
        return asdict(self._world.landlords[cloud].knobs)

    def _end(self, asked: Asked) -> object:
        machine = self._world.machines[asked["machine"]]
        self._world.landlords[machine.cloud].end(machine.id, asked["code"], asked["code"])
        return {}

    def _move(self, asked: Asked) -> object:
        machine = self._world.machines[asked["machine"]]
        landlord: Any = self._world.landlords[machine.cloud]
        with self._world.lock:
            landlord.move(machine)
        return {}

    def _reset(self, asked: Asked) -> object:
        self._world.reset()
        self._aws.ec2.forget()
        self._aws.calls.clear()
        self._aws.slow_seconds = 0.0
        for cloud in self._others.values():
            cloud.calls.clear()
            cloud.violations.clear()
            cloud.slow_seconds = 0.0
        return {}


def _json(document: object, status: int) -> Answer:
    return Answer(status=status, body=json.dumps(document).encode(), content_type="application/json")
