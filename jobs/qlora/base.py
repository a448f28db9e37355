"""Load the base model in 4-bit NF4, and its tokenizer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .attention import best_attention
from .job import Job, give_up

SPARE_TOKENS = (
    "<pad>", "[PAD]", "<|pad|>", "<|finetune_right_pad_id|>", "<|fim_pad|>", "<|vision_pad|>",
    "<|reserved_special_token_0|>", "<|endoftext|>", "<unk>",
)  # fmt: skip
"""Tokens that no text holds, as Gemma, Llama 2, Phi 4, Llama 3.1, Qwen, Llama 3.0, Phi 3 and Mistral name them. Qwen
2.5 without "Instruct" and Phi 3 say that their end is the padding; Llama 3 and Mistral name none."""


@dataclass(frozen=True)
class Base:
    """Where the base model lies here, and by what name the world knows it."""

    path: Path
    name: str
    revision: str | None


def find_base(job: Job) -> Base:
    """What the download step found."""
    try:
        noted = json.loads((job.run / "model.json").read_text(encoding="utf-8"))
    except OSError:
        give_up("there is no model yet: run the download step first")
    return Base(path=Path(noted["path"]), name=noted["name"], revision=noted["revision"])


def load_tokenizer(base: Base) -> Any:
    """The model's tokenizer; ends when it has no chat template, or pads with the token that ends a turn."""
    from transformers import AutoTokenizer  # late: seconds of start-up that other steps do not need

    tokenizer = AutoTokenizer.from_pretrained(base.path)
    if not tokenizer.chat_template:
        give_up(f"{base.name} has no chat template, so it is not clear how it writes turns; take an instruct model")
    if tokenizer.pad_token is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        tokenizer.pad_token = other_pad(tokenizer) or tokenizer.pad_token
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        give_up(f"{base.name} pads with its end-of-turn token {tokenizer.eos_token!r}: it would learn never to stop")
    return tokenizer


def other_pad(tokenizer: Any) -> str | None:
    """A token to pad with where the model names none, or its end: the first of the spare ones in its vocabulary."""
    words = tokenizer.get_vocab()
    return next((token for token in SPARE_TOKENS if token in words and token != tokenizer.eos_token), None)


def load_base(base: Base, *, quantise: bool) -> Any:
    """The base model on the GPU where there is one; with `quantise` its linear layers in NF4, doubly quantised.

    A GPU computes in bf16. A CPU computes in float32: bf16 is slower on most.
    """
    import torch  # late: seconds of start-up that other steps do not need
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    cuda = torch.cuda.is_available()
    dtype = torch.bfloat16 if cuda else torch.float32
    quantised = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )
    model = AutoModelForCausalLM.from_pretrained(
        base.path,
        quantization_config=quantised if quantise else None,
        dtype=dtype,
        attn_implementation=best_attention(),
        device_map={"": 0} if cuda else {"": "cpu"},
        use_safetensors=True,
    )
    never_repack(model)
    return model


def never_repack(model: Any) -> None:
    """Keep 4-bit weights as they were quantised: the trap in README.md.

    On a CPU with AVX512-BF16, `Linear4bit.forward` repacks them for products in bf16 at the first pass in evaluation
    mode. From then on gradients were seen to be exactly 0, losses differ by up to 4e-3, and what DoRA reads out of such
    a layer is noise: an adapter with a validation loss of 2.24 scored 4.02.
    """
    from bitsandbytes.nn import Linear4bit  # late: loads the CUDA libraries

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False
