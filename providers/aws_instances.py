"""EC2's picture of a machine as ours: states, reasons, tags."""

from collections.abc import Mapping
from types import MappingProxyType

from pricing.offer import Market
from providers.aws_calls import Answer
from providers.base import EndReason, Instance, InstanceState, Ssh
from providers.carried import parse
from providers.cloud_init import GUARD_DIR
from providers.reading import maybe_instant, maybe_number

USER = "ubuntu"
CARRIED_TAG = "launch:carried"
STATES: Mapping[str, InstanceState] = MappingProxyType(
    {
        "pending": InstanceState.PENDING,
        "running": InstanceState.RUNNING,
        "shutting-down": InstanceState.ENDING,
        "terminated": InstanceState.GONE,
        "stopping": InstanceState.STOPPED,
        "stopped": InstanceState.STOPPED,
    }
)
"""Any other word is UNKNOWN."""
REASONS: Mapping[str, EndReason] = MappingProxyType(
    {
        "Client.UserInitiatedShutdown": EndReason.ASKED,
        "Client.InstanceInitiatedShutdown": EndReason.OWN_DEADLINE,
        "Server.SpotInstanceTermination": EndReason.PREEMPTED,
        "Server.SpotInstanceShutdown": EndReason.PREEMPTED,
        "Server.InsufficientInstanceCapacity": EndReason.NO_CAPACITY,
    }
)
"""Any other reason for an end is FAILED."""


def shown(row: Answer, region: str, ssh_port: int) -> Instance:
    """One machine of DescribeInstances or RunInstances."""
    tags = {tag["Key"]: tag["Value"] for tag in row.get("Tags", ())}
    state = STATES.get(row["State"]["Name"], InstanceState.UNKNOWN)
    address = row.get("PublicIpAddress")
    why = row.get("StateReason", {})
    ends = state in (InstanceState.ENDING, InstanceState.GONE)
    return Instance(
        provider="aws",
        id=row["InstanceId"],
        region=region,
        zone=row.get("Placement", {}).get("AvailabilityZone", ""),
        instance_type=row["InstanceType"],
        market=Market.SPOT if row.get("InstanceLifecycle") == "spot" else Market.ON_DEMAND,
        state=state,
        run_id=tags.get("launch:run", ""),
        attempt=maybe_number(tags.get("launch:attempt", "")) or 0,
        nonce=tags.get("launch:nonce", ""),
        created_at=row["LaunchTime"],
        carried=parse(tags.get(CARRIED_TAG, "")),
        deadline=maybe_instant(tags.get("launch:deadline", "")),
        access=Ssh(host=address, port=ssh_port, user=USER, guard_dir=GUARD_DIR) if address else None,
        end_reason=REASONS.get(why.get("Code", ""), EndReason.FAILED) if ends and why else EndReason.NONE,
        end_text=why.get("Message", "") if ends else "",
    )


def owner_of(row: Answer) -> str:
    """Whose machine (or volume, or group) it is."""
    return next((str(tag["Value"]) for tag in row.get("Tags", ()) if tag["Key"] == "launch:owner"), "")
