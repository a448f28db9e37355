"""The only place that reaches into moto's own objects: what its HTTP face cannot be told."""

from datetime import datetime
from ipaddress import ip_address, ip_network
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends
from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS, INSTANCE_TYPES
from moto.ec2.models.instances import StateReason
from moto.moto_api._internal import moto_api_backend

CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48}


def forget() -> None:
    """Empty moto of everything; default networks come back with new ids."""
    moto_api_backend.reset()


def backend(region: str) -> Any:
    """moto's model of one region."""
    return ec2_backends[DEFAULT_ACCOUNT_ID][region]


def instance(region: str, id: str) -> Any:
    """moto's model of one instance."""
    return backend(region).get_instance(id)


def show(region: str, id: str, state: str, address: str | None, reason: tuple[str, str] = ("", "")) -> None:
    """What DescribeInstances says of it from now on; `reason` is (code, message)."""
    found = instance(region, id)
    found._state.name, found._state.code = state, CODES[state]
    found.state_reason = StateReason(reason[1], reason[0])
    if found.nics:
        found.nics[0].public_ip = address


def born(region: str, id: str, at: datetime, spot_request: str | None) -> None:
    """Its launch time on the sim clock, and its spot request, which moto does not make."""
    found = instance(region, id)
    found.launch_time = at.replace(tzinfo=None)
    found.spot_instance_request_id = spot_request


def bury(region: str, id: str) -> None:
    """Terminate for good: volumes and interfaces go as their DeleteOnTermination says."""
    backend(region).terminate_instances([id])


def left(region: str) -> list[str]:
    """What is there beside machines and what every account has, in words."""
    here = backend(region)
    groups = [one for some in here.groups.values() for one in some.values() if one.name != "default"]
    return [
        *(f"security group {one.id} in {region}" for one in groups),
        *(f"key pair {name} in {region}" for name in here.key_pairs),
        *(f"volume {one.id} in {region}" for one in here.volumes.values()),
    ]


def tags(region: str, id: str) -> dict[str, str]:
    """Its tags now."""
    return {tag["key"]: tag["value"] for tag in instance(region, id).get_tags()}


def disks_gib(region: str, id: str) -> int:
    """The sum of its volumes."""
    return sum(device.size or 0 for _, device in instance(region, id).get_block_device_mapping)


def security_groups(region: str, id: str) -> set[str]:
    """The ids of the groups on any of its interfaces."""
    found = instance(region, id)
    return {group.id for nic in found.nics.values() for group in nic.group_set} | {
        group.id for group in found.security_groups
    }


def admits(region: str, groups: set[str], peer: str, ports: set[int]) -> bool:
    """Whether any rule of those groups lets an IPv4 peer in at one of those ports."""
    known = backend(region)
    rules = [rule for id in groups if (group := known.get_security_group_from_id(id)) for rule in group.ingress_rules]
    return any(
        ip_address(peer) in ip_network(rule.ip_range["CidrIp"], strict=False)
        for rule in rules
        if "CidrIp" in rule.ip_range
        and (rule.ip_protocol == "-1" or any(int(rule.from_port) <= port <= int(rule.to_port) for port in ports))
    )


def images(region: str) -> set[str]:
    """The ids of the images that moto knows."""
    return {image.id for image in backend(region).describe_images()}


def subnet_zone(region: str, id: str) -> str | None:
    """The zone of a subnet; None when there is no such subnet."""
    found = [one for zone in backend(region).subnets.values() for one in zone.values() if one.id == id]
    return found[0].availability_zone if found else None


def sold(region: str, zone: str, instance_type: str) -> bool:
    """Whether AWS offers that type in that zone."""
    offered = INSTANCE_TYPE_OFFERINGS["availability-zone"].get(region, [])
    return any(one["InstanceType"] == instance_type and one["Location"] == zone for one in offered)


def offered(region: str) -> list[tuple[str, str]]:
    """All types and the zones that sell them."""
    offerings = INSTANCE_TYPE_OFFERINGS["availability-zone"].get(region, [])
    return [(one["InstanceType"], one["Location"]) for one in offerings]


def zones(region: str, instance_type: str) -> list[str]:
    """The zones that sell it, in order."""
    offered = INSTANCE_TYPE_OFFERINGS["availability-zone"].get(region, [])
    return sorted(one["Location"] for one in offered if one["InstanceType"] == instance_type)


def vcpus(instance_type: str) -> int | None:
    """Default vCPUs; None for a type that does not exist."""
    found = INSTANCE_TYPES.get(instance_type)
    return None if found is None else int(found["VCpuInfo"]["DefaultVCpus"])


def gpu(instance_type: str) -> tuple[str, int]:
    """(model, how many); ("", 0) without one."""
    gpus = INSTANCE_TYPES.get(instance_type, {}).get("GpuInfo", {}).get("Gpus", [])
    return (gpus[0]["Name"], int(gpus[0].get("Count", 0))) if gpus else ("", 0)
