"""The user's own settings for AWS (`providers: aws:` in config.yaml)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from providers import settings

DEFAULT_REGIONS = ("us-east-1", "us-east-2", "us-west-2")
"""Asked where nobody named a region: large pools of GPU machines, and prices in the shipped snapshot (us-east-1)."""
CHECKIP_URL = "https://checkip.amazonaws.com"


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


READERS: Mapping[str, settings.Reader] = {
    "regions": settings.texts,
    "subnet": settings.names_to_texts,
    "vpc": settings.names_to_texts,
    "image": settings.names_to_texts,
    "caller_cidr": settings.cidr,
    "checkip_url": settings.text,
    "ssh_port": settings.port,
}


def read(raw: Mapping[str, object]) -> AwsSettings:
    """The settings. Raises `NotSetUp` that names the key, and what was expected."""
    return AwsSettings(**settings.read("aws", raw, READERS))
