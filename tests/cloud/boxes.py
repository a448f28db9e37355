"""One rented machine as a folder and a set of processes: user-data really runs in it, and it really ends."""

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cloud import processes, stubs
from tests.cloud.clock import Clock
from tests.cloud.userdata import PlainFile, UserData

OWN_PATHS = re.compile(
    r"(?<![\w./-])(/var/lib/launch|/proc/uptime|/home/ubuntu|/opt/dlami|/var/log/cloud-init[\w.-]*|/etc/ssh|/root(?![\w.-])"
    r"|/run/sshd|/proc/1/fd/1)"
)
"""Paths that mean this machine's own folder. A box has no root and no namespace of its own, so that they are replaced
in the text of user-data and of SSH commands before it runs."""
OWN_COMMANDS = re.compile(
    r"(?<![\w.-])(?:/usr)?/s?bin/(shutdown|poweroff|systemd-run|sudo|cloud-init-per|nvidia-smi|sshd)\b"
)
HANDED_ON = ("HF_ENDPOINT", "OMP_NUM_THREADS", "LD_LIBRARY_PATH", "NO_PROXY")
"""What a box takes over from the world's environment."""


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """What `nvidia-smi` shows."""

    name: str
    mib: int
    count: int


class Box:
    """The folder, the environment and the processes of one machine."""

    def __init__(
        self, id: str, root: Path, world: str, clock: Clock, surroundings: Mapping[str, str], *, user: str = "ubuntu"
    ) -> None:
        self.id, self.root, self.user = id, root, user
        self.home = root / "root" if user == "root" else root / "home" / user
        self._clock, self._booted = clock, clock.seconds()
        self._children: list[subprocess.Popen[bytes]] = []
        self.over = self.told_off = False
        self._furnish()
        self.environ = self._environ(world, surroundings)

    def _furnish(self) -> None:
        for below in ("run", "tmp", "proc", "etc/ssh", "var/log", "var/lib/launch", "opt/dlami/nvme"):
            (self.root / below).mkdir(parents=True)
        self.home.mkdir(parents=True)
        (self.root / "var/lib/launch").rmdir()  # the guard folder is for user-data to make
        stubs.install(self.root / "bin", self._clock.scale)
        self.refresh()
        if self._clock.scale != 1:
            now, at = self._clock.now().timestamp(), self._clock.real_now()
            stubs.install_clock(self.root / "site", self._clock.scale, now, at)

    def _environ(self, world: str, surroundings: Mapping[str, str]) -> dict[str, str]:
        """What every process in here inherits; `python3` is the interpreter that runs the world, with its packages."""
        path = [str(self.root / "bin"), str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]
        return {
            **{name: surroundings[name] for name in HANDED_ON if name in surroundings},
            **({"PYTHONPATH": str(self.root / "site")} if self._clock.scale != 1 else {}),
            processes.BOX_MARK: self.id,
            processes.WORLD_MARK: world,
            "BOX_ROOT": str(self.root),
            "PATH": ":".join(path),
            "HOME": str(self.home),
            "USER": self.user,
            "LOGNAME": self.user,
            "SHELL": "/bin/sh",
            "LANG": "C.UTF-8",
            "TMPDIR": str(self.root / "tmp"),
            "CUDA_VISIBLE_DEVICES": "",
        }

    def show_gpu(self, state: str, gpu: Gpu | None) -> None:
        """What `nvidia-smi` shows from now on."""
        none = gpu is None or state == "none"
        shown = gpu or Gpu(name="", mib=0, count=0)
        path = self.root / "run/gpu.json"
        stubs.describe_gpu(path, "none" if none else state, shown.name, shown.mib, shown.count, self.id)

    def slow_down(self, factor: float) -> None:
        """From now on everything takes so many times as long in here, for a job that cares to know."""
        aside = self.root / "run/.slowness"
        aside.write_text(f"{factor}\n")
        aside.replace(self.root / "run/slowness")

    def own(self, text: str) -> str:
        """The text with the machine's absolute paths turned into this box's."""
        return OWN_COMMANDS.sub(r"\1", OWN_PATHS.sub(lambda found: f"{self.root}{found[0]}", text))

    def refresh(self) -> None:
        """Bring the uptime file up to date; a reader never sees half of it."""
        fresh = self.root / "proc/.uptime"
        fresh.write_text(f"{self._clock.seconds() - self._booted:.2f} 0.00\n")
        fresh.replace(self.root / "proc/uptime")

    def run_script(self, name: str, text: str) -> int | None:
        """Run a script of user-data as root would; its exit code, None when there is nothing to run."""
        if not text or self.over:
            return None
        path = self.root / "var/lib" / name
        path.write_text(self.own(text))
        first = text.partition("\n")[0]
        shell = first[2:].split() if first.startswith("#!") else ["/bin/sh"]
        with (self.root / "var/log/cloud-init-output.log").open("ab") as log:
            child = self.start([*shell, str(path)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.root)
        return child.wait()

    def write_files(self, user_data: UserData) -> None:
        """Write the files of user-data; an absolute path lies below the box's root."""
        for file in user_data.files:
            self._write(file)

    def _write(self, file: PlainFile) -> None:
        path = self.root / file.path.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab" if file.append else "wb") as stream:
            stream.write(file.content)
        path.chmod(file.mode)

    def start(self, argv: list[str], *, cwd: Path | None = None, **streams: object) -> "subprocess.Popen[bytes]":
        """A process in here, in a session of its own."""
        child: subprocess.Popen[bytes] = subprocess.Popen(  # type: ignore[call-overload]  # streams are what the callers in this package hand in
            argv, cwd=cwd or self.home, env=self.environ, start_new_session=True, bufsize=0, **streams
        )
        self._children = [*(one for one in self._children if one.poll() is None), child]
        return child

    def start_main(self, argv: list[str], environ: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        """A container's main process: it has the container's environment, which SSH sessions do not get to see."""
        (self.root / "proc/1/fd").mkdir(parents=True, exist_ok=True)
        (self.root / "run").mkdir(exist_ok=True)
        console = self.root / "run/console"
        console.touch()
        (self.root / "proc/1/fd/1").unlink(missing_ok=True)
        (self.root / "proc/1/fd/1").symlink_to(console)
        said = {name: self.own(value) for name, value in environ.items()}
        before, self.environ = self.environ, {**said, **self.environ}
        try:
            with console.open("ab") as out:
                return self.start(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        finally:
            self.environ = before

    def console(self) -> list[str]:
        """What the container's main process, and whoever wrote where it writes, printed."""
        try:
            return (self.root / "run/console").read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return []

    def sshd_note(self) -> str | None:
        """What an `sshd` that was started in here says of itself; None while there is none."""
        try:
            return (self.root / "run/sshd.json").read_text()
        except FileNotFoundError:
            return None

    def wipe(self) -> None:
        """A container begins anew: all processes end, and of its disk only the image's part is left."""
        if sys.platform == "linux":
            processes.end(processes.BOX_MARK, self.id)
        for below in ("run/sshd.json", "etc/ssh", "var/lib/launch", "root"):
            path = self.root / below
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        self.home.mkdir(parents=True, exist_ok=True)

    def finished(self) -> None:
        """User-data is through."""
        (self.root / "run/boot-finished").touch()

    def shutdown_note(self) -> list[str] | None:
        """The words of a `shutdown` that was run in here since the last look."""
        note = self.root / "run/shutdown"
        try:
            words = note.read_text().split()
            note.unlink()
        except FileNotFoundError:
            return None
        return words or ["shutdown"]

    def end(self) -> None:
        """Kill everything in here. The folder stays, for whoever looks for the cause; the world removes it."""
        self.over = True
        if sys.platform == "linux":
            processes.end(processes.BOX_MARK, self.id)
        for child in self._children:
            processes.end_group(child.pid)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=5)

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.root, ignore_errors=True)


async def read_pipe(pipe: object) -> tuple[asyncio.StreamReader, asyncio.BaseTransport]:
    """A stream over the reading end of a pipe or a terminal; whoever closes the transport closes the pipe."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader, transport


def surroundings() -> Mapping[str, str]:
    """The environment of the world itself."""
    return os.environ
