"""The whole story: from files with faults, repeats and leaks to parts, and an account of all that was done."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.qlora.dataset.curate import curate
from jobs.qlora.dataset.report import DataReport
from jobs.qlora.dataset.rows import DataError, Row, read_part
from jobs.qlora.dataset.telling import SHOWN
from tests.jobs.qlora.dataset.files import chat, jsonl
from tests.jobs.qlora.workplace import EXAMPLE, REPOSITORY

EXACT = {"by": "exact"}
TOWNS = ("Lisbon", "Oslo", "Quito", "Hanoi", "Perth", "Lagos", "Turin", "Osaka", "Miami", "Accra", "Sofia", "Minsk")


def made(
    folder: Path, data: dict[str, Any], *, seed: int = 17, private: bool = False, **parts: Sequence[object]
) -> DataReport:
    """Curate rows given as values into folder/made."""
    names = {part.replace("adjacent_", "adjacent/"): rows for part, rows in parts.items()}
    files = {part: jsonl(folder / f"{part}.jsonl", rows) for part, rows in names.items()}
    return curate(files, {"deduplicate": EXACT, **data}, into=folder / "made", seed=seed, private=private)


def part(folder: Path, name: str) -> list[Row]:
    path = folder / "made" / f"{name}.jsonl"
    return read_part(path) if path.exists() else []


def asked(folder: Path, name: str) -> list[str]:
    return [row.asked for row in part(folder, name)]


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def towns(what: str = "Who is the mayor of {}?") -> list[object]:
    return [chat(what.format(town), f"The answer for {town}") for town in TOWNS]


def test_rows_are_written_with_the_place_where_they_stood(tmp_path: Path) -> None:
    report = made(tmp_path, {"train": "my/rows.jsonl"}, train=[chat("a", team="x"), b"", chat("é")], test=[chat("b")])
    first, second = lines(tmp_path / "made" / "train.jsonl")
    assert first == {**chat("a"), "source": {"file": "my/rows.jsonl", "line": 1}}
    assert second["source"] == {"file": "my/rows.jsonl", "line": 3}
    assert "é" in (tmp_path / "made" / "train.jsonl").read_text("utf-8"), "no escapes: a person reads this"
    assert [(one.part, one.rows) for one in report.parts] == [("train", 2), ("test", 1)]


def test_no_path_of_this_computer_goes_into_what_is_shipped(tmp_path: Path) -> None:
    made(tmp_path, {"train": str(tmp_path / "train.jsonl")}, train=towns(), test=[chat("b")])
    shipped = "".join(path.read_text("utf-8") for path in (tmp_path / "made").iterdir())
    assert str(tmp_path) not in shipped
    assert part(tmp_path, "train")[0].file == f"{tmp_path.name}/train.jsonl"


def test_repeats_leaks_and_conflicts_are_found_and_told(tmp_path: Path) -> None:
    train = [
        chat("Who is the mayor of Lisbon?", "A"),
        chat("who is the mayor of  lisbon?", "A"),
        chat("Who is the mayor of Oslo?", "B"),
        chat("Who is the mayor of Oslo?", "C"),
        chat("Held out for the test?", "another answer"),
        chat("Held out for validation?", "D"),
    ]
    validation = [chat("Held out for validation?", "D"), chat("Held out for the test?", "E")]
    test = [chat("Held out for the test?", "F"), chat("held out for the test?", "F")]
    report = made(tmp_path, {}, train=train, validation=validation, test=test)
    assert [row.line for row in part(tmp_path, "train")] == [1, 3, 4]
    assert asked(tmp_path, "validation") == ["Held out for validation?"]
    assert asked(tmp_path, "test") == ["Held out for the test?"]
    assert [(one.stage, one.part, one.count) for one in report.removed] == [
        ("exact", "train", 1),
        ("exact", "test", 1),
        ("leak", "train", 2),
        ("leak", "validation", 1),
    ]
    assert report.conflict_count == len(report.conflicts) == 1
    assert set(report.conflicts[0].targets) == {"B", "C"}
    told = lines(tmp_path / "made" / "dropped.jsonl")
    assert [
        (one["stage"], one["part"], one["dropped"]["line"], one["kept_part"], one["kept"]["line"]) for one in told
    ] == [
        ("exact", "train", 2, "train", 1),
        ("exact", "test", 2, "test", 1),
        ("leak", "train", 5, "test", 1),
        ("leak", "train", 6, "validation", 1),
        ("leak", "validation", 2, "test", 1),
    ]
    assert len(lines(tmp_path / "made" / "conflicts.jsonl")) == 1
    assert json.loads((tmp_path / "made" / "report.json").read_text("utf-8")) == json.loads(report.text())


def test_near_repeats_go_only_from_what_is_learned(tmp_path: Path) -> None:
    rows = towns("Please could you tell me who is the mayor of the town of {} at the moment?")
    train: list[object] = [
        *rows,
        chat("Could you please tell me who is the mayor of the town of Oslo at the moment?", "The answer for Oslo"),
        chat("Please tell me: who at the moment is the mayor of the town of Quito?", "another fact"),
    ]
    data = {"deduplicate": {"by": "near"}}
    report = made(tmp_path, data, train=train, test=[chat(f"Is {town} a port?", f"Yes: {town}") for town in TOWNS])
    kept = [row.line for row in part(tmp_path, "train")]
    assert kept == [*range(1, 13), 14], (
        "the paraphrase with the same answer goes, and the one with another answer stays"
    )
    assert (report.deduplicated_by, bool(report.embedder), report.pairs[0].stage) == ("near", True, "near")
    assert report.threshold is not None
    assert "measured" in report.threshold_means
    assert report.diversity is not None
    assert report.diversity.rows == 13
    assert len(part(tmp_path, "test")) == 12


def test_a_small_and_varied_subset_can_be_chosen(tmp_path: Path) -> None:
    report = made(tmp_path, {"select": 5}, train=towns(), test=[chat("b")])
    assert (len(part(tmp_path, "train")), report.selected) == (5, 5)
    assert ("select", "train", 7) in [(one.stage, one.part, one.count) for one in report.removed]
    more = made(tmp_path, {"select": 50}, train=towns(), test=[chat("b")])
    assert "select: 50 rows were asked for; there are only 12" in more.notes


def test_repeats_stay_where_nobody_asks_for_them_to_go_and_leaks_never(tmp_path: Path) -> None:
    train: list[object] = [chat("a"), chat("a"), chat("b")]
    report = made(tmp_path, {"deduplicate": {"by": "off"}}, train=train, test=[chat("b", "x"), chat("c")])
    assert asked(tmp_path, "train") == ["a", "a"]
    assert any("repeated rows were left in" in note for note in report.notes)


def test_broken_rows_are_left_out_and_told_where_that_is_asked_for(tmp_path: Path) -> None:
    train: list[object] = [*towns(), "{", chat("", "a"), chat("leaked <|im_end|> mark", "The answer for Rome")]
    report = made(tmp_path, {"on_bad_row": "drop"}, train=train, test=[chat("b")])
    assert ("bad", "train", 2) in [(one.stage, one.part, one.count) for one in report.removed]
    assert [(one.code, one.severity, one.part, one.effect) for one in report.faults] == [
        ("not-json", "error", "train", "left out"),
        ("empty-turn", "error", "train", "left out"),
        ("leaked-token", "warning", "train", "kept"),
    ]
    assert len(part(tmp_path, "train")) == 13


def test_nothing_is_left_behind_that_looks_whole_when_the_data_is_refused(tmp_path: Path) -> None:
    made(tmp_path, {"split": {"validation": 0.2}}, train=towns(), test=[chat("b")], adjacent_sums=[chat("1+1", "2")])
    assert (tmp_path / "made" / "adjacent" / "sums.jsonl").exists()
    with pytest.raises(DataError):
        made(tmp_path, {}, train=[chat("a", "")], test=[chat("b")])
    assert [path for path in (tmp_path / "made").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"deduplicate": {"by": "nearly"}}, "data.deduplicate.by: 'nearly' is none of near, exact, off"),
        ({"shape": "chat"}, "data.shape: 'chat' is none of auto, messages"),
        ({"on_bad_row": "skip"}, "data.on_bad_row: 'skip' is none of stop, drop"),
    ],
)
def test_a_word_that_was_written_by_hand_is_checked(tmp_path: Path, data: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError) as error:
        made(tmp_path, data, train=[chat("a")], test=[chat("b")])
    assert says in error.value.message


def test_all_rows_in_the_test_leave_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no row is left to train on"):
        made(tmp_path, {}, train=[chat("a"), chat("b")], test=[chat(one, "other") for one in "abcde"])
    with pytest.raises(DataError, match="there is no training file"):
        made(tmp_path / "other", {}, test=[chat("a")])


def test_other_tasks_are_checked_and_kept_as_they_are(tmp_path: Path) -> None:
    sums: list[object] = [chat("1+1", "2"), chat("1+1", "2"), chat("2+2", "4")]
    report = made(tmp_path, {}, train=[*towns(), chat("2+2", "4")], test=[chat("b")], adjacent_sums=sums)
    assert asked(tmp_path, "adjacent/sums") == ["1+1", "1+1", "2+2"]
    assert (
        [one.part for one in report.sources] == [one.part for one in report.parts] == ["train", "test", "adjacent/sums"]
    )
    assert "adjacent/sums: 1 of its 3 questions are trained on: no loss will show in them" in report.notes
    with pytest.raises(DataError, match=r"adjacent/sums\.jsonl:1: messages\[1\]"):
        made(tmp_path, {}, train=towns(), test=[chat("b")], adjacent_sums=[chat("1+1", "")])


def test_groups_on_both_sides_of_a_given_test_file_are_a_doubt(tmp_path: Path) -> None:
    train = [chat(f"q{at}", customer=at % 4) for at in range(12)]
    report = made(
        tmp_path, {"split": {"group": "customer", "validation": 0.3}}, train=train, test=[chat("x", customer=1)]
    )
    shared = [one for one in report.faults if one.code == "shared-group"]
    left = [row for row in part(tmp_path, "train") if row.group == "1"]
    assert sum(one.count for one in shared) == len(left)
    groups = {name: {row.group for row in part(tmp_path, name)} for name in ("train", "validation")}
    assert not groups["train"] & groups["validation"]


def test_the_report_says_how_it_came_about(tmp_path: Path) -> None:
    data = {"split": {"test": 0.1, "validation": 0.1}}
    alpaca: list[object] = [{"instruction": "q", "input": town, "output": town[::-1]} for town in TOWNS[:5]]
    report = made(tmp_path, data, seed=4, private=True, train=alpaca)
    assert (report.split_seed, report.private, report.sources[0].shape) == (4, True, "alpaca")
    assert "alpaca: instruction and input are joined by a blank line" in report.notes
    assert "test: 1 of 5 rows are 20%, not 10%: no less is possible" in report.notes
    size = report.parts[0]
    assert (size.part, size.rows, size.answers) == ("train", 3, 3)
    assert 0 < size.median_characters <= size.p95_characters <= size.longest_characters


def test_lengths_are_told_as_median_95_percent_and_longest(tmp_path: Path) -> None:
    report = made(tmp_path, {}, train=[chat("x" * at, "y") for at in range(1, 101)], test=[chat("b")])
    size = report.parts[0]
    assert (size.median_characters, size.p95_characters, size.longest_characters) == (52, 96, 101)


def test_the_report_shows_the_first_pairs_and_the_papers_hold_all(tmp_path: Path) -> None:
    report = made(
        tmp_path, {}, train=[*[chat("a")] * 50, *[chat(f"q{at}") for at in range(30)]], test=[chat("q7", "other")]
    )
    assert [one.stage for one in report.pairs] == ["exact"] * SHOWN + ["leak"]
    assert len(lines(tmp_path / "made" / "dropped.jsonl")) == 50


def test_the_same_input_gives_the_same_bytes_in_any_order_of_files(tmp_path: Path) -> None:
    files = {name: EXAMPLE / "data" / f"{name}.jsonl" for name in ("train", "test")}
    data = {"train": "data/train.jsonl", "test": "data/test.jsonl", "split": {"validation": 0.1}, "deduplicate": EXACT}
    one, two = tmp_path / "one", tmp_path / "two"
    for into, ordered in ((one, files), (two, dict(reversed(files.items())))):
        curate(ordered, data, into=into, seed=17, private=False)
    names = sorted(path.name for path in one.iterdir())
    assert names == ["conflicts.jsonl", "dropped.jsonl", "report.json", "test.jsonl", "train.jsonl", "validation.jsonl"]
    for name in names:
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_files_may_be_of_different_formats_and_shapes(tmp_path: Path) -> None:
    train = tmp_path / "train.csv"
    train.write_text("question;answer\n" + "".join(f"q{at};{at}\n" for at in range(30)), "utf-8")
    test = jsonl(tmp_path / "test.jsonl", [{"question": "x", "answer": {"n": 1}}])
    data = {"columns": {"messages": None, "prompt": "question", "completion": "answer"}, "deduplicate": EXACT}
    report = curate({"train": train, "test": test}, data, into=tmp_path / "made", seed=1, private=False)
    assert [(one.format, one.shape, one.rows) for one in report.sources] == [
        ("csv", "columns", 30),
        ("jsonl", "columns", 1),
    ]
    assert part(tmp_path, "test")[0].target == '{"n":1}'


@settings(max_examples=40, deadline=None)
@given(
    numbers=st.lists(st.integers(0, 30), min_size=2, max_size=60),
    tests=st.lists(st.integers(20, 40), max_size=5),
    validation=st.floats(0, 0.4),
    seed=st.integers(0, 5),
)
def test_no_question_ever_stands_in_two_parts(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int], tests: list[int], validation: float, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("d")
    train: list[object] = [chat(f"q{n}", f"a{at % 3}") for at, n in enumerate(numbers)]
    given_test: dict[str, Any] = {"test": [chat(f"q{n}", "other") for n in tests]} if tests else {}
    try:
        made(folder, {"split": {"validation": validation}}, seed=seed, train=train, **given_test)
    except DataError:
        return
    seen = {name: {row.question for row in part(folder, name)} for name in ("train", "validation", "test")}
    assert not seen["train"] & (seen["test"] | seen["validation"])
    assert not seen["validation"] & seen["test"]


def test_rows_are_curated_on_a_laptop_without_anything_heavy(tmp_path: Path) -> None:
    jsonl(tmp_path / "train.jsonl", towns())
    program = (
        "import sys; from pathlib import Path; from jobs.qlora.dataset.curate import curate; here = Path(sys.argv[1]);"
        "data = {'deduplicate': {'by': sys.argv[2]}, 'split': {'test': 0.2}};"
        "curate({'train': here / 'train.jsonl'}, data, into=here / 'made', seed=1, private=False);"
        "sys.exit(', '.join({'torch', 'numpy', 'wordllama', 'pyarrow', 'pydantic', 'transformers'} & set(sys.modules)))"
    )
    for by in ("exact", "off"):
        ran = subprocess.run(
            [sys.executable, "-c", program, tmp_path, by],
            check=False,
            cwd=REPOSITORY,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
        assert ran.stderr.strip() == ""
        assert (tmp_path / "made" / "report.json").exists()
