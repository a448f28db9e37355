"""The pairs that `prepare` left, as every later step reads them: text stays text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .job import Job, sha256
from .template import Pair


def read_pairs(job: Job, part: str) -> list[Pair]:
    """The pairs of one part; none where `prepare` left none."""
    path = job.prepared / f"{part}.jsonl"
    return list(lines_of(str(path))) if path.is_file() else []


def lines_of(file: str, sha256: str = "") -> Iterator[Pair]:
    """One pair a line. A line ends at a newline only: `splitlines` also breaks at U+2028, which may stand in a text.

    `sha256` is not read: a data set that is made from these lines is kept under a name that it is part of.
    """
    with Path(file).open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            yield json.loads(line)


def dataset_of(job: Job, part: str) -> Any:
    """The pairs of a part as a data set on disk; None where there are none.

    Its columns are declared. Left to guess, Arrow takes a column of ISO dates for points in time, and a model whose
    answers are dates would be trained on `2024-05-01 00:00:00`.
    """
    from datasets import Dataset, Features, List, Value  # late: seconds, and only the training needs it

    file = job.prepared / f"{part}.jsonl"
    if not file.is_file() or file.stat().st_size == 0:
        return None
    turns = List({"role": Value("string"), "content": Value("string")})
    return Dataset.from_generator(
        lines_of,
        features=Features({"prompt": turns, "completion": turns}),
        cache_dir=str(job.run / "rows"),
        gen_kwargs={"file": str(file), "sha256": sha256(file)},
    )
