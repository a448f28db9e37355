"""People as judges: a blind page made of a run's answers, and the votes that came back, counted into its summary."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.whole_files import write_below, write_whole
from launcher.errors import Exit, LaunchError
from launcher.judging import Ran, items_of

if TYPE_CHECKING:  # for start-up time
    from jobs.results.summary import Votes

# jobs.review and jobs.results (pydantic, numpy) are imported inside the functions, for start-up time.

AGAINST = ("prompted", "base", "larger")
"""With whom the tuned answers are compared where nobody says: the first of them that there is."""
VOTES = "eval/votes.json"


@dataclass(frozen=True, kw_only=True)
class Made:
    """A page that was written: over how many items, and how many more were left off as the same answer twice."""

    file: Path
    page: str
    against: str
    items: int
    identical: int


def make(of: Ran, *, against: str | None, most: int, out: Path | None) -> Made:
    """Write a new page and keep its key. Raises `LaunchError` where there is nothing to compare."""
    from jobs.review.key import ReviewError, draw, keep
    from jobs.review.page import page

    items = items_of(of, ("tuned", *AGAINST))
    there = [arm for arm in AGAINST if any(arm in one.answers for one in items)]
    if against is None and not there:
        raise _failed(of, "there is only the tuned model's own evaluation: nothing to compare it with", "")
    chosen = against or there[0]
    file = out or of.out_dir / "review.html"
    try:
        made, on_it = draw(items, "tuned", chosen, most)  # type: ignore[arg-type]  # click and AGAINST name arms only
        keep(made, of.run_folder)
    except ReviewError as error:
        raise _failed(of, error.message, error.hint) from error
    write_whole(file, page(made, on_it, of.id))
    return Made(file=file, page=made.page, against=chosen, items=len(on_it), identical=len(made.identical))


def count(of: Ran, files: Sequence[Path]) -> "tuple[Votes, ...]":
    """Count votes on one page of the run, write `eval/votes.json`, and give back all that there are by now.

    A newer count of the same pair of arms takes the place of the older one. Raises `LaunchError`.
    """
    from jobs.review.key import ReviewError, read
    from jobs.review.votes import page_of, read_votes, tally

    try:
        said = [(path, read_votes(path)) for path in files]
        page = page_of(said, read(of.run_folder), of.id)
    except ReviewError as error:
        raise _failed(of, error.message, error.hint) from error
    found = tally(page, [one for _, one in said])
    others = [one for one in kept_votes(of) if (one.arm, one.against) != (found.arm, found.against)]
    votes = (found, *others)
    document = {"schema": 1, "votes": [one.model_dump(mode="json") for one in votes]}
    write_below(of.out_dir, VOTES, json.dumps(document, indent=1) + "\n")
    return votes


def kept_votes(of: Ran) -> "tuple[Votes, ...]":
    """What was counted before; () where nothing was, or nobody can read it any more."""
    from pydantic import ValidationError

    from jobs.results.summary import Votes

    try:
        rows: list[Any] = json.loads((of.out_dir / VOTES).read_bytes())["votes"]
        return tuple(Votes.model_validate(row) for row in rows)
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return ()


def _failed(of: Ran, message: str, hint: str) -> LaunchError:
    hint = hint or f"launch review {of.id}     # writes the page anew"
    return LaunchError(message, code="review", exit_code=Exit.USAGE, hint=hint)
