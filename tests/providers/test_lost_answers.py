"""A create call without a token whose answer gets lost: unclear, sent once, and the machine found by its nonce."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pricing.offer import Offer
from providers.base import Ambiguous, Provider
from tests.providers.hand_clouds import HandClouds
from tests.providers.samples import lambda_offer, request, runpod_offer


@dataclass(frozen=True, kw_only=True)
class Tokenless:
    """One of the two: how its create call is named at the test cloud, and something to ask for."""

    provider: Provider
    operation: str
    offer: Callable[[], Offer]


@pytest.fixture(params=["lambda", "runpod"])
def tokenless(request: pytest.FixtureRequest, clouds: HandClouds, tmp_path: Path) -> Tokenless:
    if request.param == "lambda":
        return Tokenless(provider=clouds.lambda_at(tmp_path), operation="lambda.launch", offer=lambda_offer)
    return Tokenless(provider=clouds.runpod_at(tmp_path), operation="runpod.create", offer=runpod_offer)


LOST: dict[str, dict[str, Any]] = {
    "an error after it was done": {"when": "after"},
    "a line that hangs and breaks": {"when": "hang", "applied": True, "seconds": 0.1},
    "a line that breaks": {"when": "reset", "applied": True},
    "a page": {"when": "html", "applied": True},
    "a page that says 200": {"when": "html", "applied": True, "status": 200},
    "half a document": {"when": "badjson"},
    "nothing at all": {"when": "empty", "applied": True, "status": 200},
    "nothing, created": {"when": "empty", "applied": True, "status": 201},
    "nothing but an error": {"when": "empty", "applied": True},
}


@pytest.mark.parametrize("fault", LOST.values(), ids=LOST)
def test_a_machine_whose_create_call_got_no_answer_is_found_by_its_nonce(
    tokenless: Tokenless, clouds: HandClouds, fault: dict[str, Any]
) -> None:
    clouds.fault(tokenless.operation, **fault)
    asked = request(tokenless.offer())
    with pytest.raises(Ambiguous):
        tokenless.provider.create(asked)
    assert len(clouds.calls(tokenless.operation)) == 1
    assert [one.nonce for one in tokenless.provider.list()] == [asked.nonce]


@pytest.mark.parametrize("when", ["before", "hang", "reset", "html", "empty"])
def test_a_create_call_that_never_happened_may_look_the_same_and_lists_nothing(
    tokenless: Tokenless, clouds: HandClouds, when: str
) -> None:
    clouds.fault(tokenless.operation, when, seconds=0.1)
    with pytest.raises(Ambiguous):
        tokenless.provider.create(request(tokenless.offer()))
    assert len(clouds.calls(tokenless.operation)) == 1
    assert tokenless.provider.list() == ()
