"""When a cloud shows a machine."""

import pytest

from tests.cloud.sight import is_shown


@pytest.mark.parametrize(
    ("age_seconds", "gone_seconds", "is_seen"),
    [(9.9, None, False), (10.0, None, True), (500.0, 59.9, True), (500.0, 60.0, False), (9.0, 1.0, False)],
)
def test_a_machine_is_shown_from_its_lag_on_and_for_a_while_after_its_end(
    age_seconds: float, gone_seconds: float | None, is_seen: bool
) -> None:
    assert is_shown(age_seconds, lag_seconds=10, gone_seconds=gone_seconds, kept_seconds=60) is is_seen
