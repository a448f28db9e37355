"""A machine that lies: what it announces is written nowhere but in the run's folder, is capped, and never executed."""

import hashlib
import json
import shlex
import sys
from pathlib import Path

import pytest

from tests.cloud.client import Machine
from tests.launches.laptop import Laptop, Said

pytestmark = pytest.mark.cloud

GOOD = b'{"arm": "base", "n": 1, "metrics": {"exact": 0.5}}'
PYTHON = """#!/bin/sh
# Stands in for the machine's python3: lies about its results, and is honest about all else.
for word in "$@"; do
    case $word in
        manifest) cat {folder}/manifest; exit ;;
        send) exec sh {folder}/send "$@" ;;
    esac
done
exec {python} "$@"
"""


def _announced(path: str, data: bytes = GOOD, size: int | None = None) -> dict[str, object]:
    size = len(data) if size is None else size
    return {"path": path, "bytes": size, "sha256": hashlib.sha256(data).hexdigest()}


def _turn_hostile(machine: Machine, rows: list[dict[str, object]], send: str) -> None:
    """From now on the machine announces these files, and answers every request for one with this shell script."""
    (machine.root / "manifest").write_text(json.dumps({"files": rows}))
    (machine.root / "send").write_text(send)
    aside = machine.root / "bin" / "python3.new"
    aside.write_text(PYTHON.format(folder=shlex.quote(str(machine.root)), python=shlex.quote(sys.executable)))
    aside.chmod(0o755)
    aside.rename(machine.root / "bin" / "python3")


def _launch_on_a_machine_that_turns(laptop: Laptop, rows: list[dict[str, object]], send: str) -> Said:
    laptop.quick(steps=12, seconds=0.2, save_every=1000)
    laptop.hurry(20)
    typed = laptop.launch()
    typed.until(lambda event: event["event"] == "progress" and event["step"] > 0)
    before = _files(laptop)
    _turn_hostile(laptop.machine(), rows, send)
    said = typed.ended(90)
    laptop.all_quiet()
    strange = {path for path in _files(laptop) - before if not _expected(path, laptop)}
    assert strange == set()
    assert "Traceback" not in said.err
    return said


def _files(laptop: Laptop) -> set[Path]:
    return {path for path in laptop.folder.rglob("*") if not path.is_dir() or path.is_symlink()}


def _expected(path: Path, laptop: Laptop) -> bool:
    """What the program itself writes: its state folder, and the results."""
    inside = laptop.home in path.parents or (laptop.work / "runs").resolve() in path.resolve().parents
    return inside and not path.is_symlink() and "evil" not in path.name


SEND_GOOD = f"printf %s {shlex.quote(GOOD.decode())}\n"


EVIL_PATHS = (
    "../../evil.json", "adapter/../../evil.json", "adapter/evil.pkl", "eval/evil.json\x1b[2J", "-evil", "evil.py",
    "/tmp/evil-of-a-launch-test.json", "adapter/evil.bin",
)  # fmt: skip


def test_paths_that_lead_out_of_their_folder_or_to_code_are_refused_and_told(laptop: Laptop) -> None:
    rows = [_announced("eval/base.json"), *map(_announced, EVIL_PATHS)]
    said = _launch_on_a_machine_that_turns(laptop, rows, SEND_GOOD)
    assert not Path(EVIL_PATHS[-2]).exists()
    (pulled,) = [event for event in said.events if event["event"] == "pulled" and event["what"] == "results"]
    assert len(pulled["refused"]) == len(EVIL_PATHS)
    folder = Path(pulled["dir"])
    ours = {"manifest.json", "receipt.json", "eval/summary.json", "report.html"}
    ours |= {f"data/{name}" for name in ("report.json", "dropped.jsonl", "conflicts.jsonl")}
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")} - ours <= {"eval/base.json"}
    assert "\x1b" not in said.out + said.err


def test_a_file_of_100_gb_is_not_fetched(laptop: Laptop) -> None:
    rows = [_announced("eval/base.json"), _announced("adapter/adapter_model.safetensors", size=10**11)]
    said = _launch_on_a_machine_that_turns(laptop, rows, "exec cat /dev/zero\n")
    assert said.code != 0
    assert laptop.machine().egress_bytes < 50_000_000


def test_a_file_that_never_ends_is_cut_at_the_size_that_was_announced(laptop: Laptop) -> None:
    said = _launch_on_a_machine_that_turns(laptop, [_announced("eval/base.json")], "exec cat /dev/zero\n")
    assert said.code != 0
    assert laptop.machine().egress_bytes < 50_000_000


def test_a_file_that_is_not_what_was_announced_does_not_count_as_a_result(laptop: Laptop) -> None:
    row = _announced("eval/base.json", GOOD.replace(b"0.5", b"0.9"))
    said = _launch_on_a_machine_that_turns(laptop, [row], SEND_GOOD)
    assert said.code != 0
    assert said.last["outcome"] == "lost"


def test_an_answer_that_is_no_manifest_ends_the_machine_too(laptop: Laptop) -> None:
    said = _launch_on_a_machine_that_turns(laptop, [], SEND_GOOD + "#")
    assert said.code != 0 or said.last["results"]["files"] == 0
