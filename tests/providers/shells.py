"""Runs a machine's own scripts below a folder of the test: paths moved, stub programs before all others."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

MOVED = re.compile(r"(?<![\w./$-])(/var/lib/launch|/etc/ssh|/root|/run/sshd|/home|/proc/1/fd/1)(?![\w.-])")
"""What a script touches by its absolute path."""
LEFT = re.compile(r"(?<![\w./$}@-])/(?!dev/null|bin/sh|usr/sbin/sshd|v2/|graphql|instance)[a-z]")
LONGEST_SECONDS = 30


class Machine:
    """A folder as a machine: its files, its programs, its environment, and what its scripts called."""

    def __init__(self, root: Path) -> None:
        self.root, self.calls = root, root / "calls"
        (root / "bin").mkdir(parents=True)
        for below in ("var/lib/launch", "proc/1/fd", "root"):
            (root / below).mkdir(parents=True)
        path = f"{root / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environ = {"PATH": path, "HOME": str(root / "root"), "LANG": "C.UTF-8"}
        self.stub("sleep", "exec /bin/sleep 0.01", told=False)

    @property
    def guard(self) -> Path:
        """The guard's folder."""
        return self.root / "var/lib/launch"

    def stub(self, name: str, body: str = "", *, told: bool = True) -> None:
        """A program of that name; each call is noted, with its words, unless it is not to be told."""
        note = f'echo {name} "$@" >>{self.calls}\n' if told else ""
        file = self.root / "bin" / name
        file.write_text(f"#!/bin/sh\n{note}{body}\n")
        file.chmod(0o755)

    def called(self, name: str = "") -> list[str]:
        """What was called, in order; of one program where it is named."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [line for line in lines if not name or line.split()[0] == name]

    def own(self, script: str) -> str:
        """The script with its absolute paths below this folder: nothing of the computer's own is touched."""
        lines = [line for line in script.splitlines() if not line.lstrip().startswith("#")]
        strange = LEFT.search(MOVED.sub("@", "\n".join(lines)))
        assert strange is None, (
            f"a path that is not this machine's own, before {strange.string[strange.start() :][:40]}"
        )
        text = MOVED.sub(lambda found: f"{self.root}{found[0]}", "\n".join(lines))
        return text.replace("/usr/sbin/sshd", "sshd") + "\n"

    def start(self, *argv: str, **environ: str) -> "subprocess.Popen[str]":
        """A process with its own session, whose output is one text."""
        return subprocess.Popen(
            argv,
            env={**self.environ, **environ},
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *argv: str, **environ: str) -> tuple[int, str]:
        """Its exit code and what it printed."""
        process = self.start(*argv, **environ)
        try:
            said, _ = process.communicate(timeout=LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        return process.returncode, said


def modes(*files: Path) -> Mapping[str, str]:
    """Who may read them, by name."""
    return {file.name: f"{file.stat().st_mode & 0o777:o}" for file in files}
