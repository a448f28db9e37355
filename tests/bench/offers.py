"""How long `launch offers` takes over three clouds that answer late, each time in a process with its own terminal."""

import json
import os
import pty
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench.one_listing import WHERE
from tests.cloud.client import REPOSITORY, Cloud

LATE_SECONDS = 0.3
BOUND_SECONDS = 60.0
KEPT = re.compile(r"^(aws|lambda|runpod) ", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Where the time of one `launch offers` went."""

    start_seconds: float
    """From its start until all that it imports for itself is imported: the interpreter, the command, what draws."""
    rows_seconds: float
    """From then until the rows that were seen last are on the terminal."""
    sdk_first: bool
    """Whether AWS's SDK was imported before that."""
    sdk_seconds: float
    """From then until the first request to AWS leaves: the SDK and its first client."""
    listed_seconds: float
    """The slowest cloud, from its own first request to its answer; then to the whole page."""
    from_first_seconds: float
    """From the first request to any cloud to the whole page, with what is imported in between."""
    whole_seconds: float
    """From its start to the whole page."""
    rows: int


def listings(cloud: Cloud, folder: Path, rounds: int) -> tuple[list[Listing], list[Listing]]:
    """So many with nothing kept from before, and so many with what the last of them has kept."""
    cloud.reset()
    cloud.hurried()
    cloud.call("slow", seconds=LATE_SECONDS)
    home = folder / "home"
    screen = {"COLUMNS": "100", "LINES": "40", "TERM": "xterm"}
    environ = {**os.environ, **cloud.environ(*WHERE), **screen, "LAUNCH_HOME": str(home)}
    cold = []
    for _ in range(rounds):
        shutil.rmtree(home, ignore_errors=True)
        cold.append(_listed(environ, folder))
    warm = [_listed(environ, folder) for _ in range(rounds)]
    cloud.call("slow", seconds=0)
    return cold, warm


def _listed(environ: Mapping[str, str], folder: Path) -> Listing:
    """One listing, from its start on; raises `AssertionError` where a cloud did not answer."""
    report = folder / "report.json"
    argv = (sys.executable, "-m", "tests.bench.one_listing", str(report))
    terminal, line = pty.openpty()
    began = time.monotonic()
    child = subprocess.Popen(argv, cwd=REPOSITORY, env=dict(environ), stdout=subprocess.PIPE, stderr=line, text=True)
    os.close(line)
    said: list[bytes] = []
    reader = threading.Thread(target=_read, args=(terminal, said), daemon=True)
    reader.start()
    page = child.communicate(timeout=BOUND_SECONDS)[0]
    reader.join(BOUND_SECONDS)
    os.close(terminal)
    assert child.returncode == 0, b"".join(said).decode(errors="replace")
    told = json.loads(report.read_text())
    assert set(KEPT.findall(page)) == set(WHERE), page
    return _measured(began, told["at"], sdk_first=told["sdk_first"], rows=len(KEPT.findall(page)))


def _read(terminal: int, said: list[bytes]) -> None:
    """All that is written to a terminal; its other end is closed with an error where the last writer has gone."""
    try:
        while chunk := os.read(terminal, 65536):
            said.append(chunk)
    except OSError:
        return


def _measured(began: float, at: Mapping[str, float], *, sdk_first: bool, rows: int) -> Listing:
    asked = {name: at[f"asked {name}"] for name in WHERE}
    answered = {name: at[f"answered {name}"] for name in WHERE}
    slowest = max(answered[name] - asked[name] for name in WHERE)
    return Listing(
        start_seconds=at["ready"] - began,
        rows_seconds=at["shown"] - at["ready"],
        sdk_first=sdk_first,
        sdk_seconds=asked["aws"] - at["shown"],
        listed_seconds=slowest + at["page"] - max(answered.values()),
        from_first_seconds=at["page"] - min(asked.values()),
        whole_seconds=at["page"] - began,
        rows=rows,
    )
