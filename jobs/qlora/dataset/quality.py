"""Doubts about rows whose structure is sound: leaked marks, empty or cut answers, odd lengths, odd scripts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log
from statistics import median

from .records import Bad
from .rows import Row
from .scripts import script_of

Doubt = tuple[Row, Bad]

LEAKED = re.compile(
    # ChatML, Llama 3, Phi, GLM, and the like: <|im_end|>, <|eot_id|>, <|endoftext|>; DeepSeek with its own bars.
    r"<[|｜][^\s<>|｜]{1,40}[|｜]>"
    # Mistral and Llama 2: [INST] … [/INST], <<SYS>>; and what their tokenizers begin and end a text with.
    r"|\[/?INST\]|<</?SYS>>|</?s>|\[/?(?:AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|SYSTEM_PROMPT)\]"
    # Gemma; and pads and ends of many others.
    r"|<(?:start_of_turn|end_of_turn|bos|eos|pad|unk)>"
    # Alpaca's headings, as they stand in rows that went through that template.
    r"|^### (?:Instruction|Response):",
    re.MULTILINE,
)
"""Marks of chat templates, by family."""
MOJIBAKE = re.compile("\ufffd|Ã[\u0080-\u00bf]|â€[™œ\u009d“”¦]|Â[\u00a0-\u00bf]")
"""U+FFFD, and UTF-8 that was read as Latin-1 or Windows-1252 (é as Ã©, ’ as â€™)."""
CONTROL = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]")
HTML = re.compile(
    r"&(?:nbsp|amp|lt|gt|quot|#\d{2,5});|<br ?/?>|</?(?:div|span|p|a|td|tr|li|ul|table|script|style|font)(?: [^<>]*)?>",
    re.IGNORECASE,
)
BOILERPLATE = re.compile(r"\bas an? (?:ai|artificial intelligence)(?: language)? (?:model|assistant)\b", re.IGNORECASE)
PLACEHOLDERS = frozenset({"n/a", "na", "nan", "none", "null", "nil", "undefined", "tbd", "-", "--", "?", ".", "..."})
"""What tables put where there is nothing."""

CONTEXT = 60
"""Characters of a text that are shown before what was found in it."""
FEWEST = 20
"""Rows, from which on "the others" means something (assumed)."""
SELDOM = 0.05
"""A share below which something is an exception and not the task itself (assumed): HTML, placeholder answers."""
NEARLY_ALL = 0.95
"""Of the rows, that share a script; another script is then told."""
MOSTLY_JSON = 0.9
"""Of the answers, that parse as JSON; one that does not is then told."""
SCORE = 3.5
"""Modified z-score of Iglewicz and Hoaglin (1993), their limit for an outlier: 0.6745 · |x - median| / MAD."""
LEAST_FACTOR = 4
"""An outlier is also so many times longer or shorter than the median: rows of one length have no spread (assumed)."""


def doubts(rows: Sequence[Row]) -> Iterator[Doubt]:
    """Each doubt about each row of one file, by kind and then in the order of the rows; a row may have several."""
    for row in rows:
        yield from ((row, bad) for bad in _marks(row))
    yield from _empty_targets(rows)
    yield from _broken_json(rows)
    yield from _html(rows)
    yield from _lengths(rows)
    yield from _scripts(rows)


def _marks(row: Row) -> Iterator[Bad]:
    """What can be said of one row by itself; of each kind the first place."""
    said = set()
    for at, (role, text) in enumerate(row.messages):
        for code, pattern in (("leaked-token", LEAKED), ("mojibake", MOJIBAKE), ("control-character", CONTROL)):
            if code not in said and (match := pattern.search(text)):
                said.add(code)
                detail = f"messages[{at}] ({role}): {match.group()!r} at character {match.start() + 1}"
                yield Bad(code, detail, shown=text[max(0, match.start() - CONTEXT) :])
    target = row.target
    asked = row.messages[-2][1]
    if target.strip() == asked.strip():
        yield Bad("echoed-target", "question and answer are the same text")
    if BOILERPLATE.search(target):
        yield Bad("boilerplate-target", "it says “as an AI …”")
    if target.count("```") % 2:
        yield Bad("open-fence-target", f"{target.count('```')} times ```")


def _empty_targets(rows: Sequence[Row]) -> Iterator[Doubt]:
    """Answers without a letter or digit, and placeholders, unless so many answers are the same that it is a class."""
    empty = [row for row in rows if _says_nothing(row.target)]
    often = {text for text, count in _counted(row.target for row in empty).items() if count > SELDOM * len(rows)}
    for row in empty:
        if len(rows) < FEWEST or row.target not in often:
            yield row, Bad("near-empty-target", f"it is {row.target.strip()!r}")


def _says_nothing(target: str) -> bool:
    bare = target.strip()
    return bare.lower() in PLACEHOLDERS or (len(bare) < 40 and not any(map(str.isalnum, bare)))


def _counted(texts: Iterator[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for text in texts:
        counts[text] = counts.get(text, 0) + 1
    return counts


def _broken_json(rows: Sequence[Row]) -> Iterator[Doubt]:
    """Answers that are no JSON object or list, where nearly all are."""
    if not rows:
        return
    wrong = [(row, why) for row in rows if (why := _json_fault(row.target))]
    if wrong and len(wrong) < (1 - MOSTLY_JSON) * len(rows):
        yield from ((row, Bad("broken-json-target", why)) for row, why in wrong)


def _json_fault(target: str) -> str:
    bare = target.strip()
    if not bare.startswith(("{", "[")):
        return "it does not begin with { or ["
    try:
        json.loads(bare)
    except json.JSONDecodeError as error:
        end = ", its end: it was cut" if error.pos >= len(bare) or "Unterminated" in error.msg else ""
        return f"{error.msg}, character {error.pos + 1} of {len(bare)}{end}"
    except (ValueError, RecursionError) as error:
        return str(error)[:100]
    return ""


def _html(rows: Sequence[Row]) -> Iterator[Doubt]:
    if len(rows) < FEWEST:
        return
    marked = [(row, match) for row in rows for _, text in row.messages if (match := HTML.search(text))]
    seen: set[int] = set()
    if len(marked) < SELDOM * len(rows):
        for row, match in marked:
            if id(row) not in seen:
                seen.add(id(row))
                yield row, Bad("html-junk", match.group())


@dataclass(frozen=True)
class _Lengths:
    """Lengths in characters: their median, and the spread of their logarithms."""

    median: float
    deviation: float
    """The median absolute deviation from the median, of the logarithms."""

    @classmethod
    def of(cls, lengths: Sequence[int]) -> _Lengths:
        middle = median(lengths)
        return cls(middle, median(abs(log(length / middle)) for length in lengths))

    def is_outlier(self, length: int) -> bool:
        """Far away by the spread of the others, and by a plain factor."""
        distance = abs(log(length / self.median))
        return distance > log(LEAST_FACTOR) and 0.6745 * distance > SCORE * self.deviation


def _lengths(rows: Sequence[Row]) -> Iterator[Doubt]:
    """Rows and answers whose length is an outlier: robustly, since the outliers are among what is measured."""
    if len(rows) < FEWEST:
        return
    whole, answer = _Lengths.of([row.characters for row in rows]), _Lengths.of([len(row.target) for row in rows])
    for row in rows:
        for what, length, of in (("row", row.characters, whole), ("answer", len(row.target), answer)):
            if of.is_outlier(length):
                yield (
                    row,
                    Bad("length-outlier", f"the {what} has {length:,} characters; the median is {of.median:,.0f}"),
                )
                break


def _scripts(rows: Sequence[Row]) -> Iterator[Doubt]:
    """Rows, questions and answers, mostly in another script than nearly all others.

    Each by itself: a record of ASCII keys would hide the script of the message that it was made from.
    """
    if len(rows) < FEWEST:
        return
    said: set[int] = set()
    for what, texts in (
        ("row", ["\n".join(text for _, text in row.messages) for row in rows]),
        ("question", [row.asked for row in rows]),
        ("answer", [row.target for row in rows]),
    ):
        scripts = [script_of(text) for text in texts]
        counts = _counted(script for script in scripts if script)
        usual = max(counts, key=lambda one: counts[one], default="")
        if not counts or counts[usual] < NEARLY_ALL * sum(counts.values()):
            continue
        for row, script in zip(rows, scripts, strict=True):
            if script not in ("", usual) and id(row) not in said:
                said.add(id(row))
                yield row, Bad("script-outlier", f"the {what} is mostly {script}; nearly all others are {usual}")
