"""What this machine is: processor, memory, disk, GPUs, and whether its dead-man counts."""

from __future__ import annotations

import glob
import importlib.util
import os
import platform
import shutil
import subprocess
import time
from typing import Any

from .guard import Guard

GIB = 1 << 30
NVIDIA_SMI = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]
SMI_SECONDS = 30
"""A driver that just woke up takes seconds; one that hangs would take for ever."""


def probe(guard: Guard) -> dict[str, Any]:
    """The document of docs/guest.md."""
    why = guard.why_not_armed()
    return {
        "python": platform.python_version(),
        "architecture": platform.machine(),
        "cpus": _cpus(),
        "ram_gib": round(_ram_bytes() / GIB, 2),
        "disk_free_gib": round(shutil.disk_usage(".").free / GIB, 2),
        "gpus": gpus(),
        "guard": {
            "armed": not why,
            "life_seconds": guard.life_seconds(),
            "lease_seconds": guard.lease_seconds(),
            "why": why,
        },
        "clock": time.time(),
        "torch": _has_torch(),
    }


def gpus() -> list[dict[str, Any]]:
    """The GPUs that the driver names; none where it is not there, fails or hangs."""
    try:
        done = subprocess.run(NVIDIA_SMI, capture_output=True, timeout=SMI_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    if done.returncode != 0:
        return []
    rows = (_gpu(line) for line in done.stdout.decode("utf-8", "replace").splitlines())
    return [row for row in rows if row]


def _gpu(line: str) -> dict[str, Any] | None:
    """One line of nvidia-smi, or None for a line that is none (a warning, "[N/A]")."""
    fields = [field.strip() for field in line.split(",")]
    if len(fields) != 3:
        return None
    name, memory, driver = fields
    digits = memory.split(" ")[0]
    if not name or not digits.isdigit():
        return None
    return {"name": name[:100], "memory_mib": int(digits), "driver": driver[:40]}


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _ram_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _has_torch() -> bool:
    """Whether this interpreter, or the one that GPU images put aside, has torch (looked for, not imported)."""
    if importlib.util.find_spec("torch") is not None:
        return True
    return bool(glob.glob("/opt/pytorch/lib/python3*/site-packages/torch"))
