"""Planted secrets: the job gets what it was promised, and no sink holds a trace of it, or of the cloud's own keys."""

import gzip
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.launches.laptop import Laptop

pytestmark = pytest.mark.cloud

TOKEN = "hf_" + "CanaryOfTheHubAbcdefghijklmnopqrs"
AWS_KEY = "CanaryOfTheCloud/K7MDENG/bPxRfiCYzzzzzzz"
CANARIES = (TOKEN, AWS_KEY)
LOOK_SECONDS = 0.01


@contextmanager
def _all_arguments() -> Iterator[set[bytes]]:
    """The command lines of all processes, looked at again and again for the length of the block."""
    seen: set[bytes] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(path.read_bytes())
                except OSError:  # it ended between the look and the reading
                    continue

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def _holding(text: str | bytes) -> list[str]:
    data = text.encode() if isinstance(text, str) else text
    return [canary[:12] for canary in CANARIES if canary.encode() in data]


def _files_with_a_canary(folder: Path) -> list[str]:
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
            found += [f"{path}: {name}" for name in _holding(data)]
    return found


def test_a_secret_reaches_the_job_and_nothing_else(laptop: Laptop) -> None:
    laptop.quick(tell="HF_TOKEN")
    with _all_arguments() as arguments:
        said = laptop.launched("--secret", "HF_TOKEN", HF_TOKEN=TOKEN, AWS_SECRET_ACCESS_KEY=AWS_KEY)
    assert said.code == 0, said.err
    machine = laptop.machine()
    log = next(laptop.work.glob("runs/*/logs/job.log")).read_text()
    assert "HF_TOKEN is [redacted]" in log, "the job had it, and its log does not"
    assert any(b"tests.launches.drive" in one for one in arguments), "the looks saw nothing"
    assert any(b"guest.pyz" in one for one in arguments)
    assert [one for one in arguments if _holding(one)] == []
    assert _holding(said.out + said.err) == []
    assert _holding(machine.user_data) == []
    assert _files_with_a_canary(laptop.folder) == []
    assert _files_with_a_canary(machine.root) == []


def test_the_keys_of_a_run_are_gone_with_its_machine(laptop: Laptop) -> None:
    said = laptop.launched()
    assert said.code == 0, said.err
    private = re.compile(rb"-----BEGIN (?:OPENSSH )?PRIVATE KEY-----")
    assert [path for path in laptop.home.rglob("*") if path.is_file() and private.search(path.read_bytes())] == []


def test_a_secret_in_the_data_is_refused_before_anything_is_rented(laptop: Laptop) -> None:
    rows = laptop.job / "train.jsonl"
    rows.write_text(rows.read_text().replace("parcel 3", TOKEN))
    said = laptop.launched("--secret", "HF_TOKEN", HF_TOKEN=TOKEN)
    assert said.code == 2, said.err
    assert "train.jsonl" in said.last["message"]
    assert _holding(said.out + said.err) == []
    assert laptop.cloud.machines() == ()
