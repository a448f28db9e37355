"""Whatever Lambda and Runpod answer, nothing but our own typed errors escapes from any verb (promise 5)."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from providers.base import OfferQuery, Provider, ProviderError, Unavailable
from tests.providers.hand_clouds import OWNER, HandClouds
from tests.providers.plain_server import Heard, PlainServer, Said, document
from tests.providers.samples import lambda_offer, machine, request, runpod_offer

Verb = Callable[[Provider], object]
KEY_NAME = f"launch-{OWNER[:8]}-calm-fox-0001"
NAME = f"launch-calm-fox-0001-1-{OWNER[:8]}-a1"
DEEP: Any = {"data": {"data": {"data": [[[{}]]]}}}
ANSWERS: dict[str, object] = {
    "null": None,
    "a number": 7,
    "a text": "ok",
    "an empty list": [],
    "an empty object": {},
    "null inside": {"data": None, "pods": None, "gpus": None, "records": None},
    "texts inside": {"data": "x", "pods": "x", "gpus": "x", "records": "x"},
    "numbers inside": {"data": 1, "pods": 1, "gpus": 1, "records": 1},
    "lists of nothing": {"data": [None], "pods": [None], "gpus": [None], "records": [None]},
    "lists of lists": {"data": [[]], "pods": [[]], "gpus": [[]], "records": [[]]},
    "objects of nothing": {"data": {"a": None}, "pods": {"a": None}},
    "ours without the rest": {"data": [{"name": NAME}], "pods": [{"name": NAME}], "name": NAME},
    "ours with odd ids": {"data": [{"id": 7, "name": NAME}], "pods": [{"id": [], "name": NAME}], "id": {}},
    "an error that is none": {"error": "no", "errors": 7, "detail": []},
    "something deep": DEEP,
}
AGES = "0001-01-01T00:00:00+23:59"
BEYOND = Said(
    body=json.dumps(
        {
            "id": "m1", "name": NAME, "createdAt": AGES, "env": {"LAUNCH_ATTEMPT": "9" * 5000, "LAUNCH_DEADLINE": AGES},
            "cost": "HUGE", "pods": [], "records": [{"podId": "m1", "totalAmount": "HUGE"}],
            "cpus": [{"id": "cpu3c", "price": {"securePerVcpu": "HUGE"}, "vcpu": {"min": "HUGE", "max": "HUGE"}}],
            "gpus": [{"id": "NVIDIA L4", "memory": "LONG", "price": {"secure": "HUGE", "community": 1}}],
            "data": {
                "id": "m1", "name": NAME, "instance_ids": ["m1"], "myself": {"clientBalance": "HUGE"},
                "tags": [{"key": "launch:attempt", "value": "9" * 5000}, {"key": "launch:deadline", "value": AGES}],
                "instance_type": {
                    "name": "gpu_1x_a10", "gpu_description": "A10", "price_cents_per_hour": "HUGE",
                    "specs": {"gpus": 1, "vcpus": "LONG", "memory_gib": "LONG"},
                },
                "regions_with_capacity_available": [{"name": "us-east-1"}],
            },
        }
    ).encode(),
    headers={"Date": f"Mon, 01 Jan {9**40} 00:00:00 GMT", "Retry-After": "9" * 5000},
)  # fmt: skip
"""All of it as the interface says, but for numbers and times that nobody can count on."""
NUMBERS = {
    "beyond all exponents": ("1e999999999999999999999", "1e999999999999999999999"),
    "with an exponent": ("1e9999999", "1" + "0" * 400),
    "next to nothing": ("1e-9999999", "1" + "0" * 4200),
    "too long to read": ("1", "9" * 5000),
}


@pytest.fixture(params=["lambda", "runpod"])
def provider(request: pytest.FixtureRequest, clouds: HandClouds, server: PlainServer, tmp_path: Path) -> Provider:
    """One whose cloud is `server`."""
    if request.param == "lambda":
        environ, hurried = clouds.lambda_environ(LAMBDA_API_BASE_URL=server.url), {"seconds_between_launches": 0}
        return clouds.lambda_at(tmp_path, environ, settings=hurried)
    return clouds.runpod_at(tmp_path, clouds.runpod_environ(RUNPOD_API_BASE_URL=server.url))


def create(provider: Provider) -> object:
    return provider.create(request(lambda_offer() if provider.name == "lambda" else runpod_offer()))


VERBS: dict[str, Verb] = {
    "offers": lambda provider: provider.offers(OfferQuery(community=True)),
    "create": create,
    "get": lambda provider: provider.get(machine(provider=provider.name)),
    "list": lambda provider: provider.list(),
    "terminate": lambda provider: provider.terminate(machine(provider=provider.name)),
    "leftovers": lambda provider: provider.leftovers(),
    "funds": lambda provider: provider.funds(),
    "console": lambda provider: provider.console(machine(provider=provider.name)),
    "billed_usd": lambda provider: provider.billed_usd(machine(provider=provider.name)),
    "trial": lambda provider: provider.trial(),
}
"""All but `check` and `still_there`, which start a second program for Runpod and have tests of their own."""


@pytest.mark.parametrize("status", [200, 201, 400, 404, 500])
@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_only_our_errors_escape_from_a_verb(provider: Provider, server: PlainServer, verb: Verb, status: int) -> None:
    for answer in ANSWERS.values():
        server.says(document(answer, status))
        with contextlib.suppress(ProviderError):
            verb(provider)


@pytest.mark.parametrize("status", [200, 429, 500])
@pytest.mark.parametrize(("huge", "long"), NUMBERS.values(), ids=NUMBERS)
@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_only_our_errors_escape_for_numbers_and_times_beyond_this_world(
    provider: Provider, server: PlainServer, verb: Verb, huge: str, long: str, status: int
) -> None:
    body = BEYOND.body.replace(b'"HUGE"', huge.encode()).replace(b'"LONG"', long.encode())
    server.says(replace(BEYOND, body=body, status=status))
    with contextlib.suppress(ProviderError):
        verb(provider)


@pytest.fixture
def with_a_nameless_key(clouds: HandClouds, server: PlainServer, tmp_path: Path) -> Provider:
    """Lambda lists the run's key, with another public key, and without an id."""

    def script(heard: Heard) -> Said:
        del heard
        return document({"data": [{"name": KEY_NAME, "public_key": "ssh-ed25519 AAAAother run"}]})

    server.script = script
    return clouds.lambda_at(tmp_path, clouds.lambda_environ(LAMBDA_API_BASE_URL=server.url))


def test_a_key_without_an_id_makes_the_leftovers_unavailable(with_a_nameless_key: Provider) -> None:
    with pytest.raises(Unavailable):
        with_a_nameless_key.leftovers()


def test_a_key_without_an_id_makes_no_machine_and_one_of_our_errors(with_a_nameless_key: Provider) -> None:
    with pytest.raises(ProviderError):
        create(with_a_nameless_key)
