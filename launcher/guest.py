"""Asks the supervisor on a machine, verb by verb of docs/guest.md, and believes no answer before it is checked."""

import hashlib
import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from pathlib import Path
from typing import BinaryIO

from launcher import checkpoints
from launcher.answers import Answer, GuestError, GuestGone, printable, read
from launcher.remote import Remote

__all__ = [
    "Carriage",
    "Guard",
    "Guest",
    "GuestError",
    "GuestGone",
    "GuestStatus",
    "Lease",
    "Manifest",
    "Probe",
    "ProbedGpu",
    "RemoteFile",
    "Saved",
]

GUEST = ".launch/guest.pyz"
RUN = ".launch/run"
BUNDLE = f"{RUN}/bundle.tar.gz"

_ANSWER_BYTES = 256 * 1024
_MANIFEST_BYTES = 4 * 1024 * 1024
_SLOWEST_BYTES_PER_SECOND = 25_000  # of an upload that we still wait for
_SMALL_BYTES = 1024 * 1024
_PROVE_SECONDS = 400  # three interpreters at most, and a GPU that wakes up
_LOG_IDLE_SECONDS = 24 * 3600.0  # a job may print nothing for hours; ssh itself notices a dead connection

# Written aside, checked, renamed: an upload that was cut off is never taken for the program.
_INSTALL = """
import hashlib, os, sys
data = sys.stdin.buffer.read()
if hashlib.sha256(data).hexdigest() != sys.argv[2]:
    sys.exit("the program arrived damaged")
os.umask(0o077)
os.makedirs(sys.argv[3], exist_ok=True)
aside = sys.argv[1] + ".part"
with open(aside, "wb") as file:
    file.write(data)
os.replace(aside, sys.argv[1])
"""


@dataclass(frozen=True, kw_only=True)
class ProbedGpu:
    """One GPU as the machine's driver names it."""

    name: str
    memory_mib: int
    driver: str


@dataclass(frozen=True, kw_only=True)
class Guard:
    """The dead-man switch: whether it counts, and `why` not."""

    armed: bool
    life_seconds: float
    lease_seconds: float
    why: str


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What the machine says that it is. `clock` is its idea of the time, in seconds since 1970; `torch`: it has one."""

    python: str
    architecture: str
    cpus: int
    ram_gib: float
    disk_free_gib: float
    gpus: tuple[ProbedGpu, ...]
    guard: Guard
    clock: float
    torch: bool


@dataclass(frozen=True, kw_only=True)
class Lease:
    """How long the machine has lived, and at what life it ends itself."""

    life_seconds: float
    lease_seconds: float


@dataclass(frozen=True, kw_only=True)
class Carriage:
    """Which computer carries the run, by the machine's own word, and whether that is us."""

    granted: bool
    epoch: int
    place: str
    host: str
    since_seconds: float


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A whole checkpoint that lies there; `sha256` is that of its manifest.json."""

    name: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class GuestStatus:
    """How the supervisor stands. Texts are "" and `exit_code` is None as long as it does not say.

    `outcome` is "succeeded", "failed" or "stopped" once the job is over; a supervisor that is neither alive nor has an
    outcome was lost.
    """

    supervisor_alive: bool
    life_seconds: float
    lease_seconds: float
    state: str = ""
    step: str = ""
    outcome: str = ""
    exit_code: int | None = None
    text: str = ""
    checkpoint: Saved | None = None
    """The newest; None where there is none, or an older program there does not say."""


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file that the machine announces. Sizes and hashes are well-formed; `path` is whatever it said."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All files below one folder of the run, in the machine's order."""

    files: tuple[RemoteFile, ...]


class Guest:
    """The verbs of docs/guest.md. Raises `RemoteError`s: `GuestError` for a refusal or an odd answer."""

    def __init__(self, remote: Remote, guard_dir: str, left: Callable[[], float] = lambda: inf) -> None:
        """`left`: how many seconds a call may take at most from now on, whatever it takes as a rule."""
        self._remote, self._guard_dir, self._left = remote, guard_dir, left
        self.received_bytes = 0
        """Of all streams, whole or broken off: the provider counts them too."""
        self.on_bytes: Callable[[int], None] = lambda received_bytes: None
        """Told how many came before files are asked for, and before more of them is taken on; may raise."""

        self.carrier = ""
        """EPOCH.PLACE, as `carry` granted it; verbs that change something say it, and are refused once it is old."""

    def carry(self, place: str, host: str, *, take: bool = False) -> Carriage:
        """Carry the run from here, if nobody else does (`take`: even then); heard again where we do already."""
        more = ["--take"] if take else []
        answer = self._ask("carry", "--run", RUN, "--place", place, "--host", host, *self._as(), *more)
        carriage = _carriage(answer)
        if carriage.granted:
            self.carrier = f"{carriage.epoch}.{place}"
        return carriage

    def install(self, guest_zip: bytes) -> None:
        """Put the program there; needs only python3. Repeating it does no harm."""
        digest = _digest(guest_zip)
        argv = ["python3", "-c", _INSTALL, GUEST, digest, RUN]
        done = self._remote.run(argv, stdin=guest_zip, timeout_seconds=self._at_most(_upload_seconds(len(guest_zip))))
        if done.exit_code != 0:
            raise GuestError(f"the supervisor could not be installed: {printable(done.stderr) or done.exit_code}")

    def probe(self) -> Probe:
        """What the machine is, and whether its dead-man counts."""
        return _probe(self._ask("probe", "--guard", self._guard_dir))

    def prove(self) -> str:
        """Let the GPU compute once, where the image has torch; how it failed, "" where it did not."""
        return self._ask("prove", timeout_seconds=_PROVE_SECONDS).text("failed", or_else="")

    def ship(self, bundle: Path, sha256: str) -> None:
        """Bring the bundle there, from where the last try was cut off, verify it, unpack it."""
        self._put(bundle, BUNDLE, sha256)
        seconds = _upload_seconds(bundle.stat().st_size)
        self._ask("unpack", "--run", RUN, "--sha256", sha256, *self._as(), timeout_seconds=seconds)

    def restore(self, folder: Path, name: str) -> None:
        """Bring a pulled checkpoint there, to go on from; its manifest.json last, so that half of one is none."""
        files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
        for path in sorted(files, key=lambda path: path == folder / "manifest.json"):
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            self._put(path, f"{RUN}/checkpoints/{name}/{path.relative_to(folder).as_posix()}", digest)

    def secrets(self, values: Mapping[str, str]) -> None:
        """Hand over the job's secrets, by standard input only; the machine keeps them in memory."""
        self._ask("secrets", "--run", RUN, *self._as(), stdin=json.dumps(dict(values)).encode())

    def grant(self, document: bytes) -> None:
        """Let the machine write into the durable store; by standard input only, and kept in memory there."""
        self._ask("grant", "--run", RUN, *self._as(), stdin=document, timeout_seconds=_upload_seconds(len(document)))

    def start(self) -> int:
        """Start the supervisor, which outlives this connection; its process id. A second start is a no-op."""
        return self._ask("start", *self._run_and_guard(), *self._as()).whole("pid")

    def status(self) -> GuestStatus:
        """How it stands now."""
        return _status(self._ask("status", *self._run_and_guard()))

    def follow(self, offset: int, *, idle_seconds: float = 60) -> Iterator[bytes]:
        """Raw bytes of progress.jsonl from `offset` and on as they come, until the supervisor is over.

        Heartbeats come every 5 s, so that silence for `idle_seconds` means that the machine is not there.
        """
        return self._stream("follow", "--run", RUN, "--offset", str(offset), idle_seconds=idle_seconds)

    def log(self, offset: int, *, follow: bool = False) -> Iterator[bytes]:
        """Raw bytes of the job's own output from `offset`; hostile text, to be cleaned before a terminal sees it."""
        more = ["--follow"] if follow else []
        return self._stream("log", "--run", RUN, "--offset", str(offset), *more, idle_seconds=_LOG_IDLE_SECONDS)

    def stop(self) -> None:
        """Ask the job to save and stop; returns before it has."""
        self._ask("stop", "--run", RUN, *self._as())

    def shorten(self, steps: int) -> None:
        """Let the training end at that step; before `start`, or while it works."""
        self._ask("shorten", "--run", RUN, "--steps", str(steps), *self._as())

    def lease(self, seconds: int) -> Lease:
        """Let the machine live `seconds` more from now, and then end itself."""
        answer = self._ask("lease", "--guard", self._guard_dir, "--seconds", str(seconds), *self._as())
        return Lease(life_seconds=answer.number("life_seconds"), lease_seconds=answer.number("lease_seconds"))

    def manifest(self, under: str = "out") -> Manifest:
        """The files below `under`: "out", or "checkpoints/NAME"."""
        answer = self._ask("manifest", "--run", RUN, "--under", under, limit=_MANIFEST_BYTES, timeout_seconds=300)
        return Manifest(files=tuple(_remote_file(one) for one in answer.answers("files")))

    def send(self, under: str, path: str, offset: int) -> Iterator[bytes]:
        """Raw bytes of one file from `offset`; as many as the machine likes, the caller counts."""
        named = ["--under", under, "--path", path, "--offset", str(offset)]
        return self._told(self._stream("send", "--run", RUN, *named, idle_seconds=60))

    def send_all(self, under: str, paths: Sequence[str]) -> Iterator[bytes]:
        """Raw bytes of several files, one after the other with nothing between them."""
        named = [word for path in paths for word in ("--path", path)]
        return self._told(self._stream("send", "--run", RUN, "--under", under, *named, idle_seconds=60))

    def _told(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Files alone: progress is read beside, by a thread of its own."""
        self.on_bytes(self.received_bytes)
        try:
            for chunk in chunks:
                self.on_bytes(self.received_bytes)
                yield chunk
        finally:
            if isinstance(chunks, Generator):
                chunks.close()

    def _put(self, path: Path, there: str, sha256: str) -> None:
        named = ["--path", there, "--sha256", sha256]
        size = path.stat().st_size
        # To ask what is there already pays only where much may be.
        have = self._ask("received", *named).whole("have") if size > _SMALL_BYTES else 0
        offset = have if have <= size else 0
        with path.open("rb") as file:
            file.seek(offset)
            seconds = _upload_seconds(size - offset)
            got = self._ask("receive", *named, "--offset", str(offset), stdin=file, timeout_seconds=seconds)
        if (got.text("sha256"), got.whole("bytes")) != (sha256, size):
            raise GuestError(f"{there} arrived damaged")

    def _as(self) -> list[str]:
        return ["--as", self.carrier] if self.carrier else []

    def _run_and_guard(self) -> list[str]:
        return ["--run", RUN, "--guard", self._guard_dir]

    def _stream(self, *words: str, idle_seconds: float) -> Iterator[bytes]:
        chunks = self._remote.stream(["python3", GUEST, *words], idle_seconds=idle_seconds)
        try:
            for chunk in chunks:
                self.received_bytes += len(chunk)
                yield chunk
        finally:
            if isinstance(chunks, Generator):
                chunks.close()  # which ends the command

    def _ask(
        self, *words: str, stdin: bytes | BinaryIO = b"", timeout_seconds: float = 60, limit: int = _ANSWER_BYTES
    ) -> Answer:
        seconds = self._at_most(timeout_seconds)
        done = self._remote.run(["python3", GUEST, *words], stdin=stdin, timeout_seconds=seconds)
        return read(done, words[0], limit)

    def _at_most(self, seconds: float) -> float:
        return max(1.0, min(seconds, self._left()))


@lru_cache(maxsize=1)
def _digest(guest_zip: bytes) -> str:
    """It is the same with every try to log in."""
    return hashlib.sha256(guest_zip).hexdigest()


def _upload_seconds(size: int) -> float:
    return 60 + size / _SLOWEST_BYTES_PER_SECOND


def _carriage(answer: Answer) -> Carriage:
    return Carriage(
        granted=answer.truth("granted"),
        epoch=answer.whole("epoch"),
        place=answer.text("place"),
        host=answer.text("host"),
        since_seconds=answer.number("since_seconds"),
    )


def _probe(answer: Answer) -> Probe:
    return Probe(
        python=answer.text("python"),
        architecture=answer.text("architecture"),
        cpus=answer.whole("cpus"),
        ram_gib=answer.number("ram_gib"),
        disk_free_gib=answer.number("disk_free_gib"),
        gpus=tuple(_gpu(one) for one in answer.answers("gpus")),
        guard=_guard(answer.answer("guard")),
        clock=answer.number("clock"),
        torch=answer.truth("torch"),
    )


def _gpu(answer: Answer) -> ProbedGpu:
    return ProbedGpu(name=answer.text("name"), memory_mib=answer.whole("memory_mib"), driver=answer.text("driver"))


def _guard(answer: Answer) -> Guard:
    return Guard(
        armed=answer.truth("armed"),
        life_seconds=answer.number("life_seconds", or_else=0),
        lease_seconds=answer.number("lease_seconds", or_else=0),
        why=answer.text("why", or_else=""),
    )


def _status(answer: Answer) -> GuestStatus:
    return GuestStatus(
        supervisor_alive=answer.truth("supervisor_alive"),
        life_seconds=answer.number("life_seconds", or_else=0),
        lease_seconds=answer.number("lease_seconds", or_else=0),
        state=answer.text("state", or_else=""),
        step=answer.text("step", or_else=""),
        outcome=answer.word("outcome", ("", "succeeded", "failed", "stopped"), or_else=""),
        exit_code=answer.exit_code("exit_code"),
        text=answer.text("text", or_else=""),
        checkpoint=_saved(answer.answer("checkpoint")) if answer.says("checkpoint") else None,
    )


def _saved(answer: Answer) -> Saved:
    return Saved(name=answer.matching("name", checkpoints.NAME), sha256=answer.sha256("sha256"))


def _remote_file(answer: Answer) -> RemoteFile:
    return RemoteFile(path=answer.raw("path"), bytes=answer.whole("bytes"), sha256=answer.sha256("sha256"))
