"""The fields of a line from a strange machine: each read with its type and bounds; no text can drive a terminal."""

import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime

TEXT_CAP = 600
"""Characters of a free text that are kept."""
MOST_METRICS = 32


class OddError(ValueError):
    """A field is not what the wire says."""


_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\x9c|$)"  # OSC, DCS, SOS, PM, APC up to their end
    r"|\x9b[0-?]*[ -/]*[@-~]|\x9d.*?(?:\x07|\x9c|$)"  # the same, begun by one 8-bit character
    r"|\x1b[ -/]*[0-~]?",
    re.DOTALL,
)
_SPACES = frozenset("\t\n\r\v\f\u2028\u2029\x85")
_NEVER = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Control, format (bidirectional marks, invisible characters), lone surrogates, separators of lines."""


def clean(text: str) -> str:
    """`text` on one line, without terminal escapes, control and invisible characters."""
    if text.isascii() and text.isprintable():  # as nearly all are
        return text
    bare = "".join(" " if one in _SPACES else one for one in _ESCAPES.sub("", text))
    return "".join(one for one in bare if unicodedata.category(one) not in _NEVER)


class Fields:
    """The fields of one line, each read with its type and bounds; raises `OddError` where one is not as agreed."""

    def __init__(self, raw: Mapping[str, object]) -> None:
        self._raw = raw

    def text(self, key: str, *, cap: int = TEXT_CAP, default: str | None = None) -> str:
        """A text, cleaned, and cut at `cap` characters."""
        found = self._raw.get(key, default)
        if not isinstance(found, str):
            raise OddError(f"{key} is not a text")
        return clean(found[: 4 * cap])[:cap]

    def matching(self, key: str, pattern: re.Pattern[str]) -> str:
        """A text that the whole pattern fits."""
        found = self._raw.get(key)
        if not isinstance(found, str) or not pattern.fullmatch(found):
            raise OddError(f"{key} is not as agreed")
        return found

    def whole(self, key: str, *, low: int = 0, high: int = 2**53) -> int:
        """A whole number from `low` to `high`."""
        found = self._raw.get(key)
        if isinstance(found, bool) or not isinstance(found, int) or not low <= found <= high:
            raise OddError(f"{key} is not a whole number between {low} and {high}")
        return found

    def truth(self, key: str) -> bool:
        """True or false."""
        found = self._raw.get(key)
        if not isinstance(found, bool):
            raise OddError(f"{key} is neither true nor false")
        return found

    def number(self, key: str) -> float | None:
        """A finite number; None where it is absent or null."""
        return None if self._raw.get(key) is None else _real(key, self._raw[key])

    def amount(self, key: str, *, low: float, high: float) -> float:
        """A number from `low` to `high` that must be there."""
        found = _real(key, self._raw.get(key))
        if not low <= found <= high:
            raise OddError(f"{key} is not between {low:g} and {high:g}")
        return found

    def moment(self, key: str) -> datetime:
        """An instant with its time zone, in UTC."""
        try:
            found = datetime.fromisoformat(self.text(key, cap=64))
            if found.tzinfo is None:
                raise OddError(f"{key} has no time zone")
            return found.astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise OddError(f"{key} is not a moment") from error

    def metrics(self, key: str) -> dict[str, float]:
        """Finite numbers by cleaned names."""
        found = self._raw.get(key)
        if not isinstance(found, dict) or len(found) > MOST_METRICS:
            raise OddError(f"{key} is not an object of at most {MOST_METRICS} numbers")
        return {clean(str(name))[:64]: _real(key, value) for name, value in found.items()}


def _real(key: str, found: object) -> float:
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise OddError(f"{key} is not a number")
    if abs(found) > 1e15 or not math.isfinite(found):
        raise OddError(f"{key} is out of bounds")
    return float(found)
