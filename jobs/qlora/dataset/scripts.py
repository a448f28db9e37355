"""Which script a text is mostly written in, by the Unicode blocks of its letters; fast, and without a library."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from functools import cache

_BLOCKS = (
    (0x0041, "Latin"),
    (0x0370, "Greek"),
    (0x0400, "Cyrillic"),
    (0x0530, "Armenian"),
    (0x0590, "Hebrew"),
    (0x0600, "Arabic"),
    (0x0700, "other"),
    (0x0750, "Arabic"),
    (0x0780, "other"),
    (0x08A0, "Arabic"),
    (0x0900, "Devanagari"),
    (0x0980, "Indic"),
    (0x0E00, "Thai"),
    (0x0E80, "other"),
    (0x10A0, "Georgian"),
    (0x1100, "Hangul"),
    (0x1200, "other"),
    (0x1E00, "Latin"),
    (0x1F00, "Greek"),
    (0x2000, "other"),
    (0x2C60, "Latin"),
    (0x2C80, "other"),
    (0x2E80, "Han or Kana"),
    (0x3130, "Hangul"),
    (0x3190, "Han or Kana"),
    (0xA000, "other"),
    (0xAC00, "Hangul"),
    (0xD800, "other"),
    (0xF900, "Han or Kana"),
    (0xFB00, "Latin"),
    (0xFB13, "Armenian"),
    (0xFB1D, "Hebrew"),
    (0xFB50, "Arabic"),
    (0xFE00, "other"),
    (0xFE70, "Arabic"),
    (0xFF21, "Latin"),
    (0xFF66, "Han or Kana"),
    (0xFFA0, "Hangul"),
    (0xFFE0, "other"),
    (0x20000, "Han or Kana"),
    (0x32000, "other"),
)
"""Where blocks of a script begin (Unicode's Blocks.txt, joined). Japanese mixes Han and Kana, so they are one."""
_STARTS = [start for start, _ in _BLOCKS]


def script_of(text: str) -> str:
    """The script of most of a text's letters; "" for a text without letters."""
    if text.isascii():
        return "Latin" if text.upper() != text.lower() else ""
    counts: Counter[str] = Counter()
    for character, count in Counter(text).items():
        counts[_script(character)] += count
    del counts[""]
    return max(sorted(counts), key=lambda one: counts[one], default="")


@cache
def _script(character: str) -> str:
    if not character.isalpha():
        return ""
    return _BLOCKS[bisect_right(_STARTS, ord(character)) - 1][1]
