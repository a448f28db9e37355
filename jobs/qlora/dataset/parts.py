"""The folder of the parts: whether they are made already, and which files stand in it where a job is run by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..job import PARTS
from .reading import Named, Wanted, read_all
from .records import parsed_json
from .sources import FORMATS
from .telling import REPORT

if TYPE_CHECKING:
    from .curate import Asked


def is_ready(folder: Path, asked: Asked) -> bool:
    """Whether rows need only be counted: their report is there, or nothing is asked and they say their source."""
    if (folder / REPORT).exists():
        return True
    split = asked.split
    left = split.validation or split.test or asked.by != "off" or asked.select is not None
    return not left and _says_source(folder / "train.jsonl")


def _says_source(path: Path) -> bool:
    if not path.exists():
        return False
    with path.open("rb") as file:
        first = parsed_json(file.readline())
    source = first.get("source") if isinstance(first, dict) else None
    return isinstance(source, dict) and set(source) == {"file", "line"}


def given_files(folder: Path) -> dict[str, Path]:
    """The files of a folder by the part that they are for, in whatever format; rows of other tasks in adjacent/."""
    found = {path.stem: path for path in _data_files(folder) if path.stem in PARTS}
    return found | {f"adjacent/{path.stem}": path for path in _data_files(folder / "adjacent")}


def _data_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix in FORMATS)


def adjacent_files(folder: Path) -> dict[str, Path]:
    """The made rows of other tasks, by name."""
    return {path.stem: path for path in sorted((folder / "adjacent").glob("*.jsonl"))}


def check_rows(path: Path, *, group: str | None = None) -> int:
    """Number of usable rows in a file of any known format and shape.

    Raises:
        DataError: all rows that cannot be used, with up to three examples of each kind of fault.
    """
    wanted = Wanted(group=group, split=group is not None)
    return len(read_all([Named("train", path, str(path))], wanted)["train"].rows)
