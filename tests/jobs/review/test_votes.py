"""Votes: counted once each, of one page of one run, whatever file a stranger hands in."""

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.review.key import Keys, PageKey, Place, ReviewError, draw, keep, read
from jobs.review.votes import MOST_BYTES, VoteFile, page_of, read_votes, tally
from tests.jobs.judge.asked import item

PAGE = "0123456789abcdef"
IDS = [f"{at:012x}" for at in range(4)]


def page() -> PageKey:
    """Four items; the tuned answer is A, B, A, B; one more had the same answer twice."""
    places = (
        Place(id=one, item=at, cluster=at, first="base" if at % 2 else "tuned") for at, one in enumerate(IDS)
    )  # fmt: skip
    return PageKey(page=PAGE, arm="tuned", against="base", places=tuple(places), identical=(4,))


def said(*choices: str, voter: str = "Ada", **changes: Any) -> dict[str, Any]:
    votes = dict(zip(IDS, choices, strict=False))
    return {"schema": 1, "page": PAGE, "voter": voter, "votes": votes, **changes}


def votes(*choices: str, voter: str = "Ada") -> VoteFile:
    return VoteFile.model_validate(said(*choices, voter=voter))


def test_a_choice_counts_for_the_arm_that_stood_there() -> None:
    found = tally(page(), [votes("A", "A", "same", "skip")])
    assert (found.wins, found.ties, found.losses) == (1, 2, 1)
    assert (found.identical, found.skipped, found.voters, found.agreement) == (1, 1, 1, None)
    assert (found.share.value, found.share.n, found.distinguishable) == (0.5, 4, False)


def test_an_item_counts_once_by_the_most_frequent_choice_of_its_voters() -> None:
    three = [votes("A", "A", "A"), votes("A", "B", "B", voter="Bo"), votes("same", "B", voter="Cy")]
    found = tally(page(), three)
    assert (found.wins, found.ties, found.losses) == (2, 2, 0)
    assert found.agreement == pytest.approx(2 / 7)
    assert found.skipped == 1


def written(tmp_path: Path, name: str, document: object) -> Path:
    path = tmp_path / name
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


@pytest.mark.parametrize(
    "document",
    [
        "", "[]", "null", "{", "[" * 100_000, said("C"), said(schema=2), said(page="../../etc"), said(voter=""),
        said(voter="x" * 81), said(more=1), said(votes={"id": "A"}), said(votes={IDS[0]: 1}), said(votes=[]),
        said(votes={f"{at:012x}": "A" for at in range(10_001)}), "x" * (MOST_BYTES + 1),
        f'{{"schema": 1, "page": "{PAGE}", "voter": "v", "votes": {{"{IDS[0]}": "A", "{IDS[0]}": "B"}}}}',
    ],
    ids=lambda document: str(document)[:40],
)  # fmt: skip
def test_a_file_that_no_page_wrote_is_refused_with_its_name(tmp_path: Path, document: object) -> None:
    with pytest.raises(ReviewError, match=r"votes.json") as caught:
        read_votes(written(tmp_path, "votes.json", document))
    assert len(caught.value.message) < 500
    assert caught.value.message.isprintable()


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ReviewError, match=r"no.json cannot be read: No such file"):
        read_votes(tmp_path / "no.json")


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (said("A", page="f" * 16), "on a page of another run, not of brave-otter"),
        (said("A", voter=" ADA "), "ADA voted already, in one.json"),
        (said(voter="Bo", votes={"f" * 12: "A"}), "1 votes are on items that the page does not have"),
        (said("A", voter="Bo", page="1" * 16), "on another page than those of one.json"),
    ],
)
def test_votes_that_do_not_belong_together_are_not_counted(second: dict[str, Any], message: str) -> None:
    keys = Keys(pages=(page(), page().model_copy(update={"page": "1" * 16})))
    files = [(Path("one.json"), votes("A")), (Path("two.json"), VoteFile.model_validate(second))]
    with pytest.raises(ReviewError, match=message):
        page_of(files, keys, "brave-otter")


def test_a_page_is_drawn_over_what_differs_and_its_key_is_kept(tmp_path: Path) -> None:
    items = [item(at, tuned=f"mine {at}", base="same" if at else f"mine {at}") for at in range(40)]
    first, on_it = draw(items, "tuned", "base", 20)
    assert (len(first.places), first.identical, [one.number for one in on_it]) == (19, (0,), list(range(1, 20)))
    assert {one.first for one in first.places} == {"tuned", "base"}
    keep(first, tmp_path)
    second, _ = draw(items, "tuned", "base", 20)
    keep(second, tmp_path)
    assert read(tmp_path).pages == (first, second)
    assert len({first.page, second.page, *(one.id for one in (*first.places, *second.places))}) == 2 + 38


def test_where_there_is_nothing_to_choose_no_page_is_made() -> None:
    with pytest.raises(ReviewError, match="gave the same answer to all 3 items"):
        draw([item(at, tuned="x", base="x") for at in range(3)], "tuned", "base", 20)
    with pytest.raises(ReviewError, match="no items that both tuned and larger answered"):
        draw([item(1, tuned="x")], "tuned", "larger", 20)


def test_a_damaged_key_is_told_and_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "review_key.json").write_text("{}{")
    made, _ = draw([item(1, tuned="x", base="y")], "tuned", "base", 20)
    with pytest.raises(ReviewError, match="cannot be read"):
        keep(made, tmp_path)
    assert (tmp_path / "review_key.json").read_text() == "{}{"
