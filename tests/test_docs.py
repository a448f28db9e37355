"""What README and docs show is what the program says: transcripts agree with their receipts, and name their command."""

import json
from pathlib import Path

import pytest

from launcher import display, kept

RUNS = Path(__file__).resolve().parent.parent / "docs" / "runs"


@pytest.mark.parametrize("name", ["aws", "local"])
def test_a_transcript_ends_with_the_receipt_of_its_run_as_it_is_shown_today(name: str) -> None:
    receipt = kept.receipt((RUNS / f"{name}.receipt.json").read_text())
    shown = display.receipt(receipt, width=90)
    assert (RUNS / f"{name}.txt").read_text().rstrip().endswith(shown.rstrip())


@pytest.mark.parametrize("name", ["aws", "local"])
def test_the_run_that_the_readme_shows_learned_something_and_left_nothing(name: str) -> None:
    document = json.loads((RUNS / f"{name}.receipt.json").read_text())
    arms = {score["arm"]: score["metrics"] for score in document["scores"]}
    assert arms["base"]["exact"] <= 0.05
    assert arms["tuned"]["exact"] > 0.85
    assert document["terminated"]["confirmed"]
    assert document["leftovers"] == []


def test_the_readme_shows_the_transcript() -> None:
    readme = (RUNS.parent.parent / "README.md").read_text()
    assert (RUNS / "aws.txt").read_text().rstrip() in readme
