"""Which answer stood where on a blind page: kept in the folder that we keep of a run, never in the page."""

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jobs.judge.exchanges import Exchange

FILE = "review_key.json"
MOST_PAGES = 100
"""Kept of one run; the oldest go first (assumed)."""

PageId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
ItemId = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
Arm = Literal["tuned", "base", "prompted", "larger"]


class ReviewError(Exception):
    """A page cannot be made, or votes cannot be counted; `hint` is what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Place(_Kept):
    """One item of a page: under its opaque id, which arm's answer is A."""

    id: ItemId
    item: int
    cluster: int
    first: Arm


class PageKey(_Kept):
    """One page. `identical`: the clusters of items whose two answers were the same, which are ties and not on it."""

    page: PageId
    arm: Arm
    against: Arm
    places: tuple[Place, ...]
    identical: tuple[int, ...] = ()


class Keys(_Kept):
    """All pages of a run, the latest last."""

    pages: tuple[PageKey, ...] = ()


def draw(items: Sequence[Exchange], arm: Arm, against: Arm, most: int) -> tuple[PageKey, list[Exchange]]:
    """A new page over at most so many items that both arms have: who is A is a coin's throw for each of them.

    The items on the page, in its order, come beside. Raises `ReviewError` where there is nothing to choose between.
    """
    both = [one for one in items if {arm, against} <= set(one.answers)][:most]
    asked = [one for one in both if not one.same(arm, against)]
    if not asked:
        raise ReviewError(
            f"{arm} and {against} gave the same answer to all {len(both)} items: nobody needs to choose"
            if both
            else f"there are no items that both {arm} and {against} answered",
        )
    places = tuple(
        Place(
            id=secrets.token_hex(6),
            item=one.number,
            cluster=one.cluster,
            first=arm if secrets.randbits(1) else against,
        )
        for one in asked
    )
    identical = tuple(one.cluster for one in both if one.same(arm, against))
    made = PageKey(page=secrets.token_hex(8), arm=arm, against=against, places=places, identical=identical)
    return made, asked


def keep(made: PageKey, run_folder: Path) -> None:
    """Add it to the run's pages. Raises `OSError`."""
    found = Keys(pages=(*read(run_folder).pages, made)[-MOST_PAGES:])
    aside = run_folder / f".{FILE}.part"
    with aside.open("w", encoding="utf-8") as file:
        file.write(found.model_dump_json() + "\n")
        file.flush()
        os.fsync(file.fileno())
    aside.replace(run_folder / FILE)


def read(run_folder: Path) -> Keys:
    """The run's pages. Raises `ReviewError` where the file is damaged."""
    path = run_folder / FILE
    try:
        return Keys.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Keys()
    except ValidationError as error:
        raise ReviewError(f"{path} cannot be read: votes on older pages are lost", f"rm {path}") from error
