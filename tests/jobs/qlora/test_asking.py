"""A loaded model is asked in batches: neither padding nor company changes an answer or a loss, and memory is kept."""

from __future__ import annotations

import json
import random
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from jobs.qlora import asking  # noqa: E402 - after the check that torch is there
from jobs.qlora.answers import Answers, Questions, ask_all, longest_answer  # noqa: E402 - after the check that torch is there
from jobs.qlora.asking import Speaker  # noqa: E402 - after the check that torch is there
from jobs.qlora.prompted import Way  # noqa: E402 - after the check that torch is there
from jobs.qlora.template import answer_ids, end_ids, ids_of, prompt_ids  # noqa: E402 - after the check that torch is there
from tests.jobs.qlora.trained import rows as example_rows  # noqa: E402 - after the check that torch is there
from tests.jobs.qlora.workplace import BASE  # noqa: E402 - after the check that torch is there

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


def rows(many: int, longest_answer: int) -> list[asking.Row]:
    draw = random.Random(3)
    lengths = [(draw.randint(1, 60), draw.randint(1, longest_answer)) for _ in range(many)]
    return [(prompt, [draw.randrange(VOCABULARY) for _ in range(prompt + answer)]) for prompt, answer in lengths]


@pytest.mark.parametrize("kind", [Bigram, Whole])
def test_the_loss_in_small_bites_is_that_of_each_row_by_itself(kind: type[Bigram]) -> None:
    model, asked = kind(), rows(20, 700)
    with torch.inference_mode():
        found = asking.losses(model, 0, asked)
        for (prompt, whole), (loss, tokens) in zip(asked, found, strict=True):
            right = torch.nn.functional.cross_entropy(
                model.table(torch.tensor(whole[prompt - 1 : -1])), torch.tensor(whole[prompt:]), reduction="sum"
            )
            assert tokens == len(whole) - prompt
            assert loss == pytest.approx(float(right), rel=1e-5)


def test_logits_are_made_for_few_tokens_however_long_the_prompts_are() -> None:
    model, asked = Bigram(), [(1000 + at, [1] * (1030 + at)) for at in range(40)]
    with torch.inference_mode():
        found = asking.losses(model, 0, asked)
    assert len(found) == 40
    assert max(model.made) <= asking.LOGIT_TOKENS
    assert len(model.made) < 20


@pytest.mark.parametrize(("held", "sizes"), [(99, [8, 8, 4]), (5, [4, 4, 4, 4, 4]), (1, [1] * 20)])
def test_where_the_card_does_not_hold_a_batch_smaller_ones_are_asked_and_no_row_is_lost(
    held: int, sizes: list[int]
) -> None:
    def ask(some: list[Any]) -> list[Any]:
        if len(some) > held:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [-one for one in some]

    found = list(asking.batches(ask, list(range(20)), 8))
    assert [one for some, _ in found for one in some] == list(range(20))
    assert [one for _, made in found for one in made] == [-at for at in range(20)]
    assert [len(some) for some, _ in found] == sizes


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("a broken kernel")])
def test_a_single_row_that_the_card_does_not_hold_is_an_error_and_so_is_any_other(error: RuntimeError) -> None:
    def ask(some: list[Any]) -> list[Any]:
        if len(some) == 1 or "kernel" in str(error):
            raise error
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(type(error), match=str(error)):
        list(asking.batches(ask, [1, 2, 3], 8))


@pytest.mark.parametrize(
    ("free_gib", "tokens", "rows"), [(None, 10**6, 50), (16, 300, 50), (16, 4096, 16), (1, 4096, 1), (0.001, 4096, 1)]
)
def test_so_many_rows_are_asked_at_once_as_half_of_the_free_memory_holds(
    free_gib: float | None, tokens: int, rows: int
) -> None:
    # Mistral-7B: 32 layers, 8 heads of keys and values, 128 wide: 128 KiB a token.
    config = SimpleNamespace(num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8, head_dim=128)
    config.get_text_config = lambda: config
    assert asking.cache_bytes(config) == 128 << 10
    free = None if free_gib is None else int(free_gib * 2**30)
    assert asking.rows_that_fit(free, 128 << 10, tokens) == rows


# The tiny model of the example, whole (not in 4 bits) and in float32.


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
    return Speaker(model, AutoTokenizer.from_pretrained(BASE), example_rows("train", 0, 4))


def mixed() -> list[Any]:
    """Questions of many lengths."""
    pairs = example_rows("test", 0, 4)
    long = {"role": "user", "content": " ".join(pair["prompt"][0]["content"] for pair in pairs[:3])}
    short = {"role": "user", "content": "Hi"}
    return [*pairs, {**pairs[0], "prompt": [long]}, {**pairs[1], "prompt": [short]}]


def heard(speaker: Speaker, asked: Questions) -> tuple[Answers, list[int]]:
    told: list[int] = []
    return ask_all(speaker, asked, told.append), told


def test_a_batch_of_many_lengths_is_answered_as_each_row_by_itself(speaker: Speaker) -> None:
    pairs = mixed()
    together, told = heard(speaker, Questions(pairs, 12))
    alone = [heard(speaker, Questions([pair], 12))[0].items[0] for pair in pairs]
    assert len({item["prompt_tokens"] for item in together.items}) > 4
    assert [item["item"] for item in together.items] == list(range(len(pairs)))
    for at, (item, single) in enumerate(zip(together.items, alone, strict=True)):
        assert item["prompt"] == pairs[at]["prompt"]
        for name in ("answer", "new_tokens", "ended", "tokens", "prompt_tokens", "wanted"):
            assert item[name] == single[name], name
        assert item["loss"] == pytest.approx(single["loss"], abs=1e-4)
    assert told == [len(pairs)]
    assert together.batch == len(pairs)
    assert together.new_tokens == sum(item["new_tokens"] for item in together.items) > 0
    assert together.seconds > 0


def test_an_answer_is_cut_at_the_most_new_tokens_or_ends_by_itself_and_it_is_known_which(speaker: Speaker) -> None:
    found, _ = heard(speaker, Questions(mixed(), 40))
    ended = [item for item in found.items if item["ended"]]
    assert 0 < len(ended) < len(found.items), "the test wants both kinds"
    assert found.cut == len(found.items) - len(ended)
    assert all(item["new_tokens"] == 40 for item in found.items if not item["ended"])


def test_what_the_makers_of_a_model_set_for_chatting_changes_no_answer(speaker: Speaker) -> None:
    from transformers import AutoModelForCausalLM

    chatty = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
    chatty.generation_config.repetition_penalty, chatty.generation_config.do_sample = 1.9, True
    chatty.generation_config.temperature = 3.0
    other = Speaker(chatty, speaker.tokenizer, mixed())
    asked = Questions(mixed(), 12, loss=False)
    plain, changed = heard(speaker, asked)[0].items, heard(other, asked)[0].items
    assert [item["answer"] for item in changed] == [item["answer"] for item in plain]


def test_training_evaluation_and_use_see_the_same_tokens(speaker: Speaker) -> None:
    """The prompt that is answered and the row whose loss is measured are what training sees, token for token."""
    seen: list[tuple[list[int], list[int]]] = []

    class Listening(Speaker):
        def answer(self, prompts: Any, longest: int) -> Any:
            seen.extend((prompt, []) for prompt in prompts)
            return super().answer(prompts, longest)

    listening = Listening(speaker.model, speaker.tokenizer, mixed())
    pair = mixed()[0]
    ask_all(listening, Questions([pair], 2), lambda _done: None)
    asked, whole = ids_of(speaker.tokenizer, pair)
    assert seen[0][0] == asked == prompt_ids(speaker.tokenizer, pair["prompt"])
    assert asked + answer_ids(speaker.tokenizer, pair) == whole
    text = speaker.tokenizer.apply_chat_template(pair["prompt"] + pair["completion"], tokenize=False)
    assert speaker.tokenizer(text, add_special_tokens=False)["input_ids"] == whole


def test_the_loss_is_over_the_same_tokens_however_the_question_is_put(speaker: Speaker) -> None:
    pairs = mixed()[:4]
    bare, _ = heard(speaker, Questions(pairs, 8))
    put, _ = heard(speaker, Questions(pairs, 8, Way(system="Write JSON.", examples=tuple(example_rows("train", 0, 2)))))
    assert [item["tokens"] for item in put.items] == [item["tokens"] for item in bare.items]
    assert all(a["prompt_tokens"] > b["prompt_tokens"] for a, b in zip(put.items, bare.items, strict=True))
    assert all(a["prompt"] == b["prompt"] for a, b in zip(put.items, bare.items, strict=True))
    assert [item["loss"] for item in put.items] != [item["loss"] for item in bare.items]


def test_rows_that_are_longer_than_the_model_can_see_are_counted(speaker: Speaker) -> None:
    assert speaker.context == 512
    long = {"role": "user", "content": "word " * 600}
    found, _ = heard(speaker, Questions([{**mixed()[0], "prompt": [long]}, mixed()[0]], 4, loss=False))
    assert found.too_long == 1


def test_the_most_new_tokens_are_those_of_the_longest_wanted_answer_and_some_to_spare(speaker: Speaker) -> None:
    pairs = mixed()
    tokens = [len(speaker.tokenizer(pair["completion"][0]["content"])["input_ids"]) for pair in pairs]
    assert max(tokens) <= longest_answer(speaker.tokenizer, pairs) <= max(tokens) + 20


def tokenizer() -> Any:
    """One whose own end is not the token that its template writes, as in many base models; 6 is no special token."""
    added = {number: SimpleNamespace(special=number != 6) for number in (6, 7, 8, 9)}
    return SimpleNamespace(eos_token_id=9, all_special_ids=[9], added_tokens_decoder=added)


@pytest.mark.parametrize(
    ("answer", "ends"),
    [([1, 2, 8, 3], [8, 9]), ([1, 2, 9], [9]), ([8, 1, 2, 3, 4], [9]), ([1, 6], [9]), ([], [9])],
)
def test_a_turn_also_ends_with_what_the_template_writes_after_it(answer: list[int], ends: list[int]) -> None:
    assert end_ids(tokenizer(), [answer, answer]) == ends


def test_items_are_json_that_any_reader_takes(speaker: Speaker) -> None:
    found, _ = heard(speaker, Questions(mixed()[:2], 4))
    wanted = {"item", "prompt", "wanted", "answer", "loss", "tokens", "prompt_tokens", "new_tokens", "ended"}
    assert all(set(json.loads(json.dumps(item))) == wanted for item in found.items)
