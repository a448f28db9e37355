"""Whether there can be AWS credentials here at all: asked before boto3, whose import and search take most of a second.

Says no only where every place in which boto3 would look is known to be empty; whether what lies there is any good is
boto3's business.
"""

from collections.abc import Mapping
from pathlib import Path

HARMLESS = frozenset({
    "AWS_CA_BUNDLE", "AWS_DEFAULT_OUTPUT", "AWS_DEFAULT_REGION", "AWS_EC2_METADATA_DISABLED", "AWS_MAX_ATTEMPTS",
    "AWS_PAGER", "AWS_REGION", "AWS_RETRY_MODE", "AWS_STS_REGIONAL_ENDPOINTS",
})  # fmt: skip
"""Variables of AWS that say nothing of credentials; so do those that begin with `ENDPOINTS`. Any other one may."""
ENDPOINTS = "AWS_ENDPOINT_URL"
FILES = ("~/.aws/credentials", "~/.aws/config", "~/.boto", "/etc/boto.cfg")
VENDOR, XEN, EC2_MAC = Path("sys/class/dmi/id/sys_vendor"), Path("sys/hypervisor/uuid"), Path("usr/local/aws")
"""By what a machine of EC2's knows itself: its firmware's maker, the uuid of an old one, the tools of a Mac there."""


def can_be(environ: Mapping[str, str], home: Path | None = None, root: Path = Path("/")) -> bool:
    """Whether the environment, a file, or the machine itself (a role of its instance) could hold credentials.

    `home` and `root` are for tests.
    """
    set_here = (name for name, value in environ.items() if value)
    if any(_may_matter(name) for name in set_here):
        return True
    at_home = home or Path("~").expanduser()
    files = (at_home / name[2:] if name.startswith("~/") else root / name.lstrip("/") for name in FILES)
    if any(one.exists() for one in files):
        return True
    return environ.get("AWS_EC2_METADATA_DISABLED", "").lower() != "true" and _is_on_ec2(root)


def _may_matter(name: str) -> bool:
    if name == "BOTO_CONFIG":
        return True
    return name.startswith("AWS_") and name not in HARMLESS and not name.startswith(ENDPOINTS)


def _is_on_ec2(root: Path) -> bool:
    vendor, uuid = _text(root / VENDOR), _text(root / XEN)
    return vendor.startswith("amazon") or uuid.startswith("ec2") or (root / EC2_MAC).is_dir()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip().lower()
    except OSError:
        return ""
