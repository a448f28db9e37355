"""The loss of wanted answers: the same in small bites, since the logits of all rows at once need more than training."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from jobs.qlora import evaluate  # noqa: E402 - it imports torch itself

VOCABULARY = 97


class Bigram(torch.nn.Module):  # type: ignore[misc, name-defined]  # torch is not typed here
    """A language model that looks at one token; it notes how many logits it was asked for."""

    device = "cpu"

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(VOCABULARY, VOCABULARY)
        self.made: list[int] = []

    def forward(self, input_ids: Any, use_cache: bool, logits_to_keep: int = 0) -> Any:
        assert not use_cache
        logits = self.table(input_ids)[:, -logits_to_keep:]
        self.made.append(logits.shape[0] * logits.shape[1])
        return SimpleNamespace(logits=logits)


class Whole(Bigram):
    """One that always answers with all logits, as a few models do."""

    def forward(self, input_ids: Any, use_cache: bool) -> Any:  # type: ignore[override]  # that is its fault
        return super().forward(input_ids, use_cache)


def rows(many: int, longest_answer: int) -> list[evaluate.Row]:
    draw = random.Random(3)
    lengths = [(draw.randint(1, 60), draw.randint(1, longest_answer)) for _ in range(many)]
    return [(prompt, [draw.randrange(VOCABULARY) for _ in range(prompt + answer)]) for prompt, answer in lengths]


@pytest.mark.parametrize("kind", [Bigram, Whole])
def test_the_loss_in_small_bites_is_that_of_each_row_by_itself(kind: type[Bigram]) -> None:
    model, asked = kind(), rows(20, 700)
    with torch.inference_mode():
        found = [one for some in evaluate.few(asked) for one in evaluate.losses_of(model, 0, some)]
        for (prompt, whole), (loss, tokens) in zip(asked, found, strict=True):
            right = torch.nn.functional.cross_entropy(
                model.table(torch.tensor(whole[prompt - 1 : -1])), torch.tensor(whole[prompt:]), reduction="sum"
            )
            assert tokens == len(whole) - prompt
            assert loss == pytest.approx(float(right), rel=1e-5)


def test_logits_are_made_for_few_tokens_however_long_the_prompts_are() -> None:
    model, asked = Bigram(), [(1000 + at, [1] * (1030 + at)) for at in range(40)]
    with torch.inference_mode():
        found = [one for some in evaluate.few(asked) for one in evaluate.losses_of(model, 0, some)]
    assert len(found) == 40
    assert max(model.made) <= evaluate.LOGIT_TOKENS
    assert len(model.made) < 20


@pytest.mark.parametrize(("held", "sizes"), [(99, [8, 8, 4]), (5, [4, 4, 4, 4, 4]), (1, [1] * 20)])
def test_where_the_card_does_not_hold_a_batch_smaller_ones_are_asked_and_no_row_is_lost(
    held: int, sizes: list[int]
) -> None:
    def ask(pairs: list[Any]) -> list[Any]:
        if len(pairs) > held:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return pairs

    pairs: list[Any] = list(range(20))
    found = list(evaluate.batches(ask, pairs, 8))
    assert [one for some in found for one in some] == pairs
    assert [len(some) for some in found] == sizes


def test_a_single_row_that_the_card_does_not_hold_is_an_error() -> None:
    def ask(_pairs: list[Any]) -> list[Any]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    pairs: list[Any] = [1, 2, 3]
    with pytest.raises(torch.OutOfMemoryError):
        list(evaluate.batches(ask, pairs, 8))
