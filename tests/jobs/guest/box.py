"""A folder that plays the machine: guest.pyz in it, a guard that was written by hand, and the verbs as processes."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from jobs import package
from jobs.progress import Event, parse

QUICK = Path(__file__).parents[1] / "quick"
RUN = ".launch/run"
LIMIT_SECONDS = 60
"""Of every process here: far over what any of them takes, so that a hang is a failure and not a wait."""


def oldest_python() -> str:
    """A Python 3.9 where a version manager put one; else the one that runs the tests."""
    home = Path.home() / ".pyenv" / "versions"
    found = sorted(home.glob("3.9*/bin/python"))[:1] if home.is_dir() else []
    return str(found[0]) if found else sys.executable


class Box:
    """One machine."""

    def __init__(self, folder: Path, *, python: str = "") -> None:
        self.folder, self.python = folder, python or oldest_python()
        self.run, self.guard = folder / RUN, folder / "guard"
        self.run.mkdir(parents=True)
        (folder / ".launch" / "guest.pyz").write_bytes(package.guest_zipapp())
        self.environment = {**os.environ, "HOME": str(folder)}
        self.arm(life=10, lease=100_000)

    def arm(self, *, life: int, lease: int) -> None:
        """What a dead-man would have written; its process is this one."""
        self.guard.mkdir(exist_ok=True)
        for name, number in (("life", life), ("lease", lease), ("pid", os.getpid())):
            (self.guard / name).write_text(f"{number}\n")

    def call(self, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        argv = [self.python, ".launch/guest.pyz", *words]
        return subprocess.run(
            argv,
            check=False,
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            timeout=LIMIT_SECONDS,
            env=self.environment,
        )

    def ask(self, *words: str, stdin: bytes = b"") -> dict[str, Any]:
        """A verb that must succeed."""
        done = self.call(*words, stdin=stdin)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        found = json.loads(done.stdout)
        assert isinstance(found, dict)
        return found

    def refusal(self, *words: str, stdin: bytes = b"") -> str:
        """A verb that must refuse, in words and without a traceback."""
        done = self.call(*words, stdin=stdin)
        assert done.returncode == 1, (words, done.stdout, done.stderr)
        assert done.stderr == b""
        return str(json.loads(done.stdout)["error"])

    def ship(self, **changes: object) -> None:
        """Bring a quick job there; `changes` are laid over job.json."""
        steps = json.loads((QUICK / "steps.json").read_text())
        job = {"schema": 1, "attempt": 1, "grace_seconds": 20, "save_seconds": 30, "steps": steps, "secrets": []}
        files = {"job.json": json.dumps({**job, **changes}).encode(), "job/quick.py": (QUICK / "quick.py").read_bytes()}
        self.bring(archive(files))

    def bring(self, bundle: bytes) -> None:
        digest = hashlib.sha256(bundle).hexdigest()
        self.ask("receive", "--path", f"{RUN}/bundle.tar.gz", "--sha256", digest, stdin=bundle)
        self.ask("unpack", "--run", RUN, "--sha256", digest)

    def start(self) -> int:
        return int(self.ask("start", "--run", RUN, "--guard", "guard")["pid"])

    def status(self) -> dict[str, Any]:
        return self.ask("status", "--run", RUN, "--guard", "guard")

    def follow(self, offset: int = 0) -> Iterator[Event]:
        """Events as they come, until the supervisor is over."""
        argv = [self.python, ".launch/guest.pyz", "follow", "--run", RUN, "--offset", str(offset)]
        with subprocess.Popen(argv, cwd=self.folder, stdout=subprocess.PIPE, env=self.environment) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    yield parse(line)
            finally:
                process.kill()

    def events(self) -> list[Event]:
        """All events, once the job is over."""
        return list(self.follow())

    def close(self) -> None:
        """Whatever a test left running."""
        run = str(self.run.resolve()).encode()
        for entry in Path("/proc").iterdir() if Path("/proc").is_dir() else ():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with suppress(OSError):
                if b"LAUNCH_RUN=" + run in (entry / "environ").read_bytes() or run in (entry / "cmdline").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)


def archive(files: Mapping[str, bytes], odd: Sequence[tarfile.TarInfo] = ()) -> bytes:
    """A tar.gz of these files, and of members that no honest bundle has."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        for entry in odd:
            tar.addfile(entry)
    return made.getvalue()
