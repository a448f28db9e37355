"""The base model may begin to come while the packages are installed, where that saves time, and never else."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.qlora.ahead import commands, needs
from jobs.qlora.install import HERE, Interpreter, locked
from jobs.qlora.job import Job
from tests.hub import Hub, Repository, open_hub
from tests.jobs.qlora.workplace import Workplace

BARE = Interpreter(
    "/usr/bin/python3", {"version": [3, 12], "torch": False, "pip": True, "ensurepip": True, "packages": {}}
)
FULL = Interpreter(
    "p",
    {
        "version": [3, 12],
        "torch": True,
        "pip": True,
        "ensurepip": True,
        "packages": locked(HERE / "requirements.lock"),
    },
)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    folder = tmp_path / "repository"
    folder.mkdir()
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        (folder / name).write_bytes(name.encode())
    with open_hub(some__model=Repository(folder=folder)) as hub:
        yield hub


def place(tmp_path: Path) -> Workplace:
    (tmp_path / "data").mkdir()
    return Workplace(run=tmp_path / "run", settings={"model": "some/model"}).lay_out(data=tmp_path / "data", base=None)


def job(tmp_path: Path) -> Job:
    return Job(run=tmp_path, out=tmp_path, checkpoints=tmp_path, progress=tmp_path / "p", model="m")


def test_where_packages_are_still_to_be_installed_the_model_comes_meanwhile(tmp_path: Path) -> None:
    assert needs(job(tmp_path), [BARE]) is BARE


def test_where_all_is_installed_or_the_model_was_shipped_there_is_nothing_to_gain(tmp_path: Path) -> None:
    assert needs(job(tmp_path), [BARE, FULL]) is None
    (tmp_path / "bundle" / "base").mkdir(parents=True)
    assert needs(job(tmp_path), [BARE]) is None


def test_what_is_fetched_ahead_is_there_for_the_step_that_needs_it(tmp_path: Path, hub: Hub) -> None:
    work = place(tmp_path)
    install, download = commands(Interpreter(sys.executable, vars_of(BARE)), work.run / "ahead")
    assert install[:4] == [sys.executable, "-m", "pip", "install"]
    environment = work.environment(HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0")
    subprocess.run(download, env=environment, cwd=work.run / "bundle" / "job", check=True, capture_output=True)
    fetched = list(hub.asked)
    assert hub.fetched() == {"model.safetensors", "config.json", "tokenizer.json"}
    work.step("download", HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0")
    again = [path for verb, path in hub.asked[len(fetched) :] if verb == "GET" and "/resolve/" in path]
    assert again == []


def vars_of(one: Interpreter) -> dict[str, object]:
    return {"version": [3, 12], "torch": one.torch, "pip": one.pip, "ensurepip": one.ensurepip, "packages": {}}


def test_the_step_does_nothing_in_this_environment_which_has_it_all(tmp_path: Path, hub: Hub) -> None:
    work = place(tmp_path)
    work.step("ahead", HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0")
    assert hub.asked == []
    assert not (work.run / "ahead").exists()


def test_its_few_packages_are_those_of_the_whole_list() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"(?m)^([a-z0-9-]+==[^\s;\\]+)", (HERE / name).read_text()))

    few = pins("hub.lock")
    assert few <= pins("requirements.lock")
    assert any(one.startswith("huggingface-hub==") for one in few)
