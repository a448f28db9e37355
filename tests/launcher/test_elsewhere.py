"""The guards for another machine: what `reap --elsewhere` prints is a file that really works where it is put."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from launcher.elsewhere import GUARDS, guard
from launcher.reap_command import ELSEWHERE

OWNER = "0123456789abcdef0123456789abcdef"
ROOT = Path(__file__).parents[2]


def sh(text: str, folder: Path, *flags: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A shell with as little around it as a timer has."""
    return subprocess.run(
        ["/bin/sh", *flags],
        input=text,
        cwd=folder,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin", **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def launch_in(folder: Path) -> Path:
    """A `launch` that only writes down how it was called, and for whom."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "launch"
    program.write_text('#!/bin/sh\necho "$LAUNCH_OWNER $LAMBDA_API_KEY: $*"\n')
    program.chmod(0o755)
    return program


def test_there_is_a_file_for_each_kind_that_the_command_offers() -> None:
    assert {path.stem for path in GUARDS.iterdir()} == set(ELSEWHERE)


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_every_guard_looks_for_the_machines_of_this_computer_and_leaves_nothing_to_fill_in_twice(kind: str) -> None:
    text = guard(kind, OWNER)
    assert text.count(OWNER) == 1
    assert "launch reap --overdue" in text
    assert "$owner" not in text
    assert "$$" not in text


# GitHub


def workflow(owner: str = OWNER) -> dict[str, object]:
    parsed: dict[str, object] = YAML(typ="safe").load(guard("github", owner))
    return parsed


def steps() -> list[dict[str, object]]:
    found: list[dict[str, object]] = workflow()["jobs"]["reap"]["steps"]  # type: ignore[index]  # as YAML has it
    return found


def test_the_workflow_is_valid_yaml_with_a_timer_and_a_button() -> None:
    on = workflow()["on"]
    assert isinstance(on, dict)
    assert set(on) == {"schedule", "workflow_dispatch"}
    (cron,) = [one["cron"] for one in on["schedule"]]
    assert re.fullmatch(r"\S+( \S+){4}", cron)


def test_the_workflow_may_only_read_and_ends_by_itself() -> None:
    assert workflow()["permissions"] == {"contents": "read"}
    assert workflow()["concurrency"] == {"group": "launch-reap"}
    jobs = workflow()["jobs"]
    assert isinstance(jobs, dict)
    assert jobs["reap"]["timeout-minutes"] <= 30


def test_the_workflow_hands_owner_and_keys_to_reap_alone() -> None:
    assert [step["run"] for step in steps() if "env" in step] == ["launch reap --overdue"]
    assert steps()[-1]["env"] == {
        "LAUNCH_OWNER": OWNER,
        "LAMBDA_API_KEY": "${{ secrets.LAMBDA_API_KEY }}",
        "RUNPOD_API_KEY": "${{ secrets.RUNPOD_API_KEY }}",
    }


@pytest.mark.parametrize("owner", ["12345678901234567890123456789012", "12345678901234e56789012345678901"])
def test_an_owner_that_reads_like_a_number_is_a_name_all_the_same(owner: str) -> None:
    jobs = workflow(owner)["jobs"]
    assert isinstance(jobs, dict)
    assert jobs["reap"]["steps"][-1]["env"]["LAUNCH_OWNER"] == owner


# cron


def cron_line() -> str:
    (line,) = (line for line in guard("cron", OWNER).splitlines() if line and not line.startswith("#"))
    return line


def test_the_cron_file_is_comments_and_one_line_with_five_fields() -> None:
    fields = cron_line().split(maxsplit=5)
    assert [bool(re.fullmatch(r"[0-9*/,-]+", field)) for field in fields[:5]] == [True] * 5
    assert sh(fields[5], Path("/"), "-n").returncode == 0
    assert "%" not in cron_line()  # cron takes it for the end of the line


def test_the_cron_line_reads_the_keys_and_writes_what_was_said_into_a_log(tmp_path: Path) -> None:
    (tmp_path / ".launch-reap.env").write_text(f"LAUNCH_OWNER={OWNER}\nLAMBDA_API_KEY=key\n")
    program = launch_in(tmp_path / "bin")
    done = sh(cron_line().split(maxsplit=5)[5], tmp_path, PATH=f"{program.parent}:{os.defpath}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / ".launch-reap.log").read_text() == f"{OWNER} key: reap --overdue\n"


def test_the_cron_line_finds_a_launch_that_was_installed_for_one_user(tmp_path: Path) -> None:
    (tmp_path / ".launch-reap.env").write_text(f"LAUNCH_OWNER={OWNER}\nLAMBDA_API_KEY=key\n")
    launch_in(tmp_path / ".local" / "bin")
    sh(cron_line().split(maxsplit=5)[5], tmp_path)
    assert (tmp_path / ".launch-reap.log").read_text() == f"{OWNER} key: reap --overdue\n"


# systemd


def test_the_systemd_text_is_a_script_that_a_shell_can_read(tmp_path: Path) -> None:
    done = sh(guard("systemd", OWNER), tmp_path, "-n")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_systemd_text_puts_three_files_where_systemd_looks_and_the_keys_where_nobody_does(tmp_path: Path) -> None:
    done = sh(guard("systemd", OWNER), tmp_path, "-eu")
    assert done.returncode == 0, done.stderr
    units = tmp_path / ".config" / "systemd" / "user"
    assert {path.name for path in units.iterdir()} == {f"launch-reap.{kind}" for kind in ("env", "service", "timer")}
    keys = units / "launch-reap.env"
    assert keys.stat().st_mode & 0o077 == 0
    assert f"LAUNCH_OWNER={OWNER}\n" in keys.read_text()
    assert "systemctl --user enable --now launch-reap.timer" in done.stdout


def test_the_systemd_service_starts_launch_wherever_it_was_installed(tmp_path: Path) -> None:
    sh(guard("systemd", OWNER), tmp_path)
    service = (tmp_path / ".config" / "systemd" / "user" / "launch-reap.service").read_text()
    start = next(line.partition("=")[2] for line in service.splitlines() if line.startswith("ExecStart="))
    launch_in(tmp_path / ".local" / "bin")
    done = sh(start.replace("%h", str(tmp_path)), tmp_path)
    assert done.stdout.endswith(": reap --overdue\n")
    assert "EnvironmentFile=%h/.config/systemd/user/launch-reap.env" in service


def test_the_systemd_timer_fires_again_and_again_and_starts_with_the_machine(tmp_path: Path) -> None:
    sh(guard("systemd", OWNER), tmp_path)
    timer = (tmp_path / ".config" / "systemd" / "user" / "launch-reap.timer").read_text()
    assert re.search(r"^OnBootSec=\d+min$", timer, re.MULTILINE)
    assert re.search(r"^OnUnitActiveSec=\d+min$", timer, re.MULTILINE)
    assert "WantedBy=timers.target" in timer


@pytest.mark.parametrize("kind", ["cron", "systemd"])
def test_what_is_to_be_installed_there_is_called_by_its_name(kind: str) -> None:
    name = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"]
    said = re.findall(r"pip install (\S+)", guard(kind, OWNER))
    assert set(said) <= {name, "."}
