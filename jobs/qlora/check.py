"""Prove that this machine can do the work before anything is downloaded: allocate, multiply, quantise to 4 bits."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata

from .attention import best_attention
from .job import UNFIT, give_up, read_job, write_json

PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "trl",
    "bitsandbytes",
    "accelerate",
    "datasets",
    "tokenizers",
    "safetensors",
)


def prove(device: str) -> None:
    """Do on the device what training will do; raises RuntimeError when it cannot."""
    import bitsandbytes.functional as bnb  # late: loads torch and the CUDA libraries
    import torch

    torch.manual_seed(0)
    weight = torch.randn(256, 256, device=device, dtype=torch.bfloat16 if device == "cuda" else torch.float32)
    product = weight.to(torch.bfloat16) @ weight.to(torch.bfloat16)
    if not torch.isfinite(product).all():
        raise RuntimeError("a bf16 matrix product came out non-finite")
    packed, state = bnb.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
    error = (bnb.dequantize_4bit(packed, state) - weight).abs().mean() / weight.abs().mean()
    # NF4 is about 9 % off on normal weights; a broken kernel is off by far more.
    if not 0.0 < float(error) < 0.2:
        raise RuntimeError(f"4-bit weights come back {float(error):.0%} off (about 9 % is right)")


def environment() -> dict[str, object]:
    """What this machine is, for out/logs/environment.json."""
    import torch  # late: what fails to load is this file's to explain

    cuda = torch.cuda.is_available()
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "gpu": torch.cuda.get_device_name(0) if cuda else None,
        "vram_gib": round(torch.cuda.get_device_properties(0).total_memory / 2**30, 2) if cuda else None,
        "cuda": torch.version.cuda,
        "driver": driver() if cuda else None,
        "compute_dtype": "bfloat16" if cuda else "float32",
        "attention": best_attention() or "sdpa",
    }


def driver() -> str | None:
    """The driver's version as nvidia-smi says it."""
    try:
        said = subprocess.run(
            ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=20, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout.strip().splitlines()[0] if said.stdout.strip() else None


def has_gpu_card() -> bool:
    """Whether the driver lists a card, whatever torch can see; one that the machine hides on purpose does not count."""
    return os.environ.get("CUDA_VISIBLE_DEVICES") != "" and driver() is not None


def main() -> None:
    """Prove the machine, and record it."""
    import torch  # late, as above

    job = read_job()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and has_gpu_card():
        text = "this machine has a GPU, but torch cannot use it (a torch for the CPU, or one for another driver)"
        give_up(text, UNFIT)
    try:
        prove(device)
    except (RuntimeError, AttributeError, OSError) as error:
        give_up(f"the {device} does not do 4-bit training: {error}", UNFIT)
    write_json(job.out / "logs" / "environment.json", environment())
    print(f"{device}: allocates, multiplies in bf16, quantises to NF4")


if __name__ == "__main__":
    main()
