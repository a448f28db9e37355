"""The create call on AWS: its token, and its parameters, which are written down so that a repeat sends the same."""

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from pricing.offer import Market
from providers.base import InstanceRequest
from providers.cloud_init import user_data

TOKENS = uuid.UUID("0f6e9c1e-6a0f-4b53-9d3a-3f0a5c8d2b71")
"""Our own name space of tokens."""
END = ("shutdown", "-P", "now")
"""What ends a machine: with InstanceInitiatedShutdownBehavior=terminate a power-off from inside terminates it."""
MOST_USER_DATA_BYTES = 16_384
"""EC2's limit, before base64."""
IMAGE_GIB = "image-gib"
LEAST_MAX_PRICE_USD = Decimal("0.0011")
"""EC2 wants a MaxPrice above 0.001."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What was looked up for a create call, and might be found otherwise the next time."""

    region: str
    image: str
    root_device: str
    disk_gib: int
    subnet: str
    group: str


class Records:
    """What was chosen for each token, on disk before the call is made: one file a token, replaced as a whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def chosen(self, token: str) -> Chosen | None:
        """What the call with this token was, or will be, sent with."""
        return _read(self._folder / f"{token}.json")

    def keep(self, token: str, chosen: Chosen) -> None:
        """Write it down for good; raises `OSError` when it cannot be, and then nothing may be created."""
        self._folder.mkdir(parents=True, exist_ok=True)
        aside = self._folder / f"{token}.{os.getpid()}"
        with aside.open("w", encoding="utf-8") as file:
            json.dump(asdict(chosen), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._folder / f"{token}.json")

    def forget(self, token: str) -> None:
        """The call was refused for what was chosen: the next one looks again."""
        (self._folder / f"{token}.json").unlink(missing_ok=True)

    def note_image_gib(self, size_gib: int) -> None:
        """The largest image that was met: what a machine's disk must hold, and its price."""
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / IMAGE_GIB).write_text(f"{max(size_gib, self.image_gib())}\n", encoding="ascii")

    def image_gib(self) -> int:
        """See `note_image_gib`; 0 where none was."""
        try:
            return int((self._folder / IMAGE_GIB).read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0

    def regions(self) -> frozenset[str]:
        """Everywhere that a create call of ours ever went, whatever the settings say today."""
        kept = (_read(file) for file in self._folder.glob("*.json"))
        return frozenset(one.region for one in kept if one)


def _read(file: Path) -> Chosen | None:
    try:
        return Chosen(**json.loads(file.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def token_of(request: InstanceRequest) -> str:
    """The client token: the same for the same intent, another for another place, type or market (36 characters)."""
    offer = request.offer
    parts = (request.nonce, offer.region, offer.zone, offer.instance_type, str(offer.market))
    return str(uuid.uuid5(TOKENS, "/".join(parts)))


def parameters(request: InstanceRequest, chosen: Chosen, owner_id: str) -> Mapping[str, Any]:
    """All of RunInstances: equal arguments give equal parameters, byte for byte."""
    spot = request.offer.market is Market.SPOT
    kinds = ["instance", "volume", "network-interface", *(["spot-instances-request"] if spot else [])]
    tags = tags_of(request, owner_id)
    call: dict[str, Any] = {
        "ClientToken": token_of(request),
        "ImageId": chosen.image,
        "InstanceType": request.offer.instance_type,
        "MinCount": 1,
        "MaxCount": 1,
        "InstanceInitiatedShutdownBehavior": "terminate",
        "NetworkInterfaces": [_network(chosen)],
        "BlockDeviceMappings": [{"DeviceName": chosen.root_device, "Ebs": _disk(chosen)}],
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1},
        "UserData": user_data(request.boot, END, MOST_USER_DATA_BYTES),
        "TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in kinds],
    }
    if spot:
        call["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": _spot(request)}
    return call


def tags_of(request: InstanceRequest, owner_id: str) -> list[dict[str, str]]:
    """The tags that make a machine ours, and findable by its nonce."""
    tags = {
        "Name": request.name,
        "launch:owner": owner_id,
        "launch:run": request.run_id,
        "launch:attempt": str(request.attempt),
        "launch:nonce": request.nonce,
        "launch:deadline": request.deadline.isoformat(),
    }
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _network(chosen: Chosen) -> dict[str, Any]:
    return {
        "DeviceIndex": 0,
        "SubnetId": chosen.subnet,
        "Groups": [chosen.group],
        "AssociatePublicIpAddress": True,
        "DeleteOnTermination": True,
    }


def _disk(chosen: Chosen) -> dict[str, Any]:
    return {"VolumeSize": chosen.disk_gib, "VolumeType": "gp3", "DeleteOnTermination": True, "Encrypted": True}


def _spot(request: InstanceRequest) -> dict[str, str]:
    price = max(request.offer.worst_usd_per_hour, LEAST_MAX_PRICE_USD)
    return {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate", "MaxPrice": f"{price:f}"}
