"""Lambda Cloud's API v1 as a Starlette application: the part that a launcher needs, with its bodies and its codes."""

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.cloud.client import LAMBDA_KEY as KEY
from tests.cloud.client import OTHER_LAMBDA_KEY as OTHER_KEY
from tests.cloud.http_cloud import HttpCloud, Refused, refused_as_json
from tests.cloud.lambda_life import REGIONS, LambdaLife, LambdaMachine, LambdaType
from tests.cloud.world import World

MISSING = "global/object-does-not-exist"
SUGGESTIONS = {
    "global/invalid-api-key": "Check your API key or create a new one, then try again.",
    "global/quota-exceeded": "Contact Support to increase your quota.",
    "global/internal-error": "Try again later. Contact Support if the problem persists.",
    MISSING: "Check what was asked for.",
}
OPERATIONS = {
    ("GET", "instance-types"): "types",
    ("GET", "regions"): "regions",
    ("GET", "images"): "images",
    ("GET", "instances"): "list",
    ("POST", "instance-operations/launch"): "launch",
    ("POST", "instance-operations/terminate"): "terminate",
    ("POST", "instance-operations/restart"): "restart",
    ("GET", "ssh-keys"): "keys",
    ("POST", "ssh-keys"): "addkey",
}
Verb = Callable[[Request, Any], object]


def application(world: World, life: LambdaLife) -> HttpCloud:
    """The whole cloud, faults and all."""
    api = LambdaApi(world, life)
    routes = [
        Route("/api/v1/instance-types", api.served(api.types)),
        Route("/api/v1/regions", api.served(api.regions)),
        Route("/api/v1/images", api.served(api.images)),
        Route("/api/v1/instances", api.served(api.listed)),
        Route("/api/v1/instances/{id}", api.served(api.one)),
        Route("/api/v1/instance-operations/launch", api.served(api.launch), methods=["POST"]),
        Route("/api/v1/instance-operations/terminate", api.served(api.terminate), methods=["POST"]),
        Route("/api/v1/ssh-keys", api.served(api.keys)),
        Route("/api/v1/ssh-keys", api.served(api.add_key), methods=["POST"]),
        Route("/api/v1/ssh-keys/{id}", api.served(api.delete_key), methods=["DELETE"]),
        Route("/{rest:path}", api.served(api.nowhere), methods=["GET", "POST", "PUT", "DELETE", "PATCH"]),
    ]
    return HttpCloud("lambda", world, Starlette(routes=routes), operation_of, refusal)


def operation_of(method: str, path: str) -> str:
    """A short name for a call, for faults and for our schemas."""
    rest = path.removeprefix("/api/v1/").strip("/")
    if rest.startswith("instances/"):
        return "get"
    if rest.startswith("ssh-keys/"):
        return "dropkey"
    return OPERATIONS.get((method, rest), "other")


def refusal(refused: Refused) -> Response:
    """Lambda's error body."""
    error = {"code": refused.code, "message": refused.message}
    if refused.code in SUGGESTIONS:
        error["suggestion"] = SUGGESTIONS[refused.code]
    return refused_as_json(refused, {"error": error}, "application/json")


def _of_another(request: Request) -> list[object]:
    """What an account shows that has rented nothing."""
    if request.method == "GET" and operation_of("GET", request.url.path) != "get":
        return []
    raise Refused("global/object-does-not-exist", "Specified instance does not exist.", 404)


class LambdaApi:
    """The endpoints, over one landlord."""

    def __init__(self, world: World, life: LambdaLife) -> None:
        self._world, self._life = world, life

    def served(self, verb: Verb) -> Callable[[Request], Any]:
        """An endpoint: key, turn, body, then the verb under the world's lock."""

        async def endpoint(request: Request) -> Response:
            body = await request.body()
            try:
                with self._world.lock:
                    self._let_in(request, launches=verb == self.launch)
                    if OTHER_KEY in request.headers["authorization"] and verb != self.types:
                        return JSONResponse({"data": _of_another(request)})
                    parsed = await request.json() if body else {}
                    return JSONResponse({"data": verb(request, parsed)})
            except Refused as refused:
                return refusal(refused)
            except (ValueError, KeyError, TypeError) as error:
                return refusal(Refused("global/invalid-parameters", f"Invalid request data: {error}"))

        return endpoint

    def _let_in(self, request: Request, *, launches: bool) -> None:
        said = request.headers.get("authorization", "")
        if not said:
            raise Refused("global/invalid-api-key", "No API key was provided.", 401)
        key = said.removeprefix("Bearer ")
        if key not in (KEY, OTHER_KEY):
            raise Refused("global/invalid-api-key", "API key was invalid, expired, or deleted.", 401)
        wait = self._life.turn(key, "any") or (self._life.turn(key, "launch") if launches else 0.0)
        if wait:
            self._world.say("429", "", f"asked {wait:.2f} s too early")
            raise Refused("global/rate-limited", "Too many requests.", 429)

    def types(self, request: Request, body: Any) -> object:
        """GET /instance-types."""
        del request, body
        scenario = self._life.scenario
        return {
            name: {
                "instance_type": self._type(kind),
                "regions_with_capacity_available": [_region(one) for one in scenario.listed.get(name, [])],
            }
            for name, kind in scenario.types.items()
        }

    def regions(self, request: Request, body: Any) -> object:
        """GET /regions."""
        del request, body
        return [_region(name) for name in REGIONS]

    def images(self, request: Request, body: Any) -> object:
        """GET /images: one of each family in each region."""
        del request, body
        at = self._world.clock.at(0).isoformat()
        return [
            {
                "id": f"{number:08x}-0000-4000-8000-{at_region:012x}", "created_time": at, "updated_time": at,
                "name": family, "description": family, "family": family, "version": "24.04.1",
                "architecture": "x86_64", "region": _region(region),
            }
            for number, family in enumerate(sorted(self._life.scenario.images))
            for at_region, region in enumerate(REGIONS)
        ]  # fmt: skip

    def listed(self, request: Request, body: Any) -> object:
        """GET /instances."""
        del request, body
        return [self._shown(one) for one in self._life.listed()]

    def one(self, request: Request, body: Any) -> object:
        """GET /instances/{id}."""
        del body
        return self._shown(self._known(request.path_params["id"]))

    def _known(self, id: str) -> LambdaMachine:
        machine = self._life.machines.get(id)
        if machine is None or not self._life.shown(machine, by_id=True):
            raise Refused(MISSING, "Specified instance does not exist.", 404)
        return machine

    def launch(self, request: Request, body: Any) -> object:
        """POST /instance-operations/launch."""
        del request
        return {"instance_ids": [self._life.launch(body)]}

    def terminate(self, request: Request, body: Any) -> object:
        """POST /instance-operations/terminate."""
        del request
        knobs, machines = self._life.knobs, [self._known(id) for id in body["instance_ids"]]
        ignored = knobs.terminate_ignored > 0
        if ignored:
            knobs.terminate_ignored -= 1
            self._world.say("ignored", ",".join(one.id for one in machines), "terminate")
        else:
            for machine in machines:
                self._life.end(machine.id, "asked", "terminate")
        if knobs.says_nothing_ended > 0:
            knobs.says_nothing_ended -= 1
            machines = []
        return {"terminated_instances": [self._shown(one) for one in machines]}

    def keys(self, request: Request, body: Any) -> object:
        """GET /ssh-keys."""
        del request, body
        return list(self._life.keys.values())

    def add_key(self, request: Request, body: Any) -> object:
        """POST /ssh-keys, with a public key of the caller's own."""
        del request
        name = str(body["name"])
        if not 0 < len(name) <= 64:
            raise Refused("global/invalid-parameters", "name: 1 to 64 characters")
        if name in {key["name"] for key in self._life.keys.values()}:
            raise Refused("global/duplicate", f"An SSH key named {name} exists already.")
        id = secrets.token_hex(16)
        self._life.keys[id] = {"id": id, "name": name, "public_key": str(body["public_key"])}
        return self._life.keys[id]

    def delete_key(self, request: Request, body: Any) -> object:
        """DELETE /ssh-keys/{id}."""
        del body
        if self._life.keys.pop(request.path_params["id"], None) is None:
            raise Refused(MISSING, "SSH key was not found.", 404)
        return {}

    def nowhere(self, request: Request, body: Any) -> object:
        """Everything else."""
        del request, body
        raise Refused("global/not-found", "The requested resource was not found.", 404)

    def _type(self, kind: LambdaType) -> dict[str, object]:
        return {
            "name": kind.name,
            "description": f"{kind.count}x {kind.gpu}",
            "gpu_description": kind.gpu,
            "price_cents_per_hour": kind.cents,
            "specs": {"vcpus": kind.vcpus, "memory_gib": kind.memory_gib, "storage_gib": 512, "gpus": kind.count},
            **({"architecture": "arm64" if "gh200" in kind.name else "x86_64"} if self._life.knobs.more_fields else {}),
        }

    def _shown(self, machine: LambdaMachine) -> Mapping[str, object]:
        knobs, kind = self._life.knobs, self._life.scenario.types[machine.instance_type]
        alive = machine.state in ("booting", "active", "unhealthy")
        own_type = {**self._type(kind), "price_cents_per_hour": round(float(machine.metered.prices[-1][1]) * 100)}
        if knobs.no_own_price:
            del own_type["price_cents_per_hour"]
        actions = {name: {"available": alive} for name in ("migrate", "rebuild", "restart", "cold_reboot", "terminate")}
        shown: dict[str, object] = {
            "id": machine.id,
            "status": knobs.odd_status or machine.state,
            "ssh_key_names": machine.key_names,
            "file_system_names": [],
            "region": _region(machine.region),
            "instance_type": own_type,
            "hostname": "headnode1",
            "is_reserved": False,
            "actions": actions,
        }
        if machine.has_address and not knobs.no_address and machine.state != "terminated":
            shown |= {"ip": machine.address, "private_ip": "10.0.2.100"}
            shown |= {"jupyter_token": "canary-jupyter", "jupyter_url": "https://jupyter.invalid/?token=canary-jupyter"}
        if not knobs.no_names:
            shown["name"] = machine.name
        if not knobs.no_tags:
            shown["tags"] = machine.tags
        if knobs.more_fields:
            shown |= {"first_healthy_time": None, "workspace": {"id": "w1"}}
        return shown


def _region(name: str) -> dict[str, str]:
    return {"name": name, "description": REGIONS.get(name, "")}
