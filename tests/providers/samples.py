"""What the tests of the providers hand in: surroundings, boot data, requests."""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from pricing.gpus import by_name
from pricing.offer import Market, Offer
from providers.base import Boot, Instance, InstanceRequest, InstanceState, Surroundings
from tests.fake_provider import fake_offer

DEADMAN = (Path(__file__).parents[2] / "jobs" / "guest" / "deadman.sh").read_text("utf-8")
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
NUMBERS = itertools.count(1)


def surroundings(state_dir: Path, **changes: Any) -> Surroundings:
    """A quiet world: nothing in the environment, one owner, the real clock."""
    given: dict[str, Any] = {"environ": {}, "state_dir": state_dir, "owner_id": "me", "now": lambda: datetime.now(UTC)}
    return Surroundings(**(given | changes))


def boot(**changes: Any) -> Boot:
    """Boot data with the real dead-man and keys that are none."""
    given: dict[str, Any] = {
        "deadman": DEADMAN,
        "lease_seconds": 3600,
        "authorized_key": "ssh-ed25519 AAAAclient run",
        "host_key_private": "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----\n",
        "host_key_public": "ssh-ed25519 AAAAhost host",
    }
    return Boot(**(given | changes))


def request(offer: Offer | None = None, **changes: Any) -> InstanceRequest:
    """A request with a nonce of its own."""
    given: dict[str, Any] = {
        "offer": offer or fake_offer(),
        "run_id": "calm-fox-0001",
        "attempt": 1,
        "nonce": f"n{next(NUMBERS):023d}",
        "deadline": NOW + timedelta(hours=1),
        "disk_gib": 100,
        "boot": boot(),
    }
    return InstanceRequest(**(given | changes))


def aws_offer(**changes: Any) -> Offer:
    """A g5.xlarge in us-east-1a on the spot market."""
    given = replace(
        fake_offer("g5.xlarge", usd="0.42", zone="us-east-1a"),
        provider="aws",
        gpu=by_name("A10G"),
        worst_usd_per_hour=Decimal("1.006"),
    )
    return replace(given, **changes)


def lambda_offer(**changes: Any) -> Offer:
    """A machine with one A10 at Lambda's in us-east-1."""
    given = replace(
        fake_offer("gpu_1x_a10", usd="1.29", market=Market.ON_DEMAND),
        provider="lambda",
        region="us-east-1",
        zone="",
        gpu=by_name("A10"),
        worst_usd_per_hour=Decimal("1.3029"),
    )
    return replace(given, **changes)


def runpod_offer(**changes: Any) -> Offer:
    """A pod with one RTX 4090 in a data centre of Runpod's."""
    given = replace(
        fake_offer("NVIDIA GeForce RTX 4090", usd="0.69", market=Market.ON_DEMAND),
        provider="runpod",
        region="US-KS-2",
        zone="",
        gpu=by_name("RTX4090"),
        worst_usd_per_hour=Decimal("0.6969"),
    )
    return replace(given, **changes)


def on_demand(offer: Offer) -> Offer:
    """The same machine without the risk."""
    return replace(offer, market=Market.ON_DEMAND, worst_usd_per_hour=offer.usd_per_hour)


def machine(**changes: Any) -> Instance:
    """A machine that runs, as a provider showed it once."""
    given: dict[str, Any] = {
        "provider": "fake",
        "id": "m1",
        "region": "north-1",
        "zone": "",
        "instance_type": "f1.small",
        "market": Market.ON_DEMAND,
        "state": InstanceState.RUNNING,
        "run_id": "calm-fox-0001",
        "attempt": 1,
        "nonce": "n1",
        "created_at": NOW,
    }
    return Instance(**(given | changes))


Environ = Mapping[str, str]
