"""What was asked for besides the adapter: the merged 16-bit model, the adapter as GGUF; without a wish, nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from .base import Base, find_base, load_tokenizer
from .gguf_adapter import NoGgufError, write_gguf
from .job import Job, give_up, read_job, tell

SPARE = 1.1
"""Disk and memory that a merge needs, as a multiple of the weights in 16 bits (assumed)."""
TOLERANCE = 0.05
"""Nats per answer token that base and adapter may be apart from the two merged, both in bf16.

Merging rounds each changed weight once more to bf16 (2^-9 of itself), where the adapter beside it is added unrounded;
on the fixture model, whose adapter is large, the two are less than 0.01 apart. A merge into the wrong weights is off by
tenths.
"""
CPU_ROWS = 2
"""Of the shortest rows, where a CPU has to do the comparison: 13B takes half a minute for each there (assumed)."""


class NoMergeError(Exception):
    """The merged model is not what base and adapter are."""


def main() -> None:
    """Export what was asked for; what this machine has no room for is said, and the adapter comes home all the same."""
    job = read_job()
    if not (job.export.merged or job.export.gguf_adapter):
        return
    base, adapter = find_base(job), job.out / "adapter"
    if not adapter.is_dir():
        give_up("there is no adapter to export: the train step has not finished")
    if job.export.gguf_adapter:
        export_gguf(job, base, adapter)
    if job.export.merged:
        export_merged(job, base, adapter)


def export_gguf(job: Job, base: Base, adapter: Path) -> None:
    """out/adapter.gguf, written aside first; an adapter that has no form in GGUF is said."""
    config = json.loads((base.path / "config.json").read_text(encoding="utf-8"))
    aside = job.run / "adapter.gguf.tmp"
    try:
        write_gguf(adapter, config, aside, name=f"{base.name} adapter")
    except NoGgufError as error:
        tell(job, "warning", code="no-gguf", text=f"no adapter.gguf: {error}")
        return
    shutil.move(aside, job.out / "adapter.gguf")
    print("wrote adapter.gguf: llama.cpp's --lora lays it over a GGUF of the base", flush=True)


def export_merged(job: Job, base: Base, adapter: Path, tolerance: float = TOLERANCE) -> None:
    """out/merged: base and adapter as one model in bf16, with tokenizer and chat template; whole or not at all."""
    weights = sum(file.stat().st_size for file in base.path.glob("*.safetensors"))
    if why := no_room(weights, job.out):
        tell(job, "warning", code="no-merged", text=f"no merged model: {why}")
        return
    aside = job.run / "merged.tmp"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        merged(job, base, adapter, tolerance).save_pretrained(aside, safe_serialization=True)
        load_tokenizer(base).save_pretrained(aside)
    except (NoMergeError, OSError, RuntimeError) as error:  # a full disk, a full card: of torch's and the Hub's making
        shutil.rmtree(aside, ignore_errors=True)
        tell(job, "warning", code="no-merged", text=f"no merged model: {str(error)[:300]}")
        return
    shutil.rmtree(job.out / "merged", ignore_errors=True)
    shutil.move(aside, job.out / "merged")
    print("wrote merged/: base and adapter as one model in bf16", flush=True)


def no_room(weights: int, folder: Path) -> str:
    """Why the machine cannot hold a merged model of so many bytes; "" where it can."""
    needed = int(weights * SPARE)
    disk = shutil.disk_usage(folder).free
    if disk < needed:
        return f"it needs {needed / 2**30:.1f} GiB of disk, {disk / 2**30:.1f} GiB are free"
    memory = free_memory()
    if memory < needed and not fits_on_card(needed):
        return f"it needs {needed / 2**30:.1f} GiB of memory, {memory / 2**30:.1f} GiB are free"
    return ""


def free_memory(root: Path = Path("/")) -> int:
    """Bytes that a process may still take: what Linux can free counts as free, a container's limit as the end.

    The kernel's "free" alone leaves out the page cache, which the weights have filled that were just read.
    """
    told = dict(line.split(":", 1) for line in (root / "proc/meminfo").read_text(encoding="ascii").splitlines())
    free = int(told["MemAvailable"].split()[0]) * 1024
    group = root / "sys/fs/cgroup"
    try:
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        used = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
        return min(free, limit - int(used["anon"]))
    except (OSError, ValueError, KeyError):  # no container, or one without a limit ("max")
        return free


def fits_on_card(needed: int) -> bool:
    """Whether so many bytes are free on the GPU."""
    import torch  # late: who asks for nothing waits for nothing

    return torch.cuda.is_available() and torch.cuda.mem_get_info()[0] > needed


def merged(job: Job, base: Base, adapter: Path, tolerance: float) -> Any:
    """Base (in bf16, never in 4 bits) and adapter as one model.

    Raises:
        NoMergeError: it does not score what the two do.
    """
    import torch  # late, as above
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from .parity import answer_loss, some_rows  # late: loads torch

    weights = sum(file.stat().st_size for file in base.path.glob("*.safetensors"))
    place = {"": 0} if fits_on_card(int(weights * SPARE)) else {"": "cpu"}
    whole = AutoModelForCausalLM.from_pretrained(
        base.path, dtype=torch.bfloat16, device_map=place, use_safetensors=True
    )
    model = PeftModel.from_pretrained(whole, adapter).eval()
    tokenizer, rows = load_tokenizer(base), some_rows(job)
    if place[""] == "cpu":
        rows = sorted(rows, key=lambda row: len(json.dumps(row)))[:CPU_ROWS]
    before = answer_loss(model, tokenizer, rows)
    model = model.merge_and_unload(safe_merge=True)
    after = answer_loss(model.eval(), tokenizer, rows)
    print(f"in bf16 base and adapter score {before:.4f}, merged {after:.4f}", flush=True)
    if not abs(after - before) <= tolerance:
        raise NoMergeError(f"it scores {after:.4f} nats per answer token, base and adapter {before:.4f}")
    return model


if __name__ == "__main__":
    main()
