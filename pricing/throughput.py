"""How fast: tokens a second through training, and seconds for an evaluation, on one card or on the CPU."""

from math import ceil

from pricing.gpus import Gpu
from pricing.interval import Interval, around
from pricing.workload import Method, Workload

BILLION = 1e9

FLOPS_PER_PARAMETER = 6
"""A token through an adapter's training: 2 forward, 2 backward (activations only), 2 for the checkpointed forward."""
DEQUANT_BYTES_PER_PARAMETER = 2.5
"""Read and written when a 4-bit weight is unpacked, each of the `PASSES` (facts: qlora.md, section 5)."""
PASSES = 3
LAYER_SECONDS = 0.003
"""Python and kernel launches of a layer, over all passes of a micro-step: what bounds short sequences (assumed)."""

CPU_FLOPS = 35e9
"""What NF4 training reached on 2 cores with AVX512-BF16: 300 steps of a half-million-parameter model in 40 s."""
CPU_BYTES_PER_SECOND = 8e9
CPU_STEP_SECONDS = 0.02
CPU_SPREAD = 3.0

EVALUATION_BATCH = 8
DECODE_LAYER_SECONDS = 0.0015
"""A 4-bit layer for one new token: a published 7B on an A100 makes 20 tokens/s unbatched, bound by launches."""
CPU_DECODE_LAYER_SECONDS = 0.002
EVALUATION_SPREAD = 2.0
PREFILL_SHARE = 1 / 3
"""A prompt is read with one pass of the three that training takes."""


def tokens_per_second(workload: Workload, gpu: Gpu | None) -> Interval:
    """Tokens (padding counted) through training; `gpu` None is the CPU. About 80 % of runs lie inside.

    Pre-run models of this kind miss by 30 % on average on sources that they have not seen, hence the width; the
    factors of a card stand in `gpus.csv`.
    """
    tokens = tokens_per_micro_step(workload)
    spread = CPU_SPREAD if gpu is None else gpu.efficiency_spread
    return around(tokens / _micro_step_seconds(workload, gpu, tokens), spread)


def tokens_per_micro_step(workload: Workload) -> float:
    """Tokens of one micro-batch, padding included."""
    return workload.micro_batch * min(padded_tokens(workload) / max(workload.examples, 1), workload.max_length)


def padded_tokens(workload: Workload) -> float:
    """Tokens of one epoch, rows padded to the longest of their batch (15 % for each further row, assumed)."""
    padded = workload.tokens_per_epoch * min(2.0, 1 + 0.15 * (workload.micro_batch - 1))
    return max(workload.tokens_per_epoch, min(padded, workload.longest_tokens * workload.examples), 1)


def generation_seconds(workload: Workload, gpu: Gpu | None) -> Interval:
    """One arm of the evaluation: prompts read, answers written greedily in batches, loading not counted."""
    if workload.evaluated_examples == 0:
        return Interval(low=0.0, expected=0.0, high=0.0)
    batches = ceil(workload.evaluated_examples / EVALUATION_BATCH)
    decode = batches * workload.evaluated_new_tokens * _decode_step_seconds(workload, gpu)
    prompt_tokens = workload.evaluated_examples * workload.tokens_per_epoch / max(workload.examples, 1)
    prefill = prompt_tokens * PREFILL_SHARE / tokens_per_second(workload, gpu).expected
    return around(decode + prefill, CPU_SPREAD if gpu is None else EVALUATION_SPREAD)


def _micro_step_seconds(workload: Workload, gpu: Gpu | None, tokens: float) -> float:
    work = tokens * _flops_per_token(workload)
    if gpu is None:
        return work / CPU_FLOPS + CPU_STEP_SECONDS
    compute = work / (gpu.bf16_tflops * 1e12 * gpu.efficiency)
    return compute + _dequant_seconds(workload, gpu) + workload.shape.layers * LAYER_SECONDS


def _flops_per_token(workload: Workload) -> float:
    """Weights and causal attention; an embedding is looked up, not multiplied, the head is."""
    shape = workload.shape
    multiplied = shape.parameters - (0 if shape.tied_embeddings else shape.vocabulary * shape.hidden)
    sequence = min(workload.longest_tokens, workload.max_length)
    return FLOPS_PER_PARAMETER * multiplied + PASSES * 2 * sequence * shape.hidden * shape.layers


def _dequant_seconds(workload: Workload, gpu: Gpu) -> float:
    if workload.method is not Method.QLORA:
        return 0.0
    linear = max(workload.shape.parameters - workload.shape.embedding_parameters, 0)
    return linear * DEQUANT_BYTES_PER_PARAMETER * PASSES / (gpu.bandwidth_gb_s * BILLION)


def _decode_step_seconds(workload: Workload, gpu: Gpu | None) -> float:
    shape = workload.shape
    stored = shape.parameters * (0.6 if workload.method is Method.QLORA else 2.0)
    if gpu is None:
        return stored / CPU_BYTES_PER_SECOND + shape.layers * CPU_DECODE_LAYER_SECONDS
    return stored / (gpu.bandwidth_gb_s * BILLION) + shape.layers * DECODE_LAYER_SECONDS
