"""Whether a machine that is a folder here is spoken with exactly as one that is far away."""

import os
import select
import sys
from collections.abc import Generator
from pathlib import Path
from typing import cast

import pytest

from launcher.connect import connect
from launcher.folder import FolderRemote
from launcher.remote import CommandFailed, CommandTimeout, Keys, RemoteUnreachable
from launcher.ssh import SshRemote
from providers.base import Folder, Ssh

SECRETS = {"AWS_SECRET_ACCESS_KEY": "canary", "HF_TOKEN": "canary", "SSH_AUTH_SOCK": "canary", "PYTHONPATH": "canary"}


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    folder = tmp_path / "brave-otter-1"
    folder.mkdir()
    return folder


@pytest.fixture
def remote(machine: Path) -> FolderRemote:
    return FolderRemote(
        Folder(path=machine, guard_dir=str(machine / "guard")), {**os.environ, **SECRETS, "HF_HOME": "/hf"}
    )


def test_a_command_answers_with_both_streams_and_its_exit_code(remote: FolderRemote) -> None:
    done = remote.run(["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert (done.exit_code, done.stdout, done.stderr) == (7, b"out\n", "err\n")


def test_of_a_flood_of_complaints_only_the_last_are_kept(remote: FolderRemote) -> None:
    done = remote.run(["sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x >&2; echo the end >&2"])
    assert len(done.stderr) == 65536
    assert done.stderr.endswith("the end\n")


def test_commands_run_in_the_machines_folder(remote: FolderRemote, machine: Path) -> None:
    remote.run(["sh", "-c", "cat > there"], stdin=b"\0\xff")
    assert (machine / "there").read_bytes() == b"\0\xff"


def test_a_job_sees_its_machine_and_the_hub_settings_but_no_credential(remote: FolderRemote) -> None:
    seen = remote.run(["env"]).stdout.decode()
    assert "LAUNCH_MACHINE=brave-otter-1\n" in seen
    assert "HF_HOME=/hf\n" in seen
    assert "canary" not in seen


def test_python3_is_the_interpreter_that_we_run_with(remote: FolderRemote) -> None:
    for argv in (
        ["python3", "-c", "import sys; print(sys.prefix)"],
        ["sh", "-c", "python3 -c 'import sys; print(sys.prefix)'"],
    ):
        assert remote.run(argv).stdout.decode().strip() == sys.prefix


def test_a_command_killed_by_a_signal_ends_as_in_a_shell(remote: FolderRemote) -> None:
    assert remote.run(["sh", "-c", "kill -9 $$"]).exit_code == 137


def test_an_unknown_command_ends_with_127_as_in_a_shell(remote: FolderRemote) -> None:
    assert remote.run(["no-such-command"]).exit_code == 127
    assert remote.interactive(["no-such-command"]) == 127
    with pytest.raises(CommandFailed) as told:
        list(remote.stream(["no-such-command"]))
    assert told.value.exit_code == 127


def test_a_machine_that_is_gone_is_unreachable(remote: FolderRemote, machine: Path) -> None:
    machine.rmdir()
    with pytest.raises(RemoteUnreachable):
        remote.run(["true"])
    with pytest.raises(RemoteUnreachable):
        list(remote.stream(["true"]))


def test_a_command_that_does_not_end_is_ended_with_all_that_it_started(remote: FolderRemote, machine: Path) -> None:
    os.mkfifo(machine / "alive")
    reader = os.open(machine / "alive", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(CommandTimeout):
        remote.run(["sh", "-c", "tail -f /dev/null > alive & wait"], timeout_seconds=0.5)
    assert select.select([reader], [], [], 10)[0]  # a pipe without a writer is at its end, one with a writer is silent
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_a_command_that_leaves_a_child_with_its_pipes_does_not_hold_us(remote: FolderRemote) -> None:
    done = remote.run(["sh", "-c", "tail -f /dev/null & echo $!"], timeout_seconds=20)
    assert done.exit_code == 0
    remote.run(["kill", done.stdout.decode().strip()])


def test_a_silent_stream_is_unreachable_and_ended(remote: FolderRemote) -> None:
    chunks = remote.stream(["sh", "-c", "echo x; exec tail -f /dev/null"], idle_seconds=0.4)
    assert next(iter(chunks)) == b"x\n"
    with pytest.raises(RemoteUnreachable):
        next(iter(chunks))


def test_closing_a_stream_ends_the_command(remote: FolderRemote, machine: Path) -> None:
    chunks = remote.stream(
        ["sh", "-c", "trap 'echo > ended; exit' TERM; echo $$; while :; do read x < /dev/null; done"]
    )
    next(iter(chunks))
    cast("Generator[bytes]", chunks).close()
    assert (machine / "ended").exists()


def test_a_stream_tells_at_its_end_that_the_command_failed(remote: FolderRemote) -> None:
    with pytest.raises(CommandFailed) as told:
        list(remote.stream(["sh", "-c", "exit 3"]))
    assert told.value.exit_code == 3


def test_the_kind_of_machine_decides_how_it_is_spoken_with(tmp_path: Path, machine: Path) -> None:
    (tmp_path / "host.pub").write_text("ssh-ed25519 AAAA")
    own = Keys(folder=tmp_path)
    far = Ssh(host="203.0.113.7", port=22, user="ubuntu", guard_dir="/g")
    assert isinstance(connect(far, own, {}), SshRemote)
    assert isinstance(connect(Folder(path=machine, guard_dir="g"), own, {}), FolderRemote)
