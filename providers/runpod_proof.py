"""Whether a pod of this account can end itself: proven once by `launch doctor --live`, kept for some weeks, by key."""

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

from providers.base import Clock
from providers.small_files import replace_text

KEPT_FOR = timedelta(days=30)
"""What a key in a pod may do is documented nowhere, and may change."""
OFF = timedelta(hours=1)
"""By which our clock may have been set back since; a proof from further ahead would never grow old."""
DOORS = ("delete", "action-terminate", "action-stop", "graphql-terminate", "graphql-stop", "runpodctl")
"""In the order in which a pod tries them (`runpod_end.sh`)."""
MARK = "launch-end: "


@dataclass(frozen=True, kw_only=True)
class Proof:
    """One trial that went well: when, and through which door the pod went."""

    key_sha256: str
    at: datetime
    door: str


class Proofs:
    """The last proof, in one small file."""

    def __init__(self, file: Path, now: Clock) -> None:
        self._file, self._now = file, now

    def of(self, key: str) -> Proof | None:
        """The proof for this key; None where there is none, or it is too old."""
        try:
            kept = json.loads(self._file.read_text("utf-8"))
            proof = Proof(key_sha256=kept["key_sha256"], at=datetime.fromisoformat(kept["at"]), door=kept["door"])
            is_fresh = -OFF < self._now() - proof.at < KEPT_FOR
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return proof if is_fresh and proof.key_sha256 == _sha256(key) else None

    def keep(self, key: str, door: str) -> Proof:
        """Write one down."""
        proof = Proof(key_sha256=_sha256(key), at=self._now(), door=door)
        replace_text(self._file, json.dumps({**asdict(proof), "at": proof.at.isoformat()}, indent=1))
        return proof


def door_of(lines: tuple[str, ...]) -> str:
    """Through which door a pod went, by what its console showed last; the first one tries before it can tell."""
    tried = [line.partition(MARK)[2].split()[0] for line in lines if MARK in line and line.partition(MARK)[2].split()]
    known = [one for one in tried if one in DOORS]
    after = DOORS.index(known[-1]) + 1 if known else 0
    # A door that works ends the pod before its line is written, or right after it.
    answered = [line for line in lines if MARK in line and line.rstrip().endswith((" 200", " 204"))]
    if answered:
        return answered[-1].partition(MARK)[2].split()[0]
    return DOORS[min(after, len(DOORS) - 1)]


def _sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
