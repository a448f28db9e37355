"""Make token-ready pairs of the parts, and refuse data from which a model would learn the wrong thing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .base import find_base, load_tokenizer
from .dataset.curate import Asked, curate
from .dataset.parts import adjacent_files, check_rows, given_files, is_ready
from .dataset.report import DataReport
from .dataset.rows import DataError, Row, read_part
from .job import PARTS, Job, give_up, read_job, sha256, tell, write_json, write_text
from .template import Pair, ids_of, pairs

__all__ = ["LONGEST_SHARE_TOO_LONG", "check_rows", "main"]

# A cut answer looks like a better loss and is a worse model: few are tolerated, and dropped whole.
LONGEST_SHARE_TOO_LONG = 0.05
# Of the pairs that were too long, so many are listed by file and line; all are counted.
LISTED = 1000


@dataclass(frozen=True)
class Counted:
    """One prompt/completion pair, its row, and its tokens: of the prompt, and of prompt and answer together."""

    pair: Pair
    row: Row
    prompt_tokens: int
    tokens: int


def counted(tokenizer: Any, rows: Sequence[Row]) -> list[Counted]:
    """The pairs of the rows; ends when training and inference would not see the same prompt, or nothing is learned."""
    made = []
    for row in rows:
        for pair in pairs(row.messages):
            asked, whole = ids_of(tokenizer, pair)
            if whole[: len(asked)] != asked:
                give_up(
                    f"{row.file}:{row.line}: the chat template writes the prompt differently in training and in use, "
                    "so the model would be asked something that it was never taught"
                )
            if len(whole) == len(asked):
                give_up(f"{row.file}:{row.line}: the answer has no tokens; there is nothing to learn from it")
            made.append(Counted(pair, row, len(asked), len(whole)))
    return made


def fitting(made: Sequence[Counted], longest: int, part: str) -> list[Counted]:
    """The pairs that are not cut at `longest` tokens; ends when too many of the training pairs are, or none is left."""
    kept = [one for one in made if one.tokens <= longest]
    share = (len(made) - len(kept)) / max(1, len(made))
    if part == "train" and share > LONGEST_SHARE_TOO_LONG:
        most = max(made, key=lambda one: one.tokens)
        give_up(
            f"{share:.1%} of the training pairs are longer than max_length {longest} "
            f"(at most {LONGEST_SHARE_TOO_LONG:.0%} may be); the longest has {most.tokens} tokens "
            f"({most.row.file}:{most.row.line}): raise train.max_length, or shorten the rows"
        )
    if part == "train" and not kept:
        give_up("no training pair is left; there is nothing to train on")
    return kept


def summary(made: Sequence[Counted]) -> dict[str, int]:
    """Token counts of one part."""
    return {
        "pairs": len(made),
        "tokens": sum(one.tokens for one in made),
        "supervised_tokens": sum(one.tokens - one.prompt_tokens for one in made),
        "longest": max((one.tokens for one in made), default=0),
    }


def too_long(made: Sequence[Counted], longest: int) -> list[dict[str, Any]]:
    """Where the pairs stand that are left out for their length, and how long they are."""
    over = [one for one in made if one.tokens > longest][:LISTED]
    return [{"file": one.row.file, "line": one.row.line, "tokens": one.tokens} for one in over]


def write_pairs(path: Path, made: Sequence[Counted]) -> None:
    """One part as JSONL of prompt/completion pairs."""
    write_text(path, "".join(json.dumps(one.pair, ensure_ascii=False) + "\n" for one in made))


def hashes(job: Job) -> dict[str, str]:
    """sha256 of the files as given and of the parts as made."""
    given = sorted(path for path in (job.bundle / "data").rglob("*") if path.is_file())
    return {str(path.relative_to(job.run)): sha256(path) for path in [*given, *sorted(job.prepared.rglob("*.jsonl"))]}


def make_ready(job: Job) -> tuple[Path, DataReport | None]:
    """The folder of the checked parts: as shipped, or, where the job is run by hand, made here.

    Raises:
        DataError: the data cannot be used.
    """
    data = job.bundle / "data"
    if is_ready(data, Asked.of(job.data)):
        return data, None
    # By hand: what a job file would have as its default needs an embedder, which is not among the job's requirements.
    asked = {**job.data, "deduplicate": job.data.get("deduplicate") or {"by": "exact"}}
    named = {key: value for key, value in asked.items() if key not in PARTS}
    made = job.run / "curated"
    return made, curate(given_files(data), named, into=made, seed=job.train.seed, private=job.private)


def prepare(job: Job, tokenizer: Any) -> dict[str, Any]:
    """Write the pairs of each part and of each adjacent task; returns what was counted. Raises `DataError`."""
    folder, report = make_ready(job)
    removed = {} if report is None else {f"{one.part}_{one.stage}": one.count for one in report.removed}
    said: dict[str, Any] = {"removed": removed, "rows": {}, "too_long": {}}
    for part in PARTS:
        path = folder / f"{part}.jsonl"
        rows = read_part(path) if path.exists() else []
        made = counted(tokenizer, rows)
        said["rows"][part], said[part] = len(rows), summary(made)
        if part != "test":  # each test item is asked, however long it is
            kept = fitting(made, job.train.max_length, part)
            if len(kept) < len(made):
                removed[f"{part}_too_long"] = len(made) - len(kept)
                said["too_long"][part] = too_long(made, job.train.max_length)
            made = kept
        write_pairs(job.prepared / f"{part}.jsonl", made)
    for name, path in adjacent_files(folder).items():
        made = counted(tokenizer, read_part(path))
        said[f"adjacent/{name}"] = summary(made)
        write_pairs(job.prepared / "adjacent" / f"{name}.jsonl", made)
    return said


def main() -> None:
    """Prepare the data of this run."""
    job = read_job()
    try:
        said = prepare(job, load_tokenizer(find_base(job)))
    except DataError as error:
        give_up(error.message + (f"\nhint: {error.hint}" if error.hint else ""))
    write_json(job.out / "logs" / "data.json", {**said, "sha256": hashes(job)})
    for what, number in said["removed"].items():
        if number:
            text = f"{number} rows taken out: {what.replace('_', ' ')}"
            tell(job, "warning", code=what.replace("_", "-").replace("/", "-"), text=text)
    print(f"rows: {said['rows']}, taken out: {said['removed']}")


if __name__ == "__main__":
    main()
