"""Whether rows are made into parts once for each input, whole or not at all, and kept within bounds."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jobs import curated as room
from jobs import spec
from jobs.curated import Curated, curated
from jobs.qlora.dataset.report import DataReport, Fault, PartSize
from tests.hub import Repository, open_hub

ROW = '{"messages": [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b"}]}\n'


class Curator:
    """Stands in for `curate`: copies the files, and counts how often it was asked."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def __call__(
        self, files: Mapping[str, Path], data: Mapping[str, Any], *, into: Path, seed: int, private: bool
    ) -> DataReport:
        self.calls.append({"files": dict(files), "data": dict(data), "seed": seed, "private": private})
        for part, path in files.items():
            (into / f"{part}.jsonl").parent.mkdir(exist_ok=True)
            (into / f"{part}.jsonl").write_bytes(path.read_bytes())
        report = DataReport(sources=(), parts=(PartSize("train", 1, 1, 3, 3, 3, "0" * 64),), private=private)
        (into / "report.json").write_text(report.text())
        (into / "dropped.jsonl").write_text("")
        (into / "conflicts.jsonl").write_text("")
        return report


def job(folder: Path, **data: object) -> spec.LoadedSpec:
    folder.mkdir(exist_ok=True)
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model/config.json").write_text("{}")
    if not (folder / "rows.jsonl").exists():
        (folder / "rows.jsonl").write_text(ROW)
    document = {"name": "j", "model": "./model", "data": {"train": "rows.jsonl", **data}}
    (folder / "launch.yaml").write_text(json.dumps(document))
    return spec.load(folder)


def made(loaded: spec.LoadedSpec, cache: Path | None, curator: room.Curate, *, now: float = 1e9) -> Curated:
    return curated(loaded, cache=cache, environ={}, curate=curator, clock=lambda: now)


def test_the_same_job_is_curated_once(tmp_path: Path) -> None:
    curator = Curator()
    first = made(job(tmp_path / "job"), tmp_path / "cache", curator)
    again = made(job(tmp_path / "job"), tmp_path / "cache", curator)
    assert len(curator.calls) == 1
    assert again.report == first.report
    assert again.report.parts[0].part == "train"
    assert spec.data_files(again.loaded) == {"train": first.folder / "train.jsonl"}
    assert again.loaded.spec.data.split is None
    assert set(room.papers(first.folder)) == {"report.json", "dropped.jsonl", "conflicts.jsonl"}


def test_every_input_that_matters_makes_it_anew(tmp_path: Path) -> None:
    curator, cache, folder = Curator(), tmp_path / "cache", tmp_path / "job"
    for loaded in (
        job(folder),
        job(folder, select=3),
        spec.load(folder, sets=["train.seed=4"]),
        spec.load(folder, sets=["privacy=private"]),
    ):
        made(loaded, cache, curator)
    assert len(curator.calls) == 4
    assert [call["private"] for call in curator.calls] == [False, False, False, True]
    (folder / "rows.jsonl").write_text(ROW * 2)
    made(job(folder), cache, curator)
    assert len(curator.calls) == 5
    made(spec.load(folder, sets=["train.epochs=1"]), cache, curator)
    assert len(curator.calls) == 5


@pytest.mark.parametrize("harm", ["cut", "gone", "unsealed", "odd-report"])
def test_a_damaged_folder_counts_for_nothing(tmp_path: Path, harm: str) -> None:
    curator, cache, loaded = Curator(), tmp_path / "cache", job(tmp_path / "job")
    kept = made(loaded, cache, curator).folder
    if harm == "cut":
        (kept / "train.jsonl").write_text("{")
    elif harm == "gone":
        (kept / "train.jsonl").unlink()
    elif harm == "unsealed":
        (kept / room.SEAL).unlink()
    else:
        (kept / "report.json").write_text("{}")
    again = made(loaded, cache, curator)
    assert len(curator.calls) == 2
    assert (again.folder / "train.jsonl").read_text() == ROW


def test_what_fails_or_dies_midway_leaves_nothing_that_counts(tmp_path: Path) -> None:
    class Dies(Curator):
        def __call__(
            self, files: Mapping[str, Path], data: Mapping[str, Any], *, into: Path, seed: int, private: bool
        ) -> DataReport:
            super().__call__(files, data, into=into, seed=seed, private=private)
            raise KeyboardInterrupt

    loaded, cache = job(tmp_path / "job"), tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        made(loaded, cache, Dies())
    assert list((cache / "parts").iterdir()) == []


def test_two_at_once_end_with_one_folder(tmp_path: Path) -> None:
    both = threading.Barrier(2, timeout=20)

    class Slow(Curator):
        def __call__(
            self, files: Mapping[str, Path], data: Mapping[str, Any], *, into: Path, seed: int, private: bool
        ) -> DataReport:
            report = super().__call__(files, data, into=into, seed=seed, private=private)
            both.wait()
            return report

    loaded, cache, found = job(tmp_path / "job"), tmp_path / "cache", []
    workers = [threading.Thread(target=lambda: found.append(made(loaded, cache, Slow()))) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 2
    assert found[0].folder == found[1].folder
    assert [path.name for path in (cache / "parts").iterdir()] == [found[0].folder.name]


def test_old_folders_go_and_what_was_used_lately_stays(tmp_path: Path) -> None:
    cache, folder = tmp_path / "cache", tmp_path / "job"
    leftover = cache / "parts" / ".half-9-x"
    for at in range(room.MOST_FOLDERS + 3):
        made(job(folder, select=at + 1), cache, Curator(), now=1e9 + at)
    leftover.mkdir()
    os.utime(leftover, (1e9, 1e9))
    assert len(list((cache / "parts").iterdir())) == room.MOST_FOLDERS + 4
    made(job(folder, select=1), cache, Curator(), now=1e9 + room.LEFT_OVER_SECONDS + 100)
    left = list((cache / "parts").iterdir())
    assert len(left) == room.MOST_FOLDERS
    assert not leftover.exists()


def test_without_a_cache_the_rows_are_made_for_this_process(tmp_path: Path) -> None:
    found = made(job(tmp_path / "job"), None, Curator())
    assert spec.data_files(found.loaded)["train"].read_text() == ROW


def test_a_data_set_of_the_hub_is_fetched_for_each_part(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set/train.jsonl").write_text(ROW)
    (tmp_path / "set/test.jsonl").write_text(ROW.replace("a?", "c?"))
    curator = Curator()
    with open_hub() as hub:
        hub.datasets["owner/rows"] = Repository(folder=tmp_path / "set")
        loaded = job(tmp_path / "job", train="owner/rows", test="owner/rows")
        environ = {"HF_ENDPOINT": hub.url}
        found = curated(loaded, cache=tmp_path / "cache", environ=environ, curate=curator)
    (call,) = curator.calls
    assert {part: path.name for part, path in call["files"].items()} == {"train": "train.jsonl", "test": "test.jsonl"}
    assert [note.split(" is ")[0] for note in found.notes] == ["data: train", "data: test"]
    assert set(spec.data_files(found.loaded)) == {"train", "test"}


def test_a_report_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    class Finds(Curator):
        def __call__(
            self, files: Mapping[str, Path], data: Mapping[str, Any], *, into: Path, seed: int, private: bool
        ) -> DataReport:
            report = super().__call__(files, data, into=into, seed=seed, private=private)
            found = DataReport(
                sources=report.sources,
                parts=report.parts,
                faults=(Fault("empty-turn", "error", "train", 2, "an empty turn", "left out"),),
            )
            (into / "report.json").write_text(found.text())
            return found

    (fault,) = made(job(tmp_path / "job"), tmp_path / "cache", Finds()).report.faults
    assert (fault.code, fault.count, fault.examples) == ("empty-turn", 2, ())


def test_a_warm_cache_loads_nothing_that_makes_parts(tmp_path: Path) -> None:
    made(job(tmp_path / "job"), tmp_path / "cache", Curator())
    program = """if True:
        import sys
        from pathlib import Path
        from jobs import spec
        from jobs.curated import curated
        found = curated(spec.load(Path(sys.argv[1])), cache=Path(sys.argv[2]), environ={})
        assert found.report.parts[0].part == "train"
        heavy = {"numpy", "pyarrow", "wordllama", "httpx", "tokenizers"} & set(sys.modules)
        sys.exit(f"loaded: {heavy}" if heavy else 0)
    """
    arguments = [sys.executable, "-c", program, str(tmp_path / "job"), str(tmp_path / "cache")]
    subprocess.run(arguments, check=True, timeout=60)
