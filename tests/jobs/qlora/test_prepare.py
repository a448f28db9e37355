"""Data from which a model would learn the wrong thing is refused before any money is spent on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.qlora.base import other_pad
from jobs.qlora.dataset.curate import curate
from jobs.qlora.dataset.rows import DataError, Row
from jobs.qlora.job import Job, Train
from jobs.qlora.prepare import counted, fitting, hashes, prepare, summary, too_long
from jobs.qlora.template import pairs
from tests.jobs.qlora.dataset.files import chat, jsonl

ROW = Row(messages=(("user", "ask"), ("assistant", "say")), line=7, file="my.csv")
OFF = {"deduplicate": {"by": "off"}}


class Words:
    """A tokenizer whose template can be made to misbehave."""

    def __init__(self, *, opening: list[int], answer: list[int]) -> None:
        self.opening, self.answer = opening, answer

    def apply_chat_template(
        self, turns: list[Any], *, add_generation_prompt: bool = False, return_dict: bool
    ) -> list[int]:
        assert not return_dict
        return [1, 2, *self.opening] if add_generation_prompt else [1, 2, 3, *self.answer]


class Letters:
    """A tokenizer with one token a letter, and one at each turn's end."""

    def apply_chat_template(
        self, turns: list[dict[str, str]], *, add_generation_prompt: bool = False, return_dict: bool
    ) -> list[int]:
        assert not return_dict
        return [number for turn in turns for number in (*map(ord, turn["content"]), 0)]


def job(folder: Path, *, data: dict[str, Any] | None = None, longest: int = 50, **parts: list[object]) -> Job:
    """A run's folder with these data files in its bundle."""
    for part, rows in parts.items():
        jsonl(folder / "bundle" / "data" / f"{part.replace('adjacent_', 'adjacent/')}.jsonl", rows)
    return Job(
        run=folder,
        out=folder / "out",
        checkpoints=folder / "checkpoints",
        progress=folder / "progress.jsonl",
        model="m",
        train=Train(max_length=longest),
        data=data or {},
    )


def prepared(of: Job, part: str) -> list[str]:
    lines = (of.prepared / f"{part}.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["prompt"][-1]["content"] for line in lines]


def test_tokens_are_counted_apart_for_prompt_and_answer() -> None:
    made = counted(Words(opening=[3], answer=[7, 8]), [ROW, ROW])
    assert [(one.prompt_tokens, one.tokens) for one in made] == [(3, 5), (3, 5)]
    assert summary(made) == {"pairs": 2, "tokens": 10, "supervised_tokens": 4, "longest": 5}


def test_a_template_that_asks_differently_in_use_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        counted(Words(opening=[4], answer=[7]), [ROW])
    assert "error: my.csv:7: the chat template writes the prompt differently in training and in use" in (
        capsys.readouterr().err
    )


def test_an_answer_without_tokens_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        counted(Words(opening=[3], answer=[]), [ROW])
    assert "error: my.csv:7: the answer has no tokens; there is nothing to learn from it" in capsys.readouterr().err


def test_a_few_rows_that_are_too_long_are_dropped_whole_and_listed() -> None:
    long = Row(messages=(("user", "x" * 99), ("assistant", "y")), line=3, file="a.jsonl")
    made = counted(Letters(), [long, long, *[ROW] * 38])
    assert fitting(made, 50, "train") == made[2:]
    assert too_long(made, 50) == [{"file": "a.jsonl", "line": 3, "tokens": 102}] * 2


def test_many_rows_that_are_too_long_are_refused_with_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    long = Row(messages=(("user", "x" * 99), ("assistant", "y")), line=3, file="a.jsonl")
    made = counted(Letters(), [*[long] * 3, *[ROW] * 37])
    with pytest.raises(SystemExit):
        fitting(made, 50, "train")
    said = capsys.readouterr().err
    assert "7.5%" in said
    assert "the longest has 102 tokens (a.jsonl:3)" in said
    assert fitting(made, 50, "validation") == made[3:], "no bad validation row is a reason to stop"


def test_a_training_part_without_pairs_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        fitting([], 50, "train")
    assert "nothing to train on" in capsys.readouterr().err


def test_rows_that_come_ready_are_only_counted(tmp_path: Path) -> None:
    place = tmp_path / "laptop"
    rows = [chat(f"q{at}") for at in range(10)]
    files = {
        "train": jsonl(place / "my.jsonl", [*rows, rows[0]]),
        "test": jsonl(place / "t.jsonl", [chat("z")]),
        "adjacent/sums": jsonl(place / "s.jsonl", [chat("1+1"), chat("1+1")]),
    }
    curate(files, OFF, into=tmp_path / "bundle" / "data", seed=1, private=False)
    ready = job(tmp_path, data={"deduplicate": {"by": "near"}, "split": {"validation": 0.5}})
    said = prepare(ready, Letters())
    assert said["rows"] == {"train": 11, "validation": 0, "test": 1}
    assert (said["removed"], said["adjacent/sums"]["pairs"]) == ({}, 2)
    (tmp_path / "bundle" / "data" / "report.json").unlink()
    assert prepare(job(tmp_path, data=OFF), Letters()) == said, "rows that say their source, and nothing to be done"
    assert (prepared(ready, "test"), prepared(ready, "validation")) == (["z"], [])
    assert prepared(ready, "adjacent/sums") == ["1+1", "1+1"]


def test_a_job_by_hand_is_checked_and_parted_here(tmp_path: Path) -> None:
    rows = [chat(f"q{at}") for at in range(9)]
    by_hand = job(
        tmp_path, data={"split": {"validation": 0.2}}, train=[*rows, rows[0], chat("z", "x")], test=[chat("z")]
    )
    said = prepare(by_hand, Letters())
    assert said["rows"] == {"train": 7, "validation": 2, "test": 1}
    assert said["removed"] == {"train_exact": 1, "train_leak": 1}
    assert sorted(prepared(by_hand, "train") + prepared(by_hand, "validation")) == [f"q{at}" for at in range(9)]
    assert set(hashes(by_hand)) == {
        "bundle/data/train.jsonl",
        "bundle/data/test.jsonl",
        *(f"prepared/{part}.jsonl" for part in ("train", "validation", "test")),
    }


def test_rows_that_say_their_source_are_parted_where_a_split_is_asked_for(tmp_path: Path) -> None:
    source = {"file": "a", "line": 1}
    data = {**OFF, "split": {"test": 0.5}}
    asked = job(tmp_path, data=data, train=[chat(one, source=source) for one in "abcd"])
    assert prepare(asked, Letters())["rows"]["test"] == 2


def test_a_job_by_hand_takes_tables_too(tmp_path: Path) -> None:
    (tmp_path / "bundle" / "data").mkdir(parents=True)
    (tmp_path / "bundle" / "data" / "train.csv").write_text("prompt,completion\nq,a\nr,b\n")
    assert prepare(job(tmp_path), Letters())["rows"]["train"] == 2


def test_faults_of_a_job_by_hand_are_told_by_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train\.jsonl:2: messages\[1\]: the content of this assistant turn is empty"):
        prepare(job(tmp_path, train=[chat("a"), chat("b", "")]), Letters())
    with pytest.raises(DataError, match="there is no training file"):
        prepare(job(tmp_path / "b", test=[chat("a")]), Letters())


def test_what_is_too_long_is_left_out_of_train_and_validation_and_told(tmp_path: Path) -> None:
    rows = [chat(f"q{at}") for at in range(40)]
    long = chat("x" * 60)
    said = prepare(job(tmp_path, train=[*rows, long], validation=[chat("y" * 60)], test=[chat("z" * 60)]), Letters())
    assert said["removed"] == {"train_too_long": 1, "validation_too_long": 1}
    assert said["too_long"]["train"] == [{"file": "data/train.jsonl", "line": 41, "tokens": 63}]
    assert prepared(job(tmp_path), "test") == ["z" * 60], "a test item is asked, however long it is"


def test_each_assistant_turn_becomes_one_pair() -> None:
    turns = [{"role": role, "content": text} for role, text in zip(["user", "assistant"] * 2, "1234", strict=True)]
    assert pairs([(turn["role"], turn["content"]) for turn in turns]) == [
        {"prompt": turns[:1], "completion": [turns[1]]},
        {"prompt": turns[:3], "completion": [turns[3]]},
    ]


def test_a_system_turn_opens_the_first_user_turn() -> None:
    made = pairs((("system", "s"), ("user", "u"), ("assistant", "a")))
    assert made[0]["prompt"] == [{"role": "user", "content": "s\n\nu"}]


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
