"""Train, validation and test are made before anything else, and nothing stands in two of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.qlora.job import Split
from jobs.qlora.parts import Parts, make_parts, question
from jobs.qlora.rows import Row, RowError
from jobs.qlora.template import pairs


def line(asked: str, answer: str = "a", **more: object) -> str:
    return json.dumps({"messages": [turn("user", asked), turn("assistant", answer)], **more})


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def data(folder: Path, **parts: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for part, lines in parts.items():
        (folder / f"{part}.jsonl").write_text("\n".join(lines))
    return folder


def asked(parts: Parts, part: str) -> list[str]:
    return [row.messages[0][1] for row in parts.rows[part]]


def test_given_files_are_kept_as_given(tmp_path: Path) -> None:
    folder = data(tmp_path, train=[line("a"), line("b")], validation=[line("c")], test=[line("d")])
    parts = make_parts(folder, Split(validation=0.5, test=0.5), 1)
    assert [asked(parts, part) for part in ("train", "validation", "test")] == [["a", "b"], ["c"], ["d"]]
    assert not any(parts.removed.values())


def test_repeats_are_taken_out_and_counted(tmp_path: Path) -> None:
    parts = make_parts(data(tmp_path, train=[line("a"), line("b"), line("a")]), Split(), 1)
    assert asked(parts, "train") == ["a", "b"]
    assert parts.removed["train_repeated"] == 1


def test_what_the_test_asks_is_taken_out_of_train_and_validation(tmp_path: Path) -> None:
    folder = data(
        tmp_path,
        train=[line("a"), line("leak", "other answer"), line("held")],
        validation=[line("held"), line("leak")],
        test=[line("leak")],
    )
    parts = make_parts(folder, Split(), 1)
    assert [asked(parts, part) for part in ("train", "validation", "test")] == [["a"], ["held"], ["leak"]]
    assert (parts.removed["train_leaked"], parts.removed["validation_leaked"]) == (2, 1)


def test_a_train_file_that_is_all_test_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RowError, match="no row is left to train on"):
        make_parts(data(tmp_path, train=[line("a")], test=[line("a")]), Split(), 1)


def test_a_folder_without_train_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RowError, match=r"train\.jsonl: is missing"):
        make_parts(data(tmp_path, test=[line("a")]), Split(), 1)


def test_rows_of_one_group_stay_together(tmp_path: Path) -> None:
    lines = [line(f"q{at}", customer=at % 10) for at in range(100)]
    parts = make_parts(data(tmp_path, train=lines), Split(validation=0.2, test=0.1, group="customer"), 1)
    groups = {part: {row.group for row in rows} for part, rows in parts.rows.items()}
    assert {part: len(names) for part, names in groups.items()} == {"train": 7, "validation": 2, "test": 1}
    assert not groups["train"] & groups["test"]
    assert not groups["train"] & groups["validation"]
    assert not groups["validation"] & groups["test"]


def test_the_split_depends_on_the_seed_and_not_on_the_order(tmp_path: Path) -> None:
    lines = [line(f"q{at}") for at in range(50)]
    share = Split(test=0.2)
    forward = make_parts(data(tmp_path / "f", train=lines), share, 1)
    backward = make_parts(data(tmp_path / "b", train=lines[::-1]), share, 1)
    other = make_parts(data(tmp_path / "f", train=lines), share, 2)
    assert set(asked(forward, "test")) == set(asked(backward, "test")) != set(asked(other, "test"))
    assert len(asked(forward, "test")) == 10


@settings(max_examples=60, deadline=None)
@given(
    numbers=st.lists(st.integers(0, 30), min_size=2, max_size=60),
    validation=st.floats(0, 0.4),
    test=st.floats(0, 0.4),
    seed=st.integers(0, 5),
)
def test_no_question_ever_stands_in_two_parts(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int], validation: float, test: float, seed: int
) -> None:
    folder = data(tmp_path_factory.mktemp("d"), train=[line(f"q{n}", f"a{at % 3}") for at, n in enumerate(numbers)])
    try:
        parts = make_parts(folder, Split(validation=validation, test=test), seed)
    except RowError:
        return
    seen = {part: {question(row) for row in rows} for part, rows in parts.rows.items()}
    assert not seen["train"] & (seen["test"] | seen["validation"])
    assert not seen["validation"] & seen["test"]


def test_each_assistant_turn_becomes_one_pair() -> None:
    row = Row(messages=(("user", "1"), ("assistant", "2"), ("user", "3"), ("assistant", "4")), line=1)
    assert pairs(row.messages) == [
        {"prompt": [turn("user", "1")], "completion": [turn("assistant", "2")]},
        {
            "prompt": [turn("user", "1"), turn("assistant", "2"), turn("user", "3")],
            "completion": [turn("assistant", "4")],
        },
    ]


def test_a_system_turn_opens_the_first_user_turn() -> None:
    row = Row(messages=(("system", "s"), ("user", "u"), ("assistant", "a")), line=1)
    assert pairs(row.messages)[0]["prompt"] == [turn("user", "s\n\nu")]
