"""No login that stands in an address is shown in a provider's error."""

import pytest

from providers.addresses import without_logins
from providers.base import NotSetUp, ProviderError, Unavailable
from tests.canaries import CANARIES, holding

PASSWORD = CANARIES["url-password"]


@pytest.mark.parametrize("kind", [ProviderError, Unavailable, NotSetUp])
def test_an_error_shows_an_address_without_its_login(kind: type[ProviderError]) -> None:
    error = kind(f'no usable answer: Could not connect to "http://me:{PASSWORD}@proxy.example:3128/v1" (refused)')
    assert holding(f"{error!r} {error} {error.text}") == ()
    assert "http://proxy.example:3128/v1" in error.text


def test_what_is_no_login_stays() -> None:
    for text in (
        "https://api.example/v1?mail=me@example.com",
        "me@example.com",
        "arn:aws:iam::1:user/a@b",
        "a://b c@d",
    ):
        assert without_logins(text) == text
