"""What was found in the data and done to it, as one value that a laptop shows and a report page draws."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

SCHEMA = 1
EXAMPLES = 3
"""Shown of each kind of fault; the others are counted."""
TEXT_CAP = 200
"""Characters of a row's text that an example shows."""


@dataclass(frozen=True)
class Place:
    """A row as people find it: the file as it was named, the line where it begins (of Parquet: the row, from 1)."""

    file: str
    line: int


@dataclass(frozen=True)
class Source:
    """One file that was read: for which part, in which format and shape, how many rows, and its hash."""

    part: str
    file: str
    format: str
    shape: str
    rows: int
    sha256: str


@dataclass(frozen=True)
class Example:
    """One row with a fault: where, what exactly, and the beginning of its text."""

    place: Place
    detail: str
    text: str


@dataclass(frozen=True)
class Fault:
    """One kind of fault, over all rows of a part. `effect`: what becomes of them ("left out", "kept", "stops")."""

    code: str
    """As "wrong-order", "empty-turn", "not-utf8", "leaked-token", "near-empty-target", "length-outlier"."""
    severity: str
    """"error" (the structure is broken) or "warning" (the quality is in doubt)."""
    part: str
    count: int
    reason: str
    effect: str
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Removed:
    """Rows that one stage took out of a part: "bad", "exact", "near", "leak", "select"."""

    stage: str
    part: str
    count: int


@dataclass(frozen=True)
class Dropped:
    """One row that was dropped for another: both places and texts, how close they are, and why it is the same."""

    stage: str
    part: str
    dropped: Place
    kept: Place
    kept_part: str
    similarity: float
    dropped_text: str
    kept_text: str


@dataclass(frozen=True)
class Conflict:
    """Rows that ask the same and are answered differently: a person has to decide which one is right."""

    places: tuple[Place, ...]
    prompt: str
    targets: tuple[str, ...]


@dataclass(frozen=True)
class Cluster:
    """Rows that are close to each other: how many, and one that stands for them."""

    size: int
    place: Place
    text: str


@dataclass(frozen=True)
class Diversity:
    """How the training rows spread in the embedding space.

    `effective`: how many equally large clusters would be as varied (the exponential of the entropy of their sizes);
    `rare`: the smallest clusters.
    """

    rows: int
    clusters: int
    effective: float
    largest_share: float
    largest: tuple[Cluster, ...]
    rare: tuple[Cluster, ...]


@dataclass(frozen=True)
class PartSize:
    """One part as it is shipped: rows, assistant turns, characters (median, 95 %, longest row), and its hash."""

    part: str
    rows: int
    answers: int
    median_characters: int
    p95_characters: int
    longest_characters: int
    sha256: str


@dataclass(frozen=True)
class Tokens:
    """One part in tokens of the model, by its own chat template: a row is one answer with all turns before it.

    `supervised` are the answers' alone; `are`: how they were counted ("counted", or on a sample of so many rows).
    """

    part: str
    rows: int
    tokens: int
    supervised: int
    median: int
    p95: int
    longest: int
    are: str


@dataclass(frozen=True)
class DataReport:
    """All of it. `pairs` and `conflicts` are the first of each here, and whole in dropped.jsonl and conflicts.jsonl."""

    sources: tuple[Source, ...]
    parts: tuple[PartSize, ...]
    faults: tuple[Fault, ...] = ()
    removed: tuple[Removed, ...] = ()
    pairs: tuple[Dropped, ...] = ()
    conflict_count: int = 0
    conflicts: tuple[Conflict, ...] = ()
    diversity: Diversity | None = None
    deduplicated_by: str = "near"
    embedder: str = ""
    threshold: float | None = None
    threshold_means: str = ""
    """Why this threshold, in a sentence."""
    selected: int | None = None
    split_seed: int = 17
    private: bool = False
    notes: tuple[str, ...] = field(default_factory=tuple)
    template: str = ""
    """What the laptop says of the model's chat template: where it stands and how many rows it was checked on, or why
    it was not; "" where nobody looked."""
    tokens: tuple[Tokens, ...] = ()

    def document(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {"schema": SCHEMA, **asdict(self)}

    def text(self) -> str:
        """The document as it is written to report.json."""
        return json.dumps(self.document(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
