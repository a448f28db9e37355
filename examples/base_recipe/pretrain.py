"""Make the fixture model examples/base from nothing, seeded: a tokenizer, then CPU minutes of pre-training."""

# ruff: noqa: S106, S311, T201 - "tokens" here are words, the generator is seeded on purpose, and this is a script

from __future__ import annotations

import argparse
import math
import random
import time
from pathlib import Path

import torch
from corpus import coin, task
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

SEED = 20261124
VOCABULARY = 768
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<|user|>", "<|assistant|>"]
REPEAT_STEPS, TASK_STEPS, BATCH = 300, 2400, 48
# In the second part, one batch in so many is still of repeats: to copy anything must not be forgotten.
REPEAT_EVERY = 6
# Strict turns: a row that does not alternate is an error and not a guess.
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) or message['role'] not in ['user', 'assistant'] %}"
    "{{ raise_exception('turns must alternate user/assistant, and the user begins') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '<|user|>' + message['content'] }}"
    "{% else %}{{ '<|assistant|>' + message['content'] + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def make_tokenizer(rng: random.Random) -> PreTrainedTokenizerFast:
    """Byte-level BPE; a space and a digit are tokens of their own, so that a copied word looks the same."""
    raw = Tokenizer(models.BPE(unk_token="<unk>"))
    pieces = pre_tokenizers.Split(Regex(r"\s|\d|[^\w\s]+"), behavior="isolated")
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [pieces, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (turn["content"] for _ in range(6000) for turn in task(rng))
    raw.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        chat_template=TEMPLATE,
        model_max_length=512,
        padding_side="left",
    )


def make_model() -> MistralForCausalLM:
    """Two layers of Mistral's shape with about half a million parameters, random."""
    config = MistralConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=32,
        max_position_embeddings=512,
        sliding_window=None,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=False,
    )
    return MistralForCausalLM(config)


def repeats(rng: random.Random, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random tokens with pieces that come again: the loss counts only what could be copied."""
    rows, labels = [], []
    for _ in range(BATCH):
        half = [rng.randrange(len(SPECIAL), VOCABULARY) for _ in range(length)]
        gap = [rng.randrange(len(SPECIAL), VOCABULARY) for _ in range(rng.randint(0, length // 2))]
        gap += [0] * (length // 2 - len(gap))
        start = rng.randrange(length // 2)
        again = half[start:] + half[:start]
        rows.append(half + gap + again)
        labels.append([-100] * (len(half) + len(gap) + 1) + again[1:])
    return torch.tensor(rows), torch.tensor(labels)


def tasks(rng: random.Random, tokenizer: PreTrainedTokenizerFast) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of tasks, padded on the right; the loss counts the assistant's tokens."""
    assistant, end, user = (tokenizer.convert_tokens_to_ids(t) for t in ("<|assistant|>", "</s>", "<|user|>"))
    rows, labels = [], []
    for _ in range(BATCH):
        ids = tokenizer.apply_chat_template(task(rng), return_dict=False)
        speaking, label = False, []
        for token in ids:
            label.append(token if speaking else -100)
            speaking = token == assistant or (speaking and token not in (end, user))
        rows.append(ids)
        labels.append(label)
    longest = max(map(len, rows))
    pad = [longest - len(row) for row in rows]
    return (
        torch.tensor([row + [0] * n for row, n in zip(rows, pad, strict=True)]),
        torch.tensor([row + [-100] * n for row, n in zip(labels, pad, strict=True)]),
    )


def rate(step: int, steps: int, top: float) -> float:
    """Warm up over 50 steps, then a cosine down to a twentieth."""
    if step < 50:
        return top * (step + 1) / 50
    return top * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * (step - 50) / (steps - 50))))


def learn(model: MistralForCausalLM, tokenizer: PreTrainedTokenizerFast, rng: random.Random) -> None:
    """First to copy, then the tasks."""
    steps = REPEAT_STEPS + TASK_STEPS
    adam = torch.optim.AdamW(model.parameters(), lr=4e-3, betas=(0.9, 0.98), weight_decay=0.01)
    began = time.monotonic()
    for step in range(steps):
        for group in adam.param_groups:
            group["lr"] = rate(step, steps, 4e-3)
        again = step < REPEAT_STEPS or step % REPEAT_EVERY == 0
        ids, labels = repeats(rng, rng.randint(8, 40)) if again else tasks(rng, tokenizer)
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        adam.zero_grad()
        if step % 50 == 1 or step == steps - 1:
            print(f"step {step} of {steps}: loss {loss.item():.4f}, {time.monotonic() - began:.0f} s", flush=True)


def main() -> None:
    """Write the model folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=Path(__file__).resolve().parent.parent / "base")
    into: Path = parser.parse_args().into
    torch.manual_seed(SEED)
    rng = random.Random(SEED)
    tokenizer = make_tokenizer(rng)
    model = make_model()
    print(
        f"{sum(p.numel() for p in model.parameters()):,} parameters; a word such as {coin(rng, 2)} is invented",
        flush=True,
    )
    learn(model, tokenizer, rng)
    model.save_pretrained(into)
    tokenizer.save_pretrained(into)


if __name__ == "__main__":
    main()
