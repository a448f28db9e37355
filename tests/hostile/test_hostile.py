"""R9: no hostile artifact writes outside of its folder, is run, fills anything, or reaches a person's terminal."""

import os
import pickle
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hostile import payloads
from tests.hostile.cases import all_cases
from tests.hostile.ground import Ground
from tests.hostile.play import Case, judged, warm_up
from tests.hostile.watch import unprintable, watched

CASES = all_cases()
FAMILIES = tuple(dict.fromkeys(case.family for case in CASES))
LEAST_CASES = 500


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    """A home in memory, for all cases of a process."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="hostile-", dir=memory if memory.is_dir() else None))
    made = Ground(folder)
    warm_up(made)
    yield made
    shutil.rmtree(folder)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_artifact_of_a_hostile_machine_does_harm(family: str, ground: Ground) -> None:
    played = {case.name: judged(case, ground) for case in CASES if case.family == family and case.always}
    assert {name: found for name, found in played.items() if found} == {}
    assert played


def test_there_are_enough_different_cases_in_the_suite_and_of_every_family_some() -> None:
    always = [case for case in CASES if case.always]
    assert len({str(case) for case in CASES}) == len(CASES)
    assert len(always) >= LEAST_CASES
    assert min(Counter(case.family for case in always).values()) >= 5
    whole = {name for name, _ in payloads.documents()}
    assert {case.name.partition(": ")[2] for case in always if case.family == "bombs in results"} == whole


def _played(play: Callable[[Ground], object], ground: Ground) -> list[str]:
    """The breaches of what a broken reader would do."""

    def broken(there: Ground) -> str:
        play(there)
        return ""

    return judged(Case(family="teeth", name="broken", play=broken), ground)


def _unpickles(_ground: Ground) -> None:
    pickle.loads(b"cos\ngetenv\n(S'HOME'\ntR.")


def _replaces_precious(ground: Ground) -> None:
    aside = ground.into / "x"
    aside.write_text("evil")
    aside.replace(ground.precious / "thesis.txt")
    (ground.precious / "thesis.txt").write_text("years of work")


def _follows_a_link(ground: Ground) -> None:
    (ground.into / "a").symlink_to(ground.precious)
    (ground.into / "a" / "evil").write_text("")


def _fills_the_inodes(ground: Ground) -> None:
    for at in range(800):
        (ground.into / str(at)).touch()


BROKEN: dict[str, tuple[Callable[[Ground], object], str]] = {
    "writes outside": (lambda ground: (ground.precious / "evil").write_text(""), "outside"),
    "writes beside": (lambda ground: (ground.base / "runs" / "evil").mkdir(), "outside"),
    "follows a link": (_follows_a_link, "outside"),
    "links": (lambda ground: (ground.into / "a").hardlink_to(ground.precious / "thesis.txt"), "outside"),
    "replaces": (_replaces_precious, "outside"),
    "changes rights": (lambda ground: (ground.precious / "thesis.txt").chmod(0o755), "outside"),
    "removes": (lambda ground: (ground.precious / "other-run" / "adapter" / "a").unlink(), "outside"),
    "unpickles": (_unpickles, "pickle.find_class"),
    "runs a program": (lambda _: os.system("true"), "os.system"),
    "fills the disk": (lambda ground: (ground.into / "a").write_bytes(b"1" * 9_000_000), "bytes in the results"),
    "fills the inodes": (_fills_the_inodes, "names in the results"),
    "takes too much": (lambda ground: setattr(ground.liar, "taken_bytes", 10**9), "were taken"),
    "crashes": (lambda ground: ground.texts[9], "crash: IndexError"),
    "shows an escape": (lambda ground: ground.texts.append("\x1b[31m"), "U+001B"),
    "shows a script": (lambda ground: ground.texts.append("<!doctype html><script>x</script>"), "<script>"),
    "links away": (lambda ground: ground.texts.append("<!doctype html><a href='//x'>x</a>"), "href"),
    "runs code": (lambda ground: exec(compile("1", str(ground.into / "a.py"), "exec")), "exec of what"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_judge_sees_what_a_broken_reader_would_do(name: str, tmp_path: Path) -> None:
    play, told = BROKEN[name]
    found = _played(play, Ground(tmp_path))
    assert any(told in one for one in found), found


def test_nothing_is_held_against_honest_files(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    warm_up(ground)

    def reads(there: Ground) -> None:
        there.brings({"eval/tuned.json": b"{}", "logs/a.log": b"a"})
        there.read()

    assert _played(reads, ground) == []


def test_outside_of_a_case_nothing_is_watched(tmp_path: Path) -> None:
    with watched(tmp_path) as watch:
        (tmp_path / "a").write_text("")
    (Path(tempfile.gettempdir()) / f"unwatched-{os.getpid()}").touch()
    (Path(tempfile.gettempdir()) / f"unwatched-{os.getpid()}").unlink()
    assert watch.breaches == []


def test_the_look_for_signs_knows_what_a_terminal_obeys() -> None:
    assert unprintable("plain, é, 你好, \u200dأ\n\t") == ""
    for name in ("clear", "CSI in 8 bits", "bidi override", "zero width", "carriage return", "lone half", "NUL"):
        assert unprintable(payloads.ESCAPES[name]), name
    assert sys.getrecursionlimit() <= 1_000, "deeper documents would be needed"
