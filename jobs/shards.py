"""Several files of rows as one: the shards of a data set, in their order."""

import csv
import json
import os
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from jobs.config_values import WorkloadError

BATCH_ROWS = 1000
"""Of a Parquet file in memory at once."""


def joined(shards: Sequence[Path], into: Path) -> Path:
    """One file with the rows of all: CSV with one head, else JSON lines. Written whole or not at all, and only once.

    Raises `WorkloadError` for shards that do not belong together.
    """
    if into.is_file():
        return into
    aside = into.with_name(f"{into.name}.{os.getpid()}.part")
    try:
        if into.suffix == ".csv":
            _join_csv(shards, aside)
        else:
            _join_lines(shards, aside)
        aside.replace(into)
    finally:
        aside.unlink(missing_ok=True)
    return into


def _join_lines(shards: Sequence[Path], aside: Path) -> None:
    with aside.open("wb") as out:
        for line in chain.from_iterable(_lines(shard) for shard in shards):
            out.write(line if line.endswith(b"\n") else line + b"\n")


def _lines(shard: Path) -> Iterator[bytes]:
    if shard.suffix == ".parquet":
        yield from _parquet_lines(shard)
    else:
        with shard.open("rb") as lines:
            yield from lines


def _parquet_lines(shard: Path) -> Iterator[bytes]:
    """Each row as a JSON object; what JSON has no word for (bytes, times) is refused."""
    import pyarrow as pa  # start-up time: only for a data set of the Hub in several Parquet files
    from pyarrow import parquet

    try:
        for batch in parquet.ParquetFile(shard).iter_batches(batch_size=BATCH_ROWS):
            for row in batch.to_pylist():
                yield json.dumps(row, ensure_ascii=False).encode() + b"\n"
    except (pa.ArrowException, OSError, TypeError, ValueError) as error:
        raise WorkloadError(
            f"data: {shard} cannot be read as Parquet with rows of text: {error}",
            hint="name a file that can, as owner/name:path",
            code="data-set",
        ) from error


def _join_csv(shards: Sequence[Path], aside: Path) -> None:
    heads = {shard: _head(shard) for shard in shards}
    first = heads[shards[0]]
    for shard, head in heads.items():
        if head != first:
            raise WorkloadError(
                f"data: {shard.name} has other columns than {shards[0].name}: they are no parts of one table",
                hint=f"name one of them, as owner/name:{shards[0].name}",
                code="data-set",
            )
    with aside.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(first)
        for shard in shards:
            with shard.open(encoding="utf-8-sig", newline="") as lines:
                rows = csv.reader(lines)
                next(rows, None)
                writer.writerows(rows)


def _head(shard: Path) -> list[str]:
    try:
        with shard.open(encoding="utf-8-sig", newline="") as lines:
            return next(csv.reader(lines), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise WorkloadError(f"data: {shard.name} is no CSV in UTF-8: {error}", code="data-set") from error
