"""Whether a run's keys are fresh, private, pinned to one address, and gone in the end."""

import shutil
import stat
from pathlib import Path

import pytest

from launcher import keys
from launcher.errors import LaunchError
from launcher.remote import Keys, RemoteError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def made(tmp_path: Path) -> Keys:
    return keys.make(tmp_path / "run" / "keys")


def test_each_run_gets_keys_of_its_own_and_only_the_user_can_read_them(tmp_path: Path, made: Keys) -> None:
    other = keys.make(tmp_path / "other")
    assert made.client_public.startswith("ssh-ed25519 ")
    assert made.host_public.startswith("ssh-ed25519 ")
    assert len({made.client_public, made.host_public, other.client_public, other.host_public}) == 4
    assert made.host_private.startswith("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    assert mode(made.folder) == 0o700
    assert mode(made.client_private) == mode(made.folder / "host") == 0o600


def test_making_keys_again_keeps_a_whole_set_and_replaces_half_a_set(made: Keys) -> None:
    first = made.client_public
    assert keys.make(made.folder).client_public == first
    made.client_private.unlink()
    assert keys.make(made.folder).client_public != first
    assert made.client_private.is_file()


def test_nothing_is_left_beside_the_keys_folder(made: Keys) -> None:
    assert [path.name for path in made.folder.parent.iterdir()] == ["keys"]


@pytest.mark.parametrize(
    ("host", "port", "place"),
    [
        ("203.0.113.7", 22, "203.0.113.7"),
        ("203.0.113.7", 2222, "[203.0.113.7]:2222"),
        ("box.example.org", 22, "box.example.org"),
        ("2001:db8::7", 2222, "[2001:db8::7]:2222"),
    ],
)
def test_the_pin_names_one_address_and_the_runs_host_key(made: Keys, host: str, port: int, place: str) -> None:
    keys.pin(made, "192.0.2.1", 22)
    keys.pin(made, host, port)
    assert made.known_hosts.read_text() == f"{place} {made.host_public}\n"


@pytest.mark.parametrize(
    "host", ["", "-oProxyCommand=x", "a b", "a\n* ssh-ed25519 AAAA", "*", "a,b", "ä.example", "@cert-authority"]
)
def test_what_is_not_an_address_is_never_pinned(made: Keys, host: str) -> None:
    with pytest.raises(RemoteError):
        keys.pin(made, host, 22)
    assert not made.known_hosts.exists()


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_that_cannot_be_is_refused(made: Keys, port: int) -> None:
    with pytest.raises(RemoteError):
        keys.pin(made, "203.0.113.7", port)


def test_forgetting_removes_the_private_parts_and_only_those(made: Keys) -> None:
    keys.forget(made)
    keys.forget(made)
    assert sorted(path.name for path in made.folder.iterdir()) == ["client.pub", "host.pub"]


def test_a_laptop_without_ssh_keygen_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("ssh-keygen") is None
    with pytest.raises(LaunchError, match="ssh-keygen") as told:
        keys.make(tmp_path / "keys")
    assert "OpenSSH" in told.value.hint
    assert list(tmp_path.iterdir()) == []
