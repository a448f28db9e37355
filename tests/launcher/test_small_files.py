"""Whether small files come together, and a machine that lies about one harms no other."""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import count
from typing import cast

import pytest

from launcher.guest import Guest, Manifest, RemoteFile
from launcher.remote import CommandFailed, RemoteUnreachable
from launcher.small_files import MOST_FILES, SMALL_BYTES, SmallFiles


class Talker:
    """A guest with these files, that counts what it is asked."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.announced = files, dict(files)
        self.together: list[list[str]] = []
        self.alone: list[tuple[str, int]] = []
        self.trouble: Exception | None = None

    def manifest(self, under: str = "out") -> Manifest:
        rows = ((path, len(data), hashlib.sha256(data).hexdigest()) for path, data in self.announced.items())
        return Manifest(files=tuple(RemoteFile(path=path, bytes=size, sha256=sha) for path, size, sha in rows))

    def send(self, under: str, path: str, offset: int) -> Iterator[bytes]:
        self.alone.append((path, offset))
        yield self.files[path][offset:]

    def send_all(self, under: str, paths: Sequence[str]) -> Iterator[bytes]:
        self.together.append(list(paths))
        for path in paths:
            data = self.files[path]
            yield data[: len(data) // 2]
            yield data[len(data) // 2 :]
        if self.trouble is not None:
            raise self.trouble


def over(talker: Talker, clock: Iterator[float] | None = None) -> SmallFiles:
    source = SmallFiles(cast("Guest", talker), (lambda: next(clock)) if clock is not None else lambda: 0.0)
    source.manifest("out")
    return source


def got(source: SmallFiles, path: str, offset: int = 0) -> bytes:
    return b"".join(source.send("out", path, offset))


SMALL = {f"eval/{number}.json": b"x" * number for number in range(1, 6)}


def test_the_first_small_file_brings_all_others_along() -> None:
    talker = Talker(SMALL)
    source = over(talker)
    assert {path: got(source, path) for path in SMALL} == SMALL
    assert (len(talker.together), talker.alone) == (1, [])


def test_large_files_files_with_odd_names_and_parts_are_asked_for_alone() -> None:
    odd = {"big": b"x" * (SMALL_BYTES + 1), "-rf": b"a", "a b": b"b", "../up": b"c"}
    talker = Talker({**SMALL, **odd})
    source = over(talker)
    assert got(source, "eval/5.json", 2) == b"xxx"
    assert {path: got(source, path) for path in odd} == odd
    got(source, "eval/1.json")
    assert talker.together == [list(SMALL)]
    assert talker.alone == [("eval/5.json", 2), *((path, 0) for path in odd)]


def test_a_file_that_is_not_as_announced_is_asked_for_alone_and_so_are_those_behind_it() -> None:
    talker = Talker(dict(SMALL))
    talker.files["eval/3.json"] = b"grown since"
    source = over(talker)
    for path in SMALL:
        got(source, path)
    assert talker.alone == [("eval/3.json", 0), ("eval/4.json", 0), ("eval/5.json", 0)]


def test_more_bytes_than_announced_are_not_read() -> None:
    talker = Talker({"a": b"1", "b": b"2"})
    talker.files["b"] = b"2" * 10_000_000
    source = over(talker)
    assert got(source, "a") == b"1"


@pytest.mark.parametrize("trouble", [CommandFailed("exit 1", exit_code=1)])
def test_what_came_before_a_failure_is_used(trouble: Exception) -> None:
    talker = Talker(SMALL)
    talker.trouble = trouble
    source = over(talker)
    assert got(source, "eval/1.json") == b"x"
    assert talker.alone == []


def test_a_lost_connection_is_told_to_the_caller() -> None:
    talker = Talker(SMALL)
    talker.trouble = RemoteUnreachable("gone")
    with pytest.raises(RemoteUnreachable):
        got(over(talker), "eval/1.json")


def test_a_machine_that_trickles_is_asked_file_by_file() -> None:
    talker = Talker(SMALL)
    source = over(talker, (20.0 * tick for tick in count()))
    assert {path: got(source, path) for path in SMALL} == SMALL
    assert len(talker.alone) == 4


def test_no_more_than_fit_into_memory_come_together() -> None:
    talker = Talker({f"f{number}": b"x" for number in range(MOST_FILES + 5)})
    source = over(talker)
    got(source, "f0")
    assert len(talker.together[0]) == MOST_FILES
    talker = Talker({f"f{number}": b"x" * SMALL_BYTES for number in range(30)})
    source = over(talker)
    got(source, "f0")
    assert len(talker.together[0]) == 16
