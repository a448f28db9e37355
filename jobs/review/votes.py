"""Counts what people said on a blind page: files of strangers, checked before a vote of theirs counts."""

import json
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jobs.judge.wins import LOSS, TIE, WIN, counted
from jobs.progress import clean
from jobs.results.summary import Votes
from jobs.review.key import ItemId, Keys, PageId, PageKey, ReviewError

MOST_BYTES = 1 << 20
"""Of one file: 10,000 votes of 40 bytes, twice over."""
MOST_VOTES = 10_000

Choice = Literal["A", "B", "same", "skip"]


class VoteFile(BaseModel):
    """What the page saves."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    schema_: Annotated[Literal[1], Field(alias="schema")]
    page: PageId
    voter: Annotated[str, Field(min_length=1, max_length=80)]
    votes: Annotated[dict[ItemId, Choice], Field(max_length=MOST_VOTES)]

    @property
    def who(self) -> str:
        """The voter as two files are compared by."""
        return " ".join(self.voter.casefold().split())


def read_votes(path: Path) -> VoteFile:
    """One file. Raises `ReviewError`."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ReviewError(f"{path}: more than {MOST_BYTES:,} bytes; no page of ours saves so much")
        found = json.loads(path.read_bytes(), object_pairs_hook=_once)
        return VoteFile.model_validate(found)
    except OSError as error:
        raise ReviewError(f"{path} cannot be read: {error.strerror}", f"ls {path.parent}/votes-*.json") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ReviewError(
            clean(f"{path}: {place or 'the file'}: {first['msg']}")[:300],
            "the file that `Save votes` on the page wrote",
        ) from error
    except (ValueError, RecursionError) as error:
        raise ReviewError(
            f"{path} is no file of votes ({clean(str(error))[:100]})", "the file that `Save votes` on the page wrote"
        ) from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("something stands twice in it")
    return found


def page_of(files: Sequence[tuple[Path, VoteFile]], keys: Keys, run_id: str) -> PageKey:
    """The page that all of them voted on.

    Raises `ReviewError` where it is not one page of this run, where one voter comes twice, and where a vote is on an
    item that the page does not have.
    """
    pages = {one.page: one for one in keys.pages}
    first = files[0][1].page
    voters: dict[str, Path] = {}
    for path, one in files:
        if one.page not in pages:
            raise ReviewError(f"{path}: these votes are on a page of another run, not of {run_id}", "launch ps")
        if one.page != first:
            raise ReviewError(f"{path}: these votes are on another page than those of {files[0][0]}: count them apart")
        if one.who in voters:
            text = f"{path}: {clean(one.voter).strip()} voted already, in {voters[one.who]}"
            raise ReviewError(text, "the later of the two files, only")
        foreign = set(one.votes) - {place.id for place in pages[first].places}
        if foreign:
            raise ReviewError(f"{path}: {len(foreign)} votes are on items that the page does not have ({min(foreign)})")
        voters[one.who] = path
    return pages[first]


def tally(page: PageKey, files: Sequence[VoteFile]) -> Votes:
    """Each item once, by the most frequent choice of its voters (two of them: a tie); skipped ones not at all."""
    outcomes, clusters, skipped, pairs = [TIE] * len(page.identical), list(page.identical), 0, []
    for place in page.places:
        won, lost = ("A", "B") if place.first == page.arm else ("B", "A")
        of = {won: WIN, lost: LOSS, "same": TIE}
        said = [of[choice] for one in files if (choice := one.votes.get(place.id, "skip")) != "skip"]
        if not said:
            skipped += 1
            continue
        pairs += [mine == theirs for mine, theirs in combinations(said, 2)]
        outcomes.append(_of_most(said))
        clusters.append(place.cluster)
    wins = counted(outcomes, clusters)
    return Votes(
        arm=page.arm,
        against=page.against,
        wins=wins.wins,
        ties=wins.ties,
        losses=wins.losses,
        share=wins.share,
        distinguishable=wins.distinguishable,
        voters=len(files),
        agreement=sum(pairs) / len(pairs) if pairs else None,
        identical=len(page.identical),
        skipped=skipped,
    )


def _of_most(said: Sequence[float]) -> float:
    (first, most), *rest = Counter(said).most_common()
    return TIE if rest and rest[0][1] == most else first
