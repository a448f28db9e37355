"""Does it fit: the GPU memory, host memory and disk of a run, component by component, and what would make it fit."""

from dataclasses import dataclass, replace
from math import ceil

from pricing.gpus import Gpu, all_gpus
from pricing.workload import Method, Workload

GIB = 1024**3

NF4_BYTES = 0.516
"""A weight in NF4 with double quantisation: half a byte, and its share of the scales (facts: qlora.md, section 5)."""
HALF_BYTES = 2
TRAINABLE_BYTES = 16
"""An adapter's parameter with gradient and both Adam moments, all in fp32."""
LOGIT_BYTES = 14
"""A logit with its fp32 copy and gradient, where the whole row exists at once."""
LOGIT_CHUNK_TOKENS = 256
"""The fused head makes logits for so many tokens at a time (assumed; only large vocabularies notice)."""
CONTEXT_GIB = 0.5
"""CUDA context and libraries."""
ALLOCATOR_SHARE = 0.075
"""What the caching allocator loses to fragments: 5-10 % of the rest."""

SYSTEM_RAM_GIB = 1.0
PROGRAM_RAM_GIB = 4.0
"""Python, torch and the host's side of CUDA, with every library of the job loaded (assumed)."""
SHARD_GIB = 5.0
"""At most one shard of the checkpoint is in host memory beside the page cache: the Hub's usual shard is 5 GB."""
STAGING_SHARE = 0.10
"""Of the 16-bit checkpoint: pinned buffers and fragments while it streams through the host (assumed)."""
CPU_PROGRAM_RAM_GIB = 1.0
"""Python and torch without CUDA (1 GiB resident in the trial on 2 cores)."""
RAM_USABLE_SHARE = 0.95
"""Of a machine's stated memory: the kernel and the hypervisor keep the rest."""

SYSTEM_DISK_GIB = 30
PYTHON_DISK_GIB = 15
"""The wheels of the job, unpacked, beside pip's cache."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The verdict on memory. `parts` are (what, GiB) and sum to `needed_gib`.

    The component model is too low on 71 % of 84 published points, and measured / predicted is below 1.38 on 95 % of
    them; hence a margin of 1.4 until a probe or the user's own runs say better.
    """

    needed_gib: float
    usable_gib: float
    margin: float
    parts: tuple[tuple[str, float], ...]

    def __post_init__(self) -> None:
        if self.margin < 1 or self.needed_gib < 0 or self.usable_gib < 0:
            raise ValueError(f"a fit needs a margin of at least 1 and sizes of at least 0: {self}")

    @property
    def fits(self) -> bool:
        """It fits even if the model of memory is too low by the margin."""
        return self.needed_gib * self.margin <= self.usable_gib

    @property
    def barely(self) -> bool:
        """It would fit if the model of memory were right, but the margin is not there."""
        return not self.fits and self.needed_gib <= self.usable_gib

    @property
    def short_gib(self) -> float:
        """How much is missing, margin included; 0 where it fits."""
        return max(0.0, self.needed_gib * self.margin - self.usable_gib)


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """One change that makes it fit: a `--set` of `setting`, or another card. `needed_gib`: what the run asks then."""

    setting: str
    gpu: Gpu | None
    needed_gib: float


def needed(workload: Workload) -> tuple[tuple[str, float], ...]:
    """What lies in the memory of the one device that trains, as (what, GiB)."""
    shape, tokens = workload.shape, workload.micro_batch * _sequence(workload)
    linear = max(shape.parameters - shape.embedding_parameters, 0)
    is_4bit = workload.method is Method.QLORA
    parts = (
        ("weights", linear * (NF4_BYTES if is_4bit else HALF_BYTES) / GIB),
        ("embeddings", shape.embedding_parameters * HALF_BYTES / GIB),
        ("adapter and optimiser", workload.lora_parameters * TRAINABLE_BYTES / GIB),
        ("activations", tokens * _activation_bytes_per_token(workload) / GIB),
        ("logits", min(tokens, LOGIT_CHUNK_TOKENS) * shape.vocabulary * LOGIT_BYTES / GIB),
        ("dequantised matrix", shape.hidden * shape.intermediate * HALF_BYTES / GIB if is_4bit else 0.0),
        ("context", CONTEXT_GIB),
    )
    return (*parts, ("allocator", ALLOCATOR_SHARE * _sum(parts)))


def fit(workload: Workload, gpu: Gpu | None, gpu_count: int = 1, *, margin: float = 1.4, ram_gib: float = 0.0) -> Fit:
    """Does it fit on one card of `gpu` (one is used, more do not help)? Without a GPU: in `ram_gib` of the host."""
    if gpu is not None and gpu_count < 1:
        raise ValueError(f"{gpu_count} cards of {gpu.name}")
    parts = needed(workload)
    if gpu is None:
        parts = (*parts, ("program", CPU_PROGRAM_RAM_GIB))
    usable = ram_gib * RAM_USABLE_SHARE if gpu is None else gpu.usable_gib
    return Fit(needed_gib=_sum(parts), usable_gib=usable, margin=margin, parts=parts)


def ram_gib(workload: Workload) -> float:
    """Host memory for a machine with a GPU: the checkpoint streams through it shard by shard, never as a whole."""
    checkpoint = workload.shape.parameters * HALF_BYTES / GIB
    streaming = min(checkpoint, SHARD_GIB) + STAGING_SHARE * checkpoint
    return SYSTEM_RAM_GIB + PROGRAM_RAM_GIB + streaming + 2 * workload.shipped_gib


def disk_gib(workload: Workload) -> int:
    """Disk for system, programs, model, data, two checkpoints and results, in whole tens of GiB.

    A provider whose image needs more says so itself (`Terms.minimum_disk_gib`).
    """
    return ceil((SYSTEM_DISK_GIB + free_disk_gib(workload)) / 10) * 10


def free_disk_gib(workload: Workload) -> float:
    """What of a disk must be free on a machine that has booted, before the job is shipped."""
    own = workload.download_gib * 1.1 + workload.shipped_gib * 3 + workload.result_gib * 4
    return PYTHON_DISK_GIB + own


def remedies(workload: Workload, gpus: tuple[Gpu, ...], *, margin: float = 1.4) -> tuple[Remedy, ...]:
    """What would make it fit: the mildest changes of settings on the largest of `gpus`, and which other cards.

    `gpus` are the cards that were asked for; empty means that any card would do, so only settings are looked at.
    """
    able = [gpu for gpu in all_gpus() if gpu.bf16 and gpu.cuda]
    largest = max(gpus or able, key=lambda gpu: gpu.usable_mib)
    settings = [
        Remedy(setting=setting, gpu=None, needed_gib=fit(changed, largest).needed_gib)
        for setting, changed in _changes(workload)
        if fit(changed, largest, margin=margin).fits
    ]
    cards = [
        Remedy(setting="", gpu=gpu, needed_gib=fit(workload, gpu).needed_gib)
        for gpu in sorted(able, key=lambda gpu: (gpu.usable_mib, gpu.name))
        if gpu not in gpus and fit(workload, gpu, margin=margin).fits
    ]
    return (*settings[:2], *cards[:3])


def _changes(workload: Workload) -> tuple[tuple[str, Workload], ...]:
    changes: list[tuple[str, Workload]] = []
    small = replace(workload, micro_batch=1, accumulation=workload.micro_batch * workload.accumulation)
    shorter = max(512, workload.max_length // 4)
    if workload.method is Method.LORA:
        changes.append(("train.method=qlora", replace(workload, method=Method.QLORA)))
    if workload.micro_batch > 1:
        changes.append(("train.per_device_train_batch_size=1", small))
    if shorter < _sequence(workload):
        changes.append((f"train.max_length={shorter}", replace(workload, max_length=shorter)))
    return tuple(changes)


def _sequence(workload: Workload) -> int:
    return min(workload.max_length, workload.longest_tokens)


def _activation_bytes_per_token(workload: Workload) -> int:
    """With gradient checkpointing: each layer's input in bf16, and all of one layer while it is done again."""
    shape = workload.shape
    return 2 * shape.hidden * shape.layers + 18 * shape.hidden + 9 * shape.intermediate


def _sum(parts: tuple[tuple[str, float], ...]) -> float:
    return sum(gib for _, gib in parts)
