"""What AWS's GPU machine types are: asked once for each type, then kept on disk, since a type never changes."""

import json
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from pricing import gpus
from pricing.gpus import MIB_PER_GIB, Gpu
from providers.aws_calls import Answer, Calls
from providers.small_files import replace_text

FAMILIES = ("g", "p")
"""How the names of the families begin that may hold an NVIDIA card."""
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


class Types:
    """The types, from the disk where they were asked for before."""

    def __init__(self, calls: Calls, file: Path) -> None:
        self._calls, self._file, self._lock = calls, file, threading.Lock()

    def zones(self, region: str) -> dict[str, tuple[str, ...]]:
        """Type to the zones of `region` that have it."""
        rows = self._calls.items(
            "describe_instance_type_offerings", region, "InstanceTypeOfferings", LocationType="availability-zone"
        )
        found: dict[str, list[str]] = {}
        for row in (one for one in rows if one["InstanceType"].startswith(FAMILIES)):
            found.setdefault(row["InstanceType"], []).append(row["Location"])
        return {name: tuple(sorted(zones)) for name, zones in found.items()}

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

    def _keep(self, types: dict[str, MachineType]) -> None:
        replace_text(self._file, json.dumps([asdict(types[name]) for name in sorted(types)], indent=1))


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
