"""Runpod's REST v2 as a Starlette application, with the little of GraphQL that still answers, and v1 that is gone."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import jsonschema
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.cloud import runpod_books
from tests.cloud.client import OTHER_RUNPOD_KEY as OTHER_KEY
from tests.cloud.client import RUNPOD_KEY as KEY
from tests.cloud.client import RUNPOD_READ_ONLY_KEY as READ_ONLY_KEY
from tests.cloud.http_cloud import HttpCloud, Refused, refused_as_json, schema
from tests.cloud.runpod_life import CPU_USD_PER_VCPU, GpuType, Pod, RunpodLife
from tests.cloud.world import World

ACTIONS = {
    "PROVISIONING": ["stop", "terminate"],
    "STARTING": ["stop", "terminate"],
    "RUNNING": ["stop", "restart", "terminate"],
    "EXITED": ["start", "terminate"],
    "ERROR": ["start", "terminate"],
}
TITLES = {400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
          409: "Conflict", 410: "Gone", 422: "Unprocessable Entity", 429: "Too Many Requests",
          500: "Internal Server Error"}  # fmt: skip
MOST_BODY = 102_400
STREAM_REAL_SECONDS = 20.0
Verb = Callable[[Request, Any], Response]


def application(world: World, life: RunpodLife) -> HttpCloud:
    """The whole cloud, faults and all."""
    api = RunpodApi(world, life)
    changes = ["POST", "PUT", "PATCH", "DELETE"]
    routes = [
        Route("/v2/catalog/gpus", api.served(api.gpus)),
        Route("/v2/catalog/cpus", api.served(api.cpus)),
        Route("/v2/pods", api.served(api.listed)),
        Route("/v2/pods", api.served(api.create), methods=["POST"]),
        Route("/v2/pods/{id}", api.served(api.one)),
        Route("/v2/pods/{id}", api.served(api.delete), methods=["DELETE"]),
        Route("/v2/pods/{id}/action", api.served(api.action), methods=["POST"]),
        Route("/v2/pods/{id}/logs", api.served(api.logs)),
        Route("/v2/billing/pods", api.served(api.billing)),
        Route("/v2/account/ssh-keys", api.served(api.ssh_keys)),
        Route("/graphql", api.graphql, methods=["POST"]),
        Route("/v1/{rest:path}", api.gone, methods=["GET", *changes]),
        Route("/{rest:path}", api.served(api.nowhere), methods=["GET", *changes]),
    ]
    cloud = HttpCloud("runpod", world, Starlette(routes=routes), operation_of, refusal)
    cloud.streamed = frozenset({"logs"})
    return cloud


def operation_of(method: str, path: str) -> str:
    """A short name for a call, for faults and for our schemas."""
    parts = path.strip("/").split("/")
    if parts[0] == "graphql":
        return "graphql"
    if parts[0] == "v1":
        return "v1"
    if parts[1:2] == ["pods"]:
        if len(parts) == 2:
            return "create" if method == "POST" else "list"
        verb = parts[3] if len(parts) > 3 else {"DELETE": "delete"}.get(method, "get")
        return str(verb)
    return {"gpus": "gpus", "cpus": "cpus"}.get(parts[-1], "billing" if "billing" in parts else "other")


def refusal(refused: Refused) -> Response:
    """RFC 9457."""
    document: dict[str, object] = {
        "title": TITLES.get(refused.status, "Error"),
        "status": refused.status,
        "detail": refused.message,
    }
    if refused.code == "errors":
        document |= {"detail": "Request validation failed.", "errors": refused.message.split("\n")}
    return refused_as_json(refused, document, "application/problem+json")


def _of_another(request: Request) -> dict[str, object]:
    """What an account shows that has rented nothing."""
    if request.method == "GET" and request.url.path == "/v2/pods":
        return {"pods": []}
    raise Refused("", "pod not found", 404)


class RunpodApi:
    """The endpoints, over one landlord."""

    def __init__(self, world: World, life: RunpodLife) -> None:
        self._world, self._life = world, life

    def served(self, verb: Verb) -> Callable[[Request], Any]:
        """An endpoint: key, turn, body, then the verb under the world's lock."""

        async def endpoint(request: Request) -> Response:
            body = await request.body()
            try:
                with self._world.lock:
                    headers = self._let_in(request)
                    if OTHER_KEY in request.headers["authorization"] and "/pods" in request.url.path:
                        return JSONResponse(_of_another(request), headers=headers)
                    answer = verb(request, _parsed(body))
                    answer.headers.update(headers)
                    return answer
            except Refused as refused:
                return refusal(refused)
            except ValueError as error:
                return refusal(Refused("errors", f"$: {error}", 422))

        return endpoint

    def _let_in(self, request: Request) -> dict[str, str]:
        """Whose key, and whether it may; the headers that every answer carries."""
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not key:
            raise Refused("", "missing bearer token", 401)
        pod = next((one for one in self._life.pods.values() if one.pod_key == key), None)
        if key not in (KEY, READ_ONLY_KEY, OTHER_KEY) and pod is None:
            raise Refused("", "invalid bearer token", 401)
        if pod is not None:
            self._pod_may(pod, request)
        elif key == READ_ONLY_KEY and request.method != "GET":
            raise Refused("", "access denied", 403)
        return self._counted()

    def _pod_may(self, pod: Pod, request: Request) -> None:
        """The key in a pod speaks for that pod alone, as far as its rights go."""
        rights, path = self._life.knobs.pod_key_rights, request.url.path
        own = path in (f"/v2/pods/{pod.id}", f"/v2/pods/{pod.id}/action")
        if not own or rights == "none" or (rights == "stop" and request.method == "DELETE"):
            raise Refused("", "access denied", 403)

    def _counted(self) -> dict[str, str]:
        now = self._world.clock.seconds()
        minute, most = int(now // 60), self._life.knobs.requests_a_minute
        left_seconds = math.ceil(60 * (minute + 1) - now)
        used = self._life.windows.get(minute, 0)
        if used >= most:
            self._world.say("429", "", f"{used} in this minute")
            raise Refused("", "rate limit exceeded for the minute window", 429, {"Retry-After": str(left_seconds)})
        self._life.windows[minute] = used + 1
        return {
            "RateLimit": f'"minute";r={most - used - 1};t={left_seconds}, "hour";r=2800;t=1812, "day";r=49500;t=45012',
            "RateLimit-Policy": f'"minute";q={most};w=60, "hour";q=3000;w=3600, "day";q=50000;w=86400',
        }

    def gpus(self, request: Request, body: Any) -> Response:
        """GET /v2/catalog/gpus."""
        del body
        query = request.query_params
        with_stock = query.get("include") == "AVAILABILITY"
        if with_stock and "product" not in query:
            raise Refused("", "include=AVAILABILITY requires product")
        if not with_stock and set(query) & {"count", "cloud", "countryCodes", "minCudaVersion", "cudaVersions"}:
            raise Refused("", "count, cloud and CUDA filters are only valid with include=AVAILABILITY")
        return JSONResponse({"gpus": [self._gpu(one, with_stock) for one in self._life.scenario.gpus.values()]})

    def _gpu(self, kind: GpuType, with_stock: bool) -> dict[str, object]:
        shown: dict[str, object] = {
            "id": kind.id,
            "name": kind.name,
            "pool": None,
            "manufacturer": kind.manufacturer,
            "memory": kind.memory,
            "secure": kind.secure is not None,
            "community": kind.community is not None,
            "price": {"secure": kind.secure or 0, "community": kind.community or 0},
            "maxCount": {"secure": 8, "community": 4},
        }
        if with_stock:
            shown["availability"] = max(kind.data_centers.values(), default="NONE", key=lambda one: "HMLN".find(one[0]))
            shown["cudaVersions"] = [{"version": "12.8", "available": True}]
            if kind.data_centers:
                shown["dataCenters"] = [
                    {"id": id, "name": id, "availability": level} for id, level in kind.data_centers.items()
                ]
        return {**shown, "novelty": {"a": 1}} if self._life.knobs.more_fields else shown

    def cpus(self, request: Request, body: Any) -> Response:
        """GET /v2/catalog/cpus."""
        del request, body
        flavour = {
            "id": "cpu3c",
            "name": "Compute-Optimized",
            "group": "Gen 3",
            "vcpu": {"min": 2, "max": 32},
            "ramGbPerVcpu": 2,
            "price": {"securePerVcpu": CPU_USD_PER_VCPU, "serverlessPerVcpu": CPU_USD_PER_VCPU},
            "availability": "HIGH",
        }
        return JSONResponse({"cpus": [flavour]})

    def listed(self, request: Request, body: Any) -> Response:
        """GET /v2/pods, in pages where a knob says so."""
        del body
        shown = [self._shown(one) for one in self._life.listed()]
        size = self._life.knobs.pages
        if not size:
            return JSONResponse({"pods": shown})
        start = int(request.query_params.get("cursor", 0))
        more = {"nextCursor": str(start + size)} if start + size < len(shown) else {}
        return JSONResponse({"pods": shown[start : start + size], **more})

    def create(self, request: Request, body: Any) -> Response:
        """POST /v2/pods. What the contract does not know is refused with 422."""
        del request
        validator = jsonschema.Draft202012Validator(schema("runpod")["create request"])
        wrong = [f"${'.'.join(['', *map(str, one.path)])}: {one.message}" for one in validator.iter_errors(body)]
        if wrong:
            raise Refused("errors", "\n".join(wrong), 422)
        return JSONResponse(self._shown(self._life.create(body)), 201)

    def one(self, request: Request, body: Any) -> Response:
        """GET /v2/pods/{id}."""
        del body
        return JSONResponse(self._shown(self._known(request)))

    def _known(self, request: Request) -> Pod:
        pod = self._life.pods.get(request.path_params["id"])
        if pod is None or not self._life.shown(pod, by_id=True):
            raise Refused("", "pod not found", 404)
        return pod

    def delete(self, request: Request, body: Any) -> Response:
        """DELETE /v2/pods/{id}."""
        del body
        self._terminate(self._known(request))
        return Response(status_code=204)

    def _terminate(self, pod: Pod) -> None:
        knobs = self._life.knobs
        if knobs.terminate_ignored > 0:
            knobs.terminate_ignored -= 1
            self._world.say("ignored", pod.id, "terminate")
            return
        self._life.end(pod.id, "asked", "deleted")

    def action(self, request: Request, body: Any) -> Response:
        """POST /v2/pods/{id}/action."""
        pod, action = self._known(request), str(body["action"])
        if action not in ACTIONS.get(pod.state, []):
            raise Refused("", f"action {action} is not valid while {pod.state}", 409)
        if action == "terminate":
            self._terminate(pod)
            return Response(status_code=204)
        if action == "stop":
            self._life.stop(pod, "stopped by its own request" if pod.pod_key in str(request.headers) else "stopped")
        elif action == "restart":
            self._life.restart(pod)
        return JSONResponse(self._shown(pod))

    def logs(self, request: Request, body: Any) -> Response:
        """GET /v2/pods/{id}/logs: server-sent events, what there is and then silence."""
        del body
        pod = self._known(request)
        tail = int(request.query_params.get("tail", 100))
        source = request.query_params.get("source", "container")
        lines = self._system(pod) if source == "system" else self._life.lines(pod)[-tail:]
        at = self._world.clock.now().isoformat()

        async def events() -> AsyncIterator[str]:
            for number, line in enumerate(lines):
                data = json.dumps({"source": source, "line": line, "ts": at})
                yield f"id: {at}/{number:012d}\ndata: {data}\n\n"
            for _ in range(0 if self._world.by_hand else int(STREAM_REAL_SECONDS * 10)):
                if await request.is_disconnected():
                    return
                await asyncio.sleep(0.1)

        return StreamingResponse(events(), media_type="text/event-stream")

    def _system(self, pod: Pod) -> list[str]:
        if pod.state == "STARTING":
            return ["create container", f"{pod.body.get('image')}: pulling, 3 of 11 layers"]
        return ["create container", "start container"]

    def billing(self, request: Request, body: Any) -> Response:
        """GET /v2/billing/pods: what was billed, as far as the books have come."""
        del body
        now, clock = self._world.clock.seconds(), self._world.clock
        lag, wanted = self._life.knobs.billing_lag_seconds, request.query_params.get("podId")
        asked = runpod_books.window(request.query_params, clock.now())
        pods = [one for one in self._life.pods.values() if wanted in (None, one.id) and now - one.created >= lag]
        records = runpod_books.records(pods, asked, clock)
        unique = len({one["podId"] for one in records})
        names = ("totalAmount", "gpuAmount", "cpuAmount", "diskAmount")
        totals = {name: sum(float(str(record[name])) for record in records) for name in names}
        query = {"startTime": asked.start.isoformat(), "endTime": asked.end.isoformat(), "bucketSize": asked.size}
        metadata = {
            "query": query,
            "recordCount": len(records),
            "uniquePodCount": unique,
            "totals": totals,
        }
        return JSONResponse({"records": records, "metadata": metadata})

    def ssh_keys(self, request: Request, body: Any) -> Response:
        """GET /v2/account/ssh-keys; nobody of ours changes them."""
        del body
        if request.method != "GET":
            raise Refused("", "method not allowed", 405)
        return JSONResponse({"keys": []})

    def nowhere(self, request: Request, body: Any) -> Response:
        """Everything else."""
        del request, body
        raise Refused("", "resource not found", 404)

    async def gone(self, request: Request) -> Response:
        """REST v1 since 2026-11-15."""
        del request
        return Response("", status_code=410)

    async def graphql(self, request: Request) -> Response:
        """The queries that a launcher, the pods and the `runpod` package still send."""
        if self._life.knobs.graphql_gone:
            return Response("", status_code=410)
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        with self._world.lock:
            pod = next((one for one in self._life.pods.values() if one.pod_key == key), None)
            if key == OTHER_KEY:
                return JSONResponse({"data": {"myself": {"pods": []}}})
            if key not in (KEY, READ_ONLY_KEY) and pod is None:
                return JSONResponse({"errors": [{"message": "Unauthorized"}]}, 401)
            asked = await request.json()
            query = str(asked.get("query", ""))
            if key == READ_ONLY_KEY and "mutation" in query:
                return JSONResponse(_denied())
            return JSONResponse(self._queried(query, dict(asked.get("variables") or {}), pod))

    def _queried(self, query: str, variables: Mapping[str, Any], pod: Pod | None) -> dict[str, Any]:
        for verb, rights in (("podTerminate", ("all",)), ("podStop", ("all", "stop"))):
            if verb in query:
                return self._mutated(verb, query, pod, self._life.knobs.pod_key_rights in rights)
        if "clientBalance" in query:
            account = {
                "id": "user_tests",
                "clientBalance": float(self._life.balance_usd()),
                "currentSpendPerHr": self._life.spending_usd(),
                "spendLimit": self._life.knobs.spend_limit_usd,
            }
            return {"data": {"myself": account}}
        if "pods" in query:
            return {"data": {"myself": {"pods": [self._by_graphql(one) for one in self._still_billed()]}}}
        return {"data": None, "errors": [{"message": f"not simulated: {query[:60]!r} {sorted(variables)}"}]}

    def _still_billed(self) -> list[Pod]:
        """This door shows what REST shows, and what is billed although REST shows it no more."""
        now = self._world.clock.seconds()
        shown = list(self._life.listed())
        billed = [one for one in self._life.pods.values() if one.metered.ended is not None and one.metered.ended > now]
        return [*shown, *(one for one in billed if one not in shown)]

    def _mutated(self, verb: str, query: str, pod: Pod | None, may: bool) -> dict[str, Any]:
        found = next((one for one in self._life.pods.values() if one.id in query and one.alive), None)
        if found is None:
            return {"data": None, "errors": [{"message": "pod not found to terminate", "extensions": {"code": "X"}}]}
        if pod is not None and (pod is not found or not may):
            return _denied()
        if verb == "podTerminate":
            self._terminate(found)
            return {"data": {verb: None}}
        self._life.stop(found, "stopped by GraphQL")
        return {"data": {verb: {"id": found.id, "desiredStatus": "EXITED"}}}

    def _by_graphql(self, pod: Pod) -> dict[str, object]:
        return {
            "id": pod.id,
            "name": pod.body["name"],
            "desiredStatus": "EXITED" if pod.state == "EXITED" else "RUNNING",
            "costPerHr": float(pod.cost_usd),
            "imageName": pod.body.get("image", ""),
            "runtime": None,
        }

    def _shown(self, pod: Pod) -> dict[str, object]:
        knobs, clock = self._life.knobs, self._world.clock
        state = "RUNNING" if pod.state == "TERMINATED" and knobs.lingers_seconds else pod.state
        ports = pod.ports_since is not None
        direct = {
            "host": pod.address,
            "port": pod.port,
            "username": "root",
            "command": f"ssh root@{pod.address} -p {pod.port}",
        }
        proxied = {"private": 19123, "public": 60821, "type": "http", "ip": "100.65.14.155"}
        mapped = {"private": 22, "public": pod.port, "type": "tcp", "ip": pod.address}
        uptime = 0 if pod.running_since is None else int(clock.seconds() - pod.running_since)
        shown: dict[str, object] = {
            "id": pod.id,
            "name": pod.body["name"],
            "status": knobs.odd_status or state,
            "actions": ACTIONS.get(state, []),
            "image": pod.body.get("image", ""),
            "args": pod.body.get("args", ""),
            "disk": pod.body.get("disk", 20),
            "mounts": {},
            "ports": pod.body.get("ports", []),
            "env": pod.env,
            "registry": None,
            **({"gpu": {"id": pod.instance_type, "count": 1}} if pod.gpu else {"cpu": {"id": "cpu3c", "memory": 4}}),
            "cloud": pod.body.get("cloud", "SECURE"),
            "dataCenterId": pod.region,
            "cudaVersion": "12.8",
            "ssh": {"proxy": None, "direct": direct if ports else None},
            "template": None,
            "cost": 0.0 if state in ("EXITED", "TERMINATED") else float(pod.cost_usd),
            "locked": False,
            "globalNetworking": {"enabled": False},
            "runtime": {"uptime": uptime, "gpus": [], "ports": [proxied, mapped]} if ports else None,
            "createdAt": clock.at(pod.created).isoformat(),
            "startedAt": None if pod.running_since is None else clock.at(pod.running_since).isoformat(),
        }
        if knobs.no_cost:
            del shown["cost"]
        return {**shown, "novelty": [1]} if knobs.more_fields else shown


def _denied() -> dict[str, Any]:
    return {"data": None, "errors": [{"message": "access denied", "extensions": {"code": "FORBIDDEN"}}]}


def _parsed(body: bytes) -> Any:
    if len(body) > MOST_BODY:
        raise Refused("", "request body too large", 413)
    return json.loads(body) if body else None
