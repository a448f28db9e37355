"""Keeps the job's secrets in memory, and keeps their values out of what leaves the machine."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import urllib.parse
from typing import Mapping

from .places import GuestError, Run

SHORTEST = 4
"""Masking a value of three characters would garble everything and hide nothing."""
_SIGNED = rb"X-Amz-(?:Signature|Security-Token|Credential)=[A-Za-z0-9%/._~+-]+"
"""What makes a signed address one that works without a credential."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


def folder(run: Run) -> str:
    """The memory folder where there is one, else a hidden one in the run's."""
    if os.path.isdir("/dev/shm"):  # noqa: S108 - made below with mode 0700, and refused when it is somebody else's
        name = f"launch-{os.getuid()}-{hashlib.sha256(run.path.encode()).hexdigest()[:16]}"
        return os.path.join("/dev/shm", name)  # noqa: S108 - as above
    return os.path.join(run.path, ".secrets")


def grant_folder(run: Run) -> str:
    """Beside the secrets, and not among them: signed addresses are no business of the job's."""
    return folder(run) + "-grant"


def forget_grant(run: Run) -> None:
    """Remove it."""
    shutil.rmtree(grant_folder(run), ignore_errors=True)


def store(run: Run, text: bytes) -> list[str]:
    """Keep a JSON object of names and values, instead of what was kept before; the names."""
    values = _parsed(text)
    at = folder(run)
    forget(run)
    os.mkdir(at, 0o700)
    for name, value in values.items():
        file = os.open(os.path.join(at, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(file, "wb") as kept:
            kept.write(value.encode("utf-8"))
    return sorted(values)


def _parsed(text: bytes) -> dict[str, str]:
    try:
        found = json.loads(text)
    except ValueError:
        raise GuestError("secrets come as a JSON object") from None  # the cause would show their text
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise GuestError("secrets come as a JSON object of texts")
    for name, value in found.items():
        if not _NAME.fullmatch(name) or name.startswith("LAUNCH_") or "\0" in value:
            raise GuestError(f"{name!r} cannot be the name of a secret, or its value holds a NUL")
    return found


def load(run: Run) -> dict[str, str]:
    """The secrets that are kept; none when there are none."""
    at = folder(run)
    if not os.path.isdir(at) or os.path.islink(at) or os.stat(at).st_uid != os.getuid():
        return {}
    found = {}
    for name in os.listdir(at):
        with open(os.path.join(at, name), "rb") as kept:
            found[name] = kept.read().decode("utf-8")
    return found


def forget(run: Run) -> None:
    """Remove them."""
    at = folder(run)
    if os.path.islink(at):
        os.unlink(at)
    elif os.path.exists(at):
        shutil.rmtree(at)


class Redactor:
    """Takes known values out of bytes: as they are, as JSON spells them, as an address spells them, line by line."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        forms = {form for value in secrets.values() for form in _forms(value)}
        longest_first = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile(b"|".join([*(re.escape(form) for form in longest_first), _SIGNED]))

    def redact(self, data: bytes) -> bytes:
        """For a log: a word instead of each value."""
        return self._pattern.sub(b"[redacted]", data)

    def mask(self, data: bytes) -> bytes:
        """For a file that is followed by offset: as many stars as the value was long."""
        return self._pattern.sub(lambda found: b"*" * len(found[0]), data)


def _forms(value: str) -> set[bytes]:
    parts = [value.strip(), *(line.strip() for line in value.splitlines())]
    spelled = [
        form
        for part in parts
        if len(part) >= SHORTEST
        for form in (part, json.dumps(part)[1:-1], json.dumps(part, ensure_ascii=False)[1:-1], urllib.parse.quote(part))
    ]
    return {form.encode("utf-8", "surrogateescape") for form in spelled}


class LineRedactor:
    """Redacts a stream: holds back an unfinished line, so that a value that came in two pieces is still found."""

    HELD_BYTES = 64 * 1024

    def __init__(self, redactor: Redactor) -> None:
        self._redactor, self._held = redactor, b""

    def feed(self, chunk: bytes) -> bytes:
        """What may be written now."""
        data = self._held + chunk
        end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        if len(data) - end > self.HELD_BYTES:
            data = self._redactor.redact(data)  # a line without end: what is found so far goes, half of it stays
            end = len(data) - self.HELD_BYTES // 2
        self._held = data[end:]
        return self._redactor.redact(data[:end])

    def close(self) -> bytes:
        """What was held back."""
        held, self._held = self._held, b""
        return self._redactor.redact(held)
