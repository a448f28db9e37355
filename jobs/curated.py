"""The job's rows read, checked and made into parts on this computer, before anything is spent; once for each input."""

import atexit
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from jobs import spec
from jobs.hub import Hub
from jobs.hub_data import Found, Wanted, fetch
from jobs.qlora.dataset.report import DataReport
from jobs.whole_files import sha256

DATASET = Path(__file__).parent / "qlora" / "dataset"
SEAL = "curated.json"
"""Names every file of a folder with its hash; written last, and a folder without it counts for nothing."""
REPORT, DROPPED, CONFLICTS = "report.json", "dropped.jsonl", "conflicts.jsonl"
PAPERS = (REPORT, DROPPED, CONFLICTS)
MOST_FOLDERS, MOST_BYTES = 24, 4 << 30
"""Of curated data that are kept, the latest used first; the data sets of the Hub are bounded in the same way."""
IN_USE_SECONDS = 3600.0
"""What was used so lately may be in the hands of another process, and stays."""
LEFT_OVER_SECONDS = 86_400.0
"""What a process that was killed left half-written goes after a day."""


class Curate(Protocol):
    """`jobs.qlora.dataset.curate.curate`."""

    def __call__(  # noqa: D102 - the class says it
        self, files: Mapping[str, Path], data: Mapping[str, Any], *, into: Path, seed: int, private: bool
    ) -> DataReport: ...


@dataclass(frozen=True, kw_only=True)
class Curated:
    """The job with its rows as they are shipped, what was found in them, and where the papers about that lie."""

    loaded: spec.LoadedSpec
    report: DataReport
    folder: Path
    notes: tuple[str, ...] = ()


def curated(
    loaded: spec.LoadedSpec,
    *,
    cache: Path | None,
    environ: Mapping[str, str],
    curate: Curate | None = None,
    clock: Callable[[], float] = time.time,
) -> Curated:
    """The job with its rows made into parts, kept in `cache` by the content of all that goes into them.

    None keeps nothing beyond this process. Raises `jobs.qlora.dataset.rows.DataError` and `WorkloadError`.
    """
    root = cache if cache is not None else _own_folder()
    found = _fetched(loaded, environ, root / "hub")
    files = {**spec.data_files(loaded), **{part: one.file for part, one in found.items()}}
    kept = root / "parts" / _key(loaded, files)
    if (report := _read(kept)) is None:
        report = _make(loaded, files, kept, curate or _curate())
    _tidy(root, kept, found, clock())
    return Curated(
        loaded=spec.with_parts(loaded, _parts(kept)),
        report=report,
        folder=kept,
        notes=tuple(one.note for one in found.values()),
    )


def papers(folder: Path) -> dict[str, bytes]:
    """The report and what belongs to it, by name, as they stand in a curated folder."""
    return {name: (folder / name).read_bytes() for name in PAPERS if (folder / name).is_file()}


def _curate() -> Curate:
    from jobs.qlora.dataset.curate import curate  # start-up time: numpy and the embedder, only where it is made anew

    return curate


def _own_folder() -> Path:
    """For this process alone."""
    folder = Path(tempfile.mkdtemp(prefix="launch-data-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _fetched(loaded: spec.LoadedSpec, environ: Mapping[str, str], folder: Path) -> dict[str, Found]:
    named = spec.hub_data(loaded)
    if not named:
        return {}
    hub, revision = Hub.of(environ), loaded.spec.data.revision
    return {part: fetch(Wanted.of(part, name, revision), hub, folder) for part, name in named.items()}


def _key(loaded: spec.LoadedSpec, files: Mapping[str, Path]) -> str:
    """By every byte that is read, where it stands, every setting that matters, and our own code."""
    one = loaded.spec
    settings = [one.data.model_dump(mode="json"), one.train.seed, one.privacy]
    whole = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for part, path in sorted(files.items()):
        whole.update(f"\n{part}\n{path}\n{sha256(path)}".encode())
    for path in sorted(DATASET.glob("*.py")):
        whole.update(f"\n{path.name}\n{sha256(path)}".encode())
    return whole.hexdigest()[:40]


# A folder of made parts


def _make(loaded: spec.LoadedSpec, files: Mapping[str, Path], kept: Path, curate: Curate) -> DataReport:
    """Curate aside, seal, and move into place; another process may have been first, with the same bytes."""
    with _aside(kept) as folder:
        data, seed = loaded.spec.data.model_dump(mode="json"), loaded.spec.train.seed
        curate(files, data, into=folder, seed=seed, private=loaded.spec.privacy == "private")
        made = {str(path.relative_to(folder)): sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}
        (folder / SEAL).write_text(json.dumps({"files": made}, indent=1), encoding="utf-8")
        if _read(kept) is None:
            shutil.rmtree(kept, ignore_errors=True)  # what lies there is damaged
        with suppress(OSError):  # another process put its own there between our look and now
            folder.rename(kept)
    report = _read(kept)
    assert report is not None, f"{kept} was sealed a moment ago"
    return report


@contextmanager
def _aside(kept: Path) -> Iterator[Path]:
    kept.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{kept.name[:12]}-{os.getpid()}-", dir=kept.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _read(kept: Path) -> DataReport | None:
    """The report of a folder that is whole; None for what is not there, half there, or changed."""
    from pydantic import TypeAdapter  # start-up time: the models of the job file are loaded, this reader is not

    try:
        sealed = json.loads((kept / SEAL).read_text(encoding="utf-8"))["files"]
        if any(sha256(kept / name) != told for name, told in sealed.items()):
            return None
        return TypeAdapter(DataReport).validate_json((kept / REPORT).read_bytes())
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None


def _parts(kept: Path) -> dict[str, Path]:
    """The made files of rows, by the names of `spec.data_files`."""
    rows = [*sorted(kept.glob("*.jsonl")), *sorted((kept / "adjacent").glob("*.jsonl"))]
    return {str(path.relative_to(kept).with_suffix("")): path for path in rows if path.name not in PAPERS}


# What is kept, and for how long


def _tidy(root: Path, kept: Path, found: Mapping[str, Found], now: float) -> None:
    """The latest used stay: a use is written on the folder itself. Nothing here may fail a launch."""
    with suppress(OSError):
        os.utime(kept, (now, now))
        _bound(root / "parts", now)
        for one in found.values():
            os.utime(one.folder, (now, now))
            _bound(one.folder.parent, now)


def _bound(folder: Path, now: float) -> None:
    latest = sorted(folder.iterdir(), key=lambda one: -one.stat().st_mtime)
    size = 0
    for at, one in enumerate(latest):
        age = now - one.stat().st_mtime
        if one.name.startswith("."):
            goes = age > LEFT_OVER_SECONDS
        else:
            size += sum(path.stat().st_size for path in one.rglob("*") if path.is_file())
            goes = age > IN_USE_SECONDS and (at >= MOST_FOLDERS or size > MOST_BYTES)
        if goes:
            shutil.rmtree(one, ignore_errors=True)
