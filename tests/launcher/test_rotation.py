"""The first session gives the machine another host key; whatever goes wrong in between, nobody is locked out."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest

from launcher import keys
from launcher.events import Warned
from launcher.remote import Completed, HostKeyMismatch, Keys, RemoteUnreachable
from launcher.rotation import PLACE, rotate
from launcher.run import Attempt, Run
from launcher.world import World
from tests.fake_guest import FakeRemote
from tests.fake_world import Stage


class Sshd:
    """A machine's SSH server: the key that it shows, and whom it is reached by."""

    def __init__(self, stage: Stage, run: Run) -> None:
        self.run, self.stage = run, stage
        self.shown = keys.make(stage.folder / "home" / "runs" / run.id / "keys").host_public
        self.takes, self.breaks, self.reloads = True, False, True
        self.asked: list[tuple[str, ...]] = []

    def connect(self) -> "Line":
        return Line(self, (self.run.attempt.host_key or self.shown).splitlines())


class Line(FakeRemote):
    """One line to it, which believes only some keys."""

    def __init__(self, sshd: Sshd, believed: Sequence[str]) -> None:
        self._sshd, self._believed = sshd, believed

    def run(self, argv: Sequence[str], *, stdin: bytes | BinaryIO = b"", timeout_seconds: float = 60) -> Completed:
        sshd = self._sshd
        if sshd.shown not in self._believed:
            raise HostKeyMismatch("another key")
        sshd.asked.append(tuple(argv))
        if argv[0] != "sudo":
            return Completed(exit_code=0, stdout=b"", stderr="")
        if not sshd.takes:
            return Completed(exit_code=1, stdout=b"", stderr="sudo: a password is required")
        if sshd.reloads:
            sshd.shown = sshd.run.attempt.host_key.splitlines()[-1]
        if sshd.breaks:
            raise RemoteUnreachable("cut")
        return Completed(exit_code=0, stdout=b"", stderr="")


@pytest.fixture
def begun(stage: Stage) -> Iterator[tuple[World, Run, Sshd]]:
    """A run whose machine has just let us in, of a provider whose boot data others may read."""
    receipt = stage.launch()
    stage.provider.traits = replace(stage.provider.traits, boot_data_is_seen=True)
    world = stage.laptop()
    run = world.ledger.load(receipt.run)
    run.attempt.host_key = ""
    run.attempt.gone_at = None
    keys.make(world.run_folder(run.id) / "keys")
    yield world, run, Sshd(stage, run)
    world.ledger.close()


Begun = tuple[World, Run, Sshd]


def _rotated(begun: Begun) -> tuple[str, Attempt]:
    world, run, sshd = begun
    first = sshd.shown
    rotate(run, run.attempt, sshd.connect, world)
    return first, world.ledger.load(run.id).attempt


def _told(stage: Stage) -> list[str]:
    return [event.code for event in stage.heard.of(Warned)]


def test_the_new_key_alone_is_believed_and_its_private_part_is_not_here(stage: Stage, begun: Begun) -> None:
    first, attempt = _rotated(begun)
    world, run, sshd = begun
    assert attempt.host_key == sshd.shown != first
    assert sshd.asked[0][:4] == ("sudo", "-n", "sh", "-c")
    assert sshd.asked[0][-1] == PLACE
    assert sorted(path.name for path in (world.run_folder(run.id) / "keys").iterdir()) == [
        "client", "client.pub", "host", "host.pub",
    ]  # fmt: skip
    assert "host-key-kept" not in _told(stage)


def test_a_machine_whose_boot_data_nobody_reads_keeps_its_key(stage: Stage, begun: Begun) -> None:
    stage.provider.traits = replace(stage.provider.traits, boot_data_is_seen=False)
    _, attempt = _rotated(begun)
    assert (attempt.host_key, begun[2].asked) == ("", [])


def _refuses(sshd: Sshd) -> None:
    sshd.takes = False


def _does_not_reload(sshd: Sshd) -> None:
    sshd.reloads = False


def _breaks_off(sshd: Sshd) -> None:
    sshd.breaks = True


@pytest.mark.parametrize("odd", [_refuses, _does_not_reload, _breaks_off])
def test_whatever_goes_wrong_both_keys_are_believed_and_it_is_said(
    odd: Callable[[Sshd], None], stage: Stage, begun: Begun
) -> None:
    odd(begun[2])
    first, attempt = _rotated(begun)
    believed = attempt.host_key.splitlines()
    assert believed[0] == first
    assert len(believed) == 2
    assert "host-key-kept" in _told(stage)
    begun[2].connect().run(["true"])  # nobody is locked out


def test_who_comes_after_a_crash_in_the_middle_gets_in_and_goes_on(begun: Begun) -> None:
    _breaks_off(begun[2])
    _rotated(begun)
    begun[2].breaks = False
    before, attempt = _rotated(begun)
    assert attempt.host_key == begun[2].shown != before


def test_a_stranger_at_that_very_moment_is_a_stranger(begun: Begun) -> None:
    begun[2].shown = "ssh-ed25519 AAAAstranger"
    begun[1].attempt.host_key = "ssh-ed25519 AAAAours"
    with pytest.raises(HostKeyMismatch):
        rotate(begun[1], begun[1].attempt, begun[2].connect, begun[0])


def test_each_key_that_is_believed_is_pinned_on_a_line_of_its_own(tmp_path: Path) -> None:
    own: Keys = keys.make(tmp_path / "keys")
    keys.pin(own, "192.0.2.1", 22, "ssh-ed25519 AAAAone\nssh-ed25519 AAAAtwo")
    assert own.known_hosts.read_text() == "192.0.2.1 ssh-ed25519 AAAAone\n192.0.2.1 ssh-ed25519 AAAAtwo\n"
