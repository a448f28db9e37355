"""The user's own settings for AWS (`providers: aws:` in config.yaml), checked key by key."""

import difflib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from providers.base import NotSetUp

DEFAULT_REGIONS = ("us-east-1", "us-east-2", "us-west-2")
"""Asked where nobody named a region: large pools of GPU machines, and prices in the shipped snapshot (us-east-1)."""
CHECKIP_URL = "https://checkip.amazonaws.com"
WIDEST_PREFIX = 24
"""The widest network that may reach a machine's SSH port: an office, never the whole internet."""
LAST_PORT = 65535


@dataclass(frozen=True, kw_only=True)
class AwsSettings:
    """What may be set; an empty value means "find out"."""

    regions: tuple[str, ...] = ()
    subnet: Mapping[str, str] = field(default_factory=dict)
    """Zone to subnet id; where given, only these zones are used in their region."""
    vpc: Mapping[str, str] = field(default_factory=dict)
    """Region to the id of the VPC to use instead of the default one."""
    image: Mapping[str, str] = field(default_factory=dict)
    """Region to the id of the image to use instead of the current Deep Learning one."""
    caller_cidr: str = ""
    checkip_url: str = CHECKIP_URL
    ssh_port: int = 22


def read(raw: Mapping[str, object]) -> AwsSettings:
    """The settings. Raises `NotSetUp` that names the key, and what was expected."""
    for key in raw:
        if key not in READERS:
            close = difflib.get_close_matches(key, READERS, n=1)
            raise _wrong(
                key, f"is no setting; {'did you mean ' + close[0] if close else 'there are ' + ', '.join(READERS)}"
            )
    return AwsSettings(**{key: READERS[key](key, value) for key, value in raw.items()})  # type: ignore[arg-type]  # each reader gives its key's type


def _wrong(key: str, text: str) -> NotSetUp:
    return NotSetUp(f"providers.aws.{key} {text}", fix="correct it in config.yaml (`launch doctor` shows the file)")


def _text(key: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise _wrong(key, f"must be a text, not {value!r}")
    return str(value)


def _texts(key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise _wrong(key, f"must be a list of names, not {value!r}")
    return tuple(_text(key, one) for one in value)


def _mapping(key: str, value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise _wrong(key, f"must be a mapping such as {{us-east-2a: id}}, not {value!r}")
    return {_text(key, place): _text(key, one) for place, one in value.items()}


def _port(key: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LAST_PORT:
        raise _wrong(key, f"must be a port number, not {value!r}")
    return int(value)


def _cidr(key: str, value: object) -> str:
    try:
        network = ipaddress.IPv4Network(_text(key, value), strict=False)
    except ValueError as error:
        raise _wrong(key, f"must be an IPv4 network such as 203.0.113.7/32, not {value!r}") from error
    if network.prefixlen < WIDEST_PREFIX:
        raise _wrong(key, f"may be no wider than /{WIDEST_PREFIX}, and is /{network.prefixlen}")
    return str(network)


READERS = {
    "regions": _texts,
    "subnet": _mapping,
    "vpc": _mapping,
    "image": _mapping,
    "caller_cidr": _cidr,
    "checkip_url": _text,
    "ssh_port": _port,
}
