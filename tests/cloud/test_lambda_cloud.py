"""The simulated Lambda by plain HTTP: its limits, its refusals, its bills; and its schemas, which really judge."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from tests.cloud import lambda_api
from tests.cloud.client import LAMBDA_KEY
from tests.cloud.clock import HandClock
from tests.cloud.faults import Fault
from tests.cloud.http_cloud import HttpCloud, schema, serving
from tests.cloud.lambda_life import LambdaLife
from tests.cloud.meter import bill
from tests.cloud.world import World
from tests.providers.hand_clouds import until_open

Answer = tuple[int, Any]
BODY: dict[str, object] = {
    "region_name": "us-east-1",
    "instance_type_name": "gpu_1x_a10",
    "ssh_key_names": ["laptop"],
    "name": "by-hand",
}
PUBLISHED: dict[str, Any] = {
    # the sample of the interface's own description (facts/lambda.md, section 3)
    "id": "0920582c7ff041399e34823a0be62549",
    "name": "lr-7f3a-1",
    "ip": "198.51.100.2",
    "private_ip": "10.0.2.100",
    "status": "active",
    "ssh_key_names": ["lr-7f3a"],
    "file_system_names": [],
    "region": {"name": "us-west-1", "description": "California, USA"},
    "instance_type": {
        "name": "gpu_1x_a10",
        "description": "1x A10 (24 GB PCIe)",
        "gpu_description": "A10 (24 GB PCIe)",
        "price_cents_per_hour": 75,
        "specs": {"vcpus": 30, "memory_gib": 200, "storage_gib": 1400, "gpus": 1},
    },
    "hostname": "headnode1",
    "actions": {name: {"available": True} for name in ("migrate", "rebuild", "restart", "cold_reboot", "terminate")},
    "tags": [{"key": "lr-run", "value": "7f3a"}],
    "firewall_rulesets": [{"id": "c4d2"}],
}


@dataclass(frozen=True, kw_only=True)
class Customer:
    """Somebody with an account, who keeps to no pace."""

    url: str
    world: World
    life: LambdaLife
    cloud: HttpCloud

    def ask(self, method: str, path: str, body: object = None, key: str = LAMBDA_KEY) -> Answer:
        """Status and document."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        request = urllib.request.Request(f"{self.url}/api/v1{path}", method=method, data=data, headers=headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=20) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.load(refused)

    def launch(self, **changes: object) -> Answer:
        """A launch after so long that it is nobody's turn."""
        self.world.pass_time(13)
        return self.ask("POST", "/instance-operations/launch", {**BODY, **changes})


@contextmanager
def customer() -> Iterator[Customer]:
    world = World(HandClock())
    life = LambdaLife(world)
    cloud = lambda_api.application(world, life)
    with serving(cloud) as url:
        yield Customer(url=until_open(url), world=world, life=life, cloud=cloud)


@pytest.fixture(scope="module")
def opened() -> Iterator[Customer]:
    with customer() as found:
        yield found


@pytest.fixture
def lamb(opened: Customer) -> Customer:
    """Nothing there but a key."""
    opened.world.reset()
    opened.cloud.calls.clear()
    opened.cloud.violations.clear()
    opened.life.keys["k"] = {"id": "k", "name": "laptop", "public_key": "ssh-ed25519 AAAA laptop"}
    opened.world.pass_time(60)
    return opened


def code(answer: Answer) -> tuple[int, str]:
    return answer[0], answer[1]["error"]["code"]


@pytest.mark.parametrize(
    ("key", "message"),
    [("", "No API key was provided."), ("secret_other", "API key was invalid, expired, or deleted.")],
)
def test_a_missing_and_a_wrong_key_get_their_own_words(lamb: Customer, key: str, message: str) -> None:
    status, document = lamb.ask("GET", "/instances", key=key)
    assert (status, document["error"]["code"], document["error"]["message"]) == (
        401,
        "global/invalid-api-key",
        message,
    )


def test_a_request_within_a_second_of_the_last_is_refused_and_counts_for_nothing(lamb: Customer) -> None:
    assert lamb.ask("GET", "/instances")[0] == 200
    assert lamb.ask("GET", "/instances")[0] == 429
    lamb.world.pass_time(1)
    assert lamb.ask("GET", "/instances")[0] == 200


def test_a_launch_within_12_seconds_of_the_last_is_refused_and_not_carried_out(lamb: Customer) -> None:
    assert lamb.launch()[0] == 200
    lamb.world.pass_time(2)
    assert lamb.ask("POST", "/instance-operations/launch", BODY)[0] == 429
    assert len(lamb.life.machines) == 1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"region_name": "us-north-1"}, (400, "global/object-does-not-exist")),
        ({"instance_type_name": "gpu_1x_z9"}, (400, "global/object-does-not-exist")),
        ({"ssh_key_names": ["nobodys"]}, (400, "global/object-does-not-exist")),
        ({"image": {"family": "none"}}, (400, "global/object-does-not-exist")),
        ({"ssh_key_names": ["laptop", "laptop"]}, (400, "global/invalid-parameters")),
        ({"ssh_key_names": []}, (400, "global/invalid-parameters")),
        ({"name": "x" * 65}, (400, "global/invalid-parameters")),
        ({"hostname": "Not_A_Host"}, (400, "global/invalid-parameters")),
        ({"quantity": 2}, (400, "global/invalid-parameters")),
        ({"tags": [{"key": "Upper", "value": "x"}]}, (400, "global/invalid-parameters")),
        ({"tags": [{"key": "lambda-ai-x", "value": "x"}]}, (400, "global/invalid-parameters")),
        ({"tags": [{"key": "x", "value": "y" * 129}]}, (400, "global/invalid-parameters")),
        ({"user_data": "x" * 1_000_001}, (400, "global/invalid-parameters")),
    ],
)
def test_a_launch_that_breaks_a_rule_is_refused_by_its_code(
    lamb: Customer, changes: dict[str, object], expected: tuple[int, str]
) -> None:
    assert code(lamb.launch(**changes)) == expected
    assert lamb.life.machines == {}


def test_what_is_listed_may_be_refused_and_what_is_not_listed_may_be_had(lamb: Customer) -> None:
    lamb.life.scenario.capacity["us-east-1/gpu_1x_a10"] = 0
    assert code(lamb.launch()) == (400, "instance-operations/launch/insufficient-capacity")
    assert lamb.launch(instance_type_name="gpu_1x_a6000")[0] == 200


def test_two_machines_of_one_name_are_two_machines(lamb: Customer) -> None:
    assert lamb.launch()[1] != lamb.launch()[1]
    assert [one.name for one in lamb.life.machines.values()] == ["by-hand"] * 2


def test_a_machine_is_billed_from_active_to_the_terminate_request_by_the_minute(lamb: Customer) -> None:
    lamb.world.set_knobs("lambda", {"pending_seconds": 30.0, "active_seconds": 30.0, "ending_seconds": 600.0})
    (id,) = lamb.launch()[1]["data"]["instance_ids"]
    lamb.world.pass_time(60 + 90)
    lamb.ask("POST", "/instance-operations/terminate", {"instance_ids": [id]})
    lamb.world.pass_time(3600)
    metered = lamb.life.machines[id].metered
    assert bill(metered, lamb.world.clock.seconds()).total_usd == Decimal("1.29") * 2 / 60


def test_a_machine_that_is_over_is_listed_for_a_while_and_then_forgotten(lamb: Customer) -> None:
    (id,) = lamb.launch()[1]["data"]["instance_ids"]
    lamb.world.pass_time(5)
    lamb.ask("POST", "/instance-operations/terminate", {"instance_ids": [id]})
    lamb.world.pass_time(5)
    assert [one["status"] for one in lamb.ask("GET", "/instances")[1]["data"]] == ["terminated"]
    lamb.world.pass_time(60)
    assert lamb.ask("GET", "/instances")[1]["data"] == []
    lamb.world.pass_time(2)
    assert code(lamb.ask("GET", f"/instances/{id}")) == (404, "global/object-does-not-exist")


def test_a_machine_that_is_ill_is_billed_on(lamb: Customer) -> None:
    lamb.world.set_knobs("lambda", {"unhealthy": 1})
    (id,) = lamb.launch()[1]["data"]["instance_ids"]
    lamb.world.pass_time(3600)
    assert lamb.ask("GET", "/instances")[1]["data"][0]["status"] == "unhealthy"
    assert bill(lamb.life.machines[id].metered, lamb.world.clock.seconds()).total_usd > 1


def test_a_whole_life_breaks_no_schema(lamb: Customer) -> None:
    (id,) = lamb.launch()[1]["data"]["instance_ids"]
    asked = [("GET", "/instance-types"), ("GET", "/regions"), ("GET", "/images"), ("GET", "/ssh-keys")]
    asked += [("GET", "/instances"), ("GET", f"/instances/{id}"), ("GET", "/instances/none"), ("GET", "/nowhere")]
    lamb.world.pass_time(60)
    statuses = []
    for method, path in asked:
        lamb.world.pass_time(2)
        statuses.append(lamb.ask(method, path)[0])
    assert statuses == [200] * 6 + [404] * 2
    assert lamb.cloud.violations == []


def violations(document: object, path: str, body: object = None) -> list[str]:
    """What the schemas say where a Lambda gives that answer to that request."""
    world = World(HandClock())
    LambdaLife(world)

    async def answer(request: Request) -> JSONResponse:
        del request
        return JSONResponse(document)

    inner = Starlette(routes=[Route("/{rest:path}", answer, methods=["GET", "POST"])])
    cloud = HttpCloud("lambda", world, inner, lambda_api.operation_of, lambda_api.refusal)
    TestClient(cloud).request("GET" if body is None else "POST", f"/api/v1{path}", json=body)
    return cloud.violations


def test_the_published_sample_of_a_machine_breaks_no_schema() -> None:
    assert violations({"data": [PUBLISHED]}, "/instances") == []


def without(name: str) -> Mapping[str, object]:
    return {key: value for key, value in PUBLISHED.items() if key != name}


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/instances", {"data": [without("status")]}),
        ("/instances", {"data": [{**PUBLISHED, "region": "us-west-1"}]}),
        ("/instances", {"data": [{**PUBLISHED, "tags": [{"key": "UP", "value": ""}]}]}),
        ("/instances", {"data": [], "more": 1}),
        ("/instances", []),
        ("/instances/x", {"data": without("id")}),
        ("/instance-types", {"data": []}),
        ("/instance-types", {"data": {"a": {"instance_type": {}, "regions_with_capacity_available": []}}}),
        ("/ssh-keys", {"data": [{"id": "k", "name": ""}]}),
        ("/images", {"data": [{"id": "i"}]}),
    ],
)
def test_an_answer_that_breaks_the_interface_is_noticed(path: str, document: object) -> None:
    assert violations(document, path)


@pytest.mark.parametrize(
    "body",
    [
        {**BODY, "quantity": 1},
        {**BODY, "ssh_key_names": ["a", "b"]},
        {**BODY, "name": "x" * 65},
        {**BODY, "image": {}},
        {name: value for name, value in BODY.items() if name != "region_name"},
    ],
)
def test_a_request_that_breaks_the_interface_and_was_taken_is_noticed(body: object) -> None:
    taken = {"data": {"instance_ids": ["i"]}}
    assert violations(taken, "/instance-operations/launch", body)
    assert violations(taken, "/instance-operations/launch", BODY) == []


def test_every_call_has_a_schema_of_its_answer() -> None:
    answered = {operation for operation in lambda_api.OPERATIONS.values() if f"{operation} 200" not in schema("lambda")}
    assert answered == {"restart"}  # no launcher of ours restarts a machine, and this cloud does not know how


def test_a_fault_is_put_out_outside_of_the_cloud_and_counted(lamb: Customer) -> None:
    fault = Fault(operation="lambda.launch", when="after")
    lamb.world.faults.plant(fault)
    assert code(lamb.ask("POST", "/instance-operations/launch", BODY)) == (500, "InternalError")
    assert (fault.fired, len(lamb.life.machines)) == (1, 1)
