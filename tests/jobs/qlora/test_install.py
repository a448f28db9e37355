"""The install step takes an interpreter that already suits, and its locks agree with the project's own pins."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from jobs.qlora.install import HERE, NAMES, Interpreter, choose, environment, locked, look, make, satisfied
from tests.jobs.qlora.workplace import JOB, REPOSITORY, Workplace

LOCKS = ("requirements.lock", "torch.lock")


def pins(name: str) -> dict[str, str]:
    return dict(re.findall(r"(?m)^([a-z0-9-]+)==([^\s;\\]+)", (JOB / name).read_text()))


def test_the_locks_pin_what_the_local_extra_pins() -> None:
    extra = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]["local"]
    both = {**pins("torch.lock"), **pins("requirements.lock")}
    wanted = dict(line.split("==") for line in extra)
    assert {name: both[name] for name in wanted} == wanted


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_hashes_and_no_address(name: str) -> None:
    text = (JOB / name).read_text()
    assert "://" not in text
    assert not re.search(r"(?m)^\s*--(?!hash)", text)
    entries = re.split(r"(?m)^(?=[a-z0-9])", text)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)
    assert len(entries) > 10


def test_torch_and_its_libraries_stay_out_of_what_is_laid_over_an_image() -> None:
    assert not [name for name in pins("requirements.lock") if name.startswith(("torch", "nvidia", "cuda", "triton"))]


def test_the_running_interpreter_suits_and_is_taken(tmp_path: Path) -> None:
    assert choose([sys.executable], tmp_path / "venv") == sys.executable
    assert not (tmp_path / "venv").exists()


def test_the_chosen_interpreter_is_left_for_the_supervisor(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    work = Workplace(run=tmp_path / "run", settings={"model": "m"}).lay_out(data=tmp_path / "data", base=None)
    work.step("install")
    assert Path((work.run / "python").read_text()).is_absolute()
    assert look((work.run / "python").read_text()) is not None


def test_an_interpreter_that_is_not_there_or_not_python_is_passed_over() -> None:
    assert look("/nowhere/python") is None
    assert look("/bin/true") is None


@pytest.mark.parametrize("change", [{"trl": "0.1"}, {"trl": None}])
def test_another_version_of_a_package_does_not_suit(change: dict[str, str | None]) -> None:
    wanted = locked(HERE / "requirements.lock")
    said = {"version": [3, 12], "torch": True, "pip": True, "ensurepip": True, "packages": wanted}
    assert satisfied(Interpreter("p", said), wanted)
    assert not satisfied(Interpreter("p", {**said, "packages": {**wanted, **change}}), wanted)
    assert not satisfied(Interpreter("p", {**said, "torch": False}), wanted)
    assert not satisfied(Interpreter("p", {**said, "version": [3, 9]}), wanted)


def test_a_machine_without_a_python_that_suits_is_told_so(tmp_path: Path) -> None:
    old = Interpreter("p", {"version": [3, 9], "torch": True, "pip": True, "ensurepip": True, "packages": {}})
    with pytest.raises(SystemExit, match=r"no Python 3\.11 to 3\.13"):
        make([old], tmp_path / "venv")


def test_the_install_step_can_be_read_by_python_3_9() -> None:
    for name in ("run.py", "install.py", "job.py", "trackers.py", "__init__.py"):
        ast.parse((JOB / name).read_text(), feature_version=(3, 9))
    assert set(NAMES) <= set(pins("requirements.lock"))


def test_a_python_without_ensurepip_lends_its_own_pip(tmp_path: Path) -> None:
    bare = Interpreter(
        sys.executable, {"version": [3, 12], "torch": False, "pip": True, "ensurepip": False, "packages": {}}
    )
    python = str(tmp_path / "venv" / "bin" / "python")
    pip = environment(bare, tmp_path / "venv", python)
    said = subprocess.run([*pip, "list", "--format", "json"], capture_output=True, text=True, check=True)
    assert json.loads(said.stdout) == []


def test_a_python_with_neither_is_refused_with_what_to_install(tmp_path: Path) -> None:
    bare = Interpreter(
        sys.executable, {"version": [3, 12], "torch": False, "pip": False, "ensurepip": False, "packages": {}}
    )
    with pytest.raises(SystemExit, match="python3-venv"):
        environment(bare, tmp_path / "venv", "")
