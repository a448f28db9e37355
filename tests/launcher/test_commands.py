"""`launch offers`, `doctor`, `reap` and `receipt --billed` as typed: what is said where, and with which exit code."""

import json
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from launcher import flow
from launcher.cli import main
from launcher.run import State
from launcher.world import Console, World
from pricing.offer import Market, Offer, Stock
from providers.base import Finding, Level, NoCredentials, Unavailable
from tests.fake_machine import fake_offer, fake_traits
from tests.fake_world import Killed, Stage, Work
from tests.launcher.moments import Waiting, in_state, raising, when
from tests.launcher.test_wire import is_sound

OWNER = "0123456789abcdef0123456789abcdef"
ROOT = Path(__file__).parents[2]
JOB = str(ROOT / "examples" / "support-json")
SMALL = replace(fake_offer("t1.nano", usd="0.006", market=Market.ON_DEMAND), gpu=None, gpu_count=0)
Launch = Callable[..., int]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def launch(stage: Stage) -> Launch:
    """`launch` as typed, in a world in memory."""

    def world(environ: Mapping[str, str], console: Console) -> World:
        made = stage.laptop()

        def sleep(seconds: float) -> None:
            stage.clock.sleep(seconds)
            made.interrupt.check()

        return replace(made, console=console, environ=environ, sleep=sleep)

    def run(*argv: str, **environ: str) -> int:
        around = {"LAUNCH_HOME": str(stage.folder), "PATH": os.environ["PATH"], **environ}
        return main(list(argv), make_world=world, environ=around)

    return run


def words(text: str) -> str:
    return " ".join(text.split())


def document(capsys: Capture) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


# offers


def test_offers_are_told_with_stock_boot_time_and_age_and_nothing_is_drawn_in_a_pipe(
    stage: Stage, launch: Launch, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    stage.provider.catalogue = tuple(replace(one, stock=Stock.LOW) for one in stage.provider.catalogue)
    assert launch("offers") == 0
    out, err = capsys.readouterr()
    head, first, *_ = out.splitlines()
    assert head.split() == [
        "provider", "instance", "gpu", "market", "place", "$/h", "age", "stock", "boot", "ends", "itself", "source"
    ]  # fmt: skip
    assert words(first).startswith("fake f1.small A10G spot north-1a 0.50 0 s low 1:00 yes")
    assert err == ""


def test_offers_in_json_have_the_time_at_which_each_price_was_seen(
    stage: Stage, launch: Launch, capsys: Capture
) -> None:
    stage.clock.sleep(3600)
    assert launch("offers", "--json") == 0
    found = document(capsys)
    is_sound(found)
    assert found["event"] == "offers"
    assert {one["seen_at"] for one in found["offers"]} == {"2026-11-24T13:00:00Z"}
    assert {one["instance_type"] for one in found["offers"]} == {"f1.small", "f1.large"}


@pytest.mark.xfail(strict=True, reason="wire.offer leaves out what the table tells: stock, boot time, whose host it is")
@pytest.mark.parametrize("field", ["stock", "boot_seconds", "vetted"])
def test_a_program_learns_of_an_offer_what_a_person_does(launch: Launch, capsys: Capture, field: str) -> None:
    assert launch("offers", "--json") == 0
    assert all(field in one for one in document(capsys)["offers"])


def test_who_did_not_answer_is_said_beside_the_offers_and_is_no_failure(
    stage: Stage, launch: Launch, capsys: Capture
) -> None:
    Waiting(stage, "down").first = raising(Unavailable("no usable answer"))
    Waiting(stage, "keyless").first = raising(NoCredentials("no key"))
    assert launch("offers") == 0
    out, err = capsys.readouterr()
    assert "f1.small" in out
    assert "down: no usable answer; no prices of it are known" in err
    assert "no credentials for keyless: prices as last seen or shipped, each with its age" in err


def private(stage: Stage) -> Offer:
    """A machine of somebody's own, cheaper than all others."""
    cheap = fake_offer("f1.private", usd="0.20", market=Market.ON_DEMAND)
    offer = replace(cheap, provider="fake", vetted=False)
    stage.provider.catalogue = (*stage.provider.catalogue, offer)
    return offer


def test_machines_of_private_hosts_are_shown_only_to_who_asks_for_them(
    stage: Stage, launch: Launch, capsys: Capture
) -> None:
    private(stage)
    assert launch("offers") == 0
    assert "f1.private" not in capsys.readouterr().out
    assert launch("offers", "--community") == 0
    assert "f1.private" in capsys.readouterr().out


@pytest.mark.parametrize(("flags", "first"), [((), "f1.small"), (("--community",), "f1.private")])
def test_a_launch_takes_a_private_host_only_where_that_was_said(
    stage: Stage, launch: Launch, capsys: Capture, flags: tuple[str, ...], first: str
) -> None:
    private(stage)
    assert launch("estimate", "--budget", "5", "--job", JOB, "--json", *flags) == 0
    assert document(capsys)["choices"][0]["offer"]["instance_type"] == first


def test_secrets_keep_a_job_off_private_hosts(stage: Stage, launch: Launch, capsys: Capture) -> None:
    stage.provider.catalogue = (private(stage),)
    argv = ("--budget", "5", "--job", JOB, "--community", "--secret", "HF_TOKEN", "--dry-run")
    assert launch(*argv, HF_TOKEN="swordfish") == 3
    assert "its owner could read the secrets that this job is handed" in words(capsys.readouterr().err)
    assert launch("--budget", "5", "--job", JOB, "--community", "--dry-run") == 0


# doctor


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


@pytest.mark.xfail(strict=True, reason="docs/events.schema.json knows no finding of the level `unused`")
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


@pytest.mark.xfail(strict=True, reason="docs/events.schema.json does not name the events `policy` and `guard`")
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
    assert err == "fake: a trial takes some minutes\n"
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
    assert launch("doctor", "--live", "--yes") == 4
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


@pytest.mark.xfail(
    strict=True, reason="commands._proven: after Ctrl-C in one trial the next one is rented all the same"
)
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


# reap


def left_alone(stage: Stage) -> None:
    """A computer died while its unguarded machine worked, weeks ago; its ledger is gone."""
    stage.provider.traits = fake_traits(guarded=False)
    stage.site.work = Work(steps=10_000, step_seconds=30)
    world = stage.laptop()
    run = stage.open_run(world)
    when(stage, in_state(stage, State.RUNNING, "remote"), stage.kill)
    with pytest.raises(Killed):
        flow.carry(run, world)
    stage.revive()
    for file in (stage.folder / "home").glob("ledger.sqlite*"):
        file.unlink()
    stage.clock.sleep(30 * 24 * 3600)


def test_a_timer_ends_what_is_overdue_and_says_so(stage: Stage, launch: Launch, capsys: Capture) -> None:
    left_alone(stage)
    assert launch("reap", "--overdue", LAUNCH_OWNER=OWNER) == 0
    assert "ended        m-0001 (fake north-1a, f1.small, run brave-otter-0001), confirmed" in capsys.readouterr().out
    assert not stage.cloud.alive()


def test_a_timer_that_does_not_know_whose_machines_to_look_for_says_so(
    stage: Stage, launch: Launch, capsys: Capture
) -> None:
    left_alone(stage)
    assert launch("reap", "--overdue") == 2
    err = capsys.readouterr().err
    assert "LAUNCH_OWNER does not say whose machines to look for" in words(err)
    assert "hint: launch reap --elsewhere cron" in err
    assert len(stage.cloud.alive()) == 1


def test_the_computer_that_rented_needs_no_name_of_its_own(stage: Stage, launch: Launch) -> None:
    left_alone(stage)
    (stage.folder / "home" / "owner").write_text(f"{OWNER}\n")
    assert launch("reap", "--overdue") == 0
    assert not stage.cloud.alive()


def test_reap_without_any_timer_needs_no_owner_to_be_said(stage: Stage, launch: Launch) -> None:
    left_alone(stage)
    assert launch("reap") == 0
    assert not stage.cloud.alive()


def test_reap_asks_only_the_providers_that_are_named(stage: Stage, launch: Launch, capsys: Capture) -> None:
    left_alone(stage)
    stage.also("other")
    assert launch("reap", "--provider", "other") == 0
    assert "nothing of ours runs at other" in capsys.readouterr().out
    assert len(stage.cloud.alive()) == 1
    assert launch("reap", "--provider", "nobody") == 2


def test_what_a_timer_found_is_sound_json(stage: Stage, launch: Launch, capsys: Capture) -> None:
    left_alone(stage)
    assert launch("reap", "--overdue", "--json", LAUNCH_OWNER=OWNER) == 0
    found = document(capsys)
    is_sound(found)
    assert [one["id"] for one in found["ended"]] == ["m-0001"]
    assert found["asked"] == ["fake"]


@pytest.mark.parametrize("kind", ["cron", "systemd", "github"])
def test_a_guard_for_elsewhere_is_printed_with_this_computer_s_name(
    stage: Stage, launch: Launch, capsys: Capture, kind: str
) -> None:
    home = stage.folder / "home"
    home.mkdir(exist_ok=True)
    (home / "owner").write_text(f"{OWNER}\n")
    assert launch("reap", "--elsewhere", kind) == 0
    out, err = capsys.readouterr()
    assert OWNER in out
    assert err == ""
    assert stage.cloud.calls == []


def test_a_computer_without_a_name_gets_one_with_the_first_guard_and_keeps_it(
    stage: Stage, launch: Launch, capsys: Capture
) -> None:
    assert launch("reap", "--elsewhere", "cron", "--json") == 0
    first = document(capsys)
    assert (stage.folder / "home" / "owner").read_text().strip() in first["text"]
    assert launch("reap", "--elsewhere", "cron", "--json") == 0
    assert document(capsys)["text"] == first["text"]
    assert (first["event"], first["kind"]) == ("guard", "cron")


def test_a_name_that_no_computer_of_ours_has_is_refused(launch: Launch, capsys: Capture) -> None:
    assert launch("reap", "--elsewhere", "cron", LAUNCH_OWNER="me") == 2
    assert "LAUNCH_OWNER is 'me': no computer of ours has that name" in words(capsys.readouterr().err)


# receipt --billed


def finished(stage: Stage) -> None:
    """A run that had two machines."""
    stage.site.unreachable.add("m-0001")
    assert stage.launch().attempts == 2


def test_what_the_provider_s_books_say_stands_under_the_receipt(stage: Stage, launch: Launch, capsys: Capture) -> None:
    finished(stage)
    stage.provider.billed_usd = lambda one: Decimal("0.0712") if one.id == "m-0001" else None
    assert launch("receipt", "--billed") == 0
    last = capsys.readouterr().out.splitlines()[-2:]
    assert words(" ".join(last)).endswith("billed fake m-0001 0.0712 fake m-0002 not told (yet)")


def test_what_was_billed_is_a_string_or_null_for_programs(stage: Stage, launch: Launch, capsys: Capture) -> None:
    finished(stage)
    stage.provider.billed_usd = lambda one: Decimal("0.0712") if one.id == "m-0001" else None
    assert launch("receipt", "--billed", "--json") == 0
    found = document(capsys)
    is_sound(found)
    assert found["billed"] == [
        {"provider": "fake", "machine": "m-0001", "usd": "0.0712"},
        {"provider": "fake", "machine": "m-0002", "usd": None},
    ]


def test_books_that_cannot_be_read_are_told_as_not_told(stage: Stage, launch: Launch, capsys: Capture) -> None:
    stage.launch()
    stage.provider.billed_usd = raising(Unavailable("no usable answer"))
    assert launch("receipt", "--billed") == 0
    assert "fake m-0001 not told (yet)" in words(capsys.readouterr().out)


def test_a_receipt_alone_asks_no_provider(stage: Stage, launch: Launch, capsys: Capture) -> None:
    stage.launch()
    stage.provider.billed_usd = raising(AssertionError("nobody asked for it"))
    assert launch("receipt") == 0
    assert "billed  " not in capsys.readouterr().out
