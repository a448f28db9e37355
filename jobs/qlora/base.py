"""Load the base model in 4-bit NF4, and its tokenizer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .attention import best_attention
from .job import Job, give_up


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
    if tokenizer.pad_token is None:
        tokenizer.pad_token = other_pad(tokenizer)
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        give_up(f"{base.name} pads with its end-of-turn token {tokenizer.eos_token!r}: it would learn never to stop")
    return tokenizer


def other_pad(tokenizer: Any) -> str | None:
    """A token to pad with where the model names none: the first of the usual ones that is in its vocabulary."""
    words = tokenizer.get_vocab()
    usual = ("<pad>", "[PAD]", "<|finetune_right_pad_id|>", "<|endoftext|>", "<unk>")
    return next((token for token in usual if token in words and token != tokenizer.eos_token), None)


def load_base(base: Base, *, quantise: bool) -> Any:
    """The base model on the GPU where there is one; with `quantise` its linear layers in NF4, doubly quantised.

    A GPU computes in bf16. A CPU computes in float32: bf16 is slower on most, and its repacked weights
    are what the trap in README.md is about.
    """
    import torch  # late: seconds of start-up that other steps do not need
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    cuda = torch.cuda.is_available()
    dtype = torch.bfloat16 if cuda else torch.float32
    quantised = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )
    return AutoModelForCausalLM.from_pretrained(
        base.path,
        quantization_config=quantised if quantise else None,
        dtype=dtype,
        attn_implementation=best_attention(),
        device_map={"": 0} if cuda else {"": "cpu"},
        use_safetensors=True,
    )
