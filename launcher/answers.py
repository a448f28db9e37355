"""Reads the JSON answers of a machine that is not trusted: small, well-formed, of the promised types, or refused."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import NoReturn

from launcher.remote import Completed, RemoteError

_TEXT_CHARACTERS = 500
_LARGEST = 2**62
_SHA256 = re.compile(r"[0-9a-f]{64}")


class GuestError(RemoteError):
    """The machine's side refused, or answered something that docs/guest.md does not allow."""


class GuestGone(GuestError):
    """Our program is not on the machine any more: it began anew with a fresh disk, and what ran there is lost."""


NO_PROGRAM = 2
"""Python's exit code for a file that it cannot open."""


def read(done: Completed, verb: str, limit: int) -> "Answer":
    """The one JSON object that a verb printed, in at most `limit` bytes. Raises `GuestError`, also for its refusal."""
    try:
        document = _parsed(done.stdout, limit)
    except (ValueError, RecursionError) as odd:
        if done.exit_code == NO_PROGRAM and not done.stdout:
            raise GuestGone(f"{verb}: {printable(done.stderr)}") from odd
        why = f"exit {done.exit_code}: {printable(done.stderr)}" if done.exit_code else str(odd)
        raise GuestError(f"{verb}: no usable answer, {printable(why)}") from odd
    if done.exit_code != 0 or "error" in document:
        raise GuestError(f"{verb}: {printable(str(document.get('error', ''))) or f'exit {done.exit_code}'}")
    return Answer(document, verb)


def printable(text: str) -> str:
    """At most 500 characters of a strange text on one line, without what a terminal would obey."""
    kept = "".join(sign if sign.isprintable() else " " for sign in text[: 4 * _TEXT_CHARACTERS])
    return " ".join(kept.split())[:_TEXT_CHARACTERS]


class Answer:
    """One JSON object: each reader gives the promised type or raises `GuestError`; `or_else` is for absent and null."""

    def __init__(self, values: Mapping[str, object], verb: str) -> None:
        self._values, self._verb = values, verb

    def text(self, key: str, *, or_else: str | None = None) -> str:
        """A text, made printable."""
        return printable(self.raw(key, or_else=or_else))

    def raw(self, key: str, *, or_else: str | None = None) -> str:
        """A text exactly as it came: for comparing, never for showing."""
        value = self._value(key, or_else)
        return value if isinstance(value, str) else self._wrong(key, "a text")

    def word(self, key: str, words: Sequence[str], *, or_else: str | None = None) -> str:
        """One of `words`."""
        value = self.raw(key, or_else=or_else)
        return value if value in words else self._wrong(key, f"one of {', '.join(words)}")

    def says(self, key: str) -> bool:
        """Whether it is there, and not null."""
        return self._values.get(key) is not None

    def matching(self, key: str, form: re.Pattern[str]) -> str:
        """A text that is of that form from its first sign to its last."""
        value = self.raw(key)
        return value if form.fullmatch(value) else self._wrong(key, "well-formed")

    def sha256(self, key: str) -> str:
        """64 lower-case hexadecimal digits."""
        value = self.raw(key)
        return value if _SHA256.fullmatch(value) else self._wrong(key, "a sha256")

    def whole(self, key: str) -> int:
        """A whole number from 0 to 2**62."""
        value = self._value(key, None)
        fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST
        return value if fits and isinstance(value, int) else self._wrong(key, "a whole number from 0")

    def exit_code(self, key: str) -> int | None:
        """An exit code (below 0: a signal), or None."""
        value = self._values.get(key)
        if value is None:
            return None
        fits = isinstance(value, int) and not isinstance(value, bool) and -256 <= value <= 256
        return value if fits and isinstance(value, int) else self._wrong(key, "an exit code")

    def number(self, key: str, *, or_else: float | None = None) -> float:
        """A number from 0."""
        value = self._value(key, or_else)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LARGEST:
            self._wrong(key, "a number from 0")
        return float(value)

    def truth(self, key: str) -> bool:
        """True or false."""
        value = self._values.get(key)
        return value if isinstance(value, bool) else self._wrong(key, "true or false")

    def answer(self, key: str) -> "Answer":
        """An object within this one."""
        return self._inner(self._values.get(key), key)

    def answers(self, key: str) -> "tuple[Answer, ...]":
        """A list of objects."""
        value = self._values.get(key)
        return tuple(self._inner(one, key) for one in value) if isinstance(value, list) else self._wrong(key, "a list")

    def _inner(self, value: object, key: str) -> "Answer":
        return Answer(value, self._verb) if isinstance(value, dict) else self._wrong(key, "an object")

    def _value(self, key: str, or_else: object) -> object:
        value = self._values.get(key)
        return or_else if value is None else value

    def _wrong(self, key: str, wanted: str) -> NoReturn:
        raise GuestError(f"{self._verb}: an odd answer, {key} is not {wanted}")


def _parsed(answer: bytes, limit: int) -> dict[str, object]:
    if len(answer) > limit:
        raise ValueError(f"more than {limit} bytes")
    document = json.loads(answer.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_no_twins)
    if not isinstance(document, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 - a bad value of theirs, no wrong type of ours
    return document


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _no_twins(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("the same key twice")
    return found
