"""The user's own settings for Runpod (`providers: runpod:` in config.yaml)."""

from collections.abc import Mapping
from dataclasses import dataclass

from providers import settings

NAME = "runpod"
SECONDS_BETWEEN_REQUESTS = 1.25


@dataclass(frozen=True, kw_only=True)
class RunpodSettings:
    """What may be set."""

    regions: tuple[str, ...] = ()
    """Data centres where pods may be; anywhere when empty."""
    image: str = "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404"
    """An official image with Python 3.12 and torch, so that the GPU can be tried before anything is shipped."""
    min_cuda: str = "12.8"
    """What the host must have: an older one cannot run the image (CUDA error 804)."""
    profile: str = "default"
    """Which part of ~/.runpod/config.toml holds the key, where RUNPOD_API_KEY does not."""
    seconds_between_requests: float = SECONDS_BETWEEN_REQUESTS
    """60 a minute are allowed, to all that use the account."""


READERS: Mapping[str, settings.Reader] = {
    "regions": settings.texts,
    "image": settings.text,
    "min_cuda": settings.version,
    "profile": settings.text,
    "seconds_between_requests": settings.seconds,
}


def read(raw: Mapping[str, object]) -> RunpodSettings:
    """The settings. Raises `NotSetUp` that names the key, and what was expected."""
    return RunpodSettings(**settings.read(NAME, raw, READERS))
