"""How a conversation becomes tokens: the one place for training, evaluation, and the answers that a user gets later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Turn = dict[str, str]
Pair = dict[str, list[Turn]]
"""A prompt (the turns before an answer) and its completion (the answer, one assistant turn)."""
CLOSING = 3
"""Tokens that a template writes after an answer, at most: the end of the turn, and a newline or two."""


def pairs(messages: Sequence[tuple[str, str]]) -> list[Pair]:
    """One prompt/completion pair for each assistant turn: no chat template needs to mark what is learned."""
    turns = folded([{"role": role, "content": content} for role, content in messages])
    ends = [at for at, turn in enumerate(turns) if turn["role"] == "assistant"]
    return [{"prompt": turns[:at], "completion": [turns[at]]} for at in ends]


def folded(turns: list[Turn]) -> list[Turn]:
    """The turns with a system text at the head of the first user turn: many templates know no system turn."""
    if turns[:1] and turns[0]["role"] == "system":
        return [{"role": "user", "content": turns[0]["content"] + "\n\n" + turns[1]["content"]}, *turns[2:]]
    return turns


def prompt_ids(tokenizer: Any, prompt: Sequence[Turn]) -> list[int]:
    """Token ids of a prompt as it is asked: in training, in the evaluation, and in use."""
    return list(tokenizer.apply_chat_template(list(prompt), add_generation_prompt=True, return_dict=False))


def ids_of(tokenizer: Any, pair: Mapping[str, list[Turn]]) -> tuple[list[int], list[int]]:
    """Token ids of the prompt as it is asked at inference, and of the whole row as it is trained."""
    whole = tokenizer.apply_chat_template(pair["prompt"] + pair["completion"], return_dict=False)
    return prompt_ids(tokenizer, pair["prompt"]), list(whole)


def answer_ids(tokenizer: Any, pair: Mapping[str, list[Turn]]) -> list[int]:
    """Token ids of the answer with what ends its turn: what training learns, and what a loss is measured over."""
    asked, whole = ids_of(tokenizer, pair)
    return whole[len(asked) :]


def end_ids(tokenizer: Any, answers: Sequence[list[int]]) -> list[int]:
    """What ends an answer: the tokenizer's own end, and the special token with which the template closes these answers.

    The two differ in models whose tokenizer was not made for their template: those would never stop talking.
    """
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    special |= set(tokenizer.all_special_ids)
    closing = {next((one for one in reversed(ids[-CLOSING:]) if one in special), None) for ids in answers}
    return sorted({tokenizer.eos_token_id, *closing} - {None})
