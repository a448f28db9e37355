"""What AWS's GPU machine types are, kept on disk since a type never changes, and for a day which zones have them."""

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pricing import gpus
from pricing.gpus import MIB_PER_GIB, Gpu
from providers.aws_calls import Answer, Calls
from providers.base import Clock
from providers.small_files import replace_text

FAMILIES = ("g", "p")
"""How the names of the families begin that may hold an NVIDIA card."""
KEPT_FOR = timedelta(hours=24)
"""Where types are sold changes seldom; a zone that has one no more refuses it, and the next choice is taken."""
ARCHITECTURES = {"x86_64": "x86_64", "arm64": "aarch64"}
TYPES_A_CALL = 100


@dataclass(frozen=True, kw_only=True)
class MachineType:
    """One type. `gpu_count` 0: no whole NVIDIA card that we know (a slice, another maker)."""

    name: str
    gpu_label: str
    gpu_mib: int
    gpu_count: int
    vcpus: int
    ram_mib: int
    architecture: str

    @property
    def gpu(self) -> Gpu | None:
        """The card, by its canonical name."""
        return gpus.canonical(self.gpu_label, self.gpu_mib) if self.gpu_count else None

    @property
    def ram_gib(self) -> float:
        """Host memory."""
        return self.ram_mib / MIB_PER_GIB


Zones = Mapping[str, tuple[str, ...]]
"""Type to the zones of a region that have it."""


class Types:
    """The types, from the disk where they were asked for before."""

    def __init__(self, calls: Calls, folder: Path, now: Clock) -> None:
        self._calls, self._file, self._lock = calls, folder / "types.json", threading.Lock()
        self._sold, self._now = folder / "sold.json", now

    def zones(self, region: str) -> Zones:
        """Where in `region` each type is sold, by what AWS said within a day."""
        kept = self._sold_in().get(region)
        if kept is not None and timedelta(0) <= self._now() - kept[0] < KEPT_FOR:
            return kept[1]
        rows = self._calls.items(
            "describe_instance_type_offerings",
            region,
            "InstanceTypeOfferings",
            LocationType="availability-zone",
            Filters=[{"Name": "instance-type", "Values": [f"{family}*" for family in FAMILIES]}],
        )
        found: dict[str, list[str]] = {}
        for row in rows:
            found.setdefault(row["InstanceType"], []).append(row["Location"])
        zones = {name: tuple(sorted(places)) for name, places in found.items()}
        with self._lock:
            self._keep_sold({**self._sold_in(), region: (self._now(), zones)})
        return zones

    def known(self, names: Iterable[str], region: str) -> dict[str, MachineType]:
        """What these types are; those that we do not know yet are asked for in `region`."""
        with self._lock:
            kept = self.kept()
            missing = sorted(set(names) - set(kept))
            for start in range(0, len(missing), TYPES_A_CALL):
                part = missing[start : start + TYPES_A_CALL]
                rows = self._calls.items("describe_instance_types", region, "InstanceTypes", InstanceTypes=part)
                kept |= {row["InstanceType"]: _machine_type(row) for row in rows}
            if missing:
                self._keep(kept)
        return {name: kept[name] for name in names if name in kept}

    def kept(self) -> dict[str, MachineType]:
        """Those that we know without asking."""
        try:
            rows = json.loads(self._file.read_text("utf-8"))
            return {row["name"]: MachineType(**row) for row in rows}
        except (OSError, ValueError, TypeError, KeyError):
            return {}  # nothing kept yet, or by another version: asking again is cheap

    def _sold_in(self) -> dict[str, tuple[datetime, Zones]]:
        return _read_sold(self._sold)

    def _keep_sold(self, sold: Mapping[str, tuple[datetime, Zones]]) -> None:
        rows = {region: {"at": at.isoformat(), "zones": zones} for region, (at, zones) in sorted(sold.items())}
        replace_text(self._sold, json.dumps(rows))

    def _keep(self, types: dict[str, MachineType]) -> None:
        replace_text(self._file, json.dumps([asdict(types[name]) for name in sorted(types)], indent=1))


def _read_sold(file: Path) -> dict[str, tuple[datetime, Zones]]:
    try:
        rows = json.loads(file.read_text("utf-8"))
        return {
            region: (
                datetime.fromisoformat(kept["at"]).astimezone(UTC),
                {str(name): tuple(map(str, zones)) for name, zones in kept["zones"].items()},
            )
            for region, kept in rows.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}  # nothing kept yet, or by another version


def _machine_type(row: Answer) -> MachineType:
    cards = row.get("GpuInfo", {}).get("Gpus", [])
    card = cards[0] if cards and cards[0].get("Manufacturer") == "NVIDIA" else {}
    supported = row.get("ProcessorInfo", {}).get("SupportedArchitectures", [])
    return MachineType(
        name=row["InstanceType"],
        gpu_label=card.get("Name", ""),
        gpu_mib=card.get("MemoryInfo", {}).get("SizeInMiB", 0),
        gpu_count=card.get("Count", 0),
        vcpus=row["VCpuInfo"]["DefaultVCpus"],
        ram_mib=row["MemoryInfo"]["SizeInMiB"],
        architecture=next((ARCHITECTURES[one] for one in supported if one in ARCHITECTURES), ""),
    )
