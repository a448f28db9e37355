"""What `prepare` left is read as it stands: a date stays a text, and a line ends at a newline only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.judge.exchanges import asked_turns
from jobs.qlora.job import Job, write_text
from jobs.qlora.parity import some_rows
from jobs.qlora.prepared import dataset_of, read_pairs
from jobs.results.items import asked


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(run=tmp_path, out=tmp_path, checkpoints=tmp_path, progress=tmp_path / "progress.jsonl", model="m")


def leave(job: Job, answers: list[str]) -> None:
    turn = {"role": "user", "content": "When was it?"}
    pairs = [{"prompt": [turn], "completion": [{"role": "assistant", "content": answer}]} for answer in answers]
    write_text(job.prepared / "train.jsonl", "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in pairs))


@pytest.mark.parametrize(
    "answer", ["2024-05-01", "2024-05-01T10:00:00", "2024-05-01 10:00:00Z", "1", "true", "a\x85b\u2028c"]
)
def test_answers_that_look_like_something_else_are_trained_as_they_stand(job: Job, answer: str) -> None:
    leave(job, [answer] * 3)
    assert [row["completion"] for row in dataset_of(job, "train")] == [[{"role": "assistant", "content": answer}]] * 3


def test_rows_that_were_prepared_anew_are_read_anew(job: Job) -> None:
    leave(job, ["one"])
    assert len(dataset_of(job, "train")) == 1
    leave(job, ["two", "one"])
    assert [row["completion"][0]["content"] for row in dataset_of(job, "train")] == ["two", "one"]


def test_a_text_with_a_line_separator_in_it_is_one_row_for_every_reader(job: Job, tmp_path: Path) -> None:
    leave(job, ["a\u2028b\x85c", "d"])
    assert [pair["completion"][0]["content"] for pair in read_pairs(job, "train")] == ["a\u2028b\x85c", "d"]
    assert len(some_rows(job)) == 2
    turns = [{"role": "user", "content": "q\u2028r"}, {"role": "assistant", "content": "a\x85b"}]
    shipped = tmp_path / "test.jsonl"
    shipped.write_text(json.dumps({"messages": turns, "source": {"file": "f", "line": 1}}, ensure_ascii=False) + "\n")
    (one,) = asked(shipped) or ()
    assert one.wanted == "a\x85b"
    assert asked_turns(shipped) == ((("user", "q\u2028r"),),)


def test_a_part_without_rows_is_none(job: Job) -> None:
    write_text(job.prepared / "validation.jsonl", "")
    assert dataset_of(job, "validation") is None
    assert dataset_of(job, "test") is None
    assert read_pairs(job, "validation") == read_pairs(job, "test") == []
