"""Which attention this machine has, and whether packed rows stay apart in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .job import Job, tell
from .memory import with_batch

FLASH, SDPA = "flash_attention_2", "sdpa"
LEAST_CAPABILITY = 8
"""FlashAttention-2 and bf16 need an Ampere card (compute capability 8.0) or a later one."""
LEAKS_ABOVE = 1e-2
"""Of a row's logits, relative to their largest: what packing may change. Rows that see each other differ by more than
a tenth; bf16 rounds at 2^-9 = 2e-3."""
PROBE_TOKENS = 12


def best_attention() -> str:
    """FlashAttention-2 where it is installed and the card can do it, else torch's own fused attention."""
    import torch  # late: seconds of start-up that not every step needs
    from transformers.utils import is_flash_attn_2_available

    able = torch.cuda.is_available() and torch.cuda.get_device_capability()[0] >= LEAST_CAPABILITY
    return FLASH if able and is_flash_attn_2_available() else SDPA


def with_packing(job: Job, model: Any) -> Job:
    """The job as this model and its attention can pack.

    FlashAttention takes a packed batch as rows of different lengths. Torch's attention takes it as one long row with
    a mask of tokens x tokens: as costly as the square of the batch's tokens. There one packed row goes at a time, and
    more of them in a step. Where the model lets packed rows see each other, nothing is packed.
    """
    if not job.train.packing:
        return job
    if leak(model) > LEAKS_ABOVE:
        text = "this model lets packed rows see each other, so they are not packed (train.packing)"
        tell(job, "warning", code="packing-leaks", text=text)
        return replace(job, train=replace(job.train, packing=False))
    if model.config._attn_implementation == FLASH:
        return job
    text = f"no FlashAttention here: packed rows of {job.train.max_length} tokens go one at a time; slower, not worse"
    tell(job, "warning", code="packing-dense-attention", text=text)
    micro, accumulation = job.train.per_device_train_batch_size, job.train.gradient_accumulation_steps
    return with_batch(job, 1, micro * accumulation)


def leak(model: Any) -> float:
    """How much two packed rows change each other's logits, relative to the largest; 0 where neither sees the other."""
    import torch  # late, as above

    from .validation import stay_trainable  # late: loads TRL, which a job without packing need not wait for here

    device = next(model.parameters()).device
    words = model.get_input_embeddings().num_embeddings
    ids = (torch.arange(2 * PROBE_TOKENS, device=device) * 7919 % (words - 3) + 3).view(2, PROBE_TOKENS)
    positions = torch.arange(PROBE_TOKENS, device=device)
    was_training = model.training
    model.eval()
    stay_trainable(model)
    with torch.no_grad():
        apart = [model(input_ids=row[None], position_ids=positions[None], use_cache=False).logits[0] for row in ids]
        packed = model(input_ids=ids.view(1, -1), position_ids=positions.repeat(2)[None], use_cache=False).logits[0]
    model.train(was_training)
    alone = torch.cat(apart).float()
    return float((packed.float() - alone).abs().max() / alone.abs().max())
