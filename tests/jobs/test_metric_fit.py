"""A metric that says nothing about the rows is refused, with its line, before a machine costs anything."""

import json
from pathlib import Path

import pytest

from jobs import spec
from jobs.metric_fit import Fit, fit

BASE = Path(__file__).parents[2] / "examples" / "base"
LABELS, OBJECTS, PROSE = ["yes", "no"] * 10, ['{"a": 1}'] * 20, [f"Answer number {n} is this one." for n in range(20)]


def fitted(tmp_path: Path, answers: list[str], more: str = "", adjacent: list[str] | None = None) -> Fit:
    """A job file of three lines and `more`, with test rows that are answered so."""
    (tmp_path / "rows.jsonl").write_text("{}\n")
    job = tmp_path / "launch.yaml"
    job.write_text(f"model: {BASE}\ndata:\n  train: rows.jsonl\n{more}")
    parts = {"test": part(tmp_path / "test.jsonl", answers)}
    if adjacent is not None:
        parts["adjacent/maths"] = part(tmp_path / "maths.jsonl", adjacent)
    return fit(spec.with_parts(spec.load(job), parts))


def part(path: Path, answers: list[str]) -> Path:
    turns = [[{"role": "user", "content": "?"}, {"role": "assistant", "content": answer}] for answer in answers]
    rows = [{"messages": two, "source": {"file": "rows.jsonl", "line": at}} for at, two in enumerate(turns, 1)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_of_the_default_metrics_the_unfit_ones_are_left_out_and_it_is_said(tmp_path: Path) -> None:
    found = fitted(tmp_path, LABELS)
    assert found.misfit is None
    assert found.loaded.spec.evaluate.metrics == ["exact"]
    assert found.notes == (
        "metrics: json_fields is left out: json_fields counts the fields of JSON objects, and 0 of 20 answers are some",
    )
    assert fitted(tmp_path, OBJECTS).loaded.spec.evaluate.metrics == ["exact", "json_fields"]


def test_what_the_gate_asks_for_is_measured_where_nobody_named_the_metrics(tmp_path: Path) -> None:
    found = fitted(tmp_path, LABELS, "gate:\n  accuracy: {at_least: 0.8}\n  loss: {at_most: 2}\n")
    assert found.loaded.spec.evaluate.metrics == ["exact", "classification"]
    assert "metrics: classification is added: the gate asks for it" in found.notes
    assert found.loaded.spec.settings()["evaluate"]["metrics"] == ["exact", "classification"]  # type: ignore[index] # JSON of ours


@pytest.mark.parametrize(
    ("answers", "more", "line", "what", "hint"),
    [
        (LABELS, "evaluate:\n  metrics: [json_fields]\n", 5, "0 of 20 answers are some", "'evaluate.metrics=[exact]'"),
        (
            PROSE, "evaluate:\n  metrics: [loss, classification]\n", 5,
            "20 different answers", "'evaluate.metrics=[loss]'",
        ),
        (LABELS, "gate:\n  field_f1: {at_least: 0.5}\n", 5, "gate.field_f1: json_fields", "--set gate.field_f1=null"),
        (
            LABELS, "evaluate:\n  metrics: [exact]\ngate:\n  accuracy: {at_least: 0.5}\n", 7,
            "accuracy, which is measured by classification", "'evaluate.metrics=[exact,classification]'",
        ),
        (
            LABELS, "evaluate:\n  adjacent:\n  - name: maths\n    data: rows.jsonl\n    metric: accuracy\n", 5,
            "maths: accuracy does not fit", "metric: exact",
        ),
    ],
)  # fmt: skip
def test_what_the_user_named_is_refused_with_its_line_and_a_way_out(
    tmp_path: Path, answers: list[str], more: str, line: int, what: str, hint: str
) -> None:
    wrong = fitted(tmp_path, answers, more, adjacent=PROSE).misfit
    assert wrong is not None
    assert f"launch.yaml, line {line}: " in wrong.message
    assert what in wrong.message
    assert hint in wrong.hint
    if hint.startswith("'evaluate.metrics"):
        said = wrong.hint.removeprefix("--set ").strip("'")
        again = spec.load(tmp_path / "launch.yaml", sets=[said])
        assert fit(spec.with_parts(again, {"test": tmp_path / "test.jsonl"})).misfit is None, "the hint works"
