"""This machine as a provider: a GPU that you own, or the CPU for a trial; a machine is a folder and its processes.

Quirks:
- A machine's processes are those that carry LAUNCH_MACHINE=<id> in their environment (who starts one there sets it).
- Its dead-man runs in a session of its own; its end, and `terminate`, are one script, `local_end.sh`.
- A process id alone proves nothing after a reboot: the process must carry the machine's mark.
- After the end only `machine.json` and `ended` stay, so that `get` can show GONE; `create` clears old ones away.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from pricing.offer import Market, Offer
from providers import local_hardware
from providers.base import (
    ContractBroken,
    EndReason,
    Finding,
    Folder,
    Instance,
    InstanceRequest,
    InstanceState,
    Leftover,
    NotFound,
    NotSetUp,
    OfferQuery,
    Surroundings,
    Traits,
    Unavailable,
)
from providers.silent import Silent

TRAITS = Traits(
    bills=False,
    guarded=True,
    guard="a process of its own, which outlives launch",
    spot=False,
    idempotent_create=True,
    boot_deadline_seconds=30,
    settle_seconds=0,
    guard_delay_seconds=15,
)
REGION = "local"
END = Path(__file__).with_name("local_end.sh")
END_SECONDS = 30
ARM_SECONDS = 5.0
KEPT_FOR = timedelta(days=1)
NONCE = re.compile(r"[a-z0-9]{1,32}")
REASONS = {"deadline": EndReason.OWN_DEADLINE, "asked": EndReason.ASKED}
IN_BACKGROUND = '"$@" </dev/null >/dev/null 2>&1 &'
"""Lets go of what it starts, so that it is nobody's child and outlives us."""


def connect(surroundings: Surroundings) -> "Local":
    """This machine; raises `NotSetUp` for settings, since it has none."""
    if surroundings.settings:
        keys = ", ".join(surroundings.settings)
        raise NotSetUp(f"providers.local has no settings, and was given {keys}", fix="remove them from config.yaml")
    return Local(surroundings)


@dataclass(frozen=True, kw_only=True)
class Record:
    """What `machine.json` holds: who rented the machine, and for what."""

    owner: str
    run_id: str
    attempt: int
    nonce: str
    instance_type: str
    created_at: str
    deadline: str
    lease_seconds: int


class Local(Silent):
    """The verbs of `providers.base.Provider`."""

    name = "local"
    traits = TRAITS

    def __init__(self, surroundings: Surroundings, arm_seconds: float = ARM_SECONDS) -> None:
        self._around, self._arm_seconds = surroundings, arm_seconds
        self._machines = surroundings.state_dir / "machines"

    def check(self) -> tuple[Finding, ...]:
        """Cards, memory, disk, and whether the packages that train are here."""
        return local_hardware.findings(self._around.state_dir)

    def offers(self, query: OfferQuery) -> tuple[Offer, ...]:
        """One offer for each CUDA card, and the CPU; all cost nothing."""
        if query.markets and Market.OWNED not in query.markets:
            return ()
        if query.regions and REGION not in query.regions:
            return ()
        found = local_hardware.offers(self._around.now(), REGION)
        return tuple(one for one in found if not query.gpus or (one.gpu is not None and one.gpu.name in query.gpus))

    def create(self, request: InstanceRequest) -> Instance:
        """Arm the dead-man, then write the machine down; the same request again finds the same machine."""
        if not NONCE.fullmatch(request.nonce):
            raise ContractBroken(f"a nonce may not be {request.nonce!r}")
        folder = self._machines / _id(request.nonce)
        known = _record(folder)
        if known is None:
            self._clear_old()
            known = self._make(folder, request)
        if not _is_of(known, request):
            raise ContractBroken(f"{folder.name} was made for another request", code="other-parameters")
        return self._shown(folder, known)

    def get(self, instance: Instance) -> Instance:
        """The machine as it is now."""
        folder = self._machines / instance.id
        record = _record(folder)
        if record is None or record.owner != self._around.owner_id:
            raise NotFound(f"there is no machine {instance.id} here", code="absent")
        return self._shown(folder, record)

    def list(self, region: str | None = None) -> tuple[Instance, ...]:
        """Ours that have not ended."""
        if region not in (None, REGION):
            return ()
        mine = ((folder, _record(folder)) for folder in self._folders())
        shown = [self._shown(at, one) for at, one in mine if one and one.owner == self._around.owner_id]
        return tuple(one for one in shown if one.state is not InstanceState.GONE)

    def terminate(self, instance: Instance) -> None:
        """End all its processes, and remove what it held."""
        folder = self._machines / instance.id
        if _record(folder) is None:
            raise NotFound(f"there is no machine {instance.id} here", code="absent")
        _end(folder)
        if (folder / "ended").exists():
            _empty(folder)

    def leftovers(self) -> tuple[Leftover, ...]:
        """Folders of machines that ended by themselves: their files are still there."""
        return tuple(_leftover(folder) for folder in self._folders() if self._has_remains(folder))

    def remove(self, leftover: Leftover) -> None:
        """Remove the files; a machine's note of its own end stays for a day."""
        folder = self._machines / leftover.id
        if folder.parent != self._machines or not folder.is_dir():
            return
        _end(folder)
        _empty(folder)

    def _make(self, folder: Path, request: InstanceRequest) -> Record:
        record = Record(
            owner=self._around.owner_id,
            run_id=request.run_id,
            attempt=request.attempt,
            nonce=request.nonce,
            instance_type=request.offer.instance_type,
            created_at=self._around.now().isoformat(),
            deadline=request.deadline.isoformat(),
            lease_seconds=request.boot.lease_seconds,
        )
        try:
            guard = folder / "guard"
            guard.mkdir(parents=True, exist_ok=True)
            self._lay_files(folder, request)
            (guard / "deadman.sh").write_text(request.boot.deadman, "utf-8")
            shutil.copyfile(END, guard / "end.sh")
            _arm(folder, request.boot.lease_seconds, self._arm_seconds)
            _write(folder / "machine.json", json.dumps(asdict(record), indent=1))
        except OSError as error:
            raise NotSetUp(f"no machine can be made in {self._machines}: {error}", code="disk") from error
        return record

    def _lay_files(self, folder: Path, request: InstanceRequest) -> None:
        for one in request.boot.files:
            path = (folder / one.path.lstrip("/")).resolve()
            if not path.is_relative_to(folder.resolve()):
                raise ContractBroken(f"a boot file may not lie at {one.path!r}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(one.content, "utf-8")
            path.chmod(one.mode)

    def _shown(self, folder: Path, record: Record) -> Instance:
        state, reason, text = _state(folder)
        return Instance(
            provider=self.name,
            id=folder.name,
            region=REGION,
            zone="",
            instance_type=record.instance_type,
            market=Market.OWNED,
            state=state,
            run_id=record.run_id,
            attempt=record.attempt,
            nonce=record.nonce,
            created_at=datetime.fromisoformat(record.created_at),
            deadline=datetime.fromisoformat(record.deadline),
            access=Folder(path=folder, guard_dir=str(folder / "guard")),
            end_reason=reason,
            end_text=text,
            billed_usd_per_hour=Decimal(0),
        )

    def _folders(self) -> tuple[Path, ...]:
        try:
            return tuple(sorted(one for one in self._machines.iterdir() if one.is_dir()))
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise Unavailable(f"{self._machines} cannot be read: {error}", code="disk") from error

    def _has_remains(self, folder: Path) -> bool:
        if _state(folder)[0] is not InstanceState.GONE:
            return False
        return any(one.name not in ("machine.json", "ended") for one in folder.iterdir())

    def _clear_old(self) -> None:
        """Notes of machines that ended a day ago and left nothing else."""
        for folder in self._folders():
            note = folder / "ended"
            if note.exists() and not self._has_remains(folder):
                age_seconds = self._around.now().timestamp() - note.stat().st_mtime
                if age_seconds > KEPT_FOR.total_seconds():
                    shutil.rmtree(folder, ignore_errors=True)


def _id(nonce: str) -> str:
    """All ids have one length, so that none is part of another (the script that ends a machine looks for texts)."""
    return f"local-{hashlib.sha256(nonce.encode()).hexdigest()[:16]}"


def _is_of(record: Record, request: InstanceRequest) -> bool:
    asked = (request.run_id, request.attempt, request.nonce, request.offer.instance_type, request.boot.lease_seconds)
    return asked == (record.run_id, record.attempt, record.nonce, record.instance_type, record.lease_seconds)


def _record(folder: Path) -> Record | None:
    try:
        return Record(**json.loads((folder / "machine.json").read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write(file: Path, text: str) -> None:
    """All or nothing, on the disk before it counts."""
    aside = file.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
    with aside.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    aside.replace(file)


def _arm(folder: Path, lease_seconds: int, patience_seconds: float) -> None:
    """Start the dead-man, unless it runs, and wait a moment until it has said so; without it there is no machine."""
    guard = folder / "guard"
    if _carriers("LAUNCH_GUARD", folder.name):
        return
    (guard / "pid").unlink(missing_ok=True)
    end = ("sh", str(guard / "end.sh"), folder.name, str(folder), "deadline")
    deadman = ("sh", str(guard / "deadman.sh"), str(guard), str(lease_seconds), *end)
    environ = {"PATH": os.environ.get("PATH", os.defpath), "LAUNCH_GUARD": folder.name}
    subprocess.run(("sh", "-c", IN_BACKGROUND, "arm", *deadman), env=environ, start_new_session=True, check=True)
    until = time.monotonic() + patience_seconds
    while not (guard / "pid").exists():
        if time.monotonic() > until:
            _end(folder)
            raise NotSetUp(
                f"the dead-man of {folder.name} did not start", code="unguarded", fix="is there a `sh` here?"
            )
        time.sleep(0.01)


def _end(folder: Path) -> None:
    argv = ("sh", str(END), folder.name, str(folder), "asked")
    try:
        subprocess.run(argv, capture_output=True, timeout=END_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{folder.name} could not be ended: {error}", code="end") from error


def _empty(folder: Path) -> None:
    """Only the notes of the machine and of its end stay."""
    if not (folder / "ended").exists():
        _write(folder / "ended", "lost\n")
    for one in folder.iterdir():
        if one.is_dir() and not one.is_symlink():
            shutil.rmtree(one, ignore_errors=True)
        elif one.name not in ("machine.json", "ended"):
            one.unlink(missing_ok=True)


def _state(folder: Path) -> tuple[InstanceState, EndReason, str]:
    """Alive while any process carries its mark; a machine without any, and without a note of its end, was lost."""
    if (folder / "ended").exists():
        word = (folder / "ended").read_text("utf-8").strip()
        return InstanceState.GONE, REASONS.get(word, EndReason.FAILED), word
    if _carriers("LAUNCH_GUARD", folder.name) or _carriers("LAUNCH_MACHINE", folder.name):
        return InstanceState.RUNNING, EndReason.NONE, ""
    return (
        InstanceState.GONE,
        EndReason.FAILED,
        "its processes are gone: this computer was restarted, or they were ended",
    )


def _leftover(folder: Path) -> Leftover:
    record = _record(folder)
    run_id = record.run_id if record else ""
    return Leftover(provider=Local.name, kind="folder", id=folder.name, region=REGION, run_id=run_id, billed=False)


def _carriers(name: str, machine_id: str) -> tuple[int, ...]:
    """Process ids with NAME=ID in their environment (those of other users are not ours to see)."""
    mark = f"{name}={machine_id}"
    if not Path("/proc/self/environ").exists():
        return tuple(_listed(mark))
    return tuple(
        int(one.name) for one in Path("/proc").iterdir() if one.name.isdecimal() and mark.encode() in _environ(one)
    )


def _environ(process: Path) -> tuple[bytes, ...]:
    try:
        return tuple((process / "environ").read_bytes().split(b"\0"))
    except OSError:
        return ()


def _listed(mark: str) -> Iterator[int]:
    """Where there is no /proc (macOS), ps shows the environment of one's own processes."""
    argv = ("ps", "-axEww", "-o", "pid=,command=")
    shown = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=10, check=False).stdout
    for line in shown.splitlines():
        number, _, rest = line.strip().partition(" ")
        if number.isdecimal() and mark in rest.split():
            yield int(number)
