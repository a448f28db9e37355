"""A bug of ours: the details go to a file without secrets, the person gets two lines and the way to safety."""

import json
import re
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from launcher.config import home
from launcher.errors import Exit, LaunchError

SECRET_NAME = re.compile(r"TOKEN|KEY|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)
SECRET_SHAPE = re.compile(
    r"\b(hf_\w{8,}|A[KS]IA[A-Z0-9]{12,}|rpa_\w{8,}|secret_\w{8,}|sk-[\w-]{16,})|-----BEGIN[^-]+PRIVATE KEY-----.*"
    r"|(?<=://)[^/\s@'\"]+(?=@)"  # the login in an address
    r"|(?<=X-Amz-Signature=)\w+|(?<=X-Amz-Security-Token=)[\w%+/=-]+|(?<=X-Amz-Credential=)[\w%+/=-]+",
    re.DOTALL,
)
LEAST_SECRET_LENGTH = 6
"""Shorter values are too common in a text to be taken out of it."""


def report(error: BaseException, environ: Mapping[str, str]) -> LaunchError:
    """What the person is told; the traceback lies in the crash log that the hint names."""
    log = _write(redacted("".join(traceback.format_exception(error)), environ), environ)
    where = f"; the details are in {log}" if log else ""
    return LaunchError(
        f"a bug in launch stopped it ({type(error).__name__}){where}",
        code="bug",
        exit_code=Exit.OUR_BUG,
        hint="launch reap     # ends whatever may still run",
    )


def redacted(text: str, environ: Mapping[str, str]) -> str:
    """The text without values of variables that are named like secrets, however spelled, and what looks like one."""
    values = [
        value for name, value in environ.items() if SECRET_NAME.search(name) and len(value) >= LEAST_SECRET_LENGTH
    ]
    spelled = {form for value in values for form in _spelled(value)}
    for value in sorted(spelled, key=len, reverse=True):
        text = text.replace(value, "[redacted]")
    return SECRET_SHAPE.sub("[redacted]", text)


def _spelled(value: str) -> set[str]:
    """As it is, as an address or JSON writes it, and each of those as Python shows a text in an error."""
    plain = {value, quote(value), quote(value, safe=""), json.dumps(value)[1:-1]}
    return plain | {repr(form)[1:-1] for form in plain} | {json.dumps(form)[1:-1] for form in plain}


def _write(text: str, environ: Mapping[str, str]) -> Path | None:
    """The log's path; None where it cannot be written, which must not hide the bug itself."""
    path = home(environ) / "crashes" / f"{datetime.now(UTC):%Y%m%dT%H%M%S}.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
    except OSError:
        return None
    return path
