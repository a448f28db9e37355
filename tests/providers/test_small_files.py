"""Small files beside a provider: replaced as a whole, and never missed."""

import threading
from pathlib import Path

import pytest

from providers.small_files import replace_text


def test_a_text_is_written_in_folders_that_are_made_for_it(tmp_path: Path) -> None:
    replace_text(tmp_path / "a" / "b" / "kept.json", "é\n")
    assert (tmp_path / "a" / "b" / "kept.json").read_bytes() == "é\n".encode()


def test_the_new_text_takes_the_place_of_the_old_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    for text in ("a long first text", "short"):
        replace_text(tmp_path / "kept.json", text)
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("kept.json", "short")]


def test_a_reader_sees_the_old_text_or_the_new_one_and_nothing_between(tmp_path: Path) -> None:
    file, over = tmp_path / "kept.json", threading.Event()
    texts = {letter * 100_000 for letter in "abc"}
    replace_text(file, min(texts))

    def write() -> None:
        for _ in range(30):
            for text in texts:
                replace_text(file, text)
        over.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not over.is_set():
        seen.add(file.read_text())
    writer.join(timeout=20)
    assert seen <= texts


@pytest.mark.parametrize("below", ["", "folder/"])
def test_where_nothing_can_be_written_there_is_simply_nothing_kept(tmp_path: Path, below: str) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    replace_text(tmp_path / "state" / f"{below}kept.json", "text")
    assert [one.name for one in tmp_path.iterdir()] == ["state"]
