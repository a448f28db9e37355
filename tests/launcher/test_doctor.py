"""`launch doctor` as typed: what is said where, with which exit code, and what a trial rents."""

import os
import signal
from dataclasses import replace

import pytest

from pricing.offer import Market
from providers.base import Finding, Level
from tests.fake_machine import fake_offer, fake_traits
from tests.fake_world import Stage
from tests.launcher.test_wire import is_sound
from tests.launcher.typed import Capture, Launch, document, typing, words

SMALL = replace(fake_offer("t1.nano", usd="0.006", market=Market.ON_DEMAND), gpu=None, gpu_count=0)


@pytest.fixture
def launch(stage: Stage) -> Launch:
    """`launch` as typed, in a world in memory."""
    return typing(stage)


def test_the_doctor_speaks_of_this_computer_and_of_every_provider(
    stage: Stage, launch: Launch, capsys: Capture
) -> None:
    keyless = Finding(level=Level.UNUSED, subject="credentials", text="no key", fix="export OTHER_KEY=...")
    stage.also("other").findings = (keyless,)
    assert launch("doctor") == 0
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line and line[0] != " "][:3] == ["here", "fake", "other"]
    assert "fix: export OTHER_KEY=..." in out
    assert out.endswith("next  launch estimate\n")


def test_a_finding_that_must_be_mended_is_exit_4(stage: Stage, launch: Launch, capsys: Capture) -> None:
    bad = Finding(level=Level.ERROR, subject="quota", text="0 of 4 vCPUs", fix="ask for 4")
    stage.provider.findings = (bad,)
    assert launch("doctor") == 4
    assert "1 to fix, then: launch doctor" in capsys.readouterr().out


def test_a_warning_is_no_failure(stage: Stage, launch: Launch) -> None:
    stage.provider.findings = (Finding(level=Level.WARNING, subject="clock", text="30 s ahead", fix="ntp"),)
    assert launch("doctor") == 0


def test_a_provider_without_credentials_that_is_named_is_exit_4(stage: Stage, launch: Launch) -> None:
    stage.also("other").findings = (Finding(level=Level.UNUSED, subject="credentials", text="no key"),)
    assert launch("doctor") == 0
    assert launch("doctor", "--provider", "other") == 4


def test_the_doctor_in_json_is_what_the_schema_says(launch: Launch, capsys: Capture) -> None:
    assert launch("doctor", "--json") == 0
    found = document(capsys)
    is_sound(found)
    assert {one["provider"] for one in found["findings"]} == {"here", "fake"}


def test_a_provider_without_credentials_is_sound_json_too(stage: Stage, launch: Launch, capsys: Capture) -> None:
    stage.also("other").findings = (Finding(level=Level.UNUSED, subject="credentials", text="no key"),)
    launch("doctor", "--json")
    is_sound(document(capsys))


def test_the_policy_is_printed_alone_and_nobody_is_asked(stage: Stage, launch: Launch, capsys: Capture) -> None:
    stage.also("other").policy = lambda: '{"Version": "2012-10-17"}\n'
    assert launch("doctor", "--iam-policy") == 0
    assert capsys.readouterr().out == '{"Version": "2012-10-17"}\n'
    assert stage.cloud.calls == []
    assert launch("doctor", "--iam-policy", "--json") == 0
    assert document(capsys)["text"] == '{"Version": "2012-10-17"}\n'


def test_where_no_policy_can_be_set_that_is_said(launch: Launch, capsys: Capture) -> None:
    assert launch("doctor", "--iam-policy", "--provider", "fake") == 2
    assert "is not set by a policy" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [("doctor", "--iam-policy", "--json"), ("reap", "--elsewhere", "cron", "--json")])
def test_what_is_printed_to_be_pasted_is_sound_json_too(
    stage: Stage, launch: Launch, capsys: Capture, argv: tuple[str, ...]
) -> None:
    stage.provider.policy = lambda: "{}"
    assert launch(*argv) == 0
    is_sound(document(capsys))


# doctor --live


def with_trial(stage: Stage, name: str = "fake", *, guarded: bool = True) -> None:
    proven = Finding(level=Level.OK, subject="trial", text="it ended itself")
    provider = stage.provider if name == "fake" else stage.also(name)
    provider.traits = fake_traits(guarded=guarded)
    provider.trial = lambda: replace(SMALL, provider=name)
    provider.note_trial = lambda instance, lines: proven


def test_where_there_is_nothing_to_prove_that_is_said(stage: Stage, launch: Launch, capsys: Capture) -> None:
    assert launch("doctor", "--live") == 0
    assert "there is nothing to prove by renting at these providers" in capsys.readouterr().err
    assert not stage.cloud.machines()


def test_without_a_terminal_and_without_yes_nothing_is_rented(stage: Stage, launch: Launch, capsys: Capture) -> None:
    with_trial(stage)
    assert launch("doctor", "--live") == 2
    assert "hint: launch doctor --live --yes" in capsys.readouterr().err
    assert not stage.cloud.machines()


def test_a_trial_is_told_among_the_findings_with_what_it_cost(stage: Stage, launch: Launch, capsys: Capture) -> None:
    with_trial(stage)
    assert launch("doctor", "--live", "--yes") == 0
    out, err = capsys.readouterr()
    assert err == "fake: a trial takes some minutes, and costs 0.0049 at most\n"
    assert "ok trial it ended itself; it cost 0.00" in words(out)
    assert not stage.cloud.alive()


def test_a_trial_that_fails_is_exit_4(stage: Stage, launch: Launch, capsys: Capture) -> None:
    with_trial(stage, guarded=False)
    assert launch("doctor", "--live", "--yes") == 4
    assert "did not end itself within 15:0" in capsys.readouterr().out
    assert not stage.cloud.alive()


def test_a_trial_in_json_is_a_finding(stage: Stage, launch: Launch, capsys: Capture) -> None:
    with_trial(stage)
    assert launch("doctor", "--live", "--yes", "--json") == 0
    found = document(capsys)
    is_sound(found)
    assert [one["text"].partition(";")[0] for one in found["findings"] if one["subject"] == "trial"] == [
        "it ended itself"
    ]  # fmt: skip


def press(stage: Stage, times: int) -> None:
    """Ctrl-C, as soon as there is a machine."""

    def at(verb: str) -> None:
        if verb == "create":
            stage.cloud.after_call = lambda _: None
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)

    stage.cloud.after_call = at


def test_ctrl_c_ends_the_machine_of_a_trial(stage: Stage, launch: Launch, capsys: Capture) -> None:
    with_trial(stage, guarded=False)
    press(stage, 1)
    assert launch("doctor", "--live", "--yes") == 6
    assert "stopped, as asked; it cost " in words(capsys.readouterr().out)
    stage.all_quiet()


def test_a_second_ctrl_c_leaves_with_the_command_that_ends_the_machine(
    stage: Stage, launch: Launch, capsys: Capture
) -> None:
    with_trial(stage, guarded=False)
    press(stage, 2)
    assert launch("doctor", "--live", "--yes") == 7
    err = words(capsys.readouterr().err)
    assert "a machine may still be running" in err
    assert "hint: launch stop " in err


def test_ctrl_c_in_one_trial_rents_no_other(stage: Stage, launch: Launch) -> None:
    with_trial(stage, guarded=False)
    with_trial(stage, "other", guarded=False)
    press(stage, 1)
    launch("doctor", "--live", "--yes")
    assert [one.provider for one in stage.cloud.machines()] == ["fake"]


def test_the_receipt_of_a_trial_can_be_read(stage: Stage, launch: Launch, capsys: Capture) -> None:
    with_trial(stage)
    launch("doctor", "--live", "--yes")
    capsys.readouterr()
    assert launch("receipt", "guard trial") == 0
    assert "terminated and confirmed" in capsys.readouterr().out
