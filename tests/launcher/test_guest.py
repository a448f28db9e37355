"""Whether the real supervisor is spoken with as docs/guest.md says, and odd answers of a false one are refused."""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pytest

from jobs import package
from launcher.folder import FolderRemote
from launcher.guest import Guest, GuestError, Lease, Saved
from launcher.pull import CHECKPOINT_CAPS, pull, result_caps
from launcher.remote import Completed
from providers.base import Folder

JOB = """
import os, pathlib
out = pathlib.Path(os.environ["LAUNCH_OUT"])
(out / "adapter").mkdir(parents=True, exist_ok=True)
(out / "adapter" / "config.json").write_text("{}")
(out / "adapter" / "weights.safetensors").write_bytes(bytes(200_000))
(out / "training_args.bin").write_bytes(b"a pickle")
print("the secret has", len(os.environ["HF_TOKEN"]), "letters")
"""


def bundle_at(path: Path) -> str:
    """A bundle with a job of one step; its sha256."""
    job = {
        "schema": 1,
        "name": "tiny",
        "run_id": "brave-otter-7f3a",
        "attempt": 1,
        "grace_seconds": 5,
        "save_seconds": 5,
        "steps": [{"name": "train", "phase": "train", "argv": ["{python}", "train.py"]}],
        "secrets": ["HF_TOKEN"],
        "settings": {},
        "seeds": {"seed": 17},
        "sha256": {},
    }
    with tarfile.open(path, "w:gz") as archive:
        for name, text in (("job.json", json.dumps(job)), ("job/train.py", JOB)):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    guard = tmp_path / "machine" / "guard"
    guard.mkdir(parents=True)
    for name, text in (("life", "10\n"), ("lease", "1000\n"), ("pid", f"{os.getpid()}\n")):
        (guard / name).write_text(text)
    return guard.parent


@pytest.fixture
def guest(machine: Path) -> Guest:
    remote = FolderRemote(Folder(path=machine, guard_dir=str(machine / "guard")), os.environ)
    speaking = Guest(remote, str(machine / "guard"))
    speaking.install(package.guest_zipapp())
    return speaking


def test_installing_puts_the_whole_program_there_and_can_be_repeated(guest: Guest, machine: Path) -> None:
    guest.install(package.guest_zipapp())
    assert (machine / ".launch" / "guest.pyz").read_bytes() == package.guest_zipapp()
    assert sorted(path.name for path in (machine / ".launch").iterdir()) == ["guest.pyz", "run"]


def test_the_probe_tells_what_the_machine_is_and_that_its_guard_counts(guest: Guest) -> None:
    probe = guest.probe()
    assert probe.cpus >= 1
    assert probe.ram_gib > 0
    assert probe.guard.armed
    assert (probe.guard.life_seconds, probe.guard.lease_seconds) == (10, 1000)


def test_the_lease_is_rewritten_from_the_life_so_far(guest: Guest) -> None:
    assert guest.lease(500) == Lease(life_seconds=10, lease_seconds=510)


def test_a_refusal_is_told_in_the_machines_own_words(guest: Guest, machine: Path) -> None:
    (machine / "guard" / "life").unlink()
    with pytest.raises(GuestError, match=r"lease: .*counts"):
        guest.lease(500)


def test_a_bundle_goes_on_from_where_it_was_cut_off(guest: Guest, machine: Path, tmp_path: Path) -> None:
    digest = bundle_at(tmp_path / "bundle.tar.gz")
    whole = (tmp_path / "bundle.tar.gz").read_bytes()
    (machine / ".launch" / "run" / f"bundle.tar.gz.{digest[:16]}.part").write_bytes(whole[:100])
    guest.ship(tmp_path / "bundle.tar.gz", digest)
    assert (machine / ".launch" / "run" / "bundle.tar.gz").read_bytes() == whole
    assert (machine / ".launch" / "run" / "bundle" / "job" / "train.py").read_text() == JOB


def test_a_bundle_that_is_not_what_it_says_is_refused(guest: Guest, tmp_path: Path) -> None:
    bundle_at(tmp_path / "bundle.tar.gz")
    with pytest.raises(GuestError, match="sha256"):
        guest.ship(tmp_path / "bundle.tar.gz", "0" * 64)


def test_a_job_is_shipped_run_followed_and_its_results_come_home(guest: Guest, machine: Path, tmp_path: Path) -> None:
    guest.ship(tmp_path / "bundle.tar.gz", bundle_at(tmp_path / "bundle.tar.gz"))
    guest.secrets({"HF_TOKEN": "hf_canary"})
    assert guest.start() > 0
    lines = b"".join(guest.follow(0, idle_seconds=30)).splitlines()
    assert json.loads(lines[-1])["event"] == "done"
    status = guest.status()
    assert (status.outcome, status.exit_code, status.lease_seconds) == ("succeeded", 0, 1000)
    assert b"the secret has 9 letters" in b"".join(guest.log(0))
    pulled = pull(guest, "out", tmp_path / "home", result_caps(0.1, 0.0), datetime(2026, 11, 24, tzinfo=UTC))
    assert pulled.verified
    assert (tmp_path / "home" / "adapter" / "weights.safetensors").read_bytes() == bytes(200_000)
    assert [one for one in pulled.refused if "training_args.bin" in one]


def test_how_it_stands_names_the_newest_whole_checkpoint(guest: Guest, machine: Path) -> None:
    assert guest.status().checkpoint is None
    for step in (9, 10, 11):
        (machine / ".launch" / "run" / "checkpoints" / f"step-{step}").mkdir(parents=True)
    for step in (9, 10):
        (machine / ".launch" / "run" / "checkpoints" / f"step-{step}" / "manifest.json").write_text(f"{step}")
    (machine / ".launch" / "run" / "checkpoints" / "step-99.tmp").mkdir()
    assert guest.status().checkpoint == Saved(name="step-10", sha256=hashlib.sha256(b"10").hexdigest())


def test_a_checkpoint_that_was_pulled_can_be_brought_back(guest: Guest, machine: Path, tmp_path: Path) -> None:
    there = machine / ".launch" / "run" / "checkpoints" / "step-10"
    holds = {"optimizer.pt": b"opaque", "adapter/x.safetensors": b"w", "manifest.json": b"{}"}
    for name, content in holds.items():
        (tmp_path / "step-10" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "step-10" / name).write_bytes(content)
    guest.restore(tmp_path / "step-10", "step-10")
    assert {
        path.relative_to(there).as_posix(): path.read_bytes() for path in there.rglob("*") if path.is_file()
    } == holds
    pulled = pull(guest, "checkpoints/step-10", tmp_path / "again", CHECKPOINT_CAPS, datetime(2026, 11, 24, tzinfo=UTC))
    assert (pulled.files, pulled.verified) == (3, True)


class Liar:
    """A machine that answers every verb with the same bytes."""

    def __init__(self, answer: bytes, exit_code: int = 0, stderr: str = "") -> None:
        self._completed = Completed(exit_code=exit_code, stdout=answer, stderr=stderr)
        self.argvs: list[list[str]] = []

    def run(self, argv: Sequence[str], *, stdin: bytes | BinaryIO = b"", timeout_seconds: float = 60) -> Completed:
        self.argvs.append(list(argv))
        return self._completed

    def stream(self, argv: Sequence[str], *, idle_seconds: float = 60) -> Iterator[bytes]:
        yield self._completed.stdout

    def interactive(self, argv: Sequence[str]) -> int:
        return 0

    def shown_host_key(self) -> str:
        return ""

    def close(self) -> None: ...


def lease_answer(**changes: object) -> bytes:
    return json.dumps({"life_seconds": 1, "lease_seconds": 2, **changes}).encode()


ODD = {
    "nothing": b"",
    "no JSON": b"<html>",
    "not UTF-8": b'{"life_seconds": "\xff"}',
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "two documents": lease_answer() * 2,
    "an absent key": b'{"life_seconds": 1}',
    "null for a number": lease_answer(lease_seconds=None),
    "a text for a number": lease_answer(lease_seconds="2"),
    "true for a number": lease_answer(lease_seconds=True),
    "a negative number": lease_answer(lease_seconds=-1),
    "not a number": b'{"life_seconds": NaN, "lease_seconds": 2}',
    "infinity": b'{"life_seconds": Infinity, "lease_seconds": 2}',
    "infinity in digits": b'{"life_seconds": 1e999, "lease_seconds": 2}',
    "a number of 5000 digits": b'{"life_seconds": ' + b"9" * 5000 + b', "lease_seconds": 2}',
    "a number past all sense": lease_answer(lease_seconds=2**63),
    "the same key twice": b'{"life_seconds": 1, "life_seconds": 1, "lease_seconds": 2}',
    "deep nesting": b"[" * 100_000,
    "deep nesting in an object": b'{"a":' * 50_000,
    "more than is read": lease_answer(more="x" * 300_000),
}


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD.keys())
def test_an_odd_answer_is_refused(answer: bytes) -> None:
    with pytest.raises(GuestError):
        Guest(Liar(answer), "/g").lease(1)


def test_the_plain_answer_passes_so_that_the_odd_ones_fail_for_their_oddness() -> None:
    assert Guest(Liar(lease_answer()), "/g").lease(1) == Lease(life_seconds=1, lease_seconds=2)


ODD_CHECKPOINTS: tuple[object, ...] = (
    "step-5", [], {"name": "step-5"}, {"name": "../../x", "sha256": "0" * 64}, {"name": "step-5", "sha256": "0"},
    {"name": "step-5\n", "sha256": "0" * 64}, {"name": 5, "sha256": "0" * 64}, {"name": "out", "sha256": "0" * 64},
)  # fmt: skip


def status_answer(checkpoint: object) -> bytes:
    return json.dumps({"supervisor_alive": True, "checkpoint": checkpoint}).encode()


@pytest.mark.parametrize("checkpoint", ODD_CHECKPOINTS)
def test_a_checkpoint_that_is_named_oddly_is_refused(checkpoint: object) -> None:
    with pytest.raises(GuestError, match="odd answer"):
        Guest(Liar(status_answer(checkpoint)), "/g").status()


def test_a_machine_with_an_older_program_names_no_checkpoint() -> None:
    assert Guest(Liar(b'{"supervisor_alive": true}'), "/g").status().checkpoint is None
    assert Guest(Liar(status_answer(None)), "/g").status().checkpoint is None


FILE = {"path": "a.json", "bytes": 1, "sha256": "0" * 64}
ODD_SIZES: tuple[object, ...] = (-1, True, 1.5, "1", None, 2**63, [])
ODD_HASHES: tuple[object, ...] = ("", "0" * 63, "G" * 64, "A" * 64, None, 0, "0" * 64 + "\n")
ODD_PATHS: tuple[object, ...] = (None, 1, ["a"], True)
ODD_FILES: list[object] = [
    *("x", {}, [1], [None], [[]]),
    *([{**FILE, "bytes": size}] for size in ODD_SIZES),
    *([{**FILE, "sha256": digest}] for digest in ODD_HASHES),
    *([{**FILE, "path": path}] for path in ODD_PATHS),
]


@pytest.mark.parametrize("files", ODD_FILES, ids=repr)
def test_an_odd_manifest_is_refused(files: object) -> None:
    with pytest.raises(GuestError):
        Guest(Liar(json.dumps({"files": files}).encode()), "/g").manifest()


def test_a_manifest_of_a_million_entries_is_refused_by_its_size() -> None:
    answer = b'{"files": [' + b",".join([json.dumps(FILE).encode()] * 60_000) + b"]}"
    with pytest.raises(GuestError, match="more than"):
        Guest(Liar(answer), "/g").manifest()


def test_an_error_cannot_speak_to_the_terminal_nor_fill_it() -> None:
    answer = json.dumps({"error": "\x1b]0;owned\x07\nroot# " + "x" * 10**5}).encode()
    with pytest.raises(GuestError) as told:
        Guest(Liar(answer, exit_code=1), "/g").stop()
    assert str(told.value).isprintable()
    assert len(str(told.value)) < 600


def test_a_machine_without_the_program_is_told_by_what_its_shell_said() -> None:
    with pytest.raises(GuestError, match="python3: not found"):
        Guest(Liar(b"", exit_code=127, stderr="sh: python3: not found\n"), "/g").probe()
    with pytest.raises(GuestError, match="python3: not found"):
        Guest(Liar(b"", exit_code=127, stderr="sh: python3: not found\n"), "/g").install(b"zip")


def test_secrets_are_in_no_command_line() -> None:
    liar = Liar(b"{}")
    Guest(liar, "/g").secrets({"HF_TOKEN": "hf_canary"})
    assert "hf_canary" not in repr(liar.argvs)


def test_an_upload_that_the_machine_tells_otherwise_about_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bundle").write_bytes(b"x")
    answer = json.dumps({"have": 0, "sha256": "0" * 64, "bytes": 1}).encode()
    with pytest.raises(GuestError, match="damaged"):
        Guest(Liar(answer), "/g").ship(tmp_path / "bundle", "1" * 64)
