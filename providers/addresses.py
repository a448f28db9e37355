"""Addresses as they may be shown: a login that stands in one (`https://me:secret@proxy`) is nobody's to read."""

import re

_LOGIN = re.compile(r"(?<=://)[^/\s@'\"]+@")


def without_logins(text: str) -> str:
    """A text without the names and passwords that addresses in it hold."""
    return _LOGIN.sub("", text)
