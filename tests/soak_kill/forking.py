"""Starts the program by a fork of this process, which has it imported already: a real process without its start-up.

Some are started cold all the same (`exec` of Python), so that deaths fall into the imports as well.
"""

import ctypes
import importlib
import os
import pkgutil
import signal
import sys
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jobs
import jobs.qlora.dataset
import jobs.report
import jobs.results
import launcher
import pricing
import providers
from tests.cloud.processes import BOX_MARK
from tests.soak_kill import drive

PR_SET_CHILD_SUBREAPER = 36
MOST_FILES = 4096
LATE = (
    "anyio", "glob", "h11", "httpcore", "httpx", "jobs.qlora.job", "numpy.random", "pydantic.dataclasses",
    "ruamel.yaml", "safetensors.numpy", "tokenizers",
)  # fmt: skip
"""Imported late by what is imported here."""
CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)


@dataclass(frozen=True, kw_only=True)
class Order:
    """One command line: what is typed, where, by whom; where its words go."""

    words: tuple[str, ...]
    environ: Mapping[str, str]
    folder: Path
    out: Path
    err: Path
    is_cold: bool = False


def adopt_orphans() -> None:
    """Whoever loses its parent below this process becomes a child of this one, and is seen by it (Linux)."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def warm_up() -> None:
    """Import what commands import, and let botocore keep the service models that it has read."""
    import boto3
    import botocore.loaders

    for package in (launcher, pricing, providers, jobs, jobs.results, jobs.report, jobs.qlora.dataset):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            if not module.ispkg and not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    for name in LATE:
        with suppress(ImportError):  # some are there only with the extras
            importlib.import_module(name)
    kept = cache(botocore.loaders.JSONFileLoader().load_file)
    botocore.loaders.JSONFileLoader.load_file = lambda _self, path: kept(path)  # type: ignore[method-assign, assignment]  # not ours
    session = boto3.Session(aws_access_key_id="none", aws_secret_access_key="none", region_name="us-east-1")
    for service in ("ec2", "ssm", "service-quotas", "pricing", "sts"):
        session.client(service)


def start(order: Order, plant: Callable[[int], None]) -> int:
    """The id of the new process, which leads a session of its own. It waits until `plant` has heard of it."""
    gate, opened = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(opened)
        _become(order, gate)
    os.close(gate)
    try:
        plant(child)
    finally:
        os.close(opened)
    return child


def _become(order: Order, gate: int) -> None:
    """Never returns."""
    code = 99
    try:
        os.setsid()
        for one in CAUGHT:
            signal.signal(one, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.read(gate, 1)  # end of file: whoever waits for this process has heard of it
        _furnish(order)
        if order.is_cold:
            argv = [sys.executable, "-m", "tests.soak_kill.drive", *order.words]
            os.execve(sys.executable, argv, dict(order.environ))
        code = drive.main(order.words)
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 98
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _furnish(order: Order) -> None:
    os.chdir(order.folder)
    _put(os.open(os.devnull, os.O_RDONLY), 0)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    _put(os.open(order.out, flags, 0o600), 1)
    _put(os.open(order.err, flags, 0o600), 2)
    kept = int(order.environ.get(drive.ORDERS, "-1"))
    for low, high in ((3, kept), (kept + 1, MOST_FILES)) if kept > 0 else ((3, MOST_FILES),):
        os.closerange(low, high)
    os.environ.clear()
    os.environ.update(order.environ)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115 - they live as long as we do
    sys.argv = ["launch", *order.words]


def _put(opened: int, wanted: int) -> None:
    os.dup2(opened, wanted)
    if opened != wanted:
        os.close(opened)


def descendants(of: int, but: Collection[int]) -> dict[int, str]:
    """Live processes below `of`, and their command lines; without `but`, those below, and machines' processes."""
    below: dict[int, list[int]] = {}
    for process, parent in _parents():
        below.setdefault(parent, []).append(process)
    found, todo = {}, [of]
    while todo:
        for process in below.get(todo.pop(), []):
            if process not in but:
                todo.append(process)
                found[process] = _read(process, "cmdline").replace("\0", " ").strip()
    return {process: line for process, line in found.items() if f"\0{BOX_MARK}=" not in _read(process, "environ")}


def _parents() -> Iterator[tuple[int, int]]:
    """(process, parent) of all that live; zombies do not."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError):
            state, parent = entry.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                yield int(entry.parent.name), int(parent)


def _read(process: int, name: str) -> str:
    with suppress(OSError):
        return "\0" + Path(f"/proc/{process}/{name}").read_bytes().decode(errors="replace")
    return ""


def end_all(processes: Iterable[int]) -> None:
    """Kill them."""
    for one in processes:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(one, signal.SIGKILL)
