"""Tasks of lm-evaluation-harness: its figures by its names; and, where it is installed, a task really run."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from jobs.qlora.harness import figures_of
from jobs.qlora.install import add_harness
from jobs.qlora.job import Adjacent, Job

TASK = Adjacent(name="public", harness="quiz", limit=8)
QUIZ = """\
task: quiz
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{label}}}}"
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
"""


def job_in(run: Path, **changes: Any) -> Job:
    here: dict[str, Any] = {"out": run / "out", "checkpoints": run / "checkpoints", "progress": run / "progress.jsonl"}
    return Job(run=run, model="../base", **here, **changes)


def test_figures_have_the_names_of_the_harness_and_come_with_their_errors() -> None:
    found = {
        "results": {"gsm": {
            "alias": "gsm", "acc,none": 0.5, "acc_stderr,none": 0.1, "acc_norm,none": 1, "acc_norm_stderr,none": "N/A",
            "exact_match,strict-match": 0.25, "exact_match_stderr,strict-match": 0.05,
            "exact_match,flexible-extract": 0.75, "exact_match_stderr,flexible-extract": 0.06,
        }},
        "n-samples": {"gsm": {"original": 1000, "effective": 8}},
    }  # fmt: skip
    assert figures_of(found, Adjacent(name="x", harness="gsm")) == {
        "n": 8,
        "metrics": {
            "acc": 0.5, "acc_norm": 1.0, "exact_match": 0.25,
            "exact_match,strict-match": 0.25, "exact_match,flexible-extract": 0.75,
        },
        "stderr": {
            "acc": 0.1, "exact_match": 0.05,
            "exact_match,strict-match": 0.05, "exact_match,flexible-extract": 0.06,
        },
    }  # fmt: skip


def test_a_group_of_tasks_counts_the_documents_of_all_of_them() -> None:
    results = {"physics": {"acc,none": 0.1}, "group": {"acc,none": 0.4}, "law": {"acc,none": 0.7}}
    samples = {"physics": {"original": 5, "effective": 5}, "law": {"original": 9, "effective": 3}}
    found = figures_of({"results": results, "n-samples": samples}, Adjacent(name="x", harness="group"))
    assert (found["metrics"], found["n"]) == ({"acc": 0.4}, 8)


def test_it_is_installed_only_where_a_task_names_it_and_a_failure_is_said(tmp_path: Path) -> None:
    never = str(tmp_path / "no-such-python")
    add_harness(never, job_in(tmp_path, adjacent=(Adjacent(name="own", data="x"),)))
    assert not (tmp_path / "progress.jsonl").exists()
    false = tmp_path / "false"
    false.write_text("#!/bin/sh\nexit 1\n")
    false.chmod(0o755)
    add_harness(str(false), job_in(tmp_path, adjacent=(TASK,)))
    assert json.loads((tmp_path / "progress.jsonl").read_text())["code"] == "harness-failed"


def test_its_lock_leaves_the_jobs_own_packages_alone() -> None:
    job = Path(__file__).parents[3] / "jobs" / "qlora"
    names = {
        file: {line.split("==")[0] for line in (job / file).read_text().splitlines() if "==" in line[:60]}
        for file in ("harness.lock", "requirements.lock", "torch.lock")
    }
    assert "lm-eval" in names["harness.lock"]
    assert not names["harness.lock"] & (names["requirements.lock"] | names["torch.lock"])


@pytest.mark.skipif(find_spec("lm_eval") is None, reason="lm-eval is not installed: pip install -r harness.lock")
@pytest.mark.filterwarnings("ignore")  # other people's
def test_a_real_task_is_run_on_the_loaded_base_and_on_the_tuned_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobs.qlora import evaluate
    from tests.jobs.qlora.test_evaluate import document, make_job, write_adapter

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    job = make_job(tmp_path, prompted=None, adjacent=(TASK,))
    own = job.bundle / "harness"
    own.mkdir(parents=True)
    lines = [{"question": f"Order {at} is", "choices": [f"{at}", f"{at + 7}"], "label": at % 2} for at in range(12)]
    (own / "quiz.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (own / "quiz.yaml").write_text(QUIZ.format(file=own / "quiz.jsonl"))
    write_adapter(job)
    for arm in ("base", "tuned"):
        evaluate.evaluate(job, arm, evaluate.Loaded(job, arm))
        found = document(job, f"adjacent/public.{arm}")
        assert found["n"] == 8
        assert 0 <= found["metrics"]["acc"] <= 1
        assert found["stderr"]["acc"] > 0
        assert found["arm"] == arm
