"""What several providers tell doctor in the same words."""

from datetime import timedelta
from email.utils import format_datetime

import pytest

from providers import findings
from providers.base import (
    Ambiguous,
    AuthFailed,
    ContractBroken,
    Level,
    NoCredentials,
    ProviderError,
    Throttled,
    Unavailable,
    Unreachable,
)
from tests.providers.samples import NOW

FIX = "set the clock"


def test_no_credentials_mean_that_a_provider_is_not_used() -> None:
    found = findings.wrong("credentials", NoCredentials("there is no key", fix="export it"))
    assert (found.level, found.subject, found.text, found.fix) == (
        Level.UNUSED,
        "credentials",
        "there is no key",
        "export it",
    )


@pytest.mark.parametrize("kind", [Unavailable, Unreachable, Throttled])
def test_the_network_is_told_apart_from_what_was_asked(kind: type[ProviderError]) -> None:
    found = findings.wrong("credentials", kind("no answer"))
    assert (found.level, found.subject) == (Level.ERROR, "reachability")
    assert "proxy or firewall" in found.fix


def test_what_the_error_itself_advises_comes_before_the_general_advice() -> None:
    assert findings.wrong("credentials", Unavailable("no answer", fix="wait for noon")).fix == "wait for noon"


@pytest.mark.parametrize("kind", [AuthFailed, ContractBroken, Ambiguous])
def test_every_other_error_is_about_what_was_asked(kind: type[ProviderError]) -> None:
    found = findings.wrong("quota", kind("no", fix="do this"))
    assert (found.level, found.subject, found.text, found.fix) == (Level.ERROR, "quota", "no", "do this")


@pytest.mark.parametrize("seconds", [-60, 0, 60])
def test_a_clock_within_a_minute_is_right(seconds: int) -> None:
    date = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert findings.clock(date, NOW, "Cloud", FIX).level is Level.OK


@pytest.mark.parametrize("seconds", [-600, 61])
def test_a_clock_that_is_off_is_a_warning_with_how_much_and_what_to_do(seconds: int) -> None:
    date = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    found = findings.clock(date, NOW, "Cloud", FIX)
    assert (found.level, found.fix) == (Level.WARNING, FIX)
    assert found.text == f"differs by {abs(seconds)} s from Cloud's"


@pytest.mark.parametrize(
    "date", ["", "yesterday", "Tue, 99 Nov 2026 12:00:00 GMT", f"Mon, 01 Jan {9**40} 00:00:00 GMT"]
)
def test_an_answer_that_does_not_tell_the_time_is_a_warning(date: str) -> None:
    assert findings.clock(date, NOW, "Cloud", FIX).level is Level.WARNING


def test_a_time_without_a_zone_is_as_good_as_none() -> None:
    found = findings.clock("Tue, 24 Nov 2026 12:00:00 -0000", NOW, "Cloud", FIX)
    assert found.level is Level.WARNING
