"""Base models and tokenizers as they come: scores that torch's attention does not know, padding with the end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobs.qlora.attention import LEAKS_ABOVE, leak
from jobs.qlora.base import Base, load_base, load_tokenizer
from tests.jobs.qlora.workplace import BASE

pytestmark = [pytest.mark.xdist_group("train"), pytest.mark.filterwarnings("ignore")]

OURS = Base(path=BASE, name="ours", revision=None)


def made(family: str, folder: Path, **more: Any) -> Base:
    """A model of a family with random weights, small enough for a test."""
    import transformers  # late: only these tests need it

    size = {"vocab_size": 768, "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4}
    config = getattr(transformers, f"{family}Config")(**size, num_hidden_layers=2, num_key_value_heads=2, **more)
    getattr(transformers, f"{family}ForCausalLM")(config).save_pretrained(folder)
    return replace(OURS, path=folder)


@pytest.mark.parametrize(
    ("family", "more", "attention"),
    [("Gemma2", {"head_dim": 16}, "eager"), ("Llama", {}, "sdpa"), ("Qwen2", {}, "sdpa"), ("Mistral", {}, "sdpa")],
)
def test_each_family_is_loaded_with_an_attention_that_it_knows(
    tmp_path: Path, family: str, more: dict[str, Any], attention: str
) -> None:
    model = load_base(made(family, tmp_path, **more), quantise=False)
    assert model.config._attn_implementation == attention
    assert leak(model) < LEAKS_ABOVE


def test_bf16_alone_does_not_look_like_rows_that_see_each_other() -> None:
    import torch  # late, as above
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    deep = {"num_hidden_layers": 32, "hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 4}
    found = leak(LlamaForCausalLM(LlamaConfig(vocab_size=2000, **deep)).to(torch.bfloat16))
    assert 0.004 < found < LEAKS_ABOVE / 4


def test_a_tokenizer_that_pads_with_its_end_gets_a_spare_token_to_pad_with(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(OURS)
    spare, tokenizer.pad_token = tokenizer.pad_token, tokenizer.eos_token
    tokenizer.save_pretrained(tmp_path)
    found = load_tokenizer(replace(OURS, path=tmp_path))
    assert spare != tokenizer.eos_token
    assert found.pad_token_id not in {None, found.eos_token_id}
    assert found.chat_template


def test_a_tokenizer_without_any_spare_token_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models  # late, as above
    from transformers import PreTrainedTokenizerFast

    bare = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"a": 0, "</s>": 1}, "a")), eos_token="</s>", pad_token="</s>"
    )
    bare.chat_template = "{{ messages[0]['content'] }}"
    bare.save_pretrained(tmp_path)
    with pytest.raises(SystemExit):
        load_tokenizer(replace(OURS, path=tmp_path))
    assert "pads with its end-of-turn token '</s>'" in capsys.readouterr().err
