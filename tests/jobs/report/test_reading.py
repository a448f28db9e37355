"""Reading what a machine sent: schema-checked, bounded, links not followed; what is unsound is said, not trusted."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from jobs.report import ReportError, counted, read_all, read_scores
from jobs.report.read import read_log
from tests.jobs.report import runs

EVIL = "<script>alert(1)</script>"


def test_scores_are_read_base_first(tmp_path: Path) -> None:
    runs.put_arm(tmp_path, "tuned")
    runs.put_arm(tmp_path, "base", metrics={"exact": 0.02})
    assert [(one.arm, one.n, one.metrics["exact"]) for one in read_scores(tmp_path)] == [
        ("base", 200, 0.02), ("tuned", 200, 0.93),
    ]  # fmt: skip


def test_without_an_evaluation_there_are_no_scores(tmp_path: Path) -> None:
    assert read_scores(tmp_path) == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"n": -1}, {"n": "many"}, {"metrics": {"exact": "high"}}, {"metrics": {EVIL: 1.0}}, {"arm": EVIL},
        {"metrics": {f"m{at}": 1.0 for at in range(40)}}, {"metrics": {"exact": float("nan")}}, {"metrics": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_score_that_is_not_sound_is_refused_with_its_file(tmp_path: Path, changes: dict[str, Any]) -> None:
    runs.put_arm(tmp_path, "tuned", **changes)
    with pytest.raises(ReportError) as caught:
        read_scores(tmp_path)
    assert "tuned.json" in caught.value.message


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b'{"arm": "tuned"}', b"[" * 100_000])
def test_a_score_that_is_no_score_is_refused(tmp_path: Path, content: bytes) -> None:
    runs.put_arm(tmp_path, "tuned").write_bytes(content)
    with pytest.raises(ReportError):
        read_scores(tmp_path)


def test_a_score_of_a_gigabyte_is_not_read(tmp_path: Path) -> None:
    with runs.put_arm(tmp_path, "tuned").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(ReportError, match="at most"):
        read_scores(tmp_path)


def test_a_link_in_place_of_a_score_is_not_followed(tmp_path: Path) -> None:
    runs.put_arm(tmp_path, "base").rename(tmp_path / "elsewhere.json")
    (tmp_path / "eval" / "base.json").symlink_to(tmp_path / "elsewhere.json")
    assert read_scores(tmp_path) == ()


def manifest(folder: Path, *names: str) -> None:
    rows = [{"path": name, "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()} for name in names]
    (folder / "manifest.json").write_text(json.dumps({"files": rows}))


def test_files_are_counted_and_verified_by_their_hash(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "b").write_bytes(b"67")
    manifest(tmp_path, "a", "b")
    assert counted(tmp_path) == (2, 7, True)
    (tmp_path / "b").write_bytes(b"68")
    assert counted(tmp_path) == (1, 5, False)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": 3}', '{"files": [3]}'])
def test_nothing_is_verified_without_a_sound_manifest(tmp_path: Path, text: str) -> None:
    assert counted(tmp_path) == (0, 0, False)
    (tmp_path / "manifest.json").write_text(text)
    assert counted(tmp_path) == (0, 0, False)


def test_everything_of_a_rich_run_is_read(tmp_path: Path) -> None:
    runs.rich(tmp_path)
    found = read_all(tmp_path)
    assert found.unsound == ()
    assert [score.arm for score in found.scores] == ["base", "prompted", "tuned"]
    assert found.summary == runs.summary()
    assert found.data == runs.data_report()
    assert ("packages.torch", "2.13.0") in found.environment
    assert found.trained is not None
    assert (found.trained.best_step, found.has_adapter, found.longest_answer) == (450, True, 74)


def test_nothing_is_found_in_an_empty_folder(tmp_path: Path) -> None:
    found = read_all(tmp_path)
    assert (found.scores, found.summary, found.data, found.unsound, found.has_adapter) == ((), None, None, (), False)


@pytest.mark.parametrize(
    "name", ["eval/summary.json", "eval/base.json", "data/report.json", "logs/environment.json", "logs/training.json"]
)
@pytest.mark.parametrize("content", [b"[]", b"{", b"\xff\xfe", b'{"n": 1}', b"[" * 100_000])
def test_an_unsound_file_is_named_and_the_others_are_read(tmp_path: Path, name: str, content: bytes) -> None:
    runs.rich(tmp_path)
    (tmp_path / name).write_bytes(content)
    found = read_all(tmp_path)
    if (name, content) != ("logs/environment.json", b'{"n": 1}'):
        assert [said.partition(":")[0] for said in found.unsound] in ([name], [name, name])
    assert len(found.log.loss) == 702


def test_a_log_of_steps_and_looks_becomes_curves(tmp_path: Path) -> None:
    runs.put(tmp_path / "train_log.jsonl", runs.train_log())
    log = read_log(tmp_path)
    assert (len(log.loss), len(log.validation), log.loss[0][0], log.validation[0][0]) == (702, 14, 1, 50)
    assert log.best == min(((step, loss) for step, loss in log.validation), key=lambda point: point[1])


def test_a_step_that_was_told_twice_counts_as_it_was_told_last(tmp_path: Path) -> None:
    lines = [
        {"step": 1, "loss": 3.0},
        {"step": 2, "loss": 2.0},
        {"step": 2, "loss": 1.5},
        {"step": 3, "eval_loss": 1.0},
    ]
    runs.put(
        tmp_path / "train_log.jsonl", "\n".join(map(json.dumps, lines)) + '\n{"step": 4, "loss": NaN}\ngarbage\n[]'
    )
    log = read_log(tmp_path)
    assert (log.loss, log.validation) == (((1, 3.0), (2, 1.5)), ((3, 1.0),))


def test_the_log_is_found_under_the_name_of_older_runs(tmp_path: Path) -> None:
    runs.put(tmp_path / "a.jsonl", '{"event": "started"}\n')
    runs.put(tmp_path / "train.jsonl", '{"step": 1, "loss": 3.0}\n')
    assert read_log(tmp_path).loss == ((1, 3.0),)
