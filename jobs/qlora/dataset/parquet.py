"""Read Parquet batch by batch, so that a file larger than the memory is no trouble."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .records import Bad, Record
from .rows import DataError

BATCH_ROWS = 1000


def parquet_records(path: Path) -> Iterator[Record]:
    """Each row; its line is the row's number, from 1.

    Raises:
        DataError: pyarrow is not installed, or the file is damaged.
    """
    try:
        import pyarrow  # late: a tenth of a second, and only for such files
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(f"{path}: Parquet is read with pyarrow, which is not here", "pip install pyarrow") from error
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            at = 0
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                for row in _rows(batch):
                    at += 1
                    yield Record(at, row) if isinstance(row, dict) else Record(at, bad=row)
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        why = str(error).partition("\n")[0][:200]
        hint = "it was not written or copied whole: fetch it again"
        raise DataError(f"{path}: the Parquet file is damaged ({why})", hint) from error


def _rows(batch: Any) -> Iterator[dict[str, Any] | Bad]:
    """The rows of a batch; one with text that is no UTF-8 is told apart from its neighbours."""
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for at in range(batch.num_rows):
            try:
                yield batch.slice(at, 1).to_pylist()[0]
            except UnicodeDecodeError as error:
                byte = error.object[error.start]
                yield Bad("not-utf8", f"byte {error.start + 1} of a text (0x{byte:02x})")
