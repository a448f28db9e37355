"""The ground that a case is played on: a home with precious things, a results folder, a machine that lies."""

import hashlib
import io
import itertools
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from launcher import pages
from launcher.console import JsonConsole, Paper, PlainConsole, Streams
from launcher.errors import LaunchError
from launcher.events import Happened
from launcher.guest import Guest
from launcher.pull import Caps, Pulled, pull
from launcher.remote import Completed, Keys
from launcher.small_files import SmallFiles
from providers.base import Access, Ssh
from tests.fake_guest import FakeRemote, Site
from tests.fake_world import Heard, Stage

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
CAPS = Caps(files=100, bytes=2_000_000, seconds=60.0)
"""Of a pull on this ground: what comes may be so much, and no more."""
CHUNK = b"\0" * 65_536
Sender = Callable[[int], Iterator[bytes]]
"""From an offset on, the bytes of a file, truthfully or not."""


def row(path: str, data: bytes = b"{}", **lies: object) -> dict[str, object]:
    """A line of the manifest, true but for what is said otherwise."""
    return {"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), **lies}


def manifest(*rows: Mapping[str, object]) -> bytes:
    """A whole answer to `manifest`."""
    return json.dumps({"files": list(rows)}).encode()


def said(stdout: bytes, *, exit_code: int = 0, stderr: str = "") -> Completed:
    """What a verb answered."""
    return Completed(exit_code=exit_code, stdout=stdout, stderr=stderr)


@dataclass
class Liar:
    """A `Remote` whose machine answers what it is told to; counts what is taken of it."""

    answers: Mapping[str, Completed] = field(default_factory=dict)
    sends: Mapping[str, Sender] = field(default_factory=dict)
    progress: bytes = b""
    tick: Callable[[], None] = lambda: None
    """Called before each chunk."""
    taken_bytes: int = 0

    def run(self, argv: Sequence[str], *, stdin: bytes | BinaryIO = b"", timeout_seconds: float = 60) -> Completed:
        """See `Remote.run`: a real one keeps at most 8 MiB."""
        answer = self.answers.get(argv[2], said(b"{}"))
        return Completed(exit_code=answer.exit_code, stdout=answer.stdout[: 8 << 20], stderr=answer.stderr[-65536:])

    def stream(self, argv: Sequence[str], *, idle_seconds: float = 60) -> Iterator[bytes]:
        """See `Remote.stream`."""
        paths = [after for word, after in itertools.pairwise(argv) if word == "--path"]
        offset = int(argv[argv.index("--offset") + 1]) if "--offset" in argv else 0
        for path in paths:
            for chunk in self.sends.get(path, whole(b"{}"))(offset):
                self.tick()
                self.taken_bytes += len(chunk)
                yield chunk

    def interactive(self, argv: Sequence[str]) -> int:
        """No terminal."""
        return 0

    def shown_host_key(self) -> str:
        """Not asked for here."""
        return ""

    def close(self) -> None:
        """Nothing to let go of."""


def whole(data: bytes) -> Sender:
    """Sends that, honestly."""
    return lambda offset: (data[at : at + len(CHUNK)] for at in range(offset, len(data), len(CHUNK)))


def endless(chunk: bytes = CHUNK) -> Sender:
    """Sends for ever."""
    return lambda _offset: itertools.repeat(chunk)


class Loud(Heard):
    """A console that remembers, and shows all as the real ones do: for people, and as JSON."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        super().__init__()
        self.out, self.talk = io.StringIO(), io.StringIO()
        streams = Streams(
            out=Paper(stream=self.out),
            talk=Paper(stream=self.talk),
            stdin=io.StringIO(),
            now=now,
            width=lambda: 100,
            verbose=True,
        )
        spoken = Streams(
            out=streams.talk, talk=streams.talk, stdin=streams.stdin, now=now, width=streams.width, verbose=True
        )
        self._real = JsonConsole(streams, PlainConsole(spoken))

    def tell(self, event: Happened) -> None:
        super().tell(event)
        self._real.tell(event)

    def fail(self, error: LaunchError, run: str) -> None:
        super().fail(error, run)
        self._real.fail(error, run)

    @property
    def said(self) -> str:
        """All that came out."""
        return self.out.getvalue() + self.talk.getvalue()


class Ground:
    """One folder for one family of cases; `fresh` gives each its own results folder."""

    def __init__(self, folder: Path) -> None:
        self.base = folder
        self.precious = folder / "precious"
        for name in (".ssh/authorized_keys", ".bashrc", "thesis.txt", "other-run/receipt.json", "other-run/adapter/a"):
            path = self.precious / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("years of work")
        (self.precious / "other-run" / "tuned.json").write_text('{"arm": "tuned", "n": 1, "metrics": {"exact": 1.0}}')
        self._numbers = itertools.count()
        self.into = folder
        self.liar = Liar()
        self.texts: list[str] = []
        self._told: tuple[Stage, str, str] | None = None
        self.seconds = 0.0
        """Virtual, of a pull: each chunk may take some."""

    def fresh(self) -> Path:
        """The results folder of the next case: `precious` lies beside it."""
        if self.into != self.base:
            shutil.rmtree(self.into, ignore_errors=True)
        self.into = self.base / "runs" / f"case-{next(self._numbers)}"
        self.into.mkdir(parents=True)
        self.liar, self.texts, self.seconds = Liar(), [], 0.0
        return self.into

    @property
    def moved(self) -> Path:
        """Where an enemy moves the results folder to, with all that is open in it."""
        return self.into.with_name(f"{self.into.name}-moved")

    def guest(self) -> Guest:
        """The real reader of answers, over the liar."""
        return Guest(self.liar, "guard")

    def pull(self, under: str = "out", caps: Caps = CAPS) -> Pulled:
        """The real pull, as a run and `launch pull` do it."""
        source = SmallFiles(self.guest(), clock=lambda: self.seconds)
        pulled = pull(source, under, self.into, caps, NOW, clock=lambda: self.seconds)
        self.texts += [*pulled.refused, *pulled.replaced]
        return pulled

    def brings(self, files: Mapping[str, bytes]) -> Pulled:
        """A machine with these files, and honest about them."""
        self.liar.answers = {"manifest": said(manifest(*(row(path, data) for path, data in files.items())))}
        self.liar.sends = {path: whole(data) for path, data in files.items()}
        return self.pull()

    def read(self) -> None:
        """All readers of results on this computer: counts, scores, report, model card."""
        stage, run_id, receipt = self._told or self._after_a_run()
        world = stage.laptop()
        try:
            made = pages.make(run_id, self.into, receipt, world)
        finally:
            world.ledger.close()
        self.texts += [path.read_text("utf-8") for path in made if path.suffix in (".html", ".md")]

    def _after_a_run(self) -> tuple[Stage, str, str]:
        stage = Stage(self.base / "stage")
        stage.launch()
        ledger = stage.ledger(self.base / "stage" / "home" / "ledger.sqlite")
        (record,) = ledger.runs()
        ledger.close()
        self._told = (stage, record.id, str(record.receipt_json))
        return self._told

    def flow(self, liar: Liar) -> None:
        """A whole run, from the agreement to the receipt, on a machine that lies; all that is said is kept."""
        self.liar = liar
        stage = Stage(self.into)
        loud = Loud(stage.clock)
        stage.heard = loud
        stage.site = Lying(stage, liar)
        try:
            stage.launch()
        except LaunchError as error:
            loud.fail(error, "")
        finally:
            self.texts += [loud.said, *ledger_texts(self.into / "home" / "ledger.sqlite")]
            self.texts += [
                path.read_text("utf-8")
                for name in ("report.html", "MODEL_CARD.md", "receipt.json")
                for path in (self.into / "runs").rglob(name)
            ]
        stage.all_quiet()


class Lying(Site):
    """Machines of which each is the liar."""

    def __init__(self, stage: Stage, liar: Liar) -> None:
        super().__init__(stage.cloud, stage.clock)
        self._stage, self._liar = stage, liar

    def remote(self, access: Access, _keys: Keys) -> FakeRemote:
        return Between(self._stage, access, self._liar)


class Between(FakeRemote):
    """An honest machine, but for the verbs and bytes that the liar has its own words for."""

    def __init__(self, stage: Stage, access: Access, liar: Liar) -> None:
        assert isinstance(access, Ssh)
        super().__init__(stage.site, access.host.removesuffix(".invalid"))
        self._liar = liar

    def run(self, argv: Sequence[str], *, stdin: bytes | BinaryIO = b"", timeout_seconds: float = 60) -> Completed:
        honest = super().run(argv, stdin=stdin, timeout_seconds=timeout_seconds)
        return self._liar.answers.get(argv[2], honest)

    def stream(self, argv: Sequence[str], *, idle_seconds: float = 60) -> Iterator[bytes]:
        if argv[2] == "follow" and self._liar.progress:
            offset, progress = int(argv[argv.index("--offset") + 1]), self._liar.progress
            job = b"".join(super().stream([*argv[:-1], "0"], idle_seconds=idle_seconds))
            yield (progress + job)[offset:]
        elif argv[2] == "send" and self._liar.sends:
            yield from self._liar.stream(argv, idle_seconds=idle_seconds)
        else:
            yield from super().stream(argv, idle_seconds=idle_seconds)


def ledger_texts(path: Path) -> list[str]:
    """All that the ledger holds, as text: of every table, every column."""
    with closing(sqlite3.connect(path)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchall()]
        rows = [found for table in tables for found in db.execute(f"SELECT * FROM {table}")]
    return [value for found in rows for value in found if isinstance(value, str)]
