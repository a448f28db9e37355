"""Counting tokens: with the model's tokenizer, on a sample whose interval holds, and guessed."""

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from jobs import tokens
from jobs.config_values import WorkloadError
from jobs.tokens import LONGEST_COUNTED, TEMPLATE_TOKENS, Tokenizer, counter, tally

BASE = Path(__file__).parents[2] / "examples" / "base" / "tokenizer.json"


def rows(path: Path, texts: Sequence[str]) -> Path:
    """One conversation for each text: a question of one word, and the text as its answer."""
    turns = [[{"role": "user", "content": f"q{at}"}, {"role": "assistant", "content": t}] for at, t in enumerate(texts)]
    path.write_text("".join(json.dumps({"messages": one}) + "\n" for one in turns))
    return path


def by_words(texts: Sequence[str]) -> list[int]:
    """A tokenizer for which every word is a token."""
    return [len(text.split()) for text in texts]


def speech(count: int, seed: int) -> list[str]:
    """Answers whose words have different lengths, and of which some are long."""
    dice = random.Random(seed)
    return [
        " ".join("w" * dice.randint(1, 9) for _ in range(int(dice.lognormvariate(3, 0.7)) + 1)) for _ in range(count)
    ]


def test_small_data_is_counted_whole(tmp_path: Path) -> None:
    counted = tally(rows(tmp_path / "a.jsonl", ["one two", "three"]), by_words)
    assert counted.lengths == (1 + 2 + 2 * TEMPLATE_TOKENS, 1 + 1 + 2 * TEMPLATE_TOKENS)
    assert counted.answers == (2 + TEMPLATE_TOKENS, 1 + TEMPLATE_TOKENS)
    assert (counted.are, counted.spread) == ("counted", 1.0)


def test_large_data_is_counted_on_a_sample_that_is_the_same_at_each_call(tmp_path: Path) -> None:
    path = rows(tmp_path / "a.jsonl", speech(400, 1))
    once, again = (tally(path, by_words, most_bytes=8_000) for _ in range(2))
    assert once == again
    assert once.are.startswith("counted on a sample of ")
    assert once.spread > 1.0
    assert len(once.lengths) == 400


def test_the_interval_of_a_sample_holds_the_truth_in_about_80_percent_of_cases(tmp_path: Path) -> None:
    held = []
    for seed in range(120):
        path = rows(tmp_path / "a.jsonl", speech(200, seed))
        truth, guess = sum(tally(path, by_words).lengths), tally(path, by_words, most_bytes=4_000)
        held.append(truth / guess.spread <= sum(guess.lengths) <= truth * guess.spread)
    assert 0.72 <= sum(held) / len(held) <= 0.97


def test_the_longest_rows_are_counted_even_where_the_sample_missed_them(tmp_path: Path) -> None:
    texts = [*speech(300, 2), "w " * 3_000]
    counted = tally(rows(tmp_path / "a.jsonl", texts), by_words, most_bytes=2_000)
    assert max(counted.lengths) == 1 + 3_000 + 2 * TEMPLATE_TOKENS


def test_a_sample_of_one_conversation_says_no_more_than_a_guess(tmp_path: Path) -> None:
    texts = [f"{at} " * 500 for at in range(LONGEST_COUNTED + 4)]
    counted = tally(rows(tmp_path / "a.jsonl", texts), by_words, most_bytes=10)
    assert (counted.are, counted.spread) == ("counted on a sample of 1 rows", tokens.GUESS_SPREAD)


def test_a_guess_goes_by_bytes_so_that_other_scripts_are_not_far_off(tmp_path: Path) -> None:
    chinese = "请帮我查一下我的订单状态" * 20
    guessed = tally(rows(tmp_path / "a.jsonl", [chinese]), None)
    assert guessed.are == "guessed from characters"
    assert guessed.spread == 1.3
    # Mistral's and Llama's tokenizers need 0.8 to 1.1 tokens for a Chinese character.
    assert 0.75 * len(chinese) <= guessed.answers[0] <= 1.15 * len(chinese)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"version": "1.0"}', b"\xff"])
def test_a_tokenizer_that_cannot_be_read_counts_nothing(content: bytes) -> None:
    assert counter(content) is None


def test_our_examples_tokenizer_counts(tmp_path: Path) -> None:
    count = counter(BASE.read_bytes())
    assert count is not None
    short, long = count(["hello", "hello there, where is my order?"])
    assert 0 < short < long


def test_a_byte_order_mark_is_no_part_of_the_first_row(tmp_path: Path) -> None:
    path = rows(tmp_path / "a.jsonl", ["one"])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(tally(path, by_words).lengths) == 1


def test_a_file_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"messages": "\xff"}\n')
    with pytest.raises(WorkloadError, match="cannot read"):
        tally(tmp_path / "a.jsonl", by_words)


def test_what_was_counted_before_is_read_and_not_counted_again(tmp_path: Path) -> None:
    path = rows(tmp_path / "a.jsonl", ["hello there", "where is my order?"])
    first = Tokenizer(content=BASE.read_bytes(), folder=tmp_path / "kept").tally(path)
    (kept,) = (tmp_path / "kept").iterdir()
    kept.write_text(kept.read_text().replace('"counted"', '"counted before"'))
    again = Tokenizer(content=BASE.read_bytes(), folder=tmp_path / "kept").tally(path)
    assert first is not None
    assert again == replace(first, are="counted before")


@pytest.mark.parametrize("changed", ["data", "tokenizer", "damage"])
def test_other_data_another_tokenizer_and_a_damaged_count_are_counted_anew(tmp_path: Path, changed: str) -> None:
    path, content = rows(tmp_path / "a.jsonl", ["hello there"]), BASE.read_bytes()
    Tokenizer(content=content, folder=tmp_path / "kept").tally(path)
    (kept,) = (tmp_path / "kept").iterdir()
    kept.write_text("{" if changed == "damage" else kept.read_text().replace('"counted"', '"counted before"'))
    if changed == "data":
        rows(path, ["hello there", "and more"])
    again = Tokenizer(content=content + b" " * (changed == "tokenizer"), folder=tmp_path / "kept").tally(path)
    assert again is not None
    assert again.are == "counted"


def test_nothing_is_kept_without_a_folder_nor_of_a_tokenizer_that_cannot_be_read(tmp_path: Path) -> None:
    path = rows(tmp_path / "a.jsonl", ["hello there"])
    assert Tokenizer(content=BASE.read_bytes()).tally(path) is not None
    assert Tokenizer(content=b"{}", folder=tmp_path / "kept").tally(path) is None
    assert not (tmp_path / "kept").exists()
