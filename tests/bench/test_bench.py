"""Whether `make bench` runs and its table has every row; how fast this computer is decides nothing here."""

import contextlib
import csv
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.bench import catalogue
from tests.cloud.client import REPOSITORY

ALONE = (
    "10 million additions, to compare",
    "launch estimate, cold start to table",
    "rank offers for one workload",
    "its peak memory",
    "the same read from the ledger first",
    "gpuhunt's query of the same rows",
    "ours / gpuhunt's",
)
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
    *ALONE,
)


def has_all(rows: Sequence[str], *flags: str) -> None:
    done = subprocess.run(
        (sys.executable, "-m", "tests.bench", "--fast", *flags),
        cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    head, _, *lines = done.stdout.splitlines()
    for part in ("CPUs", "Python", "UTC", "commit", "make bench"):
        assert part in head
    for row in rows:
        (line,) = [line for line in lines if line.startswith(row)]
        assert float(line.removeprefix(row).split()[0]) > 0
    assert len(lines) == 1 + len(rows)


@pytest.mark.cloud
def test_the_table_has_a_figure_for_everything_and_says_where_it_is_from() -> None:
    has_all(ROWS)


def test_what_needs_no_cloud_can_be_measured_alone() -> None:
    has_all(ALONE, "--alone")


def test_both_sides_are_asked_about_the_same_rows(tmp_path: Path) -> None:
    found = tuple(catalogue.offers(500))
    catalogue.write_gpuhunt(found, tmp_path)
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(path.open(newline="")) for path in tmp_path.glob("*.csv")]
        rows = [row for file in files for row in csv.DictReader(file)]
    assert len({one.id for one in found}) == 500
    assert Counter((row["instance_name"], row["location"], row["price"]) for row in rows) == Counter(
        (one.instance_type, one.zone, str(float(one.usd_per_hour))) for one in found
    )
    assert found == tuple(catalogue.offers(500))
