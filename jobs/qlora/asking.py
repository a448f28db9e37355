"""Ask a loaded model: greedy answers, and the loss of the wanted ones, in batches that its memory holds."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils.memory import should_reduce_batch_size
from transformers import GenerationConfig

from .template import Pair, answer_ids, end_ids, ids_of

BATCH = 50
"""Rows that are answered at once, at most: a 4-bit layer on a small batch waits for its weights, not for its sums."""
CACHE_SHARE = 0.5
"""Of the free memory, for keys and values; the rest is for the prompts' pass (assumed; if wrong, rows are halved)."""
LOGIT_TOKENS = 256
"""Logits exist for so many tokens at a time: 256 of a vocabulary of 152,000 are 0.5 GB with their 32-bit copies."""

Row = tuple[int, list[int]]
"""How many tokens are the prompt's, and the whole row."""


@dataclass(frozen=True)
class Said:
    """One answer: its text, the tokens that were made for it, and whether it ended by itself or was cut."""

    text: str
    tokens: int
    ended: bool


@dataclass(frozen=True)
class Spoken:
    """What a batch of prompts was answered, and how long that took, in seconds."""

    said: list[Said]
    seconds: float


class Speaker:
    """A model that answers greedily, in every arm alike.

    What its makers set besides does not count: a penalty for repeating words, for one, would punish copying.
    """

    def __init__(self, model: Any, tokenizer: Any, pairs: Sequence[Pair]) -> None:
        """`pairs`: some rows, from whose answers it is seen what ends a turn."""
        self.model, self.tokenizer = model.eval(), tokenizer
        inner = inner_of(model)
        own = inner.generation_config.eos_token_id
        self.ends = sorted(
            {*end_ids(tokenizer, [answer_ids(tokenizer, pair) for pair in pairs])}
            | ({own} if isinstance(own, int) else set(own or ()))
        )
        greedy = GenerationConfig(
            do_sample=False,
            num_beams=1,
            eos_token_id=self.ends,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
        )
        inner.generation_config = model.generation_config = greedy

    def answer(self, prompts: Sequence[list[int]], longest: int) -> Spoken:
        """Answers of at most `longest` tokens. Prompts are padded on the left, and the mask hides the padding."""
        width = max(map(len, prompts))
        ids = torch.full((len(prompts), width), self.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for at, prompt in enumerate(prompts):
            ids[at, width - len(prompt) :] = torch.tensor(prompt)
            mask[at, width - len(prompt) :] = 1
        began = time.perf_counter()
        made = self.model.generate(
            input_ids=ids.to(self.model.device), attention_mask=mask.to(self.model.device), max_new_tokens=longest
        )
        new = made[:, width:].tolist()  # waits for the card
        return Spoken(said=[self.read(row) for row in new], seconds=time.perf_counter() - began)

    def read(self, made: list[int]) -> Said:
        """An answer up to its end; what stands behind that is padding."""
        end = next((at for at, token in enumerate(made) if token in self.ends), None)
        text = self.tokenizer.decode(made[:end], skip_special_tokens=True)
        return Said(text=text, tokens=len(made) if end is None else end + 1, ended=end is not None)

    @property
    def context(self) -> int | None:
        """Tokens that the model can see at once; None where its configuration does not say."""
        found = getattr(inner_of(self.model).config.get_text_config(), "max_position_embeddings", None)
        return found if isinstance(found, int) else None

    def rows_at_once(self, tokens: int) -> int:
        """How many rows of so many tokens (prompt and answer) are asked at once."""
        return rows_that_fit(free_bytes(), cache_bytes(inner_of(self.model).config), tokens)


def inner_of(model: Any) -> Any:
    """The base model within an adapter's."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def free_bytes() -> int | None:
    """Of the card's memory; None where there is no card."""
    if not torch.cuda.is_available():
        return None
    return int(torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() - torch.cuda.memory_allocated())


def cache_bytes(config: Any) -> int:
    """Of the keys and values of one token in all layers, in 16 bits."""
    text = config.get_text_config()
    heads = text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // heads
    return 2 * 2 * int(text.num_hidden_layers * (getattr(text, "num_key_value_heads", None) or heads) * width)


def rows_that_fit(free: int | None, token_bytes: int, tokens: int) -> int:
    """Rows whose keys and values take no more than their share of the free memory; BATCH at most, 1 at least."""
    return BATCH if free is None else max(1, min(BATCH, int(free * CACHE_SHARE / (token_bytes * tokens))))


def batches(ask: Callable[[list[Any]], Any], items: list[Any], rows: int) -> Iterator[tuple[list[Any], Any]]:
    """The items, so many at a time, with what `ask` answers; fewer from then on where the memory does not hold them.

    The keys and values of eight long prompts can need more of it than training one row does.
    """
    start = 0
    while start < len(items):
        some = items[start : start + rows]
        try:
            found = ask(some)
        except RuntimeError as error:
            if len(some) == 1 or not is_out_of_memory(error):
                raise
            rows = len(some) // 2
            continue
        yield some, found
        start += len(some)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether the card's (or this computer's) memory was too small, in any of the words that torch has for it."""
    return isinstance(error, torch.OutOfMemoryError) or should_reduce_batch_size(error)


def loss_of(model: Any, tokenizer: Any, pairs: Sequence[Pair]) -> list[tuple[float, int]]:
    """For each pair: the summed loss of the wanted answer's tokens (in nats), and how many they are."""
    rows = [(len(prompt), whole) for prompt, whole in (ids_of(tokenizer, pair) for pair in pairs)]
    return losses(model, tokenizer.pad_token_id, rows)


def losses(model: Any, pad: int, rows: Sequence[Row]) -> list[tuple[float, int]]:
    """`loss_of` rows of tokens, in their order; rows of about the same length share a pass."""
    order = sorted(range(len(rows)), key=lambda at: -len(rows[at][1]))
    found: list[tuple[float, int]] = []
    for some in few([rows[at] for at in order]):
        for _, summed in batches(lambda part: losses_of(model, pad, part), some, len(some)):
            found += summed
    return [one for _, one in sorted(zip(order, found, strict=True))]


def few(rows: list[Row]) -> Iterator[list[Row]]:
    """Rows in their order, so many together that their logits stay small: of a large vocabulary they dwarf all else."""
    some: list[Row] = []
    for row in rows:
        if some and (len(some) + 1) * kept([*some, row]) > LOGIT_TOKENS:
            yield some
            some = []
        some.append(row)
    if some:
        yield some


def kept(rows: list[Row]) -> int:
    """Of the padded rows the last positions, from the token before the first answer on."""
    return max(len(whole) for _, whole in rows) - min(prompt for prompt, _ in rows) + 1


def losses_of(model: Any, pad: int, rows: list[Row]) -> list[tuple[float, int]]:
    """`losses` of the rows in one pass."""
    longest, last = max(len(whole) for _, whole in rows), kept(rows)
    ids = torch.full((len(rows), longest), pad)
    wanted = torch.full((len(rows), longest), -100)
    for at, (prompt, whole) in enumerate(rows):
        ids[at, : len(whole)] = torch.tensor(whole)
        wanted[at, prompt : len(whole)] = torch.tensor(whole[prompt:])
    # Padded on the right, so a causal model never sees the padding before the answer: no mask is needed.
    logits = model(input_ids=ids.to(model.device), use_cache=False, **only_last(model, last)).logits[:, -last:-1]
    target = wanted[:, 1 - last :].to(model.device)
    found = [answer_loss(row, of) for row, of in zip(logits, target, strict=True)]
    return [(loss, int((of != -100).sum())) for loss, of in zip(found, target, strict=True)]


def only_last(model: Any, positions: int) -> dict[str, int]:
    """What asks the model for no other logits, where it understands that."""
    understood = inspect.signature(inner_of(model).forward).parameters
    return {"logits_to_keep": positions} if "logits_to_keep" in understood else {}


def answer_loss(logits: Any, wanted: Any) -> float:
    """Summed over one row's tokens, in 32 bits for a few of them at a time."""
    parts = zip(logits.split(LOGIT_TOKENS), wanted.split(LOGIT_TOKENS), strict=True)
    return sum(
        float(torch.nn.functional.cross_entropy(some.float(), of, reduction="sum", ignore_index=-100))
        for some, of in parts
    )
