"""`launch offers`, `reap` and `receipt --billed` as typed: what is said where, and with which exit code."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from launcher import flow
from launcher.run import State
from pricing.offer import Market, Offer, Stock
from providers.base import NoCredentials, Unavailable
from tests.fake_machine import fake_offer, fake_traits
from tests.fake_world import Killed, Stage, Work
from tests.launcher.moments import Waiting, in_state, raising, when
from tests.launcher.test_wire import is_sound
from tests.launcher.typed import Capture, Launch, document, typing, words

OWNER = "0123456789abcdef0123456789abcdef"
JOB = str(Path(__file__).parents[2] / "examples" / "support-json")


@pytest.fixture
def launch(stage: Stage) -> Launch:
    """`launch` as typed, in a world in memory."""
    return typing(stage)


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
        "provider", "instance", "gpu", "market", "place", "$/h", "age", "guarded", "stock", "boot"
    ]  # fmt: skip
    assert words(first).startswith("fake f1.small A10G spot north-1a 0.50 0 s yes low 1:00")
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
