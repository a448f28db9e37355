"""A file is there whole or not at all, and nothing is written through a link that somebody planted."""

import hashlib
from pathlib import Path

from jobs.whole_files import sha256, write_whole


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
