"""Which attention this machine has, and whether packed rows stay apart in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .job import Job, tell
from .memory import with_batch

FLASH = "flash_attention_2"
LEAST_CAPABILITY = 8
"""FlashAttention-2 and bf16 need an Ampere card (compute capability 8.0) or a later one."""
LEAKS_ABOVE = 0.1
"""Of the second row's logits (root mean squares): what packing may change.

bf16 alone changes 0.011 of them in 16 layers and 0.014 in 32, since a packed row is summed in another order (measured,
random weights, vocabularies of 32,000 and 128,000; 0.004 in the fixture model). Where a row sees the one before it,
what changes is as large as they are (1.3, 1.4 and 1.3).
"""
PROBE_TOKENS = 12


def best_attention() -> str | None:
    """FlashAttention-2 where it is installed and the card can do it; None: the best that the model itself can.

    That is "sdpa", torch's own fused attention, but for models such as Gemma 2, whose scores are capped in a way that
    it does not know: for them transformers takes "eager", and refuses the other by name.
    """
    import torch  # late: seconds of start-up that not every step needs
    from transformers.utils import is_flash_attn_2_available

    able = torch.cuda.is_available() and torch.cuda.get_device_capability()[0] >= LEAST_CAPABILITY
    return FLASH if able and is_flash_attn_2_available() else None


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
    """What packing two rows changes of the second's logits, as a share of them; 0 where neither sees the other."""
    import torch  # late, as above

    device = next(model.parameters()).device
    words = model.get_input_embeddings().num_embeddings
    ids = (torch.arange(2 * PROBE_TOKENS, device=device) * 7919 % (words - 3) + 3).view(2, PROBE_TOKENS)
    positions = torch.arange(PROBE_TOKENS, device=device)
    was_training = model.training
    model.eval()
    with torch.no_grad():
        apart = [model(input_ids=row[None], position_ids=positions[None], use_cache=False).logits[0] for row in ids]
        packed = model(input_ids=ids.view(1, -1), position_ids=positions.repeat(2)[None], use_cache=False).logits[0]
    model.train(was_training)
    alone, beside = apart[1].float(), packed[PROBE_TOKENS:].float()
    return float((beside - alone).norm() / alone.norm())
