"""Planted secrets, and the search for them: a pure function over bytes that finds each one in whatever it was wrapped.

Use: plant `CANARIES[...]` where a real secret would be, then ask `holding(data)` of everything that comes out. It names
what it found ("hub-token as base64"), also where only half of a secret is there (a text that was cut), and in every
form in which bytes of ours travel: as they are, base64 (three alignments, both alphabets), percent-encoded, as JSON or
HTML escapes, hexadecimal, UTF-16, and inside gzip, zlib, zip and tar. `holding_below` asks it of a whole folder.
"""

import base64
import hashlib
import html
import io
import json
import string
import urllib.parse
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

_LETTERS = string.ascii_letters + string.digits
_MARK = "Zq7Kx9"
"""Stands in both halves of each canary, so that the usual answer, none, costs a dozen searches and not hundreds."""
_LEAST_CHARACTERS = 6
"""Beside the mark, in a half: twelve characters of 62 are not met by chance in the 10 ** 9 bytes of a long test."""
_DEEPEST = 4
_MOST_UNPACKED_BYTES = 64 * 2**20


def made(name: str, *, before: str = "", characters: int = 34, signs: str = "") -> str:
    """A secret that nobody has: the same for the same name, with `signs` in its middle that encodings change."""
    digest = hashlib.sha512(f"canary of {name}".encode()).digest()
    text = "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest)[: characters - len(signs) - 2 * len(_MARK)]
    middle = len(text) // 2
    return f"{before}{_MARK}{text[:middle]}{signs}{text[middle:]}{_MARK}"


CANARIES: Mapping[str, str] = {
    "hub-token": made("hub-token", before="hf_"),
    "job-secret": made("job-secret", signs='/+"\\ &'),
    "aws-secret": made("aws-secret", characters=40, signs="/+"),
    "aws-session": made("aws-session", characters=60, signs="//+="),
    "lambda-key": made("lambda-key", before="secret_lambda_", characters=32),
    "runpod-key": made("runpod-key", before="rpa_", characters=40),
    "judge-key": made("judge-key", before="sk-", characters=40),
    "url-password": made("url-password", characters=24),
    "store-signature": made("store-signature", characters=64),
}
"""Name to value. Nothing of them is anywhere but where a test puts it."""


def holding(data: bytes | str, canaries: Mapping[str, str] = CANARIES) -> tuple[str, ...]:
    """What of the canaries is in there, as "NAME as FORM"; () where there is nothing."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    found = dict.fromkeys(_found(raw, tuple(canaries.items())))
    return tuple(found)


def holding_below(folder: Path, canaries: Mapping[str, str] = CANARIES) -> tuple[str, ...]:
    """The same of all names and files below a folder (links not followed), as "PATH: NAME as FORM"."""
    found = []
    for path in sorted(folder.rglob("*")):
        told = holding(path.name, canaries)
        if path.is_symlink():
            told += holding(str(path.readlink()), canaries)
        elif path.is_file():
            told += holding(path.read_bytes(), canaries)
        found += [f"{path}: {one}" for one in dict.fromkeys(told)]
    return tuple(found)


def _found(data: bytes, canaries: tuple[tuple[str, str], ...], depth: int = 0) -> Iterator[str]:
    if any(mark in data for mark in _marks()):
        yield from (told for needle, told in _needles(canaries) if needle in data)
    if depth < _DEEPEST:
        for inner in _unpacked(data):
            yield from (f"{told}, packed" for told in _found(inner, canaries, depth + 1))


@cache
def _needles(canaries: tuple[tuple[str, str], ...]) -> tuple[tuple[bytes, str], ...]:
    """Bytes to look for, and what they mean: both halves of each secret, in each form."""
    found: dict[bytes, str] = {}
    for name, value in canaries:
        middle = len(value) // 2
        for half in (value[:middle], value[middle:]):
            if len(half.replace(_MARK, "", 1)) < _LEAST_CHARACTERS or _MARK not in half:
                raise ValueError(f"{name} is too short to be told from chance, or not from `made`")
            for form, needle in _forms(half):
                found.setdefault(needle, f"{name} as {form}")
    return tuple(found.items())


@cache
def _marks() -> tuple[bytes, ...]:
    return tuple(dict.fromkeys(needle for _, needle in _forms(_MARK)))


def _forms(text: str) -> Iterator[tuple[str, bytes]]:
    raw = text.encode()
    yield "text", raw
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + raw)
        # What stands at either end depends on the neighbours, and is left out.
        inner = coded[4 if shift else 0 : len(coded) - 4 if (shift + len(raw)) % 3 else None]
        yield "base64", inner
        yield "base64", inner.translate(bytes.maketrans(b"+/", b"-_"))
    quoted = urllib.parse.quote(text, safe="")
    yield "percent encoding", quoted.encode()
    yield "percent encoding", _lower_escapes(quoted).encode()
    yield "percent encoding", urllib.parse.quote_plus(text).encode()
    escaped = json.dumps(text)[1:-1]
    yield "JSON", escaped.encode()
    yield "JSON", escaped.replace("/", "\\/").encode()
    yield "JSON in JSON", json.dumps(escaped)[1:-1].encode()
    yield "Python's repr", repr(text)[1:-1].encode()
    yield "HTML", html.escape(text).encode()
    yield "hexadecimal", raw.hex().encode()
    yield "hexadecimal", raw.hex().upper().encode()
    yield "UTF-16", text.encode("utf-16-le")
    yield "UTF-16", text.encode("utf-16-be")


def _lower_escapes(quoted: str) -> str:
    first, *rest = quoted.split("%")
    return "%".join([first, *(part[:2].lower() + part[2:] for part in rest)])


def _unpacked(data: bytes) -> Iterator[bytes]:
    """What is packed in there, as far as it can be read; tar keeps its files as they are."""
    if data[:2] == b"\x1f\x8b" or data[:1] == b"\x78":
        with_header = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        try:
            yield with_header.decompress(data, _MOST_UNPACKED_BYTES)
        except zlib.error:
            return
    elif b"PK\x05\x06" in data[-65_600:]:
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as packed:
                for one in packed.infolist():
                    if one.file_size <= _MOST_UNPACKED_BYTES:
                        yield packed.read(one)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, zlib.error, EOFError, OSError):
            return
