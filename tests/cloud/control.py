"""The control API `/_sim/...`: what a test may see of the world, and what it may do to it, as JSON over HTTP."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from tests.cloud.aws import Aws, Environ, StartResponse, send
from tests.cloud.faults import Fault
from tests.cloud.meter import bill
from tests.cloud.wire import Answer
from tests.cloud.world import Machine, World

Asked = Mapping[str, Any]
CHECKIP = "/checkip"


class Control:
    """The outermost WSGI application: control, the caller's address, and AWS for everything else."""

    def __init__(self, world: World, aws: Aws) -> None:
        self._world, self._aws = world, aws
        self._verbs: dict[str, Callable[[Asked], object]] = {
            "state": self._state,
            "meter": self._meter,
            "events": lambda asked: self._events(asked, 0.0),
            "wait": lambda asked: self._events(asked, float(asked.get("seconds", 1))),
            "fault": self._fault,
            "calls": lambda asked: [one.form for one in aws.calls if one.operation == asked["operation"]],
            "faults": lambda asked: [asdict(one) for one in world.faults.all()],
            "capacity": self._capacity,
            "price": self._price,
            "quota": self._quota,
            "knobs": self._knobs,
            "preempt": lambda asked: world.preempt(asked["machine"], float(asked.get("notice_seconds", 120))),
            "rebalance": lambda asked: world.set_rebalance(asked["machine"]),
            "drop": lambda asked: world.drop_connections(asked.get("machine")),
            "end": lambda asked: world.terminate(asked["machine"], asked["code"], asked["code"]),
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

    def _shown(self, machine: Machine) -> dict[str, object]:
        costs = bill(machine.metered, self._world.clock.seconds())
        box = machine.box
        return {
            "id": machine.id,
            "region": machine.region,
            "zone": machine.zone,
            "instance_type": machine.instance_type,
            "spot": machine.spot,
            "state": machine.state,
            "reason": machine.reason[0],
            "address": machine.address,
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

    def _capacity(self, asked: Asked) -> object:
        """`units` null: any number again."""
        pools, units = self._world.scenario.capacity, asked["units"]
        if units is None:
            pools.pop(asked["pool"], None)
        else:
            pools[asked["pool"]] = int(units)
        return pools

    def _price(self, asked: Asked) -> object:
        self._world.set_spot_price(asked["zone"], asked["instance_type"], Decimal(asked["usd_per_hour"]))
        return {}

    def _quota(self, asked: Asked) -> object:
        self._world.scenario.quotas[asked["region"], asked["code"]] = float(asked["value"])
        return {}

    def _knobs(self, asked: Asked) -> object:
        self._world.set_knobs(asked)
        return asdict(self._world.knobs)

    def _reset(self, asked: Asked) -> object:
        self._world.reset()
        self._aws.ec2.forget()
        self._aws.calls.clear()
        return {}


def _json(document: object, status: int) -> Answer:
    return Answer(status=status, body=json.dumps(document).encode(), content_type="application/json")
