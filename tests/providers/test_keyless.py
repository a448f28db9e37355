"""Who has no key learns it at once: no turn is waited for, nothing is asked."""

from pathlib import Path

import pytest

from providers.base import NoCredentials, OfferQuery
from tests.providers.hand_clouds import HandClouds


@pytest.mark.parametrize("name", ["lambda", "runpod"])
def test_without_a_key_no_turn_is_waited_for_and_nothing_is_asked(
    name: str, clouds: HandClouds, tmp_path: Path
) -> None:
    waited: list[float] = []
    connect = clouds.lambda_at if name == "lambda" else clouds.runpod_at
    environ = {f"{name.upper()}_API_BASE_URL": clouds.urls[name]}
    for _ in range(5):  # each a process of its own: they share the pace
        with pytest.raises(NoCredentials):
            connect(tmp_path, environ, pause=waited.append).offers(OfferQuery())
    assert not any(waited)
    assert clouds.calls(f"{name}.*") == []
