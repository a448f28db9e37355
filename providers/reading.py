"""Takes a cloud's JSON apart: what we need must be there and of its kind, all else may be what it likes."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

from providers.base import ProviderError, Unavailable
from providers.rest import no_answer

Row = Mapping[str, Any]
LONGEST = 300
NOTHING_USD = Decimal(0)
LEAST_USD, MOST_USD = Decimal("1e-9"), Decimal(1_000_000)
"""Of an amount: with more or less than that nobody can count on without an overflow, or a price of nothing."""
MOST_WHOLE = 10**9
MOST_DIGITS = 9
YEARS = range(2000, 2200)
"""An instant outside them is a mistake of somebody's, and leaves no room to count from it."""
MOST_RETRY_SECONDS = 3600.0


class Odd(Exception):
    """A part of an answer is missing, or of another kind than the interface says; its text names the part."""


def row(value: object, what: str) -> Row:
    """An object."""
    if not isinstance(value, Mapping):
        raise Odd(f"{what} is no object")
    return value


def rows(document: object, key: str) -> list[Row]:
    """The list of objects under `key`; its absence is never an empty list."""
    found = row(document, "the answer").get(key)
    if not isinstance(found, list):
        raise Odd(f"{key} is no list")
    return [row(one, f"an entry of {key}") for one in found]


def text(value: Row, key: str) -> str:
    """A text that is not empty."""
    found = value.get(key)
    if not isinstance(found, str) or not found:
        raise Odd(f"{key} is no text")
    return found


def maybe_text(value: Row, key: str) -> str:
    """A text; "" where there is none."""
    found = value.get(key)
    return found if isinstance(found, str) else ""


def whole(value: Row, key: str) -> int:
    """A whole number from 0 to a thousand millions."""
    found = maybe_whole(value.get(key))
    if found is None:
        raise Odd(f"{key} is no whole number")
    return found


def maybe_whole(value: object) -> int | None:
    """The same; None for all else."""
    is_one = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_WHOLE
    return value if is_one and isinstance(value, int) else None


def maybe_usd(value: object) -> Decimal | None:
    """An amount above zero and of this world; None for all else: no answer of a cloud means "free"."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    amount_usd = Decimal(value)
    return amount_usd if amount_usd.is_finite() and LEAST_USD <= amount_usd <= MOST_USD else None


def maybe_instant(value: object) -> datetime | None:
    """An aware time in RFC 3339; None for all else (tags and names can be edited by hand)."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return _sensible(found)


def maybe_http_date(value: str) -> datetime | None:
    """The aware time of a `Date` header; None for all else."""
    try:
        return _sensible(parsedate_to_datetime(value))
    except (ValueError, TypeError, OverflowError):
        return None


def maybe_number(words: str) -> int | None:
    """A whole number in few plain digits, as it stands in tags and headers; None for all else."""
    return int(words) if words.isascii() and words.isdecimal() and len(words) <= MOST_DIGITS else None


def retry_seconds(words: str) -> float | None:
    """How long a `Retry-After` wants us to wait, an hour at most; None where it does not say in seconds."""
    told = maybe_number(words)
    return None if told is None else min(float(told), MOST_RETRY_SECONDS)


def _sensible(found: datetime) -> datetime | None:
    return found if found.tzinfo and found.year in YEARS else None


def printable(value: object) -> str:
    """A text of a stranger on one line, without what a terminal would obey."""
    kept = "".join(sign if sign.isprintable() else " " for sign in str(value)[: 4 * LONGEST])
    return " ".join(kept.split())[:LONGEST]


def unusable(name: str, odd: Odd, *, acts: bool = False) -> ProviderError:
    """An answer whose needed part is odd, as the error that it is: it says nothing about any machine."""
    return no_answer(f"{name} answered something odd: {odd}", "odd-answer", acts=acts)


__all__: Sequence[str] = (
    "Odd", "Row", "Unavailable", "maybe_http_date", "maybe_instant", "maybe_number", "maybe_text", "maybe_usd",
    "maybe_whole", "printable", "retry_seconds", "row", "rows", "text", "unusable", "whole",
)  # fmt: skip
