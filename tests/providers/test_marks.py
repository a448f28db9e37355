"""A machine's name as the one mark that always comes back."""

import string
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.run_names import ADJECTIVES, ANIMALS
from providers import marks
from providers.base import ContractBroken
from providers.lambda_cloud import MOST_NAME
from providers.marks import Mark
from tests.providers.samples import request

OWNER = "0123456789abcdef0123456789abcdef"
LONGEST = f"{max(ADJECTIVES.split(), key=len)}-{max(ANIMALS.split(), key=len)}-ffff"
SIGNS = string.ascii_lowercase + string.digits


def test_what_a_name_says_is_what_was_asked_for() -> None:
    asked = request(run_id="brave-otter-7f3a", attempt=12, nonce="a1b2c3")
    name = marks.name_of(asked, OWNER, 64)
    assert name == "launch-brave-otter-7f3a-12-01234567-a1b2c3"  # no deadline: launch makes longer nonces
    assert marks.parse(name) == Mark(run_id="brave-otter-7f3a", attempt=12, owner="01234567", nonce="a1b2c3")


@given(
    run=st.lists(st.text(SIGNS, min_size=1, max_size=9), min_size=1, max_size=4).map("-".join),
    attempt=st.integers(1, 999),
    nonce=st.text(SIGNS, min_size=1, max_size=32).filter(lambda found: len(found) != 25),
    owner=st.text(SIGNS, min_size=1, max_size=32),
)
def test_any_request_comes_back_from_its_name(run: str, attempt: int, nonce: str, owner: str) -> None:
    asked = replace(request(), run_id=run, attempt=attempt, nonce=nonce)
    found = marks.parse(marks.name_of(asked, owner, 255))
    assert found is not None
    assert replace(found, deadline=None) == Mark(run_id=run, attempt=attempt, owner=owner[:8], nonce=nonce)


@given(
    nonce=st.text("0123456789abcdef", min_size=24, max_size=24),
    deadline=st.floats(1.7e9, 2.17e9).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    attempt=st.integers(1, 99),
)
def test_the_deadline_comes_back_from_the_name_of_any_machine_of_ours(
    nonce: str, deadline: datetime, attempt: int
) -> None:
    asked = request(run_id=LONGEST, attempt=attempt, nonce=nonce, deadline=deadline)
    found = marks.parse(marks.name_of(asked, OWNER, MOST_NAME))
    assert found is not None
    assert (found.run_id, found.attempt, found.nonce) == (LONGEST, attempt, nonce)
    assert found.deadline is not None
    assert timedelta(0) <= found.deadline - deadline < timedelta(seconds=1)


def test_a_name_of_old_without_a_deadline_still_says_the_rest() -> None:
    nonce = "0123456789abcdef01234567"
    found = marks.parse(f"launch-brave-otter-7f3a-1-01234567-{nonce}")
    assert found == Mark(run_id="brave-otter-7f3a", attempt=1, owner="01234567", nonce=nonce)


def test_a_deadline_that_does_not_fit_is_left_out_and_the_nonce_is_not() -> None:
    asked = request(run_id=LONGEST, attempt=100, nonce="f" * 24)
    found = marks.parse(marks.name_of(asked, OWNER, MOST_NAME))
    assert found is not None
    assert (found.nonce, found.deadline) == ("f" * 24, None)
    far = replace(asked, deadline=datetime(2199, 1, 1, tzinfo=UTC))
    assert marks.name_of(far, OWNER, 255).endswith("-" + "f" * 24)


def test_the_longest_name_that_a_run_of_ours_can_have_fits_where_64_signs_are_allowed() -> None:
    asked = request(run_id=LONGEST, attempt=999, nonce="f" * 24)
    assert len(marks.name_of(asked, OWNER, MOST_NAME)) <= 64


def test_a_name_longer_than_the_cloud_takes_is_refused_and_never_cut() -> None:
    asked = request(run_id="brave-otter-7f3a", nonce="f" * 24)
    whole = marks.name_of(asked, OWNER, 64)
    assert marks.name_of(asked, OWNER, len(whole)) == whole
    bare = marks.name_of(asked, OWNER, len(whole) - 1)  # the deadline is what can be done without
    assert bare.endswith(asked.nonce)
    with pytest.raises(ContractBroken, match="at most"):
        marks.name_of(asked, OWNER, len(bare) - 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"run_id": "Brave"},
        {"run_id": "a b"},
        {"nonce": ""},
        {"nonce": "a-b"},
        {"attempt": 1000},
        {"nonce": "0" * 19 + "zzzzzz"},
    ],
)
def test_a_name_that_could_not_be_read_back_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ContractBroken):
        marks.name_of(request(**changes), OWNER, 255)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "launch",
        "my-training",
        "launch-brave-otter-7f3a-1",
        "launch-brave-otter-7f3a-1-01234567-",
        "launch-brave-otter-7f3a-1-012345678-a1",
        "relaunch-brave-otter-7f3a-1-01234567-a1",
        "launch-brave-otter-7f3a-1-01234567-a1\n",
        "LAUNCH-brave-otter-7f3a-1-01234567-a1",
    ],
)
def test_a_name_that_a_person_gave_says_nothing(name: str) -> None:
    assert marks.parse(name) is None
    assert not marks.is_ours(name, OWNER)


def test_a_name_is_ours_by_the_first_signs_of_the_owner() -> None:
    name = marks.name_of(request(), OWNER, 255)
    assert marks.is_ours(name, OWNER)
    assert not marks.is_ours(name, f"f{OWNER[1:]}")
