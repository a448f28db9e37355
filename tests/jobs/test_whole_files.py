"""A file is there whole or not at all, and nothing is written through a link that somebody planted."""

import hashlib
from pathlib import Path

import pytest

from jobs.whole_files import sha256, write_below, write_whole


def test_a_file_is_replaced_whole_and_its_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.json"
    assert write_whole(path, "first, longer\n") == path
    write_whole(path, "ä\n")
    assert path.read_bytes() == "ä\n".encode()
    assert [one.name for one in path.parent.iterdir()] == ["c.json"]
    assert sha256(path) == hashlib.sha256("ä\n".encode()).hexdigest()


def test_links_at_the_place_and_beside_it_are_replaced_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    for name in ("page.html", ".page.html.part"):
        (tmp_path / name).symlink_to(outside)
    write_whole(tmp_path / "page.html", b"new")
    assert (outside.read_text(), (tmp_path / "page.html").read_text()) == ("mine", "new")
    assert not (tmp_path / "page.html").is_symlink()


def test_nothing_is_written_through_a_link_below_the_results(tmp_path: Path) -> None:
    elsewhere, results = tmp_path / "elsewhere", tmp_path / "results"
    elsewhere.mkdir()
    results.mkdir()
    (results / "eval").symlink_to(elsewhere)
    with pytest.raises(NotADirectoryError, match="nothing is written through it"):
        write_below(results, "eval/summary.json", "{}")
    assert list(elsewhere.iterdir()) == []


def test_results_that_a_person_keeps_elsewhere_are_written_to(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "results").symlink_to(tmp_path / "disk")
    assert write_below(tmp_path / "results", "eval/summary.json", "{}").read_text() == "{}"
