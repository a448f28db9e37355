"""Make train, validation and test before anything else looks at the rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from ..job import PARTS, Split
from .rows import DataError, Row

MOST_SHARED = 0.5
"""Of a test file's rows that also stand in the training file, to the letter: more is no leak but the wrong file."""


def parted(given: Mapping[str, Sequence[Row]], split: Split, seed: int) -> dict[str, list[Row]]:
    """Train, validation and test: the files as given, and by the split's shares of train what is not given.

    Whole groups (or rows, equal ones together) are drawn by the hash of seed and group, so that neither the order of
    the rows nor other rows decide where one goes first.

    Raises:
        DataError: too few rows for the shares, or a file is part of one that must not see it.
    """
    parts = {part: list(given.get(part, ())) for part in PARTS}
    for part, other in (("test", "train"), ("validation", "train"), ("validation", "test")):
        _refuse_inside(parts, part, other)
    wanted = {part: share for part, share in (("test", split.test), ("validation", split.validation)) if share}
    wanted = {part: share for part, share in wanted.items() if part not in given}
    if wanted:
        home = _drawn(parts["train"], wanted, seed, split.group)
        everything, parts["train"] = parts["train"], []
        for row in everything:
            parts[home.get(_unit(row), "train")].append(row)
    return parts


def _refuse_inside(parts: Mapping[str, Sequence[Row]], part: str, other: str) -> None:
    known = {row.identity for row in parts[other]}
    inside = [row for row in parts[part] if row.identity in known]
    if len(inside) > MOST_SHARED * len(parts[part]):
        names = {"train": "training", "validation": "validation", "test": "test"}
        raise DataError(
            f"{inside[0].file}: the {names[part]} file is part of the {names[other]} file "
            f"{parts[other][0].file}: {len(inside):,} of its {len(parts[part]):,} rows stand there, to the letter",
            f"take other rows, or leave the file out and have rows held out: --set data.{part}=null "
            f"--set data.split.{part}=0.1",
        )


def _drawn(rows: Sequence[Row], wanted: Mapping[str, float], seed: int, group: str | None) -> dict[str, str]:
    """Which groups (or rows) go to which part; each part gets at least one, and so does train."""
    units = sorted({_unit(row) for row in rows}, key=lambda unit: _lot(unit, seed))
    total, home = len(units), {}
    for part, share in wanted.items():
        count = min(len(units) - 1, max(1, round(share * total)))
        if count < 1:
            raise _too_few(rows, total, wanted, group)
        taken, units = units[:count], units[count:]
        home.update(dict.fromkeys(taken, part))
    return home


def _too_few(rows: Sequence[Row], total: int, wanted: Mapping[str, float], group: str | None) -> DataError:
    what = f"different groups of {group}" if group else "different rows"
    shares = " and ".join(f"{share:.0%} {part}" for part, share in wanted.items())
    least = len(wanted) + 1
    where = f"{rows[0].file}: " if rows else ""
    if total < least:
        hint = f"bring at least {least}, or hold out less: --set data.split.validation=0"
    else:
        hint = "one of each is the smallest split: " + " ".join(
            f"--set data.split.{part}={max(0.01, int(100 / total) / 100):g}" for part in wanted
        )
    return DataError(
        f"{where}{total:,} {what} ({len(rows):,} rows in all) are too few for a split into {shares} and train: "
        f"the smallest possible has one {'group' if group else 'row'} in each part, so {least} in all",
        hint,
    )


def _unit(row: Row) -> str:
    """What is drawn as one."""
    return row.group or row.identity


def _lot(unit: str, seed: int) -> str:
    """A unit's place in the draw."""
    return hashlib.sha256(f"{seed}\n{unit}".encode()).hexdigest()
