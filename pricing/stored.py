"""What a machine may write into a durable store: how many objects, of how many parts, and what of it is paid for."""

from dataclasses import dataclass
from math import ceil

SLOTS = 4
"""Checkpoints that a machine may store without hearing from us: with more of them each is worth less."""
CHECKPOINT_RESULTS = 3.0
"""A checkpoint in sizes of the result: adapter and the optimiser's two moments (as `budget.PULLS_PAID` reckons)."""
SPARE = 1.25
"""What comes may be so many times what was reckoned (assumed, as for pulls)."""
LEAST_PART_BYTES = 8 * 2**20
"""Every object is filled up to whole parts. The protocol allows 5 MiB at least, for all but the last one."""
MOST_PARTS = 64
"""Of one object: each part needs an address of its own, and some hundred bytes for it."""
UPLOAD_BYTES_PER_SECOND = 12.5e6
"""From a rented machine, 100 Mbit/s: the slowest that hosts promise (assumed)."""
START_SECONDS = 20.0
"""To begin and to finish an object, with one failed try (assumed)."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """The most that one object may hold: `parts` times `part_bytes`, to the byte, since each part's size is signed."""

    parts: int
    part_bytes: int

    @property
    def bytes(self) -> int:
        """Of a full object."""
        return self.parts * self.part_bytes


def checkpoint_room(result_gib: float) -> Room:
    """For one checkpoint of a run with results of so many GiB."""
    return _room(CHECKPOINT_RESULTS * result_gib)


def results_room(result_gib: float) -> Room:
    """For the results, logs included; a merged model is not stored: base and adapter make it anew."""
    return _room(result_gib)


def _room(expected_gib: float) -> Room:
    most = int(SPARE * expected_gib * 2**30) + LEAST_PART_BYTES
    part = max(LEAST_PART_BYTES, ceil(most / MOST_PARTS))
    return Room(parts=ceil(most / part), part_bytes=part)


def granted_gib(result_gib: float) -> float:
    """All that a machine can write without hearing from us again: what leaves its provider is set aside for it."""
    return (SLOTS * checkpoint_room(result_gib).bytes + results_room(result_gib).bytes) / 2**30


def upload_seconds(result_gib: float) -> float:
    """For the last checkpoint and the results, at the end of a machine that nobody watches.

    Always less than what `budget.reserve_for` sets aside for a pull over a slow line: the machine does the one or the
    other last, never both.
    """
    return START_SECONDS + SPARE * (CHECKPOINT_RESULTS + 1) * result_gib * 2**30 / UPLOAD_BYTES_PER_SECOND
