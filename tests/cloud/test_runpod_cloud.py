"""The simulated Runpod by plain HTTP: its keys, its limits, its refusals, its bills; and its schemas, which judge."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from tests.cloud import runpod_api
from tests.cloud.client import RUNPOD_KEY, RUNPOD_READ_ONLY_KEY
from tests.cloud.clock import HandClock
from tests.cloud.http_cloud import HttpCloud, schema, serving
from tests.cloud.meter import bill
from tests.cloud.runpod_life import RunpodLife
from tests.cloud.world import World
from tests.providers.hand_clouds import until_open

Headers = Mapping[str, str]
RTX4090 = "NVIDIA GeForce RTX 4090"
BODY: dict[str, Any] = {
    "name": "by-hand",
    "image": "runpod/pytorch:1",
    "gpu": {"id": RTX4090, "count": 1},
    "cloud": "SECURE",
    "dataCenterIds": ["US-KS-2"],
    "disk": 40,
    "ports": ["22/tcp"],
    "env": {"TEAM": "tests"},
}
RECORDED: dict[str, Any] = {
    # as recorded in a public trace of 2026-08-20 (facts/runpod.md, section 2)
    "id": "5xpma5eg46tqjq",
    "name": "lr-7f3a-1",
    "status": "RUNNING",
    "actions": ["stop", "restart", "terminate"],
    "image": "x",
    "args": "",
    "disk": 30,
    "mounts": {},
    "ports": ["22/tcp"],
    "env": {"A": "b"},
    "registry": None,
    "gpu": {"id": "NVIDIA RTX PRO 4500 Blackwell", "count": 1},
    "cloud": "SECURE",
    "dataCenterId": "EU-RO-1",
    "cudaVersion": "13.0",
    "ssh": {
        "proxy": {"host": "ssh.runpod.io", "port": 22, "username": "5xp-64411eb2", "command": "ssh"},
        "direct": {"host": "213.173.104.74", "port": 35558, "username": "root", "command": "ssh"},
    },
    "template": None,
    "cost": 0.72,
    "locked": False,
    "globalNetworking": {"enabled": False},
    "runtime": {
        "uptime": 3,
        "ports": [
            {"private": 22, "public": 35558, "type": "tcp", "ip": "213.173.104.74"},
            {"private": 19123, "public": 60821, "type": "http", "ip": "100.65.14.155"},
        ],
    },
    "createdAt": "2026-08-20T10:00:00Z",
    "startedAt": "2026-08-20T10:00:40Z",
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    document: Any
    headers: Headers


@dataclass(frozen=True, kw_only=True)
class Customer:
    """Somebody with an account, who keeps to no pace."""

    url: str
    world: World
    life: RunpodLife
    cloud: HttpCloud

    def ask(self, method: str, path: str, body: object = None, key: str = RUNPOD_KEY) -> Answer:
        """One call."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        request = urllib.request.Request(f"{self.url}{path}", method=method, data=data, headers=headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=20) as answer:
                return Answer(status=answer.status, document=_read(answer.read()), headers=dict(answer.headers))
        except urllib.error.HTTPError as refused:
            with refused:
                return Answer(status=refused.code, document=_read(refused.read()), headers=dict(refused.headers))

    def create(self, **changes: object) -> Answer:
        """A pod, or not."""
        return self.ask("POST", "/v2/pods", {**BODY, **changes})

    def created(self, **changes: object) -> str:
        """A pod's id."""
        answer = self.create(**changes)
        assert answer.status == 201, answer
        return str(answer.document["id"])

    def cost(self, id: str) -> Decimal:
        """What the meter says of a pod."""
        return bill(self.life.pods[id].metered, self.world.clock.seconds()).total_usd


def _read(body: bytes) -> Any:
    return json.loads(body) if body else None


@pytest.fixture(scope="module")
def opened() -> Iterator[Customer]:
    world = World(HandClock())
    life = RunpodLife(world)
    cloud = runpod_api.application(world, life)
    with serving(cloud) as url:
        yield Customer(url=until_open(url), world=world, life=life, cloud=cloud)


@pytest.fixture
def customer(opened: Customer) -> Customer:
    """Nothing there, at the beginning of a minute."""
    opened.world.reset()
    opened.cloud.calls.clear()
    opened.cloud.violations.clear()
    opened.world.pass_time(60 - opened.world.clock.seconds() % 60)
    return opened


@pytest.mark.parametrize(("key", "detail"), [("", "missing bearer token"), ("rpa_other", "invalid bearer token")])
def test_a_missing_and_a_wrong_key_are_refused_as_problems(customer: Customer, key: str, detail: str) -> None:
    answer = customer.ask("GET", "/v2/pods", key=key)
    assert answer.document == {"title": "Unauthorized", "status": 401, "detail": detail}
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_key_that_may_only_read_reads_and_creates_nothing(customer: Customer) -> None:
    assert customer.ask("GET", "/v2/pods", key=RUNPOD_READ_ONLY_KEY).status == 200
    answer = customer.ask("POST", "/v2/pods", BODY, key=RUNPOD_READ_ONLY_KEY)
    assert (answer.status, answer.document["detail"]) == (403, "access denied")


def test_every_answer_tells_what_is_left_of_the_minute_until_nothing_is(customer: Customer) -> None:
    customer.world.set_knobs("runpod", {"requests_a_minute": 3})
    left = [customer.ask("GET", "/v2/pods").headers["ratelimit"].split(",")[0] for _ in range(3)]
    assert left == [f'"minute";r={number};t=60' for number in (2, 1, 0)]
    refused = customer.ask("GET", "/v2/pods")
    assert (refused.status, refused.headers["retry-after"]) == (429, "60")
    customer.world.pass_time(60)
    assert customer.ask("GET", "/v2/pods").status == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"terminateAfter": "2026-11-24T12:00:00Z"},
        {"interruptible": True},
        {"name": ""},
        {"ports": ["22"]},
        {"gpu": {"id": RTX4090, "bid": 0.2}},
        {"env": {"A": 1}},
        {"env": {f"N{number}": "" for number in range(51)}},
    ],
)
def test_a_body_with_what_the_interface_does_not_know_is_refused_with_its_errors(
    customer: Customer, changes: dict[str, object]
) -> None:
    answer = customer.create(**changes)
    assert (answer.status, answer.document["detail"]) == (422, "Request validation failed.")
    assert answer.document["errors"]


def test_a_body_beyond_100_kb_is_refused(customer: Customer) -> None:
    assert customer.create(args="x" * 102_400).status == 413


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dataCenterIds": ["EU-XX-9"]}, "no longer any instances"),
        ({"disk": 10}, "does not have the resources"),
        ({"gpu": {"id": "NVIDIA L4"}, "cloud": "COMMUNITY"}, "no GPU type"),
        ({"cpu": {"id": "cpu3c"}}, "exactly one of gpu or cpu"),
    ],
)
def test_what_cannot_be_placed_and_what_breaks_a_rule_are_one_status_and_other_words(
    customer: Customer, changes: dict[str, object], words: str
) -> None:
    answer = customer.create(**changes)
    assert answer.status == 400
    assert words in answer.document["detail"]


def test_who_cannot_pay_for_an_hour_gets_no_pod(customer: Customer) -> None:
    customer.world.set_knobs("runpod", {"balance_usd": "0.68"})
    answer = customer.create()
    assert (answer.status, answer.document["detail"]) == (402, "Your account balance is too low to rent a pod")


def test_a_pod_goes_through_its_states_and_gets_its_port_last(customer: Customer) -> None:
    customer.world.set_knobs("runpod", {"pending_seconds": 10.0, "pull_seconds": 10.0, "ports_seconds": 10.0})
    id = customer.created()
    seen = []
    for _ in range(4):
        pod = customer.ask("GET", f"/v2/pods/{id}").document
        seen.append((pod["status"], pod["ssh"]["direct"] is not None, pod["runtime"] is not None))
        customer.world.pass_time(11)
    assert seen == [
        ("PROVISIONING", False, False),
        ("STARTING", False, False),
        ("RUNNING", False, False),
        ("RUNNING", True, True),
    ]


def test_a_pod_is_billed_by_the_second_from_its_create_call_with_its_disk(customer: Customer) -> None:
    id = customer.created()
    customer.world.pass_time(1800)
    customer.ask("DELETE", f"/v2/pods/{id}")
    customer.world.pass_time(3600)
    disk = Decimal("0.10") * 40 / 730 / 2
    assert abs(customer.cost(id) - (Decimal("0.69") / 2 + disk)) < Decimal("0.0005")


def test_a_stopped_pod_costs_no_gpu_and_is_still_there(customer: Customer) -> None:
    id = customer.created()
    customer.world.pass_time(60)
    customer.ask("POST", f"/v2/pods/{id}/action", {"action": "stop"})
    before = customer.cost(id)
    customer.world.pass_time(3600)
    pod = customer.ask("GET", f"/v2/pods/{id}").document
    assert (pod["status"], pod["cost"], pod["actions"]) == ("EXITED", 0.0, ["start", "terminate"])
    assert customer.cost(id) - before < Decimal("0.05")


def test_an_action_that_is_not_possible_is_a_conflict(customer: Customer) -> None:
    id = customer.created()
    assert customer.ask("POST", f"/v2/pods/{id}/action", {"action": "start"}).status == 409


def test_a_deleted_pod_is_not_found(customer: Customer) -> None:
    id = customer.created()
    deleted = customer.ask("DELETE", f"/v2/pods/{id}")
    assert (deleted.status, deleted.document) == (204, None)
    assert customer.ask("DELETE", f"/v2/pods/{id}").status == 404
    assert customer.ask("GET", "/v2/pods").document == {"pods": []}


def test_at_zero_pods_are_removed(customer: Customer) -> None:
    customer.world.set_knobs("runpod", {"balance_usd": "0.70"})
    id = customer.created()
    customer.world.pass_time(2 * 3600)
    assert customer.ask("GET", f"/v2/pods/{id}").status == 404
    assert customer.life.balance_usd() > Decimal("-0.10")


@pytest.mark.parametrize(("rights", "statuses"), [("all", (204, 404)), ("stop", (403, 200)), ("none", (403, 403))])
def test_the_key_in_a_pod_may_what_the_account_lets_it(
    customer: Customer, rights: str, statuses: tuple[int, int]
) -> None:
    customer.world.set_knobs("runpod", {"pod_key_rights": rights})
    id = customer.created()
    key = customer.life.pods[id].pod_key
    customer.world.pass_time(30)
    deleted = customer.ask("DELETE", f"/v2/pods/{id}", key=key).status
    stopped = customer.ask("POST", f"/v2/pods/{id}/action", {"action": "stop"}, key=key).status
    assert (deleted, stopped) == statuses


def test_the_key_in_a_pod_speaks_for_no_other_pod(customer: Customer) -> None:
    one, other = customer.created(), customer.created()
    key = customer.life.pods[one].pod_key
    assert customer.ask("DELETE", f"/v2/pods/{other}", key=key).status == 403
    assert customer.ask("GET", "/v2/pods", key=key).status == 403


def test_the_version_that_is_gone_says_so_to_everything(customer: Customer) -> None:
    for method in ("GET", "POST", "DELETE", "PATCH"):
        assert customer.ask(method, "/v1/pods").status == 410


def test_the_books_tell_each_hour_of_the_window_that_was_asked_for(customer: Customer) -> None:
    clock = customer.world.clock
    customer.world.pass_time(3600 - clock.seconds() % 3600)
    id, born = customer.created(), clock.seconds()
    customer.world.pass_time(3 * 3600 - 60)
    since, until = (clock.at(born + at).isoformat().replace("+00:00", "Z") for at in (3600, 7200))

    def told(query: str) -> list[Any]:
        found: list[Any] = customer.ask("GET", f"/v2/billing/pods?bucketSize=hour&{query}").document["records"]
        assert {one["podId"] for one in found} <= {id}
        return found

    assert len(told(f"startTime={since}&endTime={until}")) == 1
    assert len(told(f"startTime={since}")) == 2
    assert len(told("lastN=2")) == 2
    total = sum(Decimal(str(one["totalAmount"])) for one in told("lastN=100"))
    assert abs(total - customer.cost(id)) < Decimal("0.001")


@pytest.mark.parametrize(
    "query", ["lastN=2&startTime=2026-11-24T12:00:00Z", "lastN=0", "startTime=noon", "bucketSize=minute"]
)
def test_a_window_that_makes_no_sense_is_refused(customer: Customer, query: str) -> None:
    assert customer.ask("GET", f"/v2/billing/pods?{query}").status == 400


def test_the_books_lag(customer: Customer) -> None:
    id = customer.created()
    customer.world.pass_time(300)
    assert customer.ask("GET", f"/v2/billing/pods?podId={id}").document["records"] == []
    customer.world.pass_time(600)
    (record,) = customer.ask("GET", f"/v2/billing/pods?podId={id}").document["records"]
    assert Decimal(str(record["totalAmount"])).quantize(Decimal("0.001")) == customer.cost(id).quantize(
        Decimal("0.001")
    )


def test_a_whole_life_breaks_no_schema(customer: Customer) -> None:
    id = customer.created()
    customer.world.pass_time(30)
    catalogue = "/v2/catalog/gpus?include=AVAILABILITY&product=POD"
    for path in (catalogue, "/v2/catalog/cpus", "/v2/pods", f"/v2/pods/{id}", "/v2/billing/pods", "/v2/nowhere"):
        customer.ask("GET", path)
    customer.ask("POST", f"/v2/pods/{id}/action", {"action": "stop"})
    customer.ask("POST", f"/v2/pods/{id}/action", {"action": "terminate"})
    customer.ask("POST", "/graphql", {"query": "query { myself { clientBalance } }"})
    customer.ask("POST", "/v2/pods", {})
    assert {one.status for one in customer.cloud.calls} == {200, 201, 204, 404, 422}
    assert customer.cloud.violations == []


def violations(document: object, path: str, body: object = None, status: int = 200) -> list[str]:
    """What the schemas say where a Runpod gives that answer to that request."""
    world = World(HandClock())
    RunpodLife(world)

    async def answer(request: Request) -> JSONResponse:
        del request
        return JSONResponse(document, status)

    inner = Starlette(routes=[Route("/{rest:path}", answer, methods=["GET", "POST"])])
    cloud = HttpCloud("runpod", world, inner, runpod_api.operation_of, runpod_api.refusal)
    TestClient(cloud).request("GET" if body is None else "POST", path, json=body)
    return cloud.violations


def test_the_recorded_pod_breaks_no_schema() -> None:
    assert violations({"pods": [RECORDED]}, "/v2/pods") == []
    assert violations(RECORDED, "/v2/pods", BODY, 201) == []


@pytest.mark.parametrize("missing", ["id", "status", "env", "ssh", "createdAt", "ports"])
def test_a_pod_that_lacks_what_is_promised_is_noticed(missing: str) -> None:
    pod = {name: value for name, value in RECORDED.items() if name != missing}
    assert violations(pod, "/v2/pods/x")


@pytest.mark.parametrize(
    ("path", "document", "status"),
    [
        ("/v2/pods", [RECORDED], 200),
        ("/v2/pods", {"pods": [{**RECORDED, "cost": "0.72"}]}, 200),
        ("/v2/pods", {"pods": [{**RECORDED, "cloud": "PRIVATE"}]}, 200),
        ("/v2/pods", {"error": "no"}, 403),
        ("/v2/pods/x", {"title": "Not Found", "status": "404", "detail": "pod not found"}, 404),
        ("/v2/catalog/gpus", {"gpus": [{"id": RTX4090}]}, 200),
        ("/v2/catalog/cpus", {"cpus": {}}, 200),
        ("/v2/billing/pods", {"records": [{}], "metadata": {}}, 200),
    ],
)
def test_an_answer_that_breaks_the_interface_is_noticed(path: str, document: object, status: int) -> None:
    assert violations(document, path, status=status)


@pytest.mark.parametrize("more", [{"stopAfter": "2026-11-24T12:00:00Z"}, {"bidPerGpu": 0.2}, {"cloud": "ALL"}])
def test_a_request_that_breaks_the_interface_and_was_taken_is_noticed(more: dict[str, object]) -> None:
    assert violations(RECORDED, "/v2/pods", {**BODY, **more}, 201)


def test_every_call_has_a_schema_of_its_answer() -> None:
    answers = {name.partition(" ")[0] for name in schema("runpod") if name.split()[-1].isdigit()}
    assert answers >= {"gpus", "cpus", "list", "get", "create", "delete", "action", "billing", "graphql", "v1"}
