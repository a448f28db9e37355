"""A cloud's JSON taken apart: what is needed must be there and of its kind, and a stranger's text obeys nobody."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from providers import reading
from providers.base import Ambiguous, Unavailable
from providers.reading import Odd


@pytest.mark.parametrize("value", [None, [], "a", 1, True])
def test_what_is_no_object_is_odd_and_is_named(value: object) -> None:
    with pytest.raises(Odd, match="the pod is no object"):
        reading.row(value, "the pod")


@pytest.mark.parametrize("document", [{}, {"pods": None}, {"pods": {}}, {"pods": "none"}])
def test_a_list_that_is_missing_is_never_an_empty_one(document: object) -> None:
    with pytest.raises(Odd, match="pods is no list"):
        reading.rows(document, "pods")


def test_an_empty_list_is_one() -> None:
    assert reading.rows({"pods": []}, "pods") == []


def test_an_entry_that_is_no_object_makes_the_whole_list_odd() -> None:
    with pytest.raises(Odd, match="an entry of pods"):
        reading.rows({"pods": [{}, None]}, "pods")


@pytest.mark.parametrize("value", [None, "", 1, ["a"]])
def test_a_text_that_is_needed_is_no_number_and_not_empty(value: object) -> None:
    with pytest.raises(Odd, match="id is no text"):
        reading.text({"id": value}, "id")


@pytest.mark.parametrize("value", [None, 1, ["a"], {}])
def test_a_text_that_may_be_missing_is_empty_then(value: object) -> None:
    assert reading.maybe_text({"name": value}, "name") == ""


@pytest.mark.parametrize("value", [None, "8", 1.5, -1, True, Decimal(1), 10**9 + 1, 10**400])
def test_only_whole_numbers_from_nought_count(value: object) -> None:
    with pytest.raises(Odd, match="vcpus is no whole number"):
        reading.whole({"vcpus": value}, "vcpus")


def test_a_whole_number_is_taken_as_it_is() -> None:
    assert [reading.whole({"n": value}, "n") for value in (0, 8)] == [0, 8]


@pytest.mark.parametrize(
    "value",
    [None, "0.5", 0, Decimal(0), -1, True, Decimal("NaN"), Decimal("Infinity"), [],
     Decimal("1e9999999"), 10**30, Decimal("1000000.01"), Decimal("1e-9999999")],
)  # fmt: skip
def test_no_answer_of_a_cloud_means_free(value: object) -> None:
    assert reading.maybe_usd(value) is None


def test_an_amount_is_kept_to_its_last_digit() -> None:
    assert [reading.maybe_usd(value) for value in (Decimal("0.1"), 129)] == [Decimal("0.1"), Decimal(129)]


@pytest.mark.parametrize(
    "value",
    [None, "", "soon", "2026-11-24T12:00:00", 1_700_000_000, "2026-13-40T00:00:00Z",
     "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "1999-12-31T00:00:00Z", "2200-01-01T00:00:00Z"],
)  # fmt: skip
def test_a_time_without_a_zone_or_sense_is_none(value: object) -> None:
    assert reading.maybe_instant(value) is None


def test_a_time_with_a_zone_is_that_instant() -> None:
    noon = datetime(2026, 11, 24, 12, tzinfo=UTC)
    told = ("2026-11-24T12:00:00Z", "2026-11-24T13:00:00+01:00", "2026-11-24T12:00:00.000+00:00")
    assert [reading.maybe_instant(value) for value in told] == [noon] * 3


@pytest.mark.parametrize(
    "value",
    ["", "soon", "Tue, 24 Nov 2026 12:00:00 -0000", "Mon, 01 Jan 99999 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT",
     "Mon, 01 Jan 99999999999999999 00:00:00 GMT", "Mon, 01 Jan 0001 00:00:00 +9999"],
)  # fmt: skip
def test_a_date_header_without_a_zone_or_sense_is_none(value: str) -> None:
    assert reading.maybe_http_date(value) is None


def test_a_date_header_is_that_instant() -> None:
    assert reading.maybe_http_date("Tue, 24 Nov 2026 12:00:00 GMT") == datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("words", "number"), [("7", 7), ("999999999", 999999999), ("9" * 5000, None), ("", None), ("²", None), ("-1", None)]
)
def test_a_number_in_a_text_has_few_plain_digits(words: str, number: int | None) -> None:
    assert reading.maybe_number(words) == number


@pytest.mark.parametrize(("words", "seconds"), [("7", 7.0), ("86400", 3600.0), ("9" * 400, None), ("soon", None)])
def test_nobody_makes_us_wait_longer_than_an_hour(words: str, seconds: float | None) -> None:
    assert reading.retry_seconds(words) == seconds


def test_a_strangers_text_moves_no_cursor_and_stays_on_its_line() -> None:
    assert reading.printable("a\x1b[2Jb\r\n\tc\x00\u202ed") == "a [2Jb c d"


def test_a_strangers_text_is_cut() -> None:
    assert len(reading.printable("x" * 10_000)) == reading.LONGEST


def test_an_odd_answer_leaves_a_change_open_and_says_nothing_to_a_reader() -> None:
    read, act = (reading.unusable("Cloud", Odd("id is no text"), acts=acts) for acts in (False, True))
    assert (type(read), type(act)) == (Unavailable, Ambiguous)
    assert (read.text, read.code) == ("Cloud answered something odd: id is no text", "odd-answer")
