"""What may remain on AWS beside machines: found by our tag, removed one by one."""

from dataclasses import dataclass
from typing import Any

from providers.aws_calls import Answer, Calls
from providers.base import ContractBroken, Leftover, NotFound


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How one kind of thing is found and removed."""

    name: str
    listing: str
    key: str
    id: str
    removal: str
    billed: bool = False
    free_state: str = ""
    """The state in which no machine holds it, where it has states."""


KINDS = (
    Kind(
        name="volume",
        listing="describe_volumes",
        key="Volumes",
        id="VolumeId",
        removal="delete_volume",
        billed=True,
        free_state="available",
    ),
    Kind(
        name="network interface",
        listing="describe_network_interfaces",
        key="NetworkInterfaces",
        id="NetworkInterfaceId",
        removal="delete_network_interface",
        free_state="available",
    ),
    Kind(
        name="security group",
        listing="describe_security_groups",
        key="SecurityGroups",
        id="GroupId",
        removal="delete_security_group",
    ),
    Kind(name="key pair", listing="describe_key_pairs", key="KeyPairs", id="KeyPairId", removal="delete_key_pair"),
)


def found(calls: Calls, region: str, owner_id: str) -> tuple[Leftover, ...]:
    """What of ours lies in `region`. A volume that a machine holds goes with it, and is none."""
    return tuple(one for kind in KINDS for one in _of_kind(kind, calls, region, owner_id))


def remove(calls: Calls, leftover: Leftover) -> None:
    """Remove it; gone already is as good."""
    kind = next((one for one in KINDS if one.name == leftover.kind), None)
    if kind is None:
        raise ContractBroken(f"{leftover.kind!r} is nothing that launch makes on AWS")
    try:
        calls.act("ec2", kind.removal, leftover.region, **{kind.id: leftover.id})
    except NotFound:
        return


def _of_kind(kind: Kind, calls: Calls, region: str, owner_id: str) -> list[Leftover]:
    tag = [{"Name": "tag:launch:owner", "Values": [owner_id]}]
    rows = _rows(kind, calls, region, tag)
    free = [row for row in rows if not kind.free_state or row.get("State", row.get("Status")) == kind.free_state]
    return [_leftover(kind, row, region) for row in free]


def _rows(kind: Kind, calls: Calls, region: str, tag: list[dict[str, Any]]) -> list[Answer]:
    return list(calls.items(kind.listing, region, kind.key, Filters=tag))


def _leftover(kind: Kind, row: Answer, region: str) -> Leftover:
    tags = {tag["Key"]: tag["Value"] for tag in row.get("Tags", ())}
    shared = kind.name == "security group"
    return Leftover(
        provider="aws",
        kind=kind.name,
        id=row[kind.id],
        region=region,
        run_id=tags.get("launch:run", ""),
        billed=kind.billed,
        text="shared by all runs of this computer, costs nothing" if shared else tags.get("Name", ""),
    )
