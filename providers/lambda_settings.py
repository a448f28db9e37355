"""The user's own settings for Lambda (`providers: lambda:` in config.yaml)."""

from collections.abc import Mapping
from dataclasses import dataclass

from providers import settings

NAME = "lambda"
NO_DEADMAN, KEY_DEADMAN = "none", "api-key"
SECONDS_BETWEEN_REQUESTS = 1.1


@dataclass(frozen=True, kw_only=True)
class LambdaSettings:
    """What may be set."""

    regions: tuple[str, ...] = ()
    """Where machines may be; anywhere when empty."""
    image_family: str = "lambda-stack-24-04"
    """Always sent, since the default differs by region. 24.04: the job's packages want Python 3.11 or newer."""
    deadman: str = NO_DEADMAN
    """`api-key`: the key in LAMBDA_DEADMAN_API_KEY is put on each machine, so that it can end itself."""
    seconds_between_requests: float = SECONDS_BETWEEN_REQUESTS
    seconds_between_launches: float = 12.5
    """1 and 12 are allowed; what is sent so far apart must not arrive closer."""
    ssh_port: int = 22


READERS: Mapping[str, settings.Reader] = {
    "regions": settings.texts,
    "image_family": settings.text,
    "deadman": settings.one_of(NO_DEADMAN, KEY_DEADMAN),
    "seconds_between_requests": settings.seconds,
    "seconds_between_launches": settings.seconds,
    "ssh_port": settings.port,
}


def read(raw: Mapping[str, object]) -> LambdaSettings:
    """The settings. Raises `NotSetUp` that names the key, and what was expected."""
    return LambdaSettings(**settings.read(NAME, raw, READERS))
