"""The rows that a run was sent with come out of its own bundle, once."""

import io
import tarfile
from pathlib import Path

from jobs.results.sent import sent_rows


def bundled(folder: Path, **files: str) -> None:
    with tarfile.open(folder / "bundle.tar.gz", "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))


def test_test_and_adjacent_rows_are_laid_out_by_name(tmp_path: Path) -> None:
    bundled(tmp_path, **{"data/test.jsonl": "t\n", "data/train.jsonl": "x\n", "data/adjacent/sums.jsonl": "s\n",
                         "job/run.py": "print()", "base/test.jsonl": "no\n"})  # fmt: skip
    folder = sent_rows(tmp_path)
    assert folder is not None
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found == {"test.jsonl", "adjacent/sums.jsonl"}
    assert (folder / "test.jsonl").read_text() == "t\n"


def test_what_was_unpacked_once_stays(tmp_path: Path) -> None:
    bundled(tmp_path, **{"data/test.jsonl": "t\n"})
    folder = sent_rows(tmp_path)
    (tmp_path / "bundle.tar.gz").unlink()
    assert sent_rows(tmp_path) == folder


def test_a_name_that_leads_out_is_not_unpacked(tmp_path: Path) -> None:
    inside = tmp_path / "run"
    inside.mkdir()
    bundled(inside, **{"data/../../test.jsonl": "evil\n", "data/adjacent/../../../x.jsonl": "evil\n"})
    assert sent_rows(inside) is not None
    assert not list(tmp_path.glob("*.jsonl"))


def test_without_a_sound_bundle_the_rows_are_not_known(tmp_path: Path) -> None:
    assert sent_rows(tmp_path) is None
    (tmp_path / "bundle.tar.gz").write_bytes(b"\x1f\x8b broken")
    assert sent_rows(tmp_path) is None
