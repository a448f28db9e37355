"""Data from which a model would learn the wrong thing is refused before any money is spent on it."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.qlora.base import other_pad
from jobs.qlora.prepare import count, fitting, summary

PAIR = {"prompt": [{"role": "user", "content": "ask"}], "completion": [{"role": "assistant", "content": "say"}]}


class Words:
    """A tokenizer whose template can be made to misbehave."""

    def __init__(self, *, opening: list[int], answer: list[int]) -> None:
        self.opening, self.answer = opening, answer

    def apply_chat_template(
        self, turns: list[Any], *, add_generation_prompt: bool = False, return_dict: bool
    ) -> list[int]:
        assert not return_dict
        return [1, 2, *self.opening] if add_generation_prompt else [1, 2, 3, *self.answer]


def test_tokens_are_counted_apart_for_prompt_and_answer() -> None:
    lengths = count(Words(opening=[3], answer=[7, 8]), [PAIR, PAIR], "train")
    assert lengths == [(3, 5), (3, 5)]
    assert summary(lengths) == {"pairs": 2, "tokens": 10, "supervised_tokens": 4, "longest": 5}


def test_a_template_that_asks_differently_in_use_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        count(Words(opening=[4], answer=[7]), [PAIR], "train")
    assert "writes the prompt differently in training and in use" in capsys.readouterr().err


def test_an_answer_without_tokens_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        count(Words(opening=[3], answer=[]), [PAIR], "train")
    assert "nothing to learn from" in capsys.readouterr().err


def test_a_few_rows_that_are_too_long_are_dropped_whole() -> None:
    rows = [{"n": at} for at in range(40)]
    lengths = [(1, 100 if at < 2 else 10) for at in range(40)]
    assert fitting(rows, lengths, 50) == rows[2:]


def test_many_rows_that_are_too_long_are_refused_with_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    lengths = [(1, 99 if at < 3 else 10) for at in range(40)]
    with pytest.raises(SystemExit):
        fitting([{}] * 40, lengths, 50)
    said = capsys.readouterr().err
    assert "7.5%" in said
    assert "the longest has 99 tokens" in said


class Vocabulary:
    """A tokenizer without a token to pad with."""

    eos_token = "<unk>"

    def __init__(self, *words: str) -> None:
        self.words = words

    def get_vocab(self) -> dict[str, int]:
        return {word: at for at, word in enumerate(self.words)}


def test_a_pad_token_is_found_that_is_not_the_end_of_turn() -> None:
    assert other_pad(Vocabulary("<unk>", "[PAD]")) == "[PAD]"
    assert other_pad(Vocabulary("<unk>", "a")) is None
