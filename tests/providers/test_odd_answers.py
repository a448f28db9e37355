"""Whatever Lambda and Runpod answer, nothing but our own typed errors escapes from any verb (promise 5)."""

import contextlib
from collections.abc import Callable
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
