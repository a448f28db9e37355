"""From the user's files to the parts that are trained and judged on: the whole story, in order, on a laptop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..job import PARTS, Split, known
from .agreement import Reader, normalised, reader_of
from .conflicts import conflicts
from .diversity import diversity
from .duplicates import Sifted, without_exact, without_near
from .embed import Embedder, embedder
from .leaks import without_leaks
from .reading import Named, Read, Wanted, read_all
from .report import Conflict, DataReport, Diversity, Dropped
from .rows import DataError, Row
from .select import selected
from .shapes import KEYS
from .split import parted
from .telling import forget, tell_all, write_parts

LEAKS = (("train", "test"), ("train", "validation"), ("validation", "test"))
"""What stands in the second too is taken out of the first."""


@dataclass(frozen=True)
class Asked:
    """What the `data` block asks to be done with rows that were read."""

    split: Split
    by: str
    embedder: str
    threshold: float | None
    select: int | None

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Asked:
        """From the block as JSON takes it; absent keys as `launch.yaml` has them by default."""
        same = data.get("deduplicate") or {}
        return cls(
            split=known(Split, data.get("split")),
            by=_one_of(("near", "exact", "off"), same.get("by"), "deduplicate.by"),
            embedder=same.get("embedder") or "static",
            threshold=same.get("threshold"),
            select=data.get("select"),
        )


@dataclass
class Work:
    """The parts as they become smaller, and what was taken out of them and why."""

    asked: Asked
    read: Mapping[str, Read]
    seed: int
    parts: dict[str, list[Row]] = field(default_factory=dict)
    drawn: dict[str, int] = field(default_factory=dict)
    """Rows of each part right after the split."""
    space: Embedder | None = None
    """Where closeness is measured; None where nobody asks for it, and nothing heavy is imported."""
    reader: Reader | None = None
    """What is read off the texts, for whoever compares them."""
    dropped: list[Dropped] = field(default_factory=list)
    conflicts: tuple[Conflict, ...] = ()
    diversity: Diversity | None = None

    @property
    def near(self) -> Embedder | None:
        """The space, where closeness counts as sameness."""
        return self.space if self.asked.by == "near" else None

    def sift(self, part: str, sifted: Sifted) -> None:
        """Go on with what one stage left of a part."""
        self.parts[part] = list(sifted.kept)
        self.dropped += sifted.dropped


def curate(files: Mapping[str, Path], data: Mapping[str, Any], *, into: Path, seed: int, private: bool) -> DataReport:
    """Read, check and part the rows, and take out what is said twice; the same input gives the same bytes.

    `files`: by "train", "validation", "test" and "adjacent/<name>". `data`: the `data` block of `launch.yaml` as JSON.
    `into` gets train.jsonl, validation.jsonl and test.jsonl (those with rows), adjacent/<name>.jsonl, dropped.jsonl,
    conflicts.jsonl, and at the very end report.json: where that stands, all is whole.

    Raises:
        DataError: what is wrong with the data, by file and line, and what to do about it.
    """
    forget(into)
    asked = Asked.of(data)
    work = Work(asked, read_all(named(files, data), _wanted(data, asked.split)), seed)
    if "train" not in work.read:
        raise DataError("there is no training file, the one file that a training needs", "--set data.train=FILE")
    given = {part: work.read[part].rows for part in PARTS if part in work.read}
    work.parts = parted(given, asked.split, seed)
    work.drawn = {part: len(rows) for part, rows in work.parts.items()}
    work.space = _space(asked, work.parts)
    if work.near is not None:
        work.reader = reader_of(row for rows in work.parts.values() for row in rows)
    _take_out_repeats(work)
    _take_out_leaks(work)
    work.conflicts = conflicts(work.parts["train"], work.near, work.reader)
    normalised.cache_clear()  # a launch goes on for hours, and needs them no more
    _select(work)
    if work.space is not None:
        work.diversity = diversity(work.parts["train"], work.space)
    made = write_parts(into, {**work.parts, **adjacent(work)})
    return tell_all(into, work, made, private=private)


def _one_of(words: Sequence[str], said: object, key: str) -> str:
    """A word of a list, the first by default: a job file was checked, what is written by hand was not."""
    if said is not None and said not in words:
        raise DataError(f"data.{key}: {said!r} is none of {', '.join(words)}", f"--set data.{key}={words[0]}")
    return words[0] if said is None else str(said)


def named(files: Mapping[str, Path], data: Mapping[str, Any]) -> list[Named]:
    """The files with the names that rows and report carry: as the user wrote them, and no path of this computer."""
    order = [*PARTS, *sorted(part for part in files if part not in PARTS)]
    return [Named(part, files[part], _name(files[part], data.get(part))) for part in order if part in files]


def _name(path: Path, said: object) -> str:
    """What launch.yaml says; of an absolute path, which only tells of this computer, the end."""
    name = said if isinstance(said, str) else str(path)
    return "/".join(Path(name).parts[-2:]) if Path(name).is_absolute() else name


def _wanted(data: Mapping[str, Any], split: Split) -> Wanted:
    return Wanted(
        shape=_one_of(("auto", *KEYS), data.get("shape"), "shape"),
        columns={key: value for key, value in (data.get("columns") or {}).items() if value},
        drop=_one_of(("stop", "drop"), data.get("on_bad_row"), "on_bad_row") == "drop",
        group=split.group,
        split=bool(split.validation or split.test),
    )


def _space(asked: Asked, parts: Mapping[str, list[Row]]) -> Embedder | None:
    """The embedder, knowing all rows; only where closeness is asked for, since it is seconds of imports."""
    if asked.by != "near" and asked.select is None:
        return None
    return embedder(asked.embedder).fitted([row.asked for rows in parts.values() for row in rows])


def _take_out_repeats(work: Work) -> None:
    """What is the same after normalising; then, of what is learned from, what is close and answered alike."""
    if work.asked.by == "off":
        return
    for part in PARTS:
        work.sift(part, without_exact(work.parts[part], part))
    if work.near is not None:
        for part in ("train", "validation"):
            work.sift(part, without_near(work.parts[part], part, work.near, work.asked.threshold, work.reader))


def _take_out_leaks(work: Work) -> None:
    """Also where repeats may stay: what was learned by heart is no evidence."""
    for part, held_out in LEAKS:
        rows, judging = work.parts[part], work.parts[held_out]
        work.sift(part, without_leaks(rows, part, judging, held_out, work.near, reader=work.reader))
    if not work.parts["train"]:
        train = work.read["train"].named
        raise DataError(
            f"{train.path}: no row is left to train on: all of them also stand in validation or test",
            "bring training rows that ask something else, or have the test rows held out: --set data.test=null "
            "--set data.split.test=0.1"
            if "test" in work.read
            else "the rows ask too few different things, and no split can change that: bring rows that ask others",
        )


def _select(work: Work) -> None:
    if work.asked.select is not None and work.space is not None:
        work.sift("train", selected(work.parts["train"], "train", work.asked.select, work.space))


def adjacent(work: Work) -> dict[str, tuple[Row, ...]]:
    """The rows of other tasks: checked, and else as they came."""
    return {part: read.rows for part, read in work.read.items() if part not in PARTS}
