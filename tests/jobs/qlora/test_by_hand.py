"""The README's own lines, run as a stranger would: every step, from a table of one's own to the exported adapter."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.jobs.qlora.workplace import BASE, EXAMPLE, JOB

QUICK = {'"epochs": 3': '"max_steps": 2', '"max_new_tokens": 256': '"max_new_tokens": 4', '"shots": 4': '"shots": 1'}
"""What makes a job of minutes one of seconds; all else is as it stands there."""


def script() -> str:
    """The shell lines of the README."""
    lines = "\n".join(re.findall(r"(?ms)^```sh\n(.*?)^```", (JOB / "README.md").read_text()))
    for slow, quick in QUICK.items():
        assert slow in lines
        lines = lines.replace(slow, quick)
    return lines


def lay_out(folder: Path) -> None:
    """The job's folder, a base model, and the two files that a person brings."""
    shutil.copytree(JOB, folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(BASE, folder / "run" / "bundle" / "base")
    rows = [json.loads(line)["messages"] for line in (EXAMPLE / "data" / "train.jsonl").read_text().splitlines()[:40]]
    with (folder / "mine.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("prompt", "completion"))
        writer.writerows([turn["content"] for turn in turns] for turns in rows)
    test = (EXAMPLE / "data" / "test.jsonl").read_text().splitlines(keepends=True)
    (folder / "general.jsonl").write_text("".join(test[:4]))


@pytest.mark.train
def test_the_readme_lets_a_stranger_run_the_job(tmp_path: Path) -> None:
    """About a minute on two cores: mostly eight starts of Python."""
    folder = tmp_path / "job"
    lay_out(folder)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub"), "PATH": path}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script()],
        cwd=folder, env={**os.environ, **offline}, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    out = folder / "run" / "out"
    for arm in ("base", "prompted", "tuned", "adjacent/general.base", "adjacent/general.tuned"):
        figures = json.loads((out / "eval" / f"{arm}.json").read_text())
        assert figures["n"] == len((out / "eval" / f"{arm}.jsonl").read_text().splitlines()) > 0
    base, prompted = (json.loads((out / "eval" / f"{arm}.json").read_text()) for arm in ("base", "prompted"))
    assert base["n"] == prompted["n"] == json.loads((out / "eval" / "tuned.json").read_text())["n"]
    assert len(prompted["prompt"]["tried"]) == 3
    assert (out / "adapter" / "adapter_model.safetensors").is_file()
    assert (out / "adapter.gguf").is_file()
    assert (out / "logs" / "data.json").is_file()
    events = [json.loads(line) for line in (folder / "run" / "progress.jsonl").read_text().splitlines()]
    told = [event["arm"] for event in events if event["event"] == "result"]
    assert told == ["base", "prompted", "base/general", "tuned", "tuned/general"]
    assert "no-parity" not in {event.get("code") for event in events}
