"""How fast: tokens a second through training, and seconds for an evaluation, on one card or on the CPU."""

from dataclasses import dataclass, replace
from math import ceil

from pricing.gpus import Gpu
from pricing.interval import Interval, around
from pricing.memory import cache_bytes_per_token, evaluation_rows, layer_bytes_per_token
from pricing.workload import Asked, Attention, Quantisation, Workload

BILLION = 1e9
TRILLION = 1e12

FORWARD_FLOPS, BACKWARD_FLOPS = 2, 2
"""Of a weight and token: the forward pass, and the gradients of activations; a frozen weight has no gradient itself."""
ATTENTION_BACKWARD = 2.5
"""Matrix products of attention in the backward pass over those in the forward pass (5 for 2, as flash attention)."""
MATMUL_SHARE = 0.87
"""Of the dense peak, what large 16-bit products reach: 271 of the A100's 312 TFLOP/s (ml-engineering's accelerator
tables, 2026-08); other cards that were measured so lie between 0.78 and 0.87."""
HALF_BYTES = 2


@dataclass(frozen=True, kw_only=True)
class SpeedConstants:
    """What the roofline takes from practice: the fit of `tests/accuracy/fit.py` over published runs, all sources.

    A micro-step's work on the card is matrix products at `MATMUL_SHARE` of the peak, memory traffic at the bandwidth,
    and unpacking; beside it the host launches kernels, and the longer of the two mostly hides the other.
    """

    traffic: float = 56.7
    """Bytes moved for each byte of a layer's activations, over all passes: norms, rotations, dropout and casts read and
    write them again and again. It is why a card with twice the peak and the same bandwidth is not twice as fast."""
    layer_seconds: float = 0.00446
    """The host's Python and launches for one layer, over all passes: what bounds short sequences."""
    dequant_bytes: float = 17.0
    """Of a 4-bit weight and pass. Ideal would be 2.5 (read half a byte, write two): the published runs used kernels of
    2023 and 2024."""
    quantised_layer_seconds: float = 0.00098
    """Launches more for the 4-bit matrices of one layer, over all passes."""
    int4_factor: float = 1.30
    """Unpacking of GPTQ's grouped integers over that of NF4."""
    overlap: float = 2.0
    """The exponent with which card and host are added: 1 is one after the other, infinite the longer alone."""


PUBLISHED = SpeedConstants()

CPU_FLOPS = 35e9
"""What NF4 training reached on 2 cores with AVX512-BF16: 300 steps of a half-million-parameter model in 40 s."""
CPU_BYTES_PER_SECOND = 8e9
CPU_STEP_SECONDS = 0.02
CPU_SPREAD = 3.0

CPU_EVALUATION_ROWS = 8
"""Rows that a CPU answers in the time of one: more take longer each (measured with the example on 2 cores)."""
READINGS = 2
"""Each row of the evaluation is read once for its answer, and once for the loss of the wanted one."""
DECODE_LAYER_SECONDS = 0.0015
"""A 4-bit layer for one new token: a published 7B on an A100 makes 20 tokens/s unbatched, bound by launches."""
CPU_DECODE_LAYER_SECONDS = 0.002
EVALUATION_SPREAD = 2.0
PREFILL_SHARE = 1 / 3
"""A prompt is read with one pass of the three that training takes."""
MIXTURE_SPREAD = 2.0
"""How much less is known of a mixture of experts: 28 published runs of one, of which nothing was fitted, were off
by a third at the median (`make accuracy`)."""
DORA_FACTOR, DORA_SPREAD = 1.7, 1.4
"""How much longer a step takes with DoRA: 1.7 times in ms-swift (its issue 3033); in peft 1.2 times by its author on
7B and 13B, 1.7 to 2.0 times on a 1.8B (pull request 1474); all of 2024 and 2025, so that all lie within the spread."""
PADDING_PER_ROW = 0.15
"""What each further row of a batch adds to a row by padding, where nobody counted it (assumed)."""
STORED_BYTES = {Quantisation.NONE: 2.0, Quantisation.INT8: 1.0}
STORED_4BIT_BYTES = 0.6


def tokens_per_second(workload: Workload, gpu: Gpu | None) -> Interval:
    """Tokens (padding counted) through training; `gpu` None is the CPU. About 80 % of runs lie inside.

    The width is the card's: what published runs on it, or on cards like it, missed by (`make accuracy`).
    """
    tokens = tokens_per_micro_step(workload)
    rate = around(
        tokens / micro_step_seconds(workload, gpu, tokens), CPU_SPREAD if gpu is None else gpu.efficiency_spread
    )
    if workload.recipe.dora:
        rate = rate.times(1 / DORA_FACTOR).blurred(DORA_SPREAD)
    return rate.blurred(MIXTURE_SPREAD) if workload.shape.active < workload.shape.parameters else rate


def tokens_per_micro_step(workload: Workload) -> float:
    """Tokens of one micro-batch, padding included."""
    return workload.micro_batch * min(padded_tokens(workload) / max(workload.rows, 1), workload.max_length)


def padded_tokens(workload: Workload) -> float:
    """Tokens of one epoch, rows padded to the longest of their batch, as it was counted or else assumed."""
    if workload.padded_tokens_per_epoch is not None:
        return max(workload.padded_tokens_per_epoch, workload.tokens_per_epoch, 1)
    padded = workload.tokens_per_epoch * min(2.0, 1 + PADDING_PER_ROW * (workload.micro_batch - 1))
    return max(workload.tokens_per_epoch, min(padded, workload.longest_tokens * workload.examples), 1)


def generation_seconds(workload: Workload, gpu: Gpu | None) -> Interval:
    """The whole evaluation: prompts read, answers written greedily in batches, loading not counted."""
    seconds = sum(asked_seconds(workload, gpu, one) for one in workload.evaluation)
    if seconds == 0:
        return Interval(low=0.0, expected=0.0, high=0.0)
    return around(seconds, CPU_SPREAD if gpu is None else EVALUATION_SPREAD)


def asked_seconds(workload: Workload, gpu: Gpu | None, asked: Asked) -> float:
    """One arm's questions, or one task's: the middle of the forecast."""
    if asked.rows == 0:
        return 0.0
    at_once = CPU_EVALUATION_ROWS if gpu is None else evaluation_rows(workload, gpu)
    rows = min(at_once, asked.rows)
    batches = ceil(asked.rows / rows)
    decode = batches * asked.new_tokens * _decode_step_seconds(workload, gpu, rows, asked)
    return decode + READINGS * reading_seconds(workload, gpu, asked.rows * asked.row_tokens)


def arm_shares(workload: Workload, gpu: Gpu | None) -> dict[str, float]:
    """What each arm takes of the whole evaluation; its adjacent tasks, or the trials of its prompt, counted with it."""
    seconds: dict[str, float] = {}
    for one in workload.evaluation:
        seconds[one.arm] = seconds.get(one.arm, 0.0) + asked_seconds(workload, gpu, one)
    whole = sum(seconds.values())
    return {arm: taken / whole for arm, taken in seconds.items()} if whole else {}


def reading_seconds(workload: Workload, gpu: Gpu | None, tokens: float) -> float:
    """One forward pass over so many tokens, without an adapter's cost of learning."""
    plain = replace(workload, recipe=replace(workload.recipe, dora=False)) if workload.recipe.dora else workload
    return tokens * PREFILL_SHARE / tokens_per_second(plain, gpu).expected


def micro_step_seconds(
    workload: Workload, gpu: Gpu | None, tokens: float, constants: SpeedConstants = PUBLISHED
) -> float:
    """Forward and backward through one micro-batch of so many tokens, padding included."""
    work = tokens * _flops_per_token(workload)
    if gpu is None:
        return work / CPU_FLOPS + CPU_STEP_SECONDS
    bandwidth = gpu.bandwidth_gb_s * BILLION
    products = work / (gpu.bf16_tflops * TRILLION * MATMUL_SHARE)
    traffic = tokens * _traffic_bytes_per_token(workload, constants) / bandwidth
    weights = _passes(workload) * _stored_bytes(workload) / bandwidth
    card = max(products + traffic, weights) + _dequant_seconds(workload, gpu, constants)
    host = workload.shape.layers * _host_layer_seconds(workload, constants)
    power = constants.overlap
    return float(((card / gpu.efficiency) ** power + host**power) ** (1 / power))


def _passes(workload: Workload) -> int:
    """Through every frozen weight: forward, backward, and with checkpointing forward once more."""
    return 3 if workload.recipe.checkpointing else 2


def _flops_per_token(workload: Workload) -> float:
    """Weights and causal attention; an embedding is looked up, not multiplied, the head is."""
    shape = workload.shape
    again = 1 if workload.recipe.checkpointing else 0
    per_weight = FORWARD_FLOPS * (1 + again) + BACKWARD_FLOPS
    multiplied = shape.active - (0 if shape.tied_embeddings else shape.vocabulary * shape.hidden)
    seen = min(workload.longest_tokens, workload.max_length) / 2  # causal: half of the sequence on average
    attention = 2 * FORWARD_FLOPS * seen * shape.hidden * shape.layers * (1 + again + ATTENTION_BACKWARD)
    return per_weight * multiplied + attention


def _traffic_bytes_per_token(workload: Workload, constants: SpeedConstants) -> float:
    """Of everything between the matrix products; an eager attention moves its scores too."""
    shape = workload.shape
    share = _passes(workload) / 3
    scores = 0.0
    if workload.recipe.attention is Attention.EAGER:
        scores = 2 * _passes(workload) * 8.0 * shape.heads * min(workload.longest_tokens, workload.max_length)
    return shape.layers * (layer_bytes_per_token(shape) * share * constants.traffic + scores)


def _dequant_seconds(workload: Workload, gpu: Gpu, constants: SpeedConstants) -> float:
    if workload.quantisation is Quantisation.NONE:
        return 0.0
    factor = constants.int4_factor if workload.quantisation is Quantisation.INT4 else 1.0
    moved = workload.shape.quantisable * constants.dequant_bytes * factor * _passes(workload)
    return moved / (gpu.bandwidth_gb_s * BILLION)


def _host_layer_seconds(workload: Workload, constants: SpeedConstants) -> float:
    more = 0.0 if workload.quantisation is Quantisation.NONE else constants.quantised_layer_seconds
    return constants.layer_seconds + more


def _stored_bytes(workload: Workload) -> float:
    per_weight = STORED_BYTES.get(workload.quantisation, STORED_4BIT_BYTES)
    other = workload.shape.parameters - workload.shape.quantisable
    return workload.shape.quantisable * per_weight + other * HALF_BYTES


def _decode_step_seconds(workload: Workload, gpu: Gpu | None, rows: int, asked: Asked) -> float:
    """One new token for each of so many rows: weights and what was kept of all tokens so far are read once."""
    shape, stored = workload.shape, _stored_bytes(workload)
    if gpu is None:
        return stored / CPU_BYTES_PER_SECOND + shape.layers * CPU_DECODE_LAYER_SECONDS
    so_far = asked.row_tokens + asked.new_tokens / 2
    read = stored + rows * so_far * cache_bytes_per_token(workload)
    products = rows * FORWARD_FLOPS * shape.active / (gpu.bf16_tflops * TRILLION * MATMUL_SHARE)
    return read / (gpu.bandwidth_gb_s * BILLION) + products + shape.layers * DECODE_LAYER_SECONDS
