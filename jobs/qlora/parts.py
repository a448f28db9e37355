"""Make train, validation and test before anything else looks at the rows, and keep them apart."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from .job import PARTS, Split
from .rows import Row, RowError, read_rows


@dataclass
class Parts:
    """The rows of each part, and what was taken out on the way."""

    rows: dict[str, list[Row]]
    removed: dict[str, int] = field(default_factory=dict)


def make_parts(folder: Path, split: Split, seed: int) -> Parts:
    """Train, validation and test: from the given files, and by the split's shares for what is not given.

    Raises:
        RowError: a row cannot be used, or a part that is needed came out empty.
    """
    given = {part: read_rows(folder / f"{part}.jsonl", group=group_of(part, split)) for part in present(folder)}
    if "train" not in given:
        raise RowError(f"{folder / 'train.jsonl'}: is missing; it is the one file that a training needs")
    parts = Parts(rows={part: given.get(part, []) for part in PARTS})
    unique(parts)
    share_out(parts, split, seed, set(given))
    keep_apart(parts)
    if not parts.rows["train"]:
        raise RowError(
            f"{folder / 'train.jsonl'}: no row is left to train on: all of them also stand in validation or test"
        )
    return parts


def present(folder: Path) -> list[str]:
    """The parts that came as files."""
    return [part for part in PARTS if (folder / f"{part}.jsonl").exists()]


def group_of(part: str, split: Split) -> str | None:
    """Only the file that is split needs the group key."""
    return split.group if part == "train" and (split.validation or split.test) else None


def unique(parts: Parts) -> None:
    """Drop exact repeats within each part; the first stays."""
    for part, rows in parts.rows.items():
        first = {row.identity: row for row in reversed(rows)}
        parts.removed[f"{part}_repeated"] = len(rows) - len(first)
        parts.rows[part] = sorted(first.values(), key=lambda row: row.line)


def share_out(parts: Parts, split: Split, seed: int, given: set[str]) -> None:
    """Move whole groups (or single rows) from train to the parts that were not given, drawn by hash."""
    wanted = {
        "test": 0.0 if "test" in given else split.test,
        "validation": 0.0 if "validation" in given else split.validation,
    }
    if not any(wanted.values()):
        return
    units = sorted({row.group or row.identity for row in parts.rows["train"]}, key=lambda unit: lot(unit, seed))
    total, home = len(units), {}
    for part, share in wanted.items():
        count = min(len(units) - 1, max(1, round(share * total))) if share else 0
        taken, units = units[:count], units[count:]
        home.update(dict.fromkeys(taken, part))
    everything, parts.rows["train"] = parts.rows["train"], []
    for row in everything:
        parts.rows[home.get(row.group or row.identity, "train")].append(row)


def lot(unit: str, seed: int) -> str:
    """A unit's place in the draw."""
    return hashlib.sha256(f"{seed}\n{unit}".encode()).hexdigest()


def keep_apart(parts: Parts) -> None:
    """Take out of train what stands in validation or test, and out of validation what stands in test."""
    for part, others in (("validation", ["test"]), ("train", ["validation", "test"])):
        asked = {question(row) for other in others for row in parts.rows[other]}
        kept = [row for row in parts.rows[part] if question(row) not in asked]
        parts.removed[f"{part}_leaked"] = len(parts.rows[part]) - len(kept)
        parts.rows[part] = kept


def question(row: Row) -> tuple[tuple[str, str], ...]:
    """A row without its last answer: asking in training what the test asks is a leak, whatever the answer."""
    return row.messages[:-1]
