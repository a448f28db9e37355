"""`launch reap` on another machine: the ready-made timers and the workflow that run it there, under this owner."""

from pathlib import Path
from string import Template

GUARDS = Path(__file__).with_name("guards")


def guard(kind: str, owner_id: str) -> str:
    """The file for one kind of place; `owner_id` is how machines of this computer are known to their clouds."""
    return Template((GUARDS / f"{kind}.txt").read_text(encoding="utf-8")).substitute(owner=owner_id)
