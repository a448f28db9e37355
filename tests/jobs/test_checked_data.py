"""Whether the data report and the model's template come together: tokens, rows that are too long, an absent Hub."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jobs import spec
from jobs.checked_data import TOO_LONG, Checked, checked, refuse
from jobs.config_values import WorkloadError
from jobs.qlora.dataset.report import DataReport

BASE = Path(__file__).parents[2] / "examples" / "base"


def copied(files: Mapping[str, Path], data: Mapping[str, Any], *, into: Path, seed: int, private: bool) -> DataReport:
    """Stands in for curation: every row stays where it is."""
    for part, path in files.items():
        (into / f"{part}.jsonl").write_bytes(path.read_bytes())
    report = DataReport(sources=(), parts=(), private=private)
    (into / "report.json").write_text(report.text())
    (into / "dropped.jsonl").write_text("")
    return report


def job(folder: Path, questions: list[str], **settings: object) -> spec.LoadedSpec:
    rows = [
        {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": "yes"}]}
        for asked in questions
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    document = {"name": "j", "model": str(BASE), "data": {"train": "rows.jsonl"}, **settings}
    (folder / "launch.yaml").write_text(json.dumps(document))
    return spec.load(folder)


def found(loaded: spec.LoadedSpec, home: Path, **environ: str) -> Checked:
    return checked(loaded, environ={"HF_HOME": str(home), **environ}, home=home, curate=copied)


def test_the_report_that_comes_home_says_what_the_template_says(tmp_path: Path) -> None:
    made = found(job(tmp_path, [f"question {at}" for at in range(40)]), tmp_path / "home")
    (tokens,) = made.report.tokens
    assert (tokens.part, tokens.rows, tokens.are) == ("train", 40, "counted")
    assert tokens.tokens > tokens.supervised > 0
    assert tokens.median <= tokens.p95 <= tokens.longest
    assert json.loads(made.papers["report.json"])["tokens"][0]["rows"] == 40
    assert set(made.papers) == {"report.json", "dropped.jsonl"}
    assert made.report.template.endswith("all 40 conversations")
    refuse(made)


@pytest.mark.parametrize(("long", "effect"), [(1, "left out"), (3, "stops")])
def test_rows_over_max_length_are_counted_shown_and_refused_above_the_share(
    tmp_path: Path, long: int, effect: str
) -> None:
    questions = [f"question {at}" for at in range(40 - long)] + [f"{at} " + "why " * 60 for at in range(long)]
    made = found(job(tmp_path, questions, train={"max_length": 64}), tmp_path / "home")
    (fault,) = made.report.faults
    assert (fault.code, fault.count, fault.effect) == (TOO_LONG, long, effect)
    assert fault.examples[0].place.line > 40 - long
    assert made.stopping == ((fault,) if effect == "stops" else ())
    refuse(made)  # the estimator refuses it, with the length that would do


def test_a_hub_that_does_not_answer_refuses_nothing_and_is_told(tmp_path: Path) -> None:
    loaded = job(tmp_path, ["a", "b"], model="mistralai/Mistral-7B-Instruct-v0.3")
    made = found(loaded, tmp_path / "home", HF_ENDPOINT="http://127.0.0.1:9")
    assert made.report.template.startswith("not checked with the model's chat template: the Hub could not be reached")
    assert (made.report.tokens, made.stopping) == ((), ())
    unknown = found(job(tmp_path, ["a", "b"], model="me/mine"), tmp_path / "home", HF_HUB_OFFLINE="1")
    assert "cannot measure the model me/mine" in unknown.report.template


def test_rows_that_the_template_refuses_are_refused_by_file_and_line(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((BASE / name).read_bytes())
    text = (BASE / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}{% if 'odd' in m.content %}{{ raise_exception('nothing odd') }}{% endif %}{% endfor %}"
        + text
    )
    questions = ["even", *(f"odd {at}" for at in range(5))]
    made = found(job(tmp_path, questions, model=str(folder)), tmp_path / "home")
    with pytest.raises(WorkloadError, match=r"refuses these turns \(5 rows\)") as told:
        refuse(made)
    assert "train.jsonl:2: nothing odd" in told.value.message
    assert "... and 2 more" in told.value.message
    assert told.value.code == "chat-template"
