"""What of a run may lie in the durable store, by our own books: a file of the run's folder, one part for each machine.

It holds no address and no credential; each machine's key, which proves that an index came from it, is ours to keep.
"""

import contextlib
import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from jobs.whole_files import write_whole

FILE = "store.json"


@dataclass(kw_only=True)
class Deposit:
    """One machine's part. `begun`: object to upload, not yet seen complete; `stored`: object to size in bytes."""

    key: str
    begun: dict[str, str] = field(default_factory=dict)
    stored: dict[str, int] = field(default_factory=dict)
    made: int = 0
    """Objects for checkpoints that were ever begun: each one's name is used once."""
    signed_from: datetime | None = None
    signed_until: datetime | None = None


@dataclass(kw_only=True)
class Deposits:
    """All machines' parts, by the number of the attempt; and which of them the results here came from."""

    path: Path
    attempts: dict[int, Deposit] = field(default_factory=dict)
    store: str = ""
    """Bucket and prefix, as a person knows them."""
    results_from: int = 0
    """The attempt whose stored results were fetched and verified; 0: they came from the machine, or not at all."""
    unfetched: bool = False
    """A checkpoint that is newer than what lies here could not be fetched."""
    is_clean: bool = False
    """Nothing of the run is left in the store that we would remove."""

    def of(self, attempt: int) -> Deposit:
        """That machine's, begun where there is none."""
        return self.attempts.setdefault(attempt, Deposit(key=secrets.token_hex(32)))

    def save(self) -> None:
        """To the disk itself, ours alone to read: without a machine's key nothing that it stored can be verified."""
        document = {
            "schema": 1,
            "store": self.store,
            "results_from": self.results_from,
            "unfetched": self.unfetched,
            "is_clean": self.is_clean,
            "attempts": {str(number): _told(one) for number, one in self.attempts.items()},
        }
        old = os.umask(0o077)
        try:
            write_whole(self.path, json.dumps(document, indent=1), synced=True)
        finally:
            os.umask(old)


def load(folder: Path) -> Deposits | None:
    """The books of the run in that folder; None where it never had a store."""
    path = folder / FILE
    try:
        found = json.loads(path.read_text())
        return Deposits(
            path=path,
            store=found["store"],
            results_from=found["results_from"],
            unfetched=found["unfetched"],
            is_clean=found["is_clean"],
            attempts={int(number): _deposit(one) for number, one in found["attempts"].items()},
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):  # torn: what it knew is lost, and the store is asked
        return Deposits(path=path)


def line(folder: Path) -> str:
    """For a person: what of a run lies in the store, by our books, or what came from there; "" where it had none."""
    known = load(folder)
    if known is None or not known.attempts:
        return ""
    names = [name for one in known.attempts.values() for name in one.stored]
    results = "results" in names
    checkpoints = len(names) - results
    held = [*(["the results"] if results else []), *([f"checkpoints: {checkpoints}"] if checkpoints else [])]
    if known.is_clean:
        held = ["nothing is left there"]
    came = ["the results here came from there"] if known.results_from else []
    return f"{known.store} ({', '.join([*(held or ['nothing yet, as far as we know']), *came])})"


def opened(folder: Path, store: str) -> Deposits:
    """The same, begun where there is none."""
    found = load(folder) or Deposits(path=folder / FILE)
    found.store, found.is_clean = store, False
    return found


def _deposit(found: dict[str, object]) -> Deposit:
    moments = {name: found.pop(name) for name in ("signed_from", "signed_until")}
    deposit = Deposit(**found)  # type: ignore[arg-type]  # our own file; a field of another type shows at its use
    with contextlib.suppress(TypeError, ValueError):
        deposit.signed_from = datetime.fromisoformat(str(moments["signed_from"]))
        deposit.signed_until = datetime.fromisoformat(str(moments["signed_until"]))
    return deposit


def _told(deposit: Deposit) -> dict[str, object]:
    times = {"signed_from": deposit.signed_from, "signed_until": deposit.signed_until}
    return {**asdict(deposit), **{name: None if at is None else at.isoformat() for name, at in times.items()}}
