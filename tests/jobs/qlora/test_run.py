"""The one way into the job's steps."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[3] / "jobs" / "qlora" / "run.py"
SET = ("OMP_WAIT_POLICY", "PYTORCH_ALLOC_CONF", "CUDA_VISIBLE_DEVICES")
TOLD = f"import os; print(*(os.environ[name] or '-' for name in {SET}))"


def run(folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The program in a job of its own, with a step that tells what it was given."""
    job = folder / "job"
    job.mkdir()
    (job / "run.py").write_text(RUN.read_text())
    (job / "train.py").write_text(TOLD)
    argv = [sys.executable, str(job / "run.py"), *words]
    return subprocess.run(argv, capture_output=True, text=True, env=environ, check=False, timeout=30)


def test_a_step_is_told_how_to_wait_and_that_memory_segments_grow(tmp_path: Path) -> None:
    assert run(tmp_path, "train").stdout.split()[:2] == ["PASSIVE", "expandable_segments:True"]


@pytest.mark.parametrize(("given", "seen"), [({}, "0"), ({"CUDA_VISIBLE_DEVICES": "2,3"}, "2"),
                                             ({"CUDA_VISIBLE_DEVICES": ""}, "-")])  # fmt: skip
def test_of_several_cards_a_step_sees_one(tmp_path: Path, given: dict[str, str], seen: str) -> None:
    assert run(tmp_path, "train", **given).stdout.split()[2] == seen


def test_what_a_person_has_set_stays(tmp_path: Path) -> None:
    assert run(tmp_path, "train", PYTORCH_ALLOC_CONF="backend:native").stdout.split()[1] == "backend:native"


def test_an_unknown_step_is_refused_with_the_steps_that_there_are(tmp_path: Path) -> None:
    done = run(tmp_path, "dance")
    assert done.returncode != 0
    assert "train" in done.stderr


def test_the_steps_name_phases_in_their_order_and_scripts_that_exist() -> None:
    steps = json.loads((RUN.parent / "steps.json").read_text())
    first, *steps = steps  # begun ahead, beside the others until the one that needs it
    assert (first["name"], first["until"]) == ("ahead", "download")
    phases = [step["phase"] for step in steps]
    assert list(dict.fromkeys(phases)) == ["install", "model", "evaluate", "train"]
    assert phases.index("train") < len(phases) - 1 - phases[::-1].index("evaluate"), "the tuned model is asked too"
    assert all(step["argv"][:2] == ["{python}", "run.py"] for step in steps)
    assert all((RUN.parent / f"{step['argv'][2]}.py").exists() for step in steps)
