"""A machine's name where a cloud has no token, as the one mark that always comes back: run, attempt, owner, nonce.

The deadline is in it too, for whoever looks from elsewhere where tags are not shown. Lambda takes 64 signs, and a name
without a deadline may have as many. So the nonce, which launch makes of 24 hexadecimal signs, is written in base 36
then (19 signs), and the deadline's seconds since 1970 after it (6 signs, enough until 2038): both are the last part.
"""

import math
import re
import string
from dataclasses import dataclass
from datetime import UTC, datetime

from providers.base import ContractBroken, InstanceRequest

OWNER_SIGNS = 8
"""Of the owner's id in a name: enough to tell the laptops of one account apart."""
_NAME = re.compile(
    r"launch-(?P<run>[a-z0-9-]+)-(?P<attempt>\d{1,3})-(?P<owner>[a-z0-9]{1,8})-(?P<nonce>[a-z0-9]{1,32})"
)
_SIGNS = string.digits + string.ascii_lowercase
_HEX = re.compile(r"[0-9a-f]{24}")
_HEX_SIGNS, _NONCE_SIGNS, _DEADLINE_SIGNS = 24, 19, 6
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC).timestamp()


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What a name says."""

    run_id: str
    attempt: int
    owner: str
    """The first signs of the owner's id."""
    nonce: str
    deadline: datetime | None = None
    """None in a name that was given without one."""


def name_of(request: InstanceRequest, owner_id: str, most: int) -> str:
    """The machine's name: unique by its nonce, with the deadline where that fits.

    Raises `ContractBroken` where it is longer than the cloud takes, or would not be read back as what it says.
    """
    begin = f"{request.name}-{owner_id[:OWNER_SIGNS]}-"
    packed = _packed(request.nonce, request.deadline)
    name = begin + (packed if packed and len(begin + packed) <= most else request.nonce)
    mark = parse(name)
    if len(name) > most or mark is None or mark.nonce != request.nonce:
        raise ContractBroken(f"a machine cannot be called {name!r}: at most {most} signs of a-z, 0-9 and -")
    return name


def parse(name: str) -> Mark | None:
    """What a name says; None for a name that is none of ours."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    nonce, deadline = _unpacked(found["nonce"])
    return Mark(
        run_id=found["run"], attempt=int(found["attempt"]), owner=found["owner"], nonce=nonce, deadline=deadline
    )


def _packed(nonce: str, deadline: datetime) -> str:
    """Nonce and deadline as one part; "" for a nonce or a deadline that does not go into it."""
    seconds = math.ceil(deadline.timestamp())
    if not _HEX.fullmatch(nonce) or not _EARLIEST <= seconds < len(_SIGNS) ** _DEADLINE_SIGNS:
        return ""
    return _base36(int(nonce, 16), _NONCE_SIGNS) + _base36(seconds, _DEADLINE_SIGNS)


def _unpacked(part: str) -> tuple[str, datetime | None]:
    """The nonce and the deadline in a name's last part; that part itself, and None, where it is a bare nonce."""
    if len(part) != _NONCE_SIGNS + _DEADLINE_SIGNS:
        return part, None
    number, seconds = int(part[:_NONCE_SIGNS], 36), int(part[_NONCE_SIGNS:], 36)
    if number >= 16**_HEX_SIGNS or seconds < _EARLIEST:
        return part, None
    return f"{number:0{_HEX_SIGNS}x}", datetime.fromtimestamp(seconds, UTC)


def _base36(number: int, signs: int) -> str:
    found = ""
    while number:
        number, rest = divmod(number, len(_SIGNS))
        found = _SIGNS[rest] + found
    return found.rjust(signs, _SIGNS[0])


def is_ours(name: str, owner_id: str) -> bool:
    """Whether a machine of that name belongs to this owner."""
    mark = parse(name)
    return mark is not None and mark.owner == owner_id[:OWNER_SIGNS]


def is_anothers(name: str, owner_id: str) -> bool:
    """Whether a name says that the machine is another owner's; one that says nothing does not."""
    mark = parse(name)
    return mark is not None and mark.owner != owner_id[:OWNER_SIGNS]
