"""What the simulated AWS sells, at which price, to whom: the part of the world that a test may change while it runs."""

from dataclasses import dataclass, field
from decimal import Decimal

REGIONS = ("us-east-1", "us-east-2", "us-west-2", "eu-north-1")
"""Where the scenario knows prices. Zones and offerings are those of the data in moto."""

ON_DEMAND_USD_PER_HOUR = {
    name: Decimal(price)
    for name, price in {
        # us-east-1, table generated 2026-07-20 from AWS's API (shared/facts/prices.md section 6)
        "g4dn.xlarge": "0.526",
        "g5.xlarge": "1.006",
        "g5.2xlarge": "1.212",
        "g5.4xlarge": "1.624",
        "g5.8xlarge": "2.448",
        "g5.12xlarge": "5.672",
        "g5.48xlarge": "16.288",
        "g6.xlarge": "0.8048",
        "g6.2xlarge": "0.9776",
        "g6.12xlarge": "4.6016",
        "g6e.xlarge": "1.861",
        "g6e.2xlarge": "2.24208",
        "g6e.12xlarge": "10.49264",
        "p4d.24xlarge": "21.957642",
        "p4de.24xlarge": "27.44705",
        "p5.4xlarge": "6.88",
        "p5.48xlarge": "55.04",
    }.items()
}
REGION_FACTOR = {"us-east-1": "1", "us-east-2": "1", "us-west-2": "1", "eu-north-1": "1.06"}
SPOT_FACTOR = {"a": "0.49", "b": "0.44", "c": "0.52", "d": "0.61", "e": "0.66", "f": "0.58"}
"""Spot as a part of on-demand, by the zone's letter: invented, near the median of prices.md, never below a third."""

QUOTAS = {"L-3819A6DF": 64.0, "L-DB2E81BA": 64.0, "L-7212CCBC": 0.0, "L-417A185B": 96.0, "L-C4BD4855": 0.0}
QUOTA_NAMES = {
    "L-3819A6DF": "All G and VT Spot Instance Requests",
    "L-DB2E81BA": "Running On-Demand G and VT instances",
    "L-7212CCBC": "All P4, P3 and P2 Spot Instance Requests",
    "L-417A185B": "Running On-Demand P instances",
    "L-C4BD4855": "All P5 Spot Instance Requests",
}

DLAMI_OWNER = "898082745236"
DLAMI_NAME = "Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 24.04) 20261101"
DLAMI_ROOT_GIB = 65

GPU_LINES = {
    # what nvidia-smi calls them, and the MiB that it shows
    "A10G": ("NVIDIA A10G", 23028),
    "L4": ("NVIDIA L4", 23034),
    "L40S": ("NVIDIA L40S", 46068),
    "T4": ("Tesla T4", 15360),
    "A100": ("NVIDIA A100-SXM4-40GB", 40960),
    "H100": ("NVIDIA H100 80GB HBM3", 81559),
}


def quota_code(instance_type: str, *, spot: bool) -> str:
    """The code of the vCPU quota that counts for a type."""
    if instance_type.startswith("p5") and spot:
        return "L-C4BD4855"
    if instance_type.startswith("p"):
        return "L-7212CCBC" if spot else "L-417A185B"
    return "L-3819A6DF" if spot else "L-DB2E81BA"


def dlami_id(region: str) -> str:
    """The id of the Deep Learning image, which like all images has another one in each region."""
    return f"ami-0dee9{REGIONS.index(region) if region in REGIONS else 9:012x}"


@dataclass(kw_only=True)
class Scenario:
    """Prices, capacity and quotas as they stand; a pool is "zone/type/spot" or "zone/type/on-demand"."""

    capacity: dict[str, int] = field(default_factory=dict)
    """How many more machines a pool gives; a pool that is not named gives any number."""
    spot: dict[str, Decimal] = field(default_factory=dict)
    """Prices that a test has set, by "zone/type"."""
    quotas: dict[tuple[str, str], float] = field(default_factory=dict)
    """(region, code) to vCPUs, where it differs from QUOTAS."""

    def on_demand(self, region: str, instance_type: str) -> Decimal | None:
        """$/h of Linux, shared tenancy; None where the scenario sells none."""
        price = ON_DEMAND_USD_PER_HOUR.get(instance_type)
        return None if price is None or region not in REGION_FACTOR else price * Decimal(REGION_FACTOR[region])

    def spot_price(self, zone: str, instance_type: str) -> Decimal | None:
        """$/h in one zone now."""
        said = self.spot.get(f"{zone}/{instance_type}")
        on_demand = self.on_demand(zone[:-1], instance_type)
        if said is not None or on_demand is None:
            return said
        return (on_demand * Decimal(SPOT_FACTOR.get(zone[-1], "0.55"))).quantize(Decimal("0.0001"))

    def quota(self, region: str, code: str) -> float | None:
        """vCPUs; None for a code that the scenario does not know."""
        return self.quotas.get((region, code), QUOTAS.get(code))

    def has(self, pool: str) -> bool:
        """Whether the pool would give one more machine."""
        return self.capacity.get(pool, 1) > 0

    def take(self, pool: str) -> None:
        """One machine was taken out of the pool."""
        if pool in self.capacity:
            self.capacity[pool] -= 1


@dataclass(kw_only=True)
class Knobs:
    """Delays (sim seconds) and misbehaviour that a test may set at any time through `/_sim/knobs`."""

    pending_seconds: float = 0.2
    boot_seconds: float = 0.1
    """From running to the first line of user-data."""
    ssh_delay_seconds: float = 0.0
    """From the end of bootcmd to the SSH server's first answer."""
    ending_seconds: float = 0.2
    listed_seconds: float = 3600.0
    """How long a terminated machine is still listed."""
    list_lag_seconds: float = 0.0
    early_not_found_seconds: float = 0.0
    list_gap: int = 0
    """So many listings leave out every machine."""
    never_ready: bool = False
    die_in_pending: str = ""
    """A StateReason code, e.g. Server.InsufficientInstanceCapacity."""
    terminate_ignored: int = 0
    """So many TerminateInstances calls are answered well and do nothing."""
    poweroff_ignored: bool = False
    ssh_refuse: bool = False
    wrong_host_key: bool = False
    ignores_host_key: bool = False
    """The image makes a host key of its own, whatever user-data says."""
    auth_fail: bool = False
    throttle_bytes_per_second: float = 0.0
    """Of each channel's output; 0: as fast as it goes."""
    gpu: str = "ok"
    """"ok", "none" (no device) or "broken" (nvidia-smi fails)."""
    default_vpc: bool = True
    no_spot_history: bool = False
    """Nobody tells what a spot machine costs any more."""
    clock_skew_seconds: float = 0.0
    """How far this cloud's clock, as its answers tell it, is ahead of the world's."""
