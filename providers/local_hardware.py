"""What this machine is: its cards by nvidia-smi, processor, memory, disk, and the packages that train."""

import importlib.util
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from pricing import gpus
from pricing.gpus import Gpu
from pricing.offer import Market, Offer
from providers.base import Finding, Level

ARCHITECTURES = {"AMD64": "x86_64", "arm64": "aarch64"}
QUERY = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits")
CPU = "cpu"
GIB = 2**30
LEAST_DISK_GIB = 10
NEEDED = ("torch", "transformers", "peft", "trl", "bitsandbytes")
INSTALL = "`pip install 'gpu-launch[local]'` (make demo does it)"


def offers(now: datetime, region: str) -> tuple[Offer, ...]:
    """One offer for each card that we know, in nvidia-smi's order, and the CPU last."""
    cards = [(f"gpu-{index}", gpu) for index, (_, gpu) in enumerate(cards_found()) if gpu is not None]
    return tuple(_offer(name, gpu, now, region) for name, gpu in [*cards, (CPU, None)])


def cards_found() -> tuple[tuple[str, Gpu | None], ...]:
    """Each card as nvidia-smi calls it, and as we know it (None: not in our table); none without a driver."""
    try:
        answer = subprocess.run(QUERY, capture_output=True, text=True, errors="replace", timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(_cards(answer.stdout)) if answer.returncode == 0 else ()


def findings(state_dir: Path) -> tuple[Finding, ...]:
    """What `doctor` says about this machine."""
    return (*_card_findings(), _disk_finding(state_dir), _package_finding())


def ram_gib() -> float:
    """All of this machine's memory; 0.0 where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    except (ValueError, OSError, AttributeError):
        return 0.0


def _cards(text: str) -> Iterator[tuple[str, Gpu | None]]:
    for line in text.splitlines():
        name, _, memory = line.rpartition(",")
        if memory.strip().isdecimal():
            yield name.strip(), gpus.canonical(name.strip(), int(memory))


def _offer(name: str, gpu: Gpu | None, now: datetime, region: str) -> Offer:
    return Offer(
        provider="local",
        instance_type=name,
        region=region,
        zone="",
        market=Market.OWNED,
        gpu=gpu,
        gpu_count=0 if gpu is None else 1,
        vcpus=os.cpu_count() or 1,
        ram_gib=ram_gib(),
        usd_per_hour=Decimal(0),
        worst_usd_per_hour=Decimal(0),
        seen_at=now,
        source="this machine",
        guarded=True,
        boot_seconds=1.0,
        architecture=ARCHITECTURES.get(platform.machine(), platform.machine()),
    )


def _card_findings() -> tuple[Finding, ...]:
    cards = cards_found()
    if not cards:
        text = "no CUDA card is found (nvidia-smi): only the CPU can be used, when asked for by --provider local"
        return (Finding(level=Level.OK, subject="gpu", text=text),)
    return tuple(_card_finding(name, gpu) for name, gpu in cards)


def _card_finding(name: str, gpu: Gpu | None) -> Finding:
    if gpu is None:
        fix = "name it in an issue: it is used as soon as the table knows it"
        return Finding(level=Level.WARNING, subject="gpu", text=f"{name} is not a card that launch knows", fix=fix)
    return Finding(level=Level.OK, subject="gpu", text=f"{name}: {gpu.usable_gib:.1f} GiB can be used")


def _disk_finding(state_dir: Path) -> Finding:
    there = next(one for one in (state_dir, *state_dir.parents) if one.exists())
    free_gib = shutil.disk_usage(there).free / GIB
    text = f"{free_gib:.0f} GiB free in {there}"
    if free_gib < LEAST_DISK_GIB:
        fix = "free some space, or point LAUNCH_HOME elsewhere"
        return Finding(level=Level.WARNING, subject="disk", text=text, fix=fix)
    return Finding(level=Level.OK, subject="disk", text=text)


def _package_finding() -> Finding:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        text = f"not installed: {', '.join(missing)} (needed to train on this machine)"
        return Finding(level=Level.WARNING, subject="packages", text=text, fix=INSTALL)
    return Finding(level=Level.OK, subject="packages", text="all that training needs is installed")
