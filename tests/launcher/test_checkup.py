"""`launch doctor`: this computer first, then every provider at once; how bad a finding is depends on what was asked."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from launcher import checkup, market
from launcher.checkup import HERE, findings
from launcher.market import Answer
from launcher.world import World
from providers.base import Finding, Level, NotSetUp, OfferQuery, Provider
from tests.fake_machine import fake_offer, fake_traits
from tests.fake_provider import FakeProvider
from tests.fake_world import Stage

OK = Finding(level=Level.OK, subject="credentials", text="a key")
UNUSED = Finding(level=Level.UNUSED, subject="credentials", text="no key", fix="export A_KEY=...")


def ssh_that_says(folder: Path, words: str) -> str:
    """A folder for PATH with an `ssh` that has that version."""
    folder.mkdir()
    program = folder / "ssh"
    program.write_text(f"#!/bin/sh\necho '{words}' >&2\n")
    program.chmod(0o755)
    return str(folder)


@pytest.fixture
def world(stage: Stage, folder: Path) -> Iterator[World]:
    """A laptop in good order."""
    path = ssh_that_says(folder / "bin", "OpenSSH_9.6p1, OpenSSL 3.0.13")
    laptop = replace(stage.laptop(), environ={"PATH": f"{path}:/usr/bin:/bin"})
    laptop.home.chmod(0o700)
    yield laptop
    laptop.ledger.close()


def here(world: World, subject: str) -> Finding:
    """This computer's finding about something."""
    return next(
        one for place, one in findings(("fake",), world, named=False) if (place, one.subject) == (HERE, subject)
    )


def of(world: World, name: str, *names: str, named: bool = False) -> list[tuple[str, Level]]:
    """A provider's findings among those of several, without what is kept of its prices."""
    found = findings(names or (name,), world, named=named)
    return [(one.subject, one.level) for place, one in found if place == name and one.subject != "kept prices"]


# This computer


def test_this_computer_comes_first_and_is_in_order(world: World) -> None:
    found = findings(("fake",), world, named=False)
    assert [place for place, _ in found] == [HERE, HERE, HERE, "fake"]
    assert {one.level for _, one in found} == {Level.OK}


def test_the_version_of_ssh_is_told(world: World) -> None:
    assert here(world, "ssh").text == "OpenSSH_9.6p1"


@pytest.mark.parametrize("words", ["OpenSSH_6.9p1, LibreSSL 2.1.8", "dropbear 2022.83", ""])
def test_another_ssh_or_an_old_one_is_a_warning_with_its_fix(world: World, folder: Path, words: str) -> None:
    path = ssh_that_says(folder / "old", words)
    found = here(replace(world, environ={"PATH": f"{path}:/usr/bin:/bin"}), "ssh")
    assert found.level is Level.WARNING
    assert found.text.startswith(words.partition(",")[0] or "another ssh")
    assert "OpenSSH 7.0 or newer" in found.fix


@pytest.mark.parametrize("words", ["OpenSSH_7.0p1, x", "OpenSSH_for_Windows_9.5p1, LibreSSL", "OpenSSH_10.0p2, x"])
def test_every_newer_ssh_is_fine(world: World, folder: Path, words: str) -> None:
    path = ssh_that_says(folder / "new", words)
    assert here(replace(world, environ={"PATH": f"{path}:/usr/bin:/bin"}), "ssh").level is Level.OK


def test_a_computer_without_ssh_must_be_mended(world: World, folder: Path) -> None:
    found = here(replace(world, environ={"PATH": str(folder / "nothing")}), "ssh")
    assert found.level is Level.ERROR
    assert "apt install openssh-client" in found.fix


def test_a_state_folder_that_others_can_read_is_a_warning(world: World) -> None:
    world.home.chmod(0o755)
    found = here(world, "state")
    assert (found.level, found.fix) == (Level.WARNING, f"chmod 700 {world.home}")
    assert "mode 755" in found.text


def test_a_state_folder_of_our_own_tells_how_much_room_there_is(world: World) -> None:
    found = here(world, "state")
    assert found.level is Level.OK
    assert found.text.startswith(f"{world.home}, ")
    assert found.text.endswith(" GiB free")


def test_runs_that_may_have_a_machine_are_named(stage: Stage, world: World) -> None:
    assert "runs" not in {one.subject for _, one in findings(("fake",), world, named=False)}
    stage.open_run(stage.laptop())
    found = here(world, "runs")
    assert found.level is Level.WARNING
    assert found.text == "1 may have a machine: brave-otter-0001"
    assert "launch ps" in found.fix


# The providers


def test_all_providers_are_asked_at_once(stage: Stage, world: World) -> None:
    together = threading.Barrier(3)

    class Slow(FakeProvider):
        def check(self) -> tuple[Finding, ...]:
            together.wait(10)
            return (OK,)

    for name in ("a", "b", "c"):
        stage.others[name] = Slow(stage.cloud, name, stage.offers, owner="me", traits=fake_traits())
    found = findings(("c", "a", "b"), world, named=False)
    assert [place for place, _ in found if place != HERE] == ["c", "a", "b"]


def test_a_provider_that_is_not_set_up_is_unused_and_no_error_where_another_one_rents(
    stage: Stage, world: World
) -> None:
    stage.also("a").findings = (UNUSED,)
    stage.provider.findings = (OK,)
    assert of(world, "a", "a", "fake") == [("credentials", Level.UNUSED)]


def test_where_nobody_who_rents_has_credentials_that_is_the_error(stage: Stage, world: World) -> None:
    stage.also("mine", traits=replace(fake_traits(), bills=False)).findings = (OK,)
    stage.provider.findings = (UNUSED,)
    assert of(world, "fake", "fake", "mine") == [("credentials", Level.ERROR)]
    assert of(world, "mine", "fake", "mine") == [("credentials", Level.OK)]


def test_a_provider_that_was_named_must_have_credentials(stage: Stage, world: World) -> None:
    stage.also("a").findings = (UNUSED,)
    stage.provider.findings = (OK,)
    assert of(world, "a", "a", "fake", named=True) == [("credentials", Level.ERROR)]


def test_who_only_has_an_own_machine_has_nothing_to_mend(stage: Stage, world: World) -> None:
    stage.also("mine", traits=replace(fake_traits(), bills=False)).findings = (OK,)
    assert {one.level for _, one in findings(("mine",), world, named=False)} == {Level.OK}


def test_an_own_fault_of_a_provider_stays_what_it_is(stage: Stage, world: World) -> None:
    stage.also("a").findings = (UNUSED, replace(OK, level=Level.WARNING, subject="clock"))
    assert of(world, "a", "a", named=True) == [("credentials", Level.ERROR), ("clock", Level.WARNING)]


def test_a_provider_whose_settings_are_wrong_is_a_finding_and_hides_no_other(stage: Stage, world: World) -> None:
    def provider(name: str) -> Provider:
        if name == "broken":
            raise NotSetUp("providers.broken.color is no setting", fix="remove it from config.yaml")
        return stage.provider

    broken = replace(world, provider=provider)
    try:
        found = findings(("broken", "fake"), broken, named=False)
    except NotSetUp as error:
        pytest.fail(f"the doctor died of {error.text}")
    assert ("broken", Level.ERROR, "remove it from config.yaml") in [
        (place, one.level, one.fix) for place, one in found
    ]
    assert "fake" in {place for place, _ in found}


# What is known of prices without asking


def kept_prices(world: World, name: str = "fake") -> Finding | None:
    found = findings((name,), world, named=False)
    return next((one for place, one in found if (place, one.subject) == (name, "kept prices")), None)


def test_prices_that_are_kept_tell_the_age_of_the_newest(stage: Stage, world: World) -> None:
    market.whole(("fake",), OfferQuery(), world)
    stage.clock.sleep(3 * 3600)
    found = kept_prices(world)
    assert found is not None
    assert (found.level, found.fix) == (Level.OK, "")
    assert found.text == "2 kept from the last look, the newest 3 h old; a launch asks anew"


def test_prices_that_are_a_month_old_are_a_warning_with_the_way_to_new_ones(stage: Stage, world: World) -> None:
    market.whole(("fake",), OfferQuery(), world)
    stage.clock.sleep(timedelta(days=31).total_seconds())
    found = kept_prices(world)
    assert found is not None
    assert found.level is Level.WARNING
    assert found.fix.startswith("launch offers --provider fake")


def test_where_nothing_is_kept_or_nothing_costs_there_is_nothing_to_say_of_prices(stage: Stage, world: World) -> None:
    assert kept_prices(world) is None
    free = replace(fake_offer(usd="0"), provider="fake")
    market.remember(Answer(provider="fake", offers=(free,)), OfferQuery(), world)
    assert kept_prices(world) is None


def test_of_a_provider_that_is_not_used_nothing_is_said_of_prices(stage: Stage, world: World) -> None:
    market.whole(("fake",), OfferQuery(), world)
    stage.provider.findings = (UNUSED,)
    assert kept_prices(world) is None


def test_a_check_costs_nothing_and_creates_nothing(stage: Stage, world: World) -> None:
    findings(("fake",), world, named=True)
    assert stage.cloud.calls == []
    assert checkup.LEAST_FREE_GIB > 0
