"""Does it fit: the GPU memory, host memory and disk of a run, component by component, and what would make it fit."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil

from pricing.gpus import Gpu, all_gpus
from pricing.workload import Attention, Method, ModelShape, Optimizer, Quantisation, Workload

GIB = 1024**3

HALF_BYTES, FULL_BYTES = 2, 4
WEIGHT_BYTES = {
    Quantisation.NF4_DOUBLE: 0.516,
    Quantisation.NF4: 0.5625,
    Quantisation.INT4: 0.6,
    Quantisation.INT8: 1.0,
    Quantisation.NONE: HALF_BYTES,
}
"""Of a frozen linear weight: half a byte with a 32-bit scale for 64 of them, or that scale in 8 bits with a second one
for 256 (arXiv 2305.14314, section 3); groups of 128 with scale, zero and order in GPTQ, with its workspace (two
published tables of such runs ask for 0.55-0.6)."""
TRAINABLE_BYTES = {Optimizer.ADAMW: 16, Optimizer.ADAMW_8BIT: 10, Optimizer.PAGED_ADAMW_8BIT: 10}
"""An adapter's parameter in 32 bits with its gradient and both moments, which take 4 bytes or 1 each. Paged moments
can leave the card when it is full: counted as if they stayed."""


@dataclass(frozen=True, kw_only=True)
class MemoryConstants:
    """What the component model takes from practice; `tests/accuracy` measures it on published runs."""

    logit_bytes: float = 14.0
    """A logit in 16 bits, its 32-bit copy, the log of its softmax and the gradient (facts: qlora.md, section 5)."""
    score_bytes: float = 8.0
    """An attention score where the matrix exists: 16 bits, the softmax in 32, and its 16-bit copy."""
    quantised_input_bytes: float = 12.0
    """Of each unit of a 4-bit layer's input, kept beside what a 16-bit layer keeps. Fit: published pairs of litgpt runs
    that differ in the quantisation alone (`make accuracy` shows them)."""
    varied: float = 2.0
    """How much more the allocator reserves for what changes its size from batch to batch, where segments cannot grow.
    Fit: 38 runs of one source. Elsewhere up to a third of all memory is lost so (GMLake, arXiv 2401.08156), 1.5."""
    allocator_share: float = 0.075
    """What the caching allocator loses of the rest: 5-10 %."""
    context_gib: float = 0.5
    """CUDA context and libraries."""
    margin: float = 1.5
    """To be sure, activations and logits are taken so many times: weights, scales and moments are known to the byte,
    kernels differ. Of the round factors without a false fit on all published runs, with `varied_margin`, the pair that
    refuses fewest runs that did fit."""
    varied_margin: float = 1.5
    """So many times more where lengths vary and segments cannot grow."""
    unfused_share: float = 0.5
    """To be sure, a fused loss that is only named is taken to save but half of the logits: of seven published runs
    that named one, one reserved as much as if it were not there."""


PUBLISHED = MemoryConstants()
DORA_MATRICES = 2
"""The norm of weight plus adapter asks for the adapter's product and for the sum, each as large as the weight (read in
peft's lora/dora.py)."""
EVALUATION_ROWS = 50
"""Rows that the job's evaluation answers at once (`jobs/qlora/evaluate.py`); where memory is short it halves them."""
LOGIT_CHUNK_TOKENS = 256
"""The fused head makes logits for so many tokens at a time (assumed; only large vocabularies notice)."""

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

MOST_MICRO_BATCH = 1024
MOST_SEQUENCE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The verdict on memory. `parts` are (what, GiB) and sum to `needed_gib`, the expected peak.

    `margin`: how many times `needed_gib` it takes to be sure. It is no constant: what is known to the byte has none,
    activations and logits a large one (`MemoryConstants.margin`).
    """

    needed_gib: float
    usable_gib: float
    margin: float
    parts: tuple[tuple[str, float], ...]

    def __post_init__(self) -> None:
        if self.margin < 1 or self.needed_gib < 0 or self.usable_gib < 0:
            raise ValueError(f"a fit needs a margin of at least 1 and sizes of at least 0: {self}")

    @property
    def sure_gib(self) -> float:
        """What a card must have so that no published run of this kind would have missed."""
        return self.needed_gib * self.margin

    @property
    def fits(self) -> bool:
        """It fits even if the model of memory is too low by the margin."""
        return self.sure_gib <= self.usable_gib

    @property
    def barely(self) -> bool:
        """It would fit if the model of memory were right, but the margin is not there."""
        return not self.fits and self.needed_gib <= self.usable_gib

    @property
    def short_gib(self) -> float:
        """How much is missing, margin included; 0 where it fits."""
        return max(0.0, self.sure_gib - self.usable_gib)


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """One change that makes it fit: a `--set` of `setting`, or another card. `needed_gib`: what the run asks then."""

    setting: str
    gpu: Gpu | None
    needed_gib: float


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """GiB, before the allocator and the context: what is `known` to the byte, and what kernels decide."""

    known: tuple[tuple[str, float], ...]
    activations: float
    logits: float
    unfused_logits: float

    @property
    def known_gib(self) -> float:
        return _sum(self.known)


def needed(workload: Workload, constants: MemoryConstants = PUBLISHED) -> tuple[tuple[str, float], ...]:
    """What lies in the memory of the one device that trains at the peak, as (what, GiB)."""
    parts, holes = _parts(workload, constants), _holes(workload, constants)
    own = (
        *parts.known[:-1],
        ("activations", parts.activations * holes),
        ("logits", parts.logits * holes),
        parts.known[-1],
    )
    return (*own, ("allocator", constants.allocator_share * _sum(own)), ("context", constants.context_gib))


def sure_gib(workload: Workload, constants: MemoryConstants = PUBLISHED) -> float:
    """What a card must have so that no published run would have missed: see `MemoryConstants.margin`."""
    parts, holes = _parts(workload, constants), _holes(workload, constants)
    doubted = 0.0 if workload.recipe.fused_loss_is_sure else constants.unfused_share * parts.unfused_logits
    logits = max(parts.logits, doubted)
    margin = constants.margin * (constants.varied_margin if holes > 1 else 1.0)
    own = parts.known_gib + (parts.activations + logits) * holes * margin
    return own * (1 + constants.allocator_share) + constants.context_gib


def fit(
    workload: Workload, gpu: Gpu | None, gpu_count: int = 1, *, margin: float | None = None, ram_gib: float = 0.0
) -> Fit:
    """Does it fit on one card of `gpu` (one is used, more do not help)? Without a GPU: in `ram_gib` of the host.

    `margin`: one factor on everything, where own runs have shown it; None: `sure_gib`.
    """
    if gpu is not None and gpu_count < 1:
        raise ValueError(f"{gpu_count} cards of {gpu.name}")
    parts, more_gib = needed(workload), 0.0
    if gpu is None:
        parts, more_gib = (*parts, ("program", CPU_PROGRAM_RAM_GIB)), CPU_PROGRAM_RAM_GIB
    usable = ram_gib * RAM_USABLE_SHARE if gpu is None else gpu.usable_gib
    whole = _sum(parts)
    answering = _evaluation_gib(workload, 1) if workload.evaluated_examples else 0.0
    sure = max(sure_gib(workload) if margin is None else whole * margin, answering) + more_gib
    factor = margin if margin is not None and answering <= whole * margin else max(1.0, sure / whole)
    return Fit(needed_gib=whole, usable_gib=usable, margin=factor, parts=parts)


def evaluation_rows(workload: Workload, gpu: Gpu) -> int:
    """Rows that the evaluation can answer at once: `EVALUATION_ROWS`, halved as the job halves them; at least 1."""
    rows = EVALUATION_ROWS
    while rows > 1 and _evaluation_gib(workload, rows) > gpu.usable_gib:
        rows //= 2
    return rows


def layer_bytes_per_token(shape: ModelShape) -> float:
    """What one layer makes of a token in the forward pass, and keeps for the backward pass.

    Norms in 32 bits, queries, keys, values and their rotated copies, inputs of the adapters, and four tensors of the
    MLP, two where it has no gate (facts: qlora.md, section 5).
    """
    return 18.0 * shape.hidden + (9.0 if shape.gated else 5.0) * shape.intermediate


def cache_bytes_per_token(workload: Workload) -> float:
    """Keys and values of one token in all layers, in 16 bits."""
    shape = workload.shape
    return 2.0 * HALF_BYTES * shape.layers * shape.kv_heads * shape.hidden / shape.heads


def _evaluation_gib(workload: Workload, rows: int) -> float:
    """The weights, so many rows' keys and values, and one layer at a time over their prompts."""
    longest = max([_sequence(workload), *(ceil(one.row_tokens) for one in workload.asked)])
    shape, tokens = workload.shape, rows * longest
    layer = tokens * layer_bytes_per_token(shape)
    cache = (tokens + rows * workload.evaluated_new_tokens) * cache_bytes_per_token(workload)
    own = _parts(workload, PUBLISHED).known_gib + (layer + cache) / GIB
    return own * (1 + PUBLISHED.allocator_share) + PUBLISHED.context_gib


def largest_micro_batch(workload: Workload, gpu: Gpu, *, margin: float | None = None) -> int:
    """The most rows at a time that surely fit on the card; 0 where not even one does."""
    return _most(MOST_MICRO_BATCH, lambda rows: fit(replace(workload, micro_batch=rows), gpu, margin=margin).fits)


def longest_sequence(workload: Workload, gpu: Gpu, *, margin: float | None = None) -> int:
    """The longest row, in tokens, that surely fits at this micro-batch, within the model's positions; 0: none."""

    def fits(tokens: int) -> bool:
        return fit(replace(workload, max_length=tokens, longest_tokens=tokens), gpu, margin=margin).fits

    return _most(workload.shape.positions or MOST_SEQUENCE, fits)


def _most(limit: int, fits: Callable[[int], bool]) -> int:
    """The largest whole number up to `limit` that fits, where all smaller ones do too."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


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
    own = workload.download_gib * 1.1 + workload.shipped_gib * 3 + workload.result_gib * 4 + workload.merged_gib * 1.1
    return PYTHON_DISK_GIB + own


def remedies(workload: Workload, gpus: tuple[Gpu, ...], *, margin: float | None = None) -> tuple[Remedy, ...]:
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


def _parts(workload: Workload, constants: MemoryConstants) -> _Parts:
    shape, recipe, tokens = workload.shape, workload.recipe, workload.micro_batch * _sequence(workload)
    other = shape.parameters - shape.quantisable
    is_quantised = workload.quantisation is not Quantisation.NONE
    other_bytes = FULL_BYTES if is_quantised and recipe.precise_embeddings else HALF_BYTES
    logit_gib = shape.vocabulary * constants.logit_bytes / GIB
    matrices = (1 if is_quantised else 0) + (DORA_MATRICES if recipe.dora else 0)
    return _Parts(
        known=(
            ("weights", shape.quantisable * WEIGHT_BYTES[workload.quantisation] / GIB),
            ("embeddings", other * other_bytes / GIB),
            ("adapter and optimiser", workload.lora_parameters * TRAINABLE_BYTES[recipe.optimizer] / GIB),
            ("dequantised matrix", matrices * shape.hidden * shape.intermediate * HALF_BYTES / GIB),
        ),
        activations=tokens * _activation_bytes_per_token(workload, constants) / GIB,
        logits=(min(tokens, LOGIT_CHUNK_TOKENS) if recipe.fused_loss else tokens) * logit_gib,
        unfused_logits=tokens * logit_gib,
    )


def _holes(workload: Workload, constants: MemoryConstants) -> float:
    """What the allocator adds to what varies: rows of many lengths in segments that cannot grow."""
    varies = not workload.recipe.packed and workload.tokens_per_epoch < workload.examples * _sequence(workload)
    return constants.varied if varies and not workload.recipe.steady_memory else 1.0


def _sequence(workload: Workload) -> int:
    return min(workload.max_length, workload.longest_tokens)


def _activation_bytes_per_token(workload: Workload, constants: MemoryConstants) -> float:
    """With checkpointing each layer's input in 16 bits, and all of one layer while it is done again; else all."""
    shape = workload.shape
    layer = layer_bytes_per_token(shape)
    if workload.quantisation in (Quantisation.NF4, Quantisation.NF4_DOUBLE):
        layer += constants.quantised_input_bytes * shape.hidden
    if workload.recipe.attention is Attention.EAGER:
        layer += constants.score_bytes * shape.heads * _sequence(workload)
    if workload.recipe.checkpointing:
        return HALF_BYTES * shape.hidden * shape.layers + layer
    return shape.layers * layer


def _sum(parts: tuple[tuple[str, float], ...]) -> float:
    return sum(gib for _, gib in parts)
