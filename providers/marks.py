"""A machine's name where a cloud has no token, as the one mark that always comes back: run, attempt, owner, nonce."""

import re
from dataclasses import dataclass

from providers.base import ContractBroken, InstanceRequest

OWNER_SIGNS = 8
"""Of the owner's id in a name: enough to tell the laptops of one account apart."""
_NAME = re.compile(
    r"launch-(?P<run>[a-z0-9-]+)-(?P<attempt>\d{1,3})-(?P<owner>[a-z0-9]{1,8})-(?P<nonce>[a-z0-9]{1,32})"
)


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What a name says."""

    run_id: str
    attempt: int
    owner: str
    """The first signs of the owner's id."""
    nonce: str


def name_of(request: InstanceRequest, owner_id: str, most: int) -> str:
    """The machine's name: unique by its nonce. Raises `ContractBroken` where it is longer than the cloud takes."""
    name = f"{request.name}-{owner_id[:OWNER_SIGNS]}-{request.nonce}"
    if len(name) > most or not _NAME.fullmatch(name):
        raise ContractBroken(f"a machine cannot be called {name!r}: at most {most} signs of a-z, 0-9 and -")
    return name


def parse(name: str) -> Mark | None:
    """What a name says; None for a name that is none of ours."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    return Mark(run_id=found["run"], attempt=int(found["attempt"]), owner=found["owner"], nonce=found["nonce"])


def is_ours(name: str, owner_id: str) -> bool:
    """Whether a machine of that name belongs to this owner."""
    mark = parse(name)
    return mark is not None and mark.owner == owner_id[:OWNER_SIGNS]


def is_anothers(name: str, owner_id: str) -> bool:
    """Whether a name says that the machine is another owner's; one that says nothing does not."""
    mark = parse(name)
    return mark is not None and mark.owner != owner_id[:OWNER_SIGNS]
