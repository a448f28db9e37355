"""Programs that only some tests need: skipped where they are not installed, except in CI, which must have them."""

import os
import shutil

import pytest

SYSTEM = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where a daemon lies, that a person's PATH may not name."""


def program(name: str, package: str) -> str:
    """The path of a program, from that Debian package. Skips the test without it; with CI=true, fails it."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SYSTEM}")
    if found is not None:
        return found
    why = f"{name} (the Debian package {package}) is not installed here"
    if os.environ.get("CI") == "true":
        pytest.fail(f"{why}, and CI must have it: .ci/run installs it")
    pytest.skip(why)
