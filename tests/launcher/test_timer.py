"""`launch reap --install-timer`: what is written, what is run, twice, and taken away again."""

import json
import os
import plistlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from launcher import checkup, timer, timer_page
from launcher.errors import LaunchError
from launcher.world import World
from providers.base import Level
from tests.fake_world import Stage


class Programs:
    """systemctl and launchctl, which only write down how they were called."""

    def __init__(self, answers: dict[str, tuple[int, str]] | None = None) -> None:
        self.called: list[tuple[str, ...]] = []
        self.answers = answers or {}

    def __call__(self, words: Sequence[str]) -> tuple[int, str]:
        self.called.append(tuple(words))
        return next((answer for word, answer in self.answers.items() if word in words), (0, ""))


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def at_home(stage: Stage, programs: Programs, **environ: str) -> World:
    around = {"HOME": str(stage.folder / "me"), "PATH": "/usr/bin:/bin", **environ}
    return replace(stage.laptop(), environ=around, run_program=programs)


def told(text: str, stage: Stage) -> str:
    """Without what is another one on each computer."""
    return (
        text.replace(str(stage.folder), "~").replace(sys.executable, "python").replace(f"gui/{os.getuid()}", "gui/1000")
    )


@pytest.mark.parametrize("kind", ["systemd", "launchd", "cron"])
def test_what_is_written(stage: Stage, kind: str, snapshot: SnapshotAssertion) -> None:
    world = at_home(stage, Programs(), AWS_PROFILE="work", AWS_SECRET_ACCESS_KEY="secret", AWS_REGION="")
    made = getattr(timer, kind)(world)
    assert "secret" not in timer_page.shown(made)
    assert told(timer_page.shown(made), stage) == snapshot(name="shown")
    assert told(timer_page.installed(made, world), stage) == snapshot(name="installed")


def test_of_other_programs_variables_none_is_written_down(stage: Stage) -> None:
    ours = {
        "AWS_CONFIG_FILE": "/me/aws", "AWS_PROFILE": "work", "AWS_REGION": "eu-west-1", "LAMBDA_API_BASE_URL": "http://l",
        "LAUNCH_CONFIG": "/me/launch.yaml", "LAUNCH_OWNER": "0" * 32, "RUNPOD_API_BASE_URL": "http://r",
    }  # fmt: skip
    others = {
        "TF_CLI_CONFIG_FILE": "/me/.terraformrc", "DBT_PROFILE": "prod", "OCI_CONFIG_FILE": "/me/oci", "X_REGION": "x",
        "GOOGLE_CREDENTIALS_FILE": "/me/google", "INTERNAL_BASE_URL": "http://name:password@in.house",
        "AWS_ACCESS_KEY_ID": "AKIA", "AWS_SESSION_TOKEN": "t", "LAMBDA_API_KEY": "k", "RUNPOD_API_KEY": "k",
    }  # fmt: skip
    world = at_home(stage, Programs(), **ours, **others)
    made = plistlib.loads(next(iter(timer.launchd(world).files.values())).encode())
    assert made["EnvironmentVariables"] == {"LAUNCH_HOME": str(world.home), "PATH": "/usr/bin:/bin", **ours}
    for text in (timer_page.shown(timer.systemd(world)), timer_page.shown(timer.cron(world))):
        assert [name for name in ours if f"{name}={ours[name]}" not in text] == []
        assert [name for name in others if f"{name}=" in text] == []


def test_installed_twice_it_is_there_once_and_removed_it_is_gone(stage: Stage) -> None:
    programs = Programs()
    world = at_home(stage, programs)
    made = timer.timer(world)
    timer.install(made, world)
    first = {path: path.read_text() for path in made.files}
    timer.install(timer.timer(world), world)
    assert {path: path.read_text() for path in timer.installed(world)} == first
    folder = stage.folder / "me" / ".config" / "systemd" / "user"
    assert sorted(path.name for path in folder.iterdir()) == ["launch-reap-here.service", "launch-reap-here.timer"]
    assert ("systemctl", "--user", "enable", "--now", "launch-reap-here.timer") in programs.called
    assert timer.remove(made, world) == tuple(made.files)
    assert list(folder.iterdir()) == []
    assert ("systemctl", "--user", "disable", "--now", "launch-reap-here.timer") in programs.called
    asked = len(programs.called)
    assert timer.remove(made, world) == ()
    assert len(programs.called) == asked


def test_without_systemd_for_the_user_a_line_for_cron_is_printed_and_nothing_written(stage: Stage) -> None:
    world = at_home(stage, Programs({"show-environment": (1, "Failed to connect to bus")}))
    made = timer.timer(world)
    timer.install(made, world)
    assert made.kind == "cron"
    assert not (stage.folder / "me").exists()
    assert "crontab -e" in timer_page.installed(made, world)


def test_a_refusal_of_systemd_is_told_with_its_own_words(stage: Stage) -> None:
    world = at_home(stage, Programs({"enable": (1, "Unit is masked.")}))
    with pytest.raises(LaunchError) as caught:
        timer.install(timer.timer(world), world)
    assert "Unit is masked." in caught.value.message
    assert "--print" in caught.value.hint


ODD = 'a "quoted" 100% $HOME \\ folder'


def test_odd_folders_reach_the_program_as_they_are(stage: Stage) -> None:
    """By a real shell for cron and launchd; systemd's own rules are the next test's."""
    world = replace(at_home(stage, Programs()), home=stage.folder / ODD)
    world.home.mkdir()
    (world.home / timer.KEYS).write_text("SOME_API_KEY=from-the-file\n")
    made = plistlib.loads(next(iter(timer.launchd(world).files.values())).encode())
    line = timer.cron(world).line.partition("* * * * ")[2].replace("\\%", "%")
    show = "import os, sys; print(os.environ['SOME_API_KEY'], sys.argv[-1])"
    for shell in (made["ProgramArguments"][2], line):
        script = shell.replace("-m launcher reap", f"-c {json.dumps(show)}")
        done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=False)
        assert done.stdout.strip() == f"from-the-file {world.home / timer.LOG}", done.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_finds_nothing_wrong_with_the_units(stage: Stage) -> None:
    world = replace(at_home(stage, Programs()), home=stage.folder / ODD)
    for path, text in timer.systemd(world).files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    files = [str(path) for path in timer.systemd(world).files]
    done = subprocess.run(["systemd-analyze", "verify", "--user", *files], capture_output=True, text=True, check=False)
    assert "launch-reap-here" not in done.stderr, done.stderr


def test_the_log_keeps_its_last_mebibyte(tmp_path: Path) -> None:
    log = tmp_path / "new" / "reap.log"
    for number in range(3000):
        timer.keep(f"{number:06d} " + "x" * 1000, log)
    assert log.stat().st_size <= timer.MOST_LOG_BYTES + 2000
    lines = log.read_text().splitlines()
    assert lines[-1].startswith("002999")
    assert all(len(line) == 1007 for line in lines)


def test_doctor_says_whether_it_is_there_and_when_it_ran(stage: Stage) -> None:
    world = at_home(stage, Programs())

    def found() -> tuple[Level, str]:
        one = next(one for where, one in checkup.findings((), world, named=False) if one.subject == "timer")
        return one.level, one.text

    assert found() == (Level.OK, "none here (launch reap --install-timer)")
    timer.install(timer.timer(world), world)
    assert found() == (Level.WARNING, "launch reap is to run every ten minutes, and never ran")
    log = world.home / timer.LOG
    timer.keep("{}", log)
    os.utime(log, (stage.clock().timestamp(), stage.clock().timestamp() - 240))
    assert found()[0] is Level.OK
    assert "ran 4 m ago" in found()[1]
    stage.clock.sleep(7200)
    assert found()[0] is Level.WARNING
