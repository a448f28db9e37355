"""Whether our OpenSSH client and the supervisor get along with the SSH server that machines really run."""

import getpass
import hashlib
import json
import os
import select
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import cast

import pytest

from jobs import package, progress
from launcher import keys
from launcher.guest import Guest, GuestError
from launcher.remote import CommandFailed, HostKeyMismatch, Keys, LoginRefused, RemoteUnreachable
from launcher.ssh import SshRemote
from providers.base import Ssh
from tests.jobs.guest.box import QUICK, archive
from tests.launcher.real_sshd import Sshd, serving

SECRET = "tok_b1946ac92492d2347c6235b4d2611184"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return keys.make(tmp_path_factory.mktemp("own") / "keys")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, own: Keys) -> Iterator[tuple[Sshd, Path]]:
    """The server and its login folder."""
    folder = tmp_path_factory.mktemp("sshd")
    with serving(folder, own, own) as sshd:
        yield sshd, folder / "login"


def speaking(port: int, with_keys: Keys) -> SshRemote:
    access = Ssh(host="127.0.0.1", port=port, user=getpass.getuser(), guard_dir="guard")
    return SshRemote(access, with_keys, os.environ)


@pytest.fixture
def remote(machine: tuple[Sshd, Path], own: Keys) -> Iterator[SshRemote]:
    made = speaking(machine[0].port, own)
    yield made
    made.close()


def arm(login: Path) -> None:
    """What a dead-man writes; its process is this one."""
    (login / "guard").mkdir(exist_ok=True)
    for name, number in (("life", 10), ("lease", 100_000), ("pid", os.getpid())):
        (login / "guard" / name).write_text(f"{number}\n")


def bundle_at(path: Path) -> str:
    """The quick job as a bundle; its sha256."""
    steps = json.loads((QUICK / "steps.json").read_text())
    job = {"schema": 1, "attempt": 1, "grace_seconds": 5, "save_seconds": 5, "steps": steps, "secrets": ["TOKEN"]}
    settings = {"train": {"max_steps": 6}, "quick": {"tell": "TOKEN"}}
    files = {"job.json": json.dumps({**job, "settings": settings}).encode()}
    path.write_bytes(archive({**files, "job/quick.py": (QUICK / "quick.py").read_bytes()}))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_words_bytes_and_exit_codes_arrive_as_they_are(remote: SshRemote) -> None:
    odd = ["a b", "$HOME", "it's", 'a "quoted" word', "*", "", "ü\n"]
    done = remote.run(["printf", "[%s]", *odd])
    assert done.stdout.decode() == "".join(f"[{word}]" for word in odd)
    data = bytes(range(256)) * 4096
    assert remote.run(["cat"], stdin=data).stdout == data
    done = remote.run(["sh", "-c", "echo no >&2; exit 7"])
    assert (done.exit_code, done.stderr) == (7, "no\n")


def test_all_commands_share_one_login(machine: tuple[Sshd, Path], own: Keys) -> None:
    sshd, _ = machine
    before = sshd.said().count("Accepted publickey")
    one = speaking(sshd.port, own)
    for _ in range(4):
        assert one.run(["true"]).exit_code == 0
    one.close()
    assert sshd.said().count("Accepted publickey") == before + 1


def test_another_host_key_is_a_security_stop(tmp_path: Path, own: Keys) -> None:
    other = keys.make(tmp_path / "other")
    with serving(tmp_path / "sshd", own, other) as impostor:
        with pytest.raises(HostKeyMismatch):
            speaking(impostor.port, own).run(["true"])
        assert "Accepted" not in impostor.said()


def test_a_key_that_is_not_the_runs_own_is_refused(tmp_path: Path, own: Keys) -> None:
    stranger = keys.make(tmp_path / "stranger")
    with serving(tmp_path / "sshd", own, stranger) as strict, pytest.raises(LoginRefused):
        speaking(strict.port, stranger).run(["true"])


def test_a_server_that_is_gone_is_unreachable_and_so_is_what_it_streamed(tmp_path: Path, own: Keys) -> None:
    with serving(tmp_path / "sshd", own, own) as sshd:
        remote = speaking(sshd.port, own)
        chunks = iter(remote.stream(["sh", "-c", "echo first; exec tail -f /dev/null"]))
        assert next(chunks) == b"first\n"
        with pytest.raises(RemoteUnreachable):
            remote.run(["sh", "-c", "kill -9 $PPID"])  # the server's process for this connection
        with pytest.raises(RemoteUnreachable):
            next(chunks)
    with pytest.raises(RemoteUnreachable):
        remote.run(["true"])
    remote.close()


def test_a_stream_tells_how_its_command_ended(remote: SshRemote) -> None:
    with pytest.raises(CommandFailed) as told:
        list(remote.stream(["sh", "-c", "echo x; exit 3"]))
    assert told.value.exit_code == 3


def test_closing_a_stream_ends_its_command_and_leaves_the_others_their_connection(
    machine: tuple[Sshd, Path], remote: SshRemote
) -> None:
    _, login = machine
    os.mkfifo(login / "alive")
    reader = os.open(login / "alive", os.O_RDONLY | os.O_NONBLOCK)
    chunks = remote.stream(["sh", "-c", "exec 9> alive; while echo x; do :; done"])
    assert next(iter(chunks)).startswith(b"x")
    cast("Generator[bytes]", chunks).close()
    # A pipe with a writer is silent, one without is at its end.
    assert select.select([reader], [], [], 20)[0]
    assert os.read(reader, 1) == b""
    os.close(reader)
    assert remote.run(["true"]).exit_code == 0


def test_the_supervisor_is_installed_fed_followed_and_emptied_through_it(
    machine: tuple[Sshd, Path], own: Keys, remote: SshRemote, tmp_path: Path
) -> None:
    _, login = machine
    arm(login)
    guest = Guest(remote, "guard")
    with pytest.raises(GuestError):
        guest.probe()
    guest.install(package.guest_zipapp())
    assert guest.probe().guard.armed
    guest.ship(tmp_path / "bundle.tar.gz", bundle_at(tmp_path / "bundle.tar.gz"))
    guest.secrets({"TOKEN": SECRET})
    guest.start()
    remote.close()  # what was started outlives the connection
    splitter = progress.Splitter()
    events = [progress.parse(line) for chunk in guest.follow(0) for line in splitter.feed(chunk)]
    done = events[-1]
    assert isinstance(done, progress.Done), events
    assert done.outcome == "succeeded", done
    assert sum(isinstance(event, progress.Step) for event in events) == 6
    log = b"".join(guest.log(0))
    assert b"step 6 of 6" in log
    assert SECRET.encode() not in log
    for one in guest.manifest().files[:2]:
        data = b"".join(guest.send("out", one.path, 0))
        assert (len(data), hashlib.sha256(data).hexdigest()) == (one.bytes, one.sha256)
    assert guest.status().outcome == "succeeded"
