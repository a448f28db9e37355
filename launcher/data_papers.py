"""The data report among a run's own papers: kept with the run, and laid beside its results; written by us alone."""

from collections.abc import Mapping
from pathlib import Path

from jobs.whole_files import write_below, write_whole

FOLDER = "data"
"""Of a run, and of its results; no file of a machine gets in there (`launcher/names.py`)."""


def keep(papers: Mapping[str, bytes], run_folder: Path) -> None:
    """Write them into the run's folder, before anything is rented."""
    folder = run_folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, content in papers.items():
        write_whole(folder / name, content)


def bring(run_folder: Path, results: Path) -> None:
    """Lay them beside the results; nothing where the run kept none (an older one)."""
    kept = [path for path in sorted((run_folder / FOLDER).glob("*")) if path.is_file()]
    if (results / FOLDER).is_symlink():
        return  # planted: they lie in the run's own folder all the same
    for path in kept:
        write_below(results, f"{FOLDER}/{path.name}", path.read_bytes())
