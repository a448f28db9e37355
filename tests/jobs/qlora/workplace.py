"""A run's folder on this machine, and its steps run as the supervisor runs them, for tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[3]
JOB = REPOSITORY / "jobs" / "qlora"
EXAMPLE = REPOSITORY / "examples" / "support-json"
BASE = REPOSITORY / "examples" / "base"

Event = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """One run's folder, laid out as docs/guest.md says."""

    run: Path
    settings: dict[str, Any] = field(default_factory=dict)

    def lay_out(self, *, data: Path, base: Path | None = BASE) -> Workplace:
        """Ship job, data and base model; returns itself."""
        bundle = self.run / "bundle"
        shutil.copytree(JOB, bundle / "job", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(data, bundle / "data")
        if base:
            shutil.copytree(base, bundle / "base")
        document = {"schema": 1, "settings": {"model": "../base", **self.settings}}
        (bundle / "job.json").write_text(json.dumps(document))
        return self

    @property
    def out(self) -> Path:
        """The results."""
        return self.run / "out"

    def environment(self, **more: str) -> dict[str, str]:
        """What the supervisor puts into the environment of a step."""
        places = {
            "LAUNCH_RUN": self.run,
            "LAUNCH_JOB": self.run / "bundle" / "job.json",
            "LAUNCH_PROGRESS": self.run / "progress.jsonl",
            "LAUNCH_OUT": self.out,
            "LAUNCH_CHECKPOINTS": self.run / "checkpoints",
        }
        offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(self.run / "hub"), "TOKENIZERS_PARALLELISM": "false"}
        return {**os.environ, **offline, **{name: str(path) for name, path in places.items()}, **more}

    def start(self, *argv: str, **environment: str) -> subprocess.Popen[str]:
        """Start a step."""
        command = [sys.executable, "run.py", *argv]
        return subprocess.Popen(
            command,
            cwd=self.run / "bundle" / "job",
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def step(self, *argv: str, expect: int = 0, **environment: str) -> str:
        """Run a step to its end; what it printed."""
        process = self.start(*argv, **environment)
        said, _ = process.communicate(timeout=300)
        assert process.returncode == expect, said
        return said

    def events(self, kind: str) -> list[Event]:
        """The events of one kind so far."""
        path = self.run / "progress.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [event for event in map(json.loads, lines) if event["event"] == kind]

    def document(self, path: str) -> Any:
        """One JSON file of the results."""
        return json.loads((self.out / path).read_text())
