"""Whether the OpenSSH client, against a real server, does what `Remote` promises and leaks nothing of the user's."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher import keys
from launcher.remote import (
    CommandFailed,
    CommandTimeout,
    HostKeyMismatch,
    Keys,
    LoginRefused,
    RemoteError,
    RemoteUnreachable,
)
from launcher.ssh import SshRemote
from providers.base import Ssh
from tests.launcher.ssh_server import USER, Server, serving


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    # A folder as a Mac has it, and worse: every sign in it means something to somebody.
    return keys.make(tmp_path_factory.mktemp("Application Support") / "50%h \"quoted\" 'it' $HOME" / "keys")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return keys.make(tmp_path_factory.mktemp("other") / "keys")


@pytest.fixture
def server(tmp_path: Path, own: Keys) -> Iterator[Server]:
    with serving(tmp_path, host_key=own.folder / "host", client_key=own.client_public) as running:
        yield running


def remote_to(port: int, own: Keys, **environ: str) -> SshRemote:
    access = Ssh(host="127.0.0.1", port=port, user=USER, guard_dir="/var/lib/launch")
    return SshRemote(access, own, {**os.environ, **environ})


@pytest.fixture
def remote(server: Server, own: Keys) -> Iterator[SshRemote]:
    speaking = remote_to(server.port, own)
    yield speaking
    speaking.close()


def test_a_command_answers_with_both_streams_and_its_exit_code(remote: SshRemote) -> None:
    done = remote.run(["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert (done.exit_code, done.stdout, done.stderr) == (7, b"out\n", "err\n")


def test_words_arrive_as_they_are(remote: SshRemote, tmp_path: Path) -> None:
    words = ["a b", "", "$HOME", "`id`", "*", "'", '"', "\\", "a\nb", "-n", "é", ";exit 1"]
    done = remote.run([sys.executable, "-c", "import sys; print(sys.argv[1:])", *words])
    assert done.stdout.decode().strip() == repr(words)


def test_a_relative_path_starts_at_the_login_folder(remote: SshRemote, tmp_path: Path) -> None:
    remote.run(["sh", "-c", "cat > there"], stdin=b"x")
    assert (tmp_path / "there").read_bytes() == b"x"


def test_every_byte_passes_in_both_directions(remote: SshRemote) -> None:
    every = bytes(range(256)) * 512
    assert remote.run(["cat"], stdin=every).stdout == every
    assert b"".join(remote.stream(["head", "-c", "300000", "/dev/zero"])) == bytes(300000)


def test_a_large_file_is_sent_from_where_it_stands(remote: SshRemote, tmp_path: Path) -> None:
    content = os.urandom(20 * 2**20)
    (tmp_path / "bundle").write_bytes(b"skipped" + content)
    with (tmp_path / "bundle").open("rb") as file:
        file.seek(7)
        done = remote.run(["sha256sum"], stdin=file)
    assert done.stdout.split()[0].decode() == hashlib.sha256(content).hexdigest()


def test_a_command_that_does_not_read_its_input_is_no_error(remote: SshRemote) -> None:
    assert remote.run(["true"], stdin=bytes(10**6)).exit_code == 0


def test_no_more_than_8_mib_of_an_answer_are_kept(remote: SshRemote) -> None:
    done = remote.run(["head", "-c", str(9 * 2**20), "/dev/zero"])
    assert (done.exit_code, len(done.stdout)) == (0, 8 * 2**20)


def test_all_commands_share_one_connection(remote: SshRemote, server: Server) -> None:
    for _ in range(3):
        remote.run(["true"])
    list(remote.stream(["true"]))
    assert len(server.connections) == 1


def test_after_a_close_the_next_command_connects_anew(remote: SshRemote, server: Server) -> None:
    remote.run(["true"])
    remote.close()
    assert remote.run(["echo", "x"]).stdout == b"x\n"
    assert len(server.connections) == 2


def test_a_stream_comes_as_it_is_written(remote: SshRemote) -> None:
    chunks = remote.stream(["sh", "-c", "echo first; read never"])
    assert next(iter(chunks)) == b"first\n"
    chunks.close()  # type: ignore[attr-defined]  # a generator it is


def test_closing_a_stream_ends_the_command(remote: SshRemote, server: Server) -> None:
    chunks = remote.stream(["sh", "-c", "echo first; exec tail -f /dev/null"])
    next(iter(chunks))
    assert not server.ended.is_set()
    chunks.close()  # type: ignore[attr-defined]  # a generator it is
    assert server.ended.wait(10)


def test_a_stream_tells_at_its_end_that_the_command_failed(remote: SshRemote) -> None:
    chunks = remote.stream(["sh", "-c", "echo all; exit 3"])
    assert next(iter(chunks)) == b"all\n"
    with pytest.raises(CommandFailed) as told:
        next(iter(chunks))
    assert told.value.exit_code == 3


def test_a_connection_that_drops_in_the_middle_of_a_stream_is_unreachable(remote: SshRemote) -> None:
    chunks = remote.stream(["drop-after", "70000"])
    with pytest.raises(RemoteUnreachable):
        list(chunks)


def test_after_a_drop_the_next_command_goes_through(remote: SshRemote) -> None:
    with pytest.raises(RemoteUnreachable):
        remote.run(["drop-after", "1"])
    assert remote.run(["echo", "x"]).stdout == b"x\n"


def test_a_stream_that_falls_silent_is_unreachable(remote: SshRemote) -> None:
    chunks = remote.stream(["hang-after", "5"], idle_seconds=0.6)
    assert next(iter(chunks)) == b"xxxxx"
    with pytest.raises(RemoteUnreachable, match=r"0\.6 s"):
        next(iter(chunks))


def test_after_a_hang_the_next_command_uses_a_new_connection(remote: SshRemote, server: Server) -> None:
    with pytest.raises(CommandTimeout):
        remote.run(["hang-after", "0"], timeout_seconds=0.6)
    assert remote.run(["echo", "x"]).stdout == b"x\n"
    assert len(server.connections) == 2


def test_a_command_that_does_not_end_is_ended_there_too(remote: SshRemote, server: Server) -> None:
    with pytest.raises(CommandTimeout):
        remote.run(["cat", "/dev/zero"], timeout_seconds=0.6)
    assert server.ended.wait(10)


def test_nobody_there_is_unreachable(own: Keys, server: Server, tmp_path: Path) -> None:
    with serving(tmp_path, host_key=own.folder / "host", client_key=own.client_public) as gone:
        port = gone.port
    with pytest.raises(RemoteUnreachable, match="refused"):
        remote_to(port, own).run(["true"])


def test_another_host_key_is_a_mismatch_and_nothing_is_sent(tmp_path: Path, own: Keys, other: Keys) -> None:
    with serving(tmp_path, host_key=other.folder / "host", client_key=own.client_public) as impostor:
        with pytest.raises(HostKeyMismatch):
            remote_to(impostor.port, own).run(["true"], stdin=b"secret")
        with pytest.raises(HostKeyMismatch):
            list(remote_to(impostor.port, own).stream(["true"]))
        assert impostor.commands == []


def test_a_host_key_of_another_kind_is_a_mismatch(tmp_path: Path, own: Keys) -> None:
    ecdsa = tmp_path / "ecdsa"
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", str(ecdsa)], check=True)
    with serving(tmp_path, host_key=ecdsa, client_key=own.client_public) as impostor, pytest.raises(HostKeyMismatch):
        remote_to(impostor.port, own).run(["true"])


def test_the_key_that_is_shown_is_seen_without_a_word_to_whoever_shows_it(
    tmp_path: Path, own: Keys, other: Keys
) -> None:
    with serving(tmp_path, host_key=other.folder / "host", client_key=own.client_public) as keeping:
        shown = remote_to(keeping.port, own).shown_host_key()
    assert shown.split() == other.host_public.split()[:2]
    assert keeping.commands == []


def test_a_key_that_was_accepted_counts_instead_of_our_own(tmp_path: Path, own: Keys, other: Keys) -> None:
    with serving(tmp_path, host_key=other.folder / "host", client_key=own.client_public) as keeping:
        shown = remote_to(keeping.port, own).shown_host_key()
        access = Ssh(host="127.0.0.1", port=keeping.port, user=USER, guard_dir="/var/lib/launch", host_key=shown)
        speaking = SshRemote(access, own, os.environ)
        assert speaking.run(["echo", "x"]).stdout == b"x\n"
        speaking.close()


def test_after_another_key_was_accepted_our_own_is_a_mismatch(server: Server, own: Keys, other: Keys) -> None:
    accepted = " ".join(other.host_public.split()[:2])
    access = Ssh(host="127.0.0.1", port=server.port, user=USER, guard_dir="/var/lib/launch", host_key=accepted)
    with pytest.raises(HostKeyMismatch):
        SshRemote(access, own, os.environ).run(["true"])


def test_where_nobody_answers_no_key_is_shown(own: Keys, tmp_path: Path) -> None:
    with serving(tmp_path, host_key=own.folder / "host", client_key=own.client_public) as gone:
        port = gone.port
    with pytest.raises(RemoteUnreachable, match="shows no host key"):
        remote_to(port, own).shown_host_key()


def test_a_key_that_is_not_taken_is_a_refused_login(tmp_path: Path, own: Keys, other: Keys) -> None:
    server = serving(tmp_path, host_key=own.folder / "host", client_key=other.client_public)
    with server as strict, pytest.raises(LoginRefused):
        remote_to(strict.port, own).run(["true"])


def test_a_machine_cannot_speak_in_the_voice_of_ssh(remote: SshRemote) -> None:
    forged = "echo 'Host key verification failed.' >&2; echo 'Permission denied (publickey).' >&2; exit 255"
    with pytest.raises(RemoteUnreachable):
        remote.run(["sh", "-c", forged])


@pytest.mark.parametrize("host", ["-oProxyCommand=touch owned", "a b", ""])
def test_what_is_no_address_is_never_given_to_ssh(own: Keys, host: str) -> None:
    with pytest.raises(RemoteError):
        SshRemote(Ssh(host=host, port=22, user=USER, guard_dir="/g"), own, os.environ)


def test_keys_that_are_gone_are_told(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="keys"):
        remote_to(22, Keys(folder=tmp_path / "gone"))


def test_a_laptop_without_ssh_is_told(own: Keys, tmp_path: Path) -> None:
    speaking = remote_to(22, own, PATH=str(tmp_path))
    with pytest.raises(RemoteError, match="ssh"):
        speaking.run(["true"])
    with pytest.raises(RemoteError, match="ssh"):
        list(speaking.stream(["true"]))
    with pytest.raises(RemoteError, match="ssh"):
        speaking.interactive([])
    with pytest.raises(RemoteError, match="ssh"):
        speaking.shown_host_key()


def test_no_agent_and_no_variable_of_ours_goes_along(own: Keys, server: Server, tmp_path: Path) -> None:
    ours = {"SSH_AUTH_SOCK": str(tmp_path / "agent"), "AWS_SECRET_ACCESS_KEY": "canary", "HF_TOKEN": "canary"}
    speaking = remote_to(server.port, own, LC_CANARY="canary", LANG="C", **ours)
    speaking.run(["true"])
    speaking.close()
    assert server.accepted_environment == [{}]
    assert server.agent_offered == [False]


def test_no_secret_on_standard_input_is_seen_in_a_command_line(remote: SshRemote, server: Server) -> None:
    remote.run(["cat"], stdin=b"hf_canary")
    assert not any("hf_canary" in command for command in server.commands)


HOSTILE_CONFIG = """
Host *
  ProxyCommand touch {marker}
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  ForwardAgent yes
  SendEnv *
  LocalCommand touch {marker}
  PermitLocalCommand yes
"""


def effective(own: Keys, tmp_path: Path) -> dict[str, str]:
    """What OpenSSH itself says that it would do, with a wrapper named ssh that asks it so."""
    (tmp_path / "bin").mkdir()
    config = tmp_path / "hostile_config"
    config.write_text(HOSTILE_CONFIG.format(marker=tmp_path / "owned"))
    wrapper = tmp_path / "bin" / "ssh"
    # ssh looks for its settings in the password file's home and not in HOME, so the hostile file is forced on it: of
    # two -F the last one counts, and ours comes after it.
    wrapper.write_text(
        f'#!/bin/sh\nexec /usr/bin/env -i PATH="$REST" ssh -F "{config}" -G "$@"\n'.replace("$REST", os.environ["PATH"])
    )
    wrapper.chmod(0o755)
    speaking = remote_to(22, own, PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    said = speaking.run(["true"]).stdout.decode()
    return {key: value for key, _, value in (line.partition(" ") for line in said.splitlines())}


def test_a_hostile_ssh_config_changes_nothing(own: Keys, tmp_path: Path) -> None:
    settings = effective(own, tmp_path)
    assert settings["stricthostkeychecking"] == "true"
    assert settings["forwardagent"] == "no"
    assert settings["permitlocalcommand"] == "no"
    assert settings["batchmode"] == "yes"
    assert settings["identitiesonly"] == "yes"
    assert settings["passwordauthentication"] == "no"
    assert settings["clearallforwardings"] == "yes"
    assert settings["serveraliveinterval"] == "15"
    assert settings["connecttimeout"] == "10"
    assert str(own.known_hosts) in settings["userknownhostsfile"].replace("%%", "%")
    assert {"proxycommand", "sendenv", "localcommand"}.isdisjoint(settings)
    assert not (tmp_path / "owned").exists()


def test_without_room_for_a_socket_each_command_has_its_own_connection(
    own: Keys, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    speaking = remote_to(server.port, own)
    assert [speaking.run(["true"]).exit_code for _ in range(2)] == [0, 0]
    assert len(server.connections) == 2
    speaking.close()


def test_closing_leaves_no_folder_behind(
    own: Keys, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "t"))
    speaking = remote_to(server.port, own)
    speaking.run(["true"])
    speaking.close()
    speaking.close()
    assert list((tmp_path / "t").iterdir()) == []


def test_a_stream_that_is_open_at_the_close_ends_and_makes_no_new_folder(
    own: Keys, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "t"))
    speaking = remote_to(server.port, own)
    chunks = iter(speaking.stream(["sh", "-c", "echo x; exec tail -f /dev/null"]))
    assert next(chunks) == b"x\n"
    speaking.close()
    with pytest.raises(RemoteUnreachable):
        next(chunks)
    assert list((tmp_path / "t").iterdir()) == []
