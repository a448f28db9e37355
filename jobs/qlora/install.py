"""Choose an interpreter that has the locked packages, or make one; Python 3.9 is enough for this step."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from . import harness
from .job import Job, read_job, tell
from .trackers import FOLDER, asked

HERE = Path(__file__).resolve().parent
# Where well-known images keep the interpreter that has torch.
IMAGES = ("/opt/pytorch/bin/python", "/opt/conda/bin/python", "/usr/bin/python3")
NAMES = ("accelerate", "bitsandbytes", "datasets", "gguf", "peft", "tensorboardx", "transformers", "trl")
OLDEST, NEWEST = (3, 11), (3, 13)
# What an interpreter says about itself: one JSON line.
QUESTION = """
import importlib.metadata as m, importlib.util as u, json, sys
def version(name):
    try:
        return m.version(name)
    except m.PackageNotFoundError:
        return None
names = sys.argv[1:]
print(json.dumps({"version": list(sys.version_info[:2]), "torch": bool(u.find_spec("torch")),
                  "pip": bool(u.find_spec("pip")), "ensurepip": bool(u.find_spec("ensurepip")),
                  "packages": {n: version(n) for n in names}}))
"""


class Interpreter:
    """One Python on this machine and what it has."""

    def __init__(self, path: str, said: dict) -> None:  # type: ignore[type-arg]  # JSON; old Pythons start this file
        self.path = path
        self.torch = bool(said["torch"])
        self.packages = said["packages"]
        self.pip, self.ensurepip = bool(said["pip"]), bool(said["ensurepip"])
        self.suits = OLDEST <= tuple(said["version"]) <= NEWEST


def locked(lock: Path) -> dict:  # type: ignore[type-arg]  # JSON; old Pythons start this file
    """Version by name of the packages that this job imports, as the lock file pins them."""
    pins = dict(re.findall(r"(?m)^([a-z0-9-]+)==([^\s;\\]+)", lock.read_text(encoding="utf-8")))
    return {name: pins[name] for name in NAMES}


def look(path: str) -> Interpreter | None:
    """What the interpreter at this path has; None where there is none that works."""
    try:
        answer = subprocess.run(
            [path, "-c", QUESTION, *NAMES], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, check=True
        )
        return Interpreter(path, json.loads(answer.stdout))
    except (OSError, ValueError, KeyError, subprocess.SubprocessError):
        return None


def satisfied(one: Interpreter, wanted: dict) -> bool:  # type: ignore[type-arg]  # JSON; old Pythons start this file
    """Whether it has torch and every locked version."""
    return one.suits and one.torch and one.packages == wanted


def make(found: list[Interpreter], folder: Path) -> str:
    """A new environment with the locked packages, on top of the image's torch where there is one."""
    fitting = [one for one in found if one.suits]
    if not fitting:
        sys.exit("error: no Python 3.11 to 3.13 on this machine: the locked packages need one")
    below = next((one for one in fitting if one.torch), fitting[0])
    python = str(folder / "bin" / "python")
    pip = environment(below, folder, python)
    for lock in ([] if below.torch else ["torch.lock"]) + ["requirements.lock"]:
        run([*pip, "install", "--require-hashes", "--no-input", "-q", "-r", str(HERE / lock)])
    return python


def environment(below: Interpreter, folder: Path, python: str) -> list[str]:
    """Make an empty environment; how to call pip for it. Debian and Ubuntu keep ensurepip in a package of its own."""
    shared = ["--system-site-packages"] if below.torch else []
    if below.ensurepip:
        run([below.path, "-m", "venv", *shared, str(folder)])
        return [python, "-m", "pip"]
    if not below.pip:
        sys.exit("error: " + below.path + " has neither ensurepip nor pip: install python3-venv, or take another image")
    run([below.path, "-m", "venv", "--without-pip", *shared, str(folder)])
    return [below.path, "-m", "pip", "--python", python]


def run(command: list[str]) -> None:
    """Run a command, its output in the job's log; ends with its name when it fails."""
    print("+ " + " ".join(command), flush=True)
    if subprocess.run(command, check=False).returncode:
        sys.exit("error: this command failed: " + " ".join(command))


def choose(candidates: list[str], folder: Path) -> str:
    """The interpreter for the next steps."""
    wanted = locked(HERE / "requirements.lock")
    found = [one for one in map(look, dict.fromkeys(candidates)) if one]
    ready = next((one for one in found if satisfied(one, wanted)), None)
    return ready.path if ready else make(found, folder)


def add_trackers(python: str, job: Job) -> None:
    """The locked packages of the trackers that were asked for, beside the interpreter's own, which stay as they are.

    Their locks hold what requirements.lock does not. A tracker that cannot be had is said, and is no reason to stop.
    """
    for name in asked(os.environ, private=job.private):
        if not add(python, name, job.run / FOLDER):
            tell(job, "warning", code="tracker", text=name + " could not be installed: the job's log says why")


def add_harness(python: str, job: Job) -> None:
    """The locked packages of lm-evaluation-harness, in the same way, where an adjacent task is one of its."""
    if any(task.harness for task in job.adjacent) and not add(python, "harness", job.run / harness.FOLDER):
        tell(job, "warning", code="harness-failed", text="it could not be installed: the job's log says why")


def add(python: str, name: str, folder: Path) -> bool:
    """Install NAME.lock into a folder of its own; whether that worked."""
    target = ["--target", str(folder), "--no-deps", "--require-hashes", "--no-input", "-q"]
    command = [python, "-m", "pip", "install", *target, "-r", str(HERE / (name + ".lock"))]
    print("+ " + " ".join(command), flush=True)
    return subprocess.run(command, check=False).returncode == 0


def main() -> None:
    """Choose, and leave the absolute path where the supervisor reads it."""
    job = read_job()
    run_folder = job.run
    chosen = choose([sys.executable, str(run_folder / "venv" / "bin" / "python"), *IMAGES], run_folder / "venv")
    add_trackers(chosen, job)
    add_harness(chosen, job)
    aside = run_folder / "python.tmp"
    aside.write_text(chosen, encoding="utf-8")
    aside.replace(run_folder / "python")
    print("python: " + chosen, flush=True)


if __name__ == "__main__":
    main()
