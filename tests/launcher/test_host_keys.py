"""Whom we speak with: the key that we gave, one that the provider vouches for, the first one where that must do."""

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import pytest

from launcher import flow
from launcher.events import Warned
from launcher.host_keys import fingerprint, is_vouched_for
from launcher.receipt import Receipt
from launcher.remote import Completed, HostKeyMismatch, Keys, Remote, RemoteUnreachable
from launcher.run import Outcome, State
from launcher.world import World
from providers.base import Access, Ssh, Unavailable
from tests.fake_machine import fake_traits
from tests.fake_world import Killed, Stage
from tests.launcher.moments import in_state, raising, when

OWN = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGzEwdEaAe8yLpbzSt9z5jOB1OzjMzfBVvV8Vw7Hh5Lz"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP3zQ0VtRr5T7i6z1Ff1kqj2cCFr3CcWk7v8G5uV4Y1s"


# What is compared


def test_a_fingerprint_is_what_openssh_prints(tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    said = subprocess.run(["ssh-keygen", "-lf", str(tmp_path / "key")], check=True, capture_output=True, text=True)
    assert fingerprint((tmp_path / "key.pub").read_text()) == said.stdout.split()[1]


def test_a_console_that_prints_the_fingerprint_or_the_key_itself_vouches_for_it() -> None:
    assert is_vouched_for(OWN, ["booting", f"ci-info: | ssh-ed25519 | {fingerprint(OWN)} | - | root@box |"])
    assert is_vouched_for(OWN, [f"{OWN} root@box"])


@pytest.mark.parametrize(
    "console", [(), ("booting",), (fingerprint(OTHER),), (OTHER,), (fingerprint(OWN)[:-1],), ("ssh-ed25519",)]
)
def test_a_console_that_prints_anything_else_does_not(console: Sequence[str]) -> None:
    assert not is_vouched_for(OWN, console)


@pytest.mark.parametrize("line", ["", "ssh-ed25519", "ssh-ed25519 no-base64!", "ssh-ed25519 AAA"])
def test_what_is_no_key_is_vouched_for_by_nobody(line: str) -> None:
    assert not is_vouched_for(line, ["", "ssh-ed25519", line])


# What becomes of a run


@dataclass
class Keeping:
    """Machines that keep host keys of their own, `shown`, and speak only with whoever expects that."""

    stage: Stage
    shown: str = OWN
    hides_for: int = 0
    """How often the key cannot be seen."""
    addresses: list[str] = field(default_factory=list)
    """The key that was expected, at each connection."""

    def remote(self, access: Access, keys: Keys) -> Remote:
        assert isinstance(access, Ssh)
        self.addresses.append(access.host_key)
        return Own(self, access, self.stage.site.remote(access, keys))

    def world(self, **environ: str) -> World:
        return replace(self.stage.laptop(), remote=self.remote, environ=environ)


class Own:
    """A connection to one of them."""

    def __init__(self, box: Keeping, access: Ssh, inner: Remote) -> None:
        self._box, self._access, self._inner = box, access, inner

    def _verified(self) -> None:
        if self._access.host_key != self._box.shown:
            raise HostKeyMismatch("another key")

    def run(self, argv: Sequence[str], *, stdin: bytes | BinaryIO = b"", timeout_seconds: float = 60) -> Completed:
        self._verified()
        return self._inner.run(argv, stdin=stdin, timeout_seconds=timeout_seconds)

    def stream(self, argv: Sequence[str], *, idle_seconds: float = 60) -> Iterator[bytes]:
        self._verified()
        yield from self._inner.stream(argv, idle_seconds=idle_seconds)

    def interactive(self, argv: Sequence[str]) -> int:
        return self._inner.interactive(argv)

    def shown_host_key(self) -> str:
        if self._box.hides_for > 0:
            self._box.hides_for -= 1
            raise RemoteUnreachable("nobody answers")
        return self._box.shown

    def close(self) -> None:
        self._inner.close()


def carried(box: Keeping, *, secrets: tuple[str, ...] = ()) -> Receipt:
    world = box.world(**dict.fromkeys(secrets, "swordfish"))
    return flow.carry(box.stage.open_run(world, secrets=secrets), world)


def told(stage: Stage, code: str) -> list[str]:
    return [event.text for event in stage.heard.of(Warned) if event.code == code]


@pytest.fixture
def box(stage: Stage) -> Keeping:
    """Machines whose image keeps its key; nobody vouches for it, and nobody may trust it at first sight."""
    return Keeping(stage)


@pytest.fixture
def trusting(folder: Path) -> Keeping:
    """The same at a provider where the first key may be pinned."""
    return Keeping(Stage(folder, traits=replace(fake_traits(), first_use=True)))


def test_a_key_that_the_provider_s_log_of_the_boot_shows_is_accepted_and_written_down(box: Keeping) -> None:
    box.stage.provider.console = lambda instance: ("booting", f"host key {fingerprint(OWN)}")
    assert carried(box).outcome is Outcome.SUCCEEDED
    assert len(told(box.stage, "host-key-vouched")) == 1
    assert box.stage.laptop().ledger.load("brave-otter-0001").attempt.host_key == OWN
    assert box.addresses[0] == ""
    assert set(box.addresses[1:]) == {OWN}
    box.stage.all_quiet()


@pytest.mark.parametrize(
    "console", [lambda instance: (fingerprint(OTHER),), lambda instance: (), raising(Unavailable("no console"))]
)
def test_a_key_that_nobody_vouches_for_is_a_stranger_s_and_ends_the_run(box: Keeping, console: object) -> None:
    box.stage.provider.console = console  # type: ignore[assignment]  # parameters are functions of all kinds
    receipt = carried(box)
    assert (receipt.outcome, receipt.attempts, receipt.results.files) == (Outcome.FAILED, 1, 0)
    assert "somebody else answers" in receipt.why
    assert box.stage.site.argv_seen == []
    box.stage.all_quiet()


def test_where_the_image_may_keep_a_key_the_first_one_is_pinned_and_said(trusting: Keeping) -> None:
    assert carried(trusting).outcome is Outcome.SUCCEEDED
    (text,) = told(trusting.stage, "host-key-first-use")
    assert fingerprint(OWN) in text
    assert "nobody vouches for it" in text
    assert set(trusting.addresses[1:]) == {OWN}


def test_what_the_provider_vouches_for_needs_no_trust_at_first_sight(trusting: Keeping) -> None:
    trusting.stage.provider.console = lambda instance: (fingerprint(OWN),)
    assert carried(trusting).outcome is Outcome.SUCCEEDED
    assert told(trusting.stage, "host-key-first-use") == []
    assert len(told(trusting.stage, "host-key-vouched")) == 1


def test_secrets_are_not_handed_to_a_machine_that_is_trusted_at_first_sight(trusting: Keeping) -> None:
    receipt = carried(trusting, secrets=("HF_TOKEN",))
    assert receipt.outcome is Outcome.FAILED
    assert "secrets are not sent to such a machine" in receipt.why
    assert trusting.stage.site.secrets_seen == []
    assert receipt.attempts == 2  # it may be that one machine: another one is tried
    assert told(trusting.stage, "host-key-first-use") == []
    trusting.stage.all_quiet()


def test_secrets_are_handed_to_a_machine_that_the_provider_vouches_for(trusting: Keeping) -> None:
    trusting.stage.provider.console = lambda instance: (fingerprint(OWN),)
    assert carried(trusting, secrets=("HF_TOKEN",)).outcome is Outcome.SUCCEEDED
    assert len(trusting.stage.site.secrets_seen) == 1


@pytest.mark.parametrize("state", [State.SHIPPING, State.RUNNING, State.PULLING])
def test_a_second_key_after_a_pin_is_a_stranger_s_wherever_it_shows(trusting: Keeping, state: State) -> None:
    stage = trusting.stage
    world = trusting.world()
    run = stage.open_run(world)
    when(stage, in_state(stage, state, "remote"), lambda: setattr(trusting, "shown", OTHER))
    receipt = flow.carry(run, world)
    assert (receipt.outcome, receipt.attempts) == (Outcome.FAILED, 1)
    assert "somebody else answers" in receipt.why
    assert len(told(stage, "host-key-first-use")) == 1
    stage.all_quiet()


def test_a_second_key_while_the_machine_still_boots_is_a_stranger_s(trusting: Keeping) -> None:
    stage = trusting.stage
    world = trusting.world()
    run = stage.open_run(world)
    once: list[str] = []

    def change(verb: str) -> None:
        if verb == "remote" and not once:
            once.append(verb)
            trusting.shown = OTHER
            raise RemoteUnreachable("the line broke at the first word after the pin")

    stage.cloud.before_call = change
    receipt = flow.carry(run, world)
    assert (receipt.outcome, receipt.attempts) == (Outcome.FAILED, 1)
    assert "somebody else answers" in receipt.why
    assert stage.laptop().ledger.load(run.id).attempt.host_key == OWN


def test_a_key_that_cannot_be_seen_just_now_is_looked_for_again(trusting: Keeping) -> None:
    trusting.hides_for = 5
    receipt = carried(trusting)
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 1)


def test_a_key_that_is_never_shown_is_a_machine_that_is_never_ready(trusting: Keeping) -> None:
    trusting.hides_for = 10**6
    receipt = carried(trusting)
    assert receipt.outcome is not Outcome.SUCCEEDED
    assert "no login (nobody answers)" in receipt.why
    trusting.stage.all_quiet()


def test_a_new_machine_may_keep_another_key(trusting: Keeping) -> None:
    stage = trusting.stage

    def taken_back() -> None:
        stage.cloud.preempt("m-0001")
        trusting.shown = OTHER

    world = trusting.world()
    run = stage.open_run(world)
    when(stage, in_state(stage, State.RUNNING, "remote"), taken_back)
    receipt = flow.carry(run, world)
    assert [one.host_key for one in stage.laptop().ledger.load(run.id).attempts] == [OWN, OTHER], receipt.why


def test_a_carrier_that_comes_after_a_crash_goes_by_the_key_that_was_accepted(trusting: Keeping) -> None:
    stage = trusting.stage
    world = trusting.world()
    run = stage.open_run(world)
    when(stage, in_state(stage, State.RUNNING, "remote"), stage.kill)
    with pytest.raises(Killed):
        flow.carry(run, world)
    stage.revive()
    trusting.addresses.clear()
    assert flow.attach(run.id, trusting.world()).outcome is Outcome.SUCCEEDED
    assert set(trusting.addresses) == {OWN}
