"""Split the rows, take duplicates out, count tokens, and refuse data from which a model would learn the wrong thing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .base import find_base, load_tokenizer
from .job import Job, give_up, read_job, sha256, tell, write_json, write_text
from .parts import make_parts
from .rows import RowError, check_rows
from .template import ids_of, pairs

__all__ = ["check_rows", "main"]

# A cut answer looks like a better loss and is a worse model: few are tolerated, and dropped whole.
LONGEST_SHARE_TOO_LONG = 0.05


def count(tokenizer: Any, rows: list[dict[str, Any]], part: str) -> list[tuple[int, int]]:
    """Tokens of prompt and whole row; ends when training and inference would not see the same prompt."""
    lengths = []
    for at, pair in enumerate(rows, 1):
        asked, whole = ids_of(tokenizer, pair)
        if whole[: len(asked)] != asked:
            give_up(
                f"{part}, pair {at}: the chat template writes the prompt differently in training and in use, "
                "so the model would be asked something that it was never taught"
            )
        if len(whole) == len(asked):
            give_up(f"{part}, pair {at}: the answer has no tokens; there is nothing to learn from it")
        lengths.append((len(asked), len(whole)))
    return lengths


def fitting(rows: list[dict[str, Any]], lengths: list[tuple[int, int]], longest: int) -> list[dict[str, Any]]:
    """The rows that are not cut at `longest` tokens; ends when too many are."""
    kept = [pair for pair, (_, whole) in zip(rows, lengths, strict=True) if whole <= longest]
    share = (len(rows) - len(kept)) / len(rows)
    if share > LONGEST_SHARE_TOO_LONG:
        most = max(whole for _, whole in lengths)
        give_up(
            f"{share:.1%} of the training pairs are longer than max_length {longest} "
            f"(at most {LONGEST_SHARE_TOO_LONG:.0%} may be); the longest has {most} tokens: "
            "raise train.max_length, or shorten the rows"
        )
    return kept


def summary(lengths: list[tuple[int, int]]) -> dict[str, int]:
    """Token counts of one part."""
    whole = [length for _, length in lengths]
    learned = sum(length - asked for asked, length in lengths)
    return {"pairs": len(lengths), "tokens": sum(whole), "supervised_tokens": learned, "longest": max(whole, default=0)}


def write_part(path: Path, rows: list[dict[str, Any]]) -> None:
    """One part as JSONL of prompt/completion pairs."""
    write_text(path, "".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in rows))


def hashes(job: Job) -> dict[str, str]:
    """sha256 of the files as given and of the parts as made."""
    files = [*sorted((job.bundle / "data").glob("*.jsonl")), *sorted(job.prepared.glob("*.jsonl"))]
    return {str(path.relative_to(job.run)): sha256(path) for path in files}


def prepare(job: Job, tokenizer: Any) -> dict[str, Any]:
    """Write the parts; returns what was counted."""
    parts = make_parts(job.bundle / "data", job.split, job.train.seed)
    said: dict[str, Any] = {"removed": parts.removed, "rows": {part: len(rows) for part, rows in parts.rows.items()}}
    for part, rows in parts.rows.items():
        made = [pair for row in rows for pair in pairs(row.messages)]
        lengths = count(tokenizer, made, part)
        said[part] = summary(lengths)
        if part == "train":
            kept = fitting(made, lengths, job.train.max_length)
            said["removed"]["train_too_long"] = len(made) - len(kept)
            made = kept
        write_part(job.prepared / f"{part}.jsonl", made)
    return said


def main() -> None:
    """Prepare the data of this run."""
    job = read_job()
    try:
        said = prepare(job, load_tokenizer(find_base(job)))
    except RowError as error:
        give_up(str(error))
    write_json(job.out / "logs" / "data.json", {**said, "sha256": hashes(job)})
    for what, number in said["removed"].items():
        if number:
            tell(job, "warning", code=what.replace("_", "-"), text=f"{number} rows taken out: {what.replace('_', ' ')}")
    print(f"rows: {said['rows']}, taken out: {said['removed']}")


if __name__ == "__main__":
    main()
