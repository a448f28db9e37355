"""A laptop of the test's own: a state folder, an environment, a job, and the commands that a person types there."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from launcher.ledger import Ledger
from launcher.records import RunRecord
from launcher.run import State
from tests.cloud import processes
from tests.cloud.client import REPOSITORY, Cloud, CloudError, Machine
from tests.launches.drive import HURRY, JOB

BOUND_SECONDS = 60.0
QUICK = REPOSITORY / "tests" / "jobs" / "quick"
MODEL = "mistralai/Mistral-7B-Instruct-v0.3"
LAUNCH = ("--budget", "5", "--gpu", "a10g", "--yes", "--json")
HANDED_ON = ("PATH", "LANG", "TMPDIR", "VIRTUAL_ENV", "SSL_CERT_FILE", "OMP_NUM_THREADS")
Event = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Said:
    """How a command ended, and all that it said."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[Event]:
        """Its JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def last(self) -> Event:
        """Its last JSON line."""
        return self.events[-1]


class Typed:
    """A command that runs: its lines are kept as they come, and can be waited for."""

    def __init__(self, argv: list[str], environ: Mapping[str, str], cwd: Path, err: Path) -> None:
        self._err = err
        with err.open("wb") as talk:
            # A session of its own, as a terminal gives: Ctrl-C there reaches all processes of the command.
            self._process = subprocess.Popen(
                argv, env=dict(environ), cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=talk,
                text=True, start_new_session=True,
            )  # fmt: skip
        self._lines: list[str] = []
        self._over = False
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()
        with self._news:
            self._over = True
            self._news.notify_all()

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self._process.pid

    def until(self, what: Callable[[Event], object], bound_seconds: float = BOUND_SECONDS) -> Event:
        """The first JSON line, past or to come, that `what` says yes to."""
        with self._news:
            self._news.wait_for(lambda: self._over or self._find(what) is not None, bound_seconds)
            found = self._find(what)
        if found is None:
            raise AssertionError(f"it did not say that; it said:\n{self._text()[-4000:]}\n{self._err.read_text()}")
        return found

    def until_state(self, state: str) -> Event:
        """The line that says that the run is now in this state."""
        return self.until(lambda event: event["event"] == "state" and event["state"] == state)

    def until_line(self, part: str) -> None:
        """Wait for a line with these words in it."""
        with self._news:
            found = self._news.wait_for(lambda: part in self._text() or self._over, BOUND_SECONDS)
        assert found, self._text()
        assert part in self._text()

    def _find(self, what: Callable[[Event], object]) -> Event | None:
        return next((event for line in self._lines if what(event := json.loads(line))), None)

    def _text(self) -> str:
        return "".join(self._lines)

    def kill(self) -> None:
        """Kill -9 of the command's own process, and of nothing else."""
        os.kill(self.pid, signal.SIGKILL)
        self._process.wait(BOUND_SECONDS)
        self.close()

    def interrupt(self) -> None:
        """Ctrl-C: the terminal sends it to every process of the command."""
        os.killpg(self.pid, signal.SIGINT)

    def ended(self, bound_seconds: float = BOUND_SECONDS) -> Said:
        """Wait for its end."""
        code = self._process.wait(bound_seconds)
        self._reader.join(bound_seconds)
        self.close()
        return Said(code=code, out=self._text(), err=self._err.read_text())

    def close(self) -> None:
        """Let go of its pipe."""
        self._reader.join(BOUND_SECONDS)
        if self._process.stdout is not None:
            self._process.stdout.close()


class Laptop:
    """A person's computer that takes the test cloud for AWS, or for other clouds (`at`)."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.cloud, self.folder, self.home, self.work = cloud, folder, folder / "home", folder / "work"
        self.work.mkdir(parents=True)
        self.job = write_job(self.work / "job")
        self._typed: list[Typed] = []
        self.environ = {
            **{name: os.environ[name] for name in HANDED_ON if name in os.environ},
            **cloud.environ(),
            "HOME": str(folder),
            "PYTHONPATH": str(REPOSITORY),
            "COLUMNS": "100",
            "TZ": "UTC",
            "LAUNCH_HOME": str(self.home),
            JOB: str(QUICK),
        }

    def quick(self, **knobs: object) -> None:
        """Turn the knobs of the quick job: a copy of it with a `quick.json`."""
        copy = self.folder / "quick"
        shutil.copytree(QUICK, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        (copy / "quick.json").write_text(json.dumps(knobs))
        self.environ[JOB] = str(copy)

    def at(self, *clouds: str) -> None:
        """Credentials for these clouds, and for no other."""
        self.cloud.hurried()
        for name in [name for name in self.environ if name.startswith("AWS_")]:
            del self.environ[name]
        self.environ.update(self.cloud.environ(*clouds))
        self.environ["LAUNCH_HOME"] = str(self.home)

    def hurry(self, factor: float) -> None:
        """Let the program's own waits be over so many times as fast."""
        self.environ[HURRY] = str(factor)

    def type(self, *words: str, **environ: str) -> Typed:
        """Type a command, and leave it running."""
        argv = [sys.executable, "-m", "tests.launches.drive", *words]
        err = self.folder / f"stderr-{len(self._typed)}"
        self._typed.append(Typed(argv, {**self.environ, **environ}, self.work, err))
        return self._typed[-1]

    def run(self, *words: str, **environ: str) -> Said:
        """Type a command, and wait for its end."""
        return self.type(*words, **environ).ended()

    def launch(self, *more: str, **environ: str) -> Typed:
        """`launch --budget 5 --gpu a10g --yes --json`."""
        return self.type(*LAUNCH, "--job", str(self.job), *more, **environ)

    def launched(self, *more: str, **environ: str) -> Said:
        """The same, to its end."""
        return self.launch(*more, **environ).ended()

    def record(self) -> RunRecord:
        """The latest run in the ledger."""
        ledger = Ledger(self.home / "ledger.sqlite")
        try:
            return ledger.find(None)
        finally:
            ledger.close()

    def machine(self) -> Machine:
        """The only machine that there ever was."""
        (machine,) = self.cloud.machines()
        return machine

    def until_terminated(self) -> RunRecord:
        """Wait until whoever carries the latest run has brought it to its end."""

        def over() -> RunRecord | None:
            record = self.record()
            return record if record.state is State.TERMINATED and record.receipt_json else None

        found: RunRecord = self.cloud.wait_for(over, BOUND_SECONDS)
        return found

    def all_quiet(self, budget: str = "5") -> None:
        """By the meter: nothing alive, never two at once, within the budget; by the ledger: nothing open."""
        reading = self.cloud.meter()
        assert reading.alive == (), reading
        assert reading.peak <= 1, reading
        assert reading.total_usd <= Decimal(budget), reading
        record = self.record()
        assert (record.state, record.open_intents) == (State.TERMINATED, 0), record

    def close(self) -> None:
        """End every process that was started here, also those that the program left in the background."""
        processes.end("LAUNCH_HOME", str(self.home))
        for typed in self._typed:
            typed.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                typed.ended(5)


def write_job(folder: Path, **keys: object) -> Path:
    """A small job with its data; `keys` are laid over its launch.yaml."""
    folder.mkdir(parents=True)
    rows = [row(number) for number in range(12)]
    (folder / "train.jsonl").write_text("\n".join(rows[:8]) + "\n")
    (folder / "test.jsonl").write_text("\n".join(rows[8:]) + "\n")
    document = {
        "name": "quick",
        "model": MODEL,
        "data": {"train": "train.jsonl", "test": "test.jsonl"},
        "train": {"method": "qlora", "epochs": 1},
        **keys,
    }
    (folder / "launch.yaml").write_text(json.dumps(document))  # JSON is YAML
    return folder


def row(number: int) -> str:
    """One conversation."""
    turns = [{"role": "user", "content": f"parcel {number}?"}, {"role": "assistant", "content": f'{{"n": {number}}}'}]
    return json.dumps({"messages": turns})


__all__ = ["BOUND_SECONDS", "LAUNCH", "MODEL", "CloudError", "Laptop", "Said", "Typed", "row", "write_job"]
