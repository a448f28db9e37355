"""Whether `make bench` runs and its table has every row; how fast this computer is decides nothing here."""

import subprocess
import sys

import pytest

from tests.cloud.client import REPOSITORY

ROWS = (
    "python -c pass",
    "launch --help",
    "launch ps",
    "SSH answers to the job's first line",
    "the job's last line to TERMINATED",
    "launch offers, first rows as last seen",
    "launch offers, three clouds 0.3 s late, prices of the day kept",
    "launch offers, three clouds 0.3 s late, nothing kept",
    "list calls per provider and tick",
)


@pytest.mark.cloud
def test_the_table_has_a_figure_for_everything_and_says_where_it_is_from() -> None:
    done = subprocess.run(
        (sys.executable, "-m", "tests.bench", "--fast"),
        cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    head, _, *lines = done.stdout.splitlines()
    for part in ("CPUs", "Python", "UTC", "commit", "make bench"):
        assert part in head
    for row in ROWS:
        (line,) = [line for line in lines if line.startswith(row)]
        assert float(line.removeprefix(row).split()[0]) > 0
    assert len(lines) == 1 + len(ROWS)
