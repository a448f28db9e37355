"""Whether a pull brings home what was announced, and a hostile machine cannot write, fill or break anything here."""

import errno
import hashlib
import json
import os
import resource
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from launcher.books import shared_out
from launcher.guest import GuestError, Manifest, RemoteFile
from launcher.landing import Landing
from launcher.pull import Caps, NoRoom, Pulled, PullError, pull, result_caps
from launcher.remote import CommandFailed, RemoteUnreachable

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
CAPS = Caps(files=20, bytes=1_000_000, seconds=60)
WEIGHTS = b"weights" * 1000


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def announced(path: str, content: bytes) -> RemoteFile:
    return RemoteFile(path=path, bytes=len(content), sha256=digest(content))


@dataclass
class Box:
    """A machine that announces and sends what it is told to, truthfully or not."""

    holds: dict[str, bytes]
    lies: tuple[RemoteFile, ...] = ()
    breaks_after: int | None = None
    """Bytes after which the connection is lost."""
    asked: list[tuple[str, int]] = field(default_factory=list)

    def manifest(self, under: str = "out") -> Manifest:
        return Manifest(files=(*self.lies, *(announced(path, held) for path, held in self.holds.items())))

    def send(self, under: str, path: str, offset: int) -> Iterator[bytes]:
        self.asked.append((path, offset))
        content = self.holds.get(path, b"evil")[offset:]
        for start in range(0, len(content), 1000):
            if self.breaks_after is not None and start >= self.breaks_after:
                raise RemoteUnreachable("the connection was lost")
            yield content[start : start + 1000]


def brought(box: Box, into: Path, *, under: str = "out", caps: Caps = CAPS, now: datetime = NOW) -> Pulled:
    return pull(box, under, into, caps, now)


def tree(folder: Path) -> dict[str, bytes]:
    """All that lies below a folder, links as what they say, with nothing followed."""
    found = {}
    for root, folders, files in os.walk(folder):
        for name in (*files, *(one for one in folders if (Path(root) / one).is_symlink())):
            path = Path(root) / name
            what = b"link to " + os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
            found[path.relative_to(folder).as_posix()] = what
    return found


@pytest.fixture
def into(tmp_path: Path) -> Iterator[Path]:
    """A results folder, beside files of the user's that no pull may ever touch."""
    (tmp_path / "home" / "precious").mkdir(parents=True)
    (tmp_path / "home" / "precious" / "thesis.txt").write_text("years of work")
    before = tree(tmp_path / "home" / "precious")
    folder = tmp_path / "home" / "runs" / "brave-otter"
    yield folder
    assert tree(tmp_path / "home" / "precious") == before
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == ["precious", "runs"]
    assert sorted(path.name for path in (tmp_path / "home" / "runs").iterdir()) in ([], ["brave-otter"])
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


GOOD = {
    "logs/job.log": b"step 1\n",
    "eval/tuned.jsonl": b'{"exact": 1}\n',
    "adapter/adapter_model.safetensors": WEIGHTS,
    "adapter/chat_template.jinja": b"{{ messages }}",
    "summary.json": b"{}",
    "eval/empty.csv": b"",
}


def test_what_was_announced_is_on_disk_and_verified(into: Path) -> None:
    pulled = brought(Box(GOOD), into)
    assert pulled == Pulled(files=6, bytes=sum(map(len, GOOD.values())), verified=True, refused=())
    record = json.loads((into / "manifest.json").read_bytes())
    assert {path: held for path, held in tree(into).items() if path != "manifest.json"} == GOOD
    assert {one["path"]: one["sha256"] for one in record["files"]} == {
        path: digest(held) for path, held in GOOD.items()
    }
    assert record["at"] == "2026-11-24T12:00:00+00:00"


def test_the_adapter_comes_first_and_logs_last(into: Path) -> None:
    box = Box(GOOD)
    brought(box, into)
    firsts = [path.partition("/")[0] for path, _ in box.asked]
    assert firsts == ["adapter", "adapter", "eval", "summary.json", "logs"]


def test_a_second_pull_asks_for_nothing_that_is_here(into: Path) -> None:
    brought(Box(GOOD), into)
    again = Box(GOOD)
    assert brought(again, into).files == 6
    assert again.asked == []


def test_a_lost_connection_is_taken_up_in_the_middle_of_the_file(into: Path) -> None:
    with pytest.raises(RemoteUnreachable):
        brought(Box(GOOD, breaks_after=3000), into)
    again = Box(GOOD)
    assert brought(again, into).verified
    assert ("adapter/adapter_model.safetensors", 3000) in again.asked
    assert not (into / ".parts").exists()


def test_what_came_before_a_lost_connection_is_recorded(into: Path) -> None:
    box = Box({"adapter/a.json": b"{}", "eval/long.jsonl": WEIGHTS}, breaks_after=1000)
    with pytest.raises(RemoteUnreachable):
        brought(box, into)
    record = json.loads((into / "manifest.json").read_bytes())
    assert [one["path"] for one in record["files"]] == ["adapter/a.json"]


def test_a_damaged_partial_file_costs_one_more_try_and_is_never_taken(into: Path) -> None:
    parts = into / ".parts"
    parts.mkdir(parents=True)
    (parts / f"{digest(WEIGHTS)}.part").write_bytes(b"x" * 2000)
    box = Box({"adapter/a.safetensors": WEIGHTS})
    first = brought(box, into)
    assert not first.verified
    assert not (into / "adapter").exists()
    assert brought(box, into).verified
    assert box.asked == [("adapter/a.safetensors", 2000), ("adapter/a.safetensors", 0)]


def test_a_file_that_was_changed_here_is_set_aside_and_told(into: Path) -> None:
    brought(Box({"notes.md": b"theirs"}), into)
    (into / "notes.md").write_text("mine")
    pulled = brought(Box({"notes.md": b"newer"}), into)
    assert pulled.verified
    (told,) = pulled.replaced
    assert (into / told.rpartition(" ")[2]).read_text() == "mine"
    assert (into / "notes.md").read_text() == "newer"


def test_a_newer_pull_replaces_an_older_ones_file_and_says_so(into: Path) -> None:
    brought(Box({"notes.md": b"old"}), into)
    pulled = brought(Box({"notes.md": b"new"}), into, now=NOW + timedelta(minutes=1))
    assert [one.partition(":")[0] for one in pulled.replaced] == ["notes.md"]
    assert sorted(tree(into)) == ["manifest.json", "notes.md"]


def test_an_older_pull_leaves_what_a_newer_one_verified(into: Path) -> None:
    brought(Box({"notes.md": b"new"}), into, now=NOW + timedelta(minutes=1))
    brought(Box({"notes.md": b"old"}), into)
    assert b"new" in tree(into).values()


def test_other_keys_of_our_own_record_stay(into: Path) -> None:
    into.mkdir(parents=True)
    (into / "manifest.json").write_text('{"seeds": {"seed": 17}, "files": "odd"}')
    brought(Box(GOOD), into)
    assert json.loads((into / "manifest.json").read_bytes())["seeds"] == {"seed": 17}


def test_a_checkpoint_comes_as_opaque_files_with_its_own_manifest(into: Path) -> None:
    holds = {"optimizer.pt": b"opaque", "manifest.json": b'{"theirs": 1}', "rng_state.pth": b"opaque too"}
    pulled = brought(Box(holds), into, under="checkpoints/step-10")
    assert pulled.verified
    assert tree(into) == holds


HOSTILE_NAMES = {
    "traversal": "../precious/thesis.txt",
    "traversal at the end": "adapter/..",
    "traversal inside": "adapter/../../precious/thesis.txt",
    "deep traversal": "a/b/../../../../x.json",
    "only dots": "...",
    "a dot part": "adapter/./x.json",
    "absolute": "/tmp/x.json",
    "two slashes": "//host/share/x.json",
    "an empty part": "adapter//x.json",
    "a slash at the end": "adapter/",
    "empty": "",
    "a backslash": "..\\..\\x.json",
    "a drive": "C:\\x.json",
    "a drive with a slash": "C:/x.json",
    "another stream": "x.json:evil",
    "home": "~/x.json",
    "a variable": "$HOME/x.json",
    "a zero": "x\0.json",
    "a zero before the suffix": "evil.sh\0.json",
    "a line end": "x\n.json",
    "a carriage return": "x\r.json",
    "a tab": "x\t.json",
    "a terminal's escape": "\x1b]0;owned\x07x.json",
    "an 8 bit escape": "\x9b31mx.json",
    "a bell": "\x07.json",
    "delete": "x\x7f.json",
    "right to left": "x\u202enosj.json",
    "zero width": "x\u200b.json",
    "a byte order mark": "\ufeffx.json",
    "a line separator": "x\u2028.json",
    "not composed": "cafe\u0301.json",
    "full width": "\uff41.json",
    "a full width slash": "..\uff0f..\uff0fx.json",
    "a ligature": "\ufb01le.json",
    "half a surrogate": "x\ud800.json",
    "bytes that were no UTF-8": os.fsdecode(b"x\xff\xfe.json"),
    "over-long traversal": "\u00c0\u00ae.json/\u00c0\u00ae",
    "a space": "x y.json",
    "a leading dash": "-rf.json",
    "a hidden file": ".bashrc",
    "a hidden folder": ".ssh/authorized_keys.txt",
    "our own parts": ".parts/x.json",
    "git": ".git/config.txt",
    "a dot at the end": "x.json.",
    "a device": "con.json",
    "a device in capitals": "NUL",
    "a device as a folder": "aux/x.json",
    "a numbered device": "COM1.txt",
    "our record": "manifest.json",
    "our record in capitals": "MANIFEST.JSON",
    "our receipt": "receipt.json",
    "our report": "report.html",
    "our keys": "keys/client.txt",
    "our model card": "MODEL_CARD.md",
    "our scores": "eval/summary.json",
    "our scores in capitals": "Eval/SUMMARY.json",
    "our judge's answers": "eval/judge/answers.jsonl",
    "votes of people": "eval/votes.json",
    "the larger model's answers": "eval/larger.jsonl",
    "a pickle": "adapter/adapter_model.pkl",
    "torch's pickle": "adapter/pytorch_model.bin",
    "training arguments": "training_args.bin",
    "an optimizer": "optimizer.pt",
    "another pickle": "rng_state.pth",
    "joblib": "model.joblib",
    "numpy": "x.npy",
    "a script": "try.sh",
    "python": "sitecustomize.py",
    "a path file": "x.pth",
    "a page": "eval/index.html",
    "an archive": "x.tar.gz",
    "two suffixes": "x.json.pkl",
    "no suffix": "Makefile",
    "only a suffix": ".json",
    "too deep": "a/b/c/d/e/f/g.json",
    "much too deep": "a/" * 5000 + "x.json",
    "a long name": "x" * 4000 + ".json",
    "a name of 300 bytes": "ä" * 150 + ".json",
    "a sharp s": "straße.json",
    "a final sigma": "ς.json",
    "a letter that nobody sees": "eval/\u1160.json",
    "a letter of another alphabet": "eval/\u0430.json",
}


@pytest.mark.parametrize("name", HOSTILE_NAMES.values(), ids=HOSTILE_NAMES.keys())
def test_a_hostile_name_is_not_taken_and_the_good_files_are(into: Path, name: str) -> None:
    box = Box({"adapter/a.json": b"{}"}, lies=(announced(name, b"evil"),))
    pulled = brought(box, into)
    assert sorted(tree(into)) == ["adapter/a.json", "manifest.json"]
    assert [path for path, _ in box.asked] == ["adapter/a.json"]
    (told,) = pulled.refused
    assert told.isprintable()
    assert len(told) < 300
    assert pulled.verified


COLLISIONS: Mapping[str, tuple[str, str]] = {
    "twice the same": ("x.json", "x.json"),
    "another case": ("x.json", "X.json"),
    "another case of a suffix": ("x.json", "x.JSON"),
    "another case of a folder": ("a/x.json", "A/y.json"),
    "a folder where a file is": ("a.json", "a.json/x.json"),
    "a file where a folder is": ("a.json/x.json", "a.json"),
}


@pytest.mark.parametrize("names", COLLISIONS.values(), ids=COLLISIONS.keys())
def test_of_two_names_that_come_to_the_same_only_the_first_is_taken(into: Path, names: tuple[str, str]) -> None:
    first, second = names
    content = {"first": b"1" * 10, "second": b"2" * 10}
    box = Box({first: content["first"]}, lies=())
    lies = Manifest(files=(announced(first, content["first"]), announced(second, content["second"])))
    box.manifest = lambda under="out": lies  # type: ignore[method-assign]  # a fake that lies
    pulled = brought(box, into)
    assert tree(into).keys() == {first, "manifest.json"}
    assert tree(into)[first] == content["first"]
    assert len(pulled.refused) == 1


def endless(chunk: bytes) -> Iterator[bytes]:
    while True:
        yield chunk


@dataclass
class Sender:
    """A machine that announces one file and sends whatever it likes."""

    file: RemoteFile
    chunks: Iterator[bytes]

    def manifest(self, under: str = "out") -> Manifest:
        return Manifest(files=(self.file,))

    def send(self, under: str, path: str, offset: int) -> Iterator[bytes]:
        return self.chunks


def test_an_endless_stream_ends_at_the_announced_size_and_leaves_nothing(into: Path) -> None:
    pulled = pull(Sender(announced("x.json", b"x" * 5000), endless(b"x" * 999)), "out", into, CAPS, NOW)
    assert not pulled.verified
    assert "more came than was announced" in pulled.refused[0]
    assert sorted(tree(into)) == ["manifest.json"]


def test_a_stream_of_nothing_but_empty_chunks_ends_with_the_time(into: Path) -> None:
    ticks = iter(range(10**9))
    sender = Sender(announced("x.json", b"x"), endless(b""))
    pulled = pull(sender, "out", into, CAPS, NOW, clock=lambda: float(next(ticks)))
    assert "no time left" in pulled.refused[0]
    assert next(ticks) < 100


def test_a_trickle_keeps_what_came_for_the_next_pull(into: Path) -> None:
    ticks = iter(range(10**9))
    file = announced("x.json", WEIGHTS)
    pulled = pull(Sender(file, endless(b"w")), "out", into, CAPS, NOW, clock=lambda: float(next(ticks)))
    assert not pulled.verified
    assert (into / ".parts" / f"{file.sha256}.part").stat().st_size < 100


def test_a_short_stream_is_not_taken(into: Path) -> None:
    pulled = pull(Sender(announced("x.json", b"x" * 100), iter([b"x" * 99])), "out", into, CAPS, NOW)
    assert pulled.refused == ("x.json: only 99 of 100 bytes came",)
    assert not (into / "x.json").exists()


def test_other_bytes_than_announced_are_not_taken(into: Path) -> None:
    pulled = pull(Sender(announced("x.json", b"good"), iter([b"evil"])), "out", into, CAPS, NOW)
    assert "sha256" in pulled.refused[0]
    assert sorted(tree(into)) == ["manifest.json"]


@pytest.mark.parametrize("odd", [GuestError("no such file"), CommandFailed("ended with 1", exit_code=1)])
def test_a_file_that_cannot_be_sent_leaves_the_others_alone(into: Path, odd: Exception) -> None:
    class Moody(Box):
        def send(self, under: str, path: str, offset: int) -> Iterator[bytes]:
            if path == "adapter/a.json":
                raise odd
            return super().send(under, path, offset)

    pulled = brought(Moody({"adapter/a.json": b"{}", "eval/b.json": b"[]"}), into)
    assert (pulled.files, pulled.verified) == (1, False)
    assert "eval/b.json" in tree(into)


def test_an_announcement_of_100_gb_is_refused_before_a_byte_of_it(into: Path) -> None:
    big = RemoteFile(path="adapter/big.safetensors", bytes=10**11, sha256="0" * 64)
    box = Box({"adapter/a.json": b"{}"}, lies=(big,))
    pulled = brought(box, into)
    assert [path for path, _ in box.asked] == ["adapter/a.json"]
    assert "beyond the limit" in pulled.refused[0]
    assert not pulled.verified


def test_a_merged_model_beyond_the_limits_stays_behind_and_everything_else_is_home(into: Path) -> None:
    box = Box({"merged/model.safetensors": b"m" * 5000, "logs/a.json": b"{}", "adapter/a.json": b"{}"})
    pulled = brought(box, into, caps=Caps(files=9, bytes=4000, seconds=9))
    assert [path for path, _ in box.asked] == ["adapter/a.json", "logs/a.json"]
    assert pulled.verified
    assert "merged/model.safetensors: beyond the limit" in pulled.refused[0]
    assert not brought(box, into, caps=Caps(files=9, bytes=3, seconds=9)).verified


def test_a_merged_model_for_which_there_is_no_time_stays_behind(into: Path) -> None:
    box = Box({"merged/model.safetensors": b"m" * 5000, "adapter/a.json": b"{}"})
    ticks = iter([0.0, 1.0, 2.0, *[99.0] * 9])
    pulled = pull(box, "out", into, Caps(files=9, bytes=9000, seconds=9), NOW, clock=lambda: next(ticks))
    assert (pulled.files, pulled.verified, pulled.refused) == (1, True, ("merged/model.safetensors: no time left",))


def test_a_merged_model_for_which_this_disk_has_no_room_stays_behind(into: Path) -> None:
    huge = {
        part: RemoteFile(path=f"{part}/huge.safetensors", bytes=10**17, sha256="0" * 64) for part in ("merged", "eval")
    }
    wide = Caps(files=9, bytes=10**18, seconds=9)
    pulled = brought(Box({"adapter/a.json": b"{}"}, lies=(huge["merged"],)), into, caps=wide)
    assert (pulled.files, pulled.verified) == (1, True)
    assert "merged/huge.safetensors: " in pulled.refused[0]
    assert "has no room for" in pulled.refused[0]
    with pytest.raises(NoRoom):
        brought(Box({}, lies=tuple(huge.values())), into, caps=wide)


def test_a_whole_model_may_come_only_where_one_was_asked_for() -> None:
    gib = 2**30
    assert result_caps(0.05, 0.0).bytes == 4 * gib
    assert 13.5 * gib < result_caps(0.05, 13.5).bytes - 4 * gib < 20 * gib
    assert result_caps(6.0, 0.0).bytes >= 12 * gib, "a large adapter, and its GGUF"
    slow_seconds = 13.5 * gib / 1.5e6
    assert result_caps(0.05, 13.5).seconds > result_caps(0.05, 0.0).seconds + slow_seconds


@pytest.mark.parametrize(
    ("spare", "home", "shared"),
    [("2.00", "0.10", (1, 1)), ("2.00", "1.50", ("1.5", "0.5")), ("1.00", "3", (1, 0)), ("-1", "1", (0, 0))],
)
def test_what_the_results_were_said_to_cost_comes_before_the_time(
    spare: str, home: str, shared: tuple[str | int, str | int]
) -> None:
    assert shared_out(Decimal(spare), Decimal(home)) == tuple(map(Decimal, shared))


def test_many_files_together_stay_within_the_bytes(into: Path) -> None:
    pulled = brought(
        Box({f"eval/{n}.txt": b"%03d" % n * 100 for n in range(10)}), into, caps=Caps(files=99, bytes=950, seconds=9)
    )
    assert (pulled.files, pulled.bytes) == (3, 900)


def test_a_hundred_thousand_files_make_no_more_than_the_cap_and_a_short_list(into: Path) -> None:
    many = tuple(announced(f"eval/{n}.txt", b"") for n in range(100_000))
    pulled = brought(Box({}, lies=many), into)
    assert pulled.files == CAPS.files
    assert sum(1 for _ in into.rglob("*")) <= CAPS.files + 2
    assert len(pulled.refused) == 101
    assert pulled.refused[-1] == f"and {100_000 - CAPS.files - 100} more"


def test_a_link_planted_where_a_folder_should_be_is_not_followed(into: Path) -> None:
    into.mkdir(parents=True)
    (into / "adapter").symlink_to(into.parent.parent / "precious")
    pulled = brought(Box({"adapter/thesis.txt": b"evil"}), into)
    assert (pulled.files, pulled.verified) == (0, False)


def test_a_link_planted_where_a_file_should_be_is_moved_not_followed(into: Path) -> None:
    into.mkdir(parents=True)
    (into / "notes.md").symlink_to(into.parent.parent / "precious" / "thesis.txt")
    pulled = brought(Box({"notes.md": b"good"}), into)
    assert pulled.verified
    assert (into / "notes.md").read_bytes() == b"good"
    assert not (into / "notes.md").is_symlink()


def test_a_link_to_nowhere_creates_nothing_elsewhere(into: Path) -> None:
    into.mkdir(parents=True)
    (into / "notes.md").symlink_to(into.parent.parent / "planted.md")
    assert brought(Box({"notes.md": b"good"}), into).verified


def plant(kind: str, at: Path, target: Path) -> None:
    match kind:
        case "link":
            at.symlink_to(target)
        case "hard link":
            at.hardlink_to(target)
        case "pipe":
            os.mkfifo(at)
        case _:
            at.mkdir()


@pytest.mark.parametrize("kind", ["link", "hard link", "folder", "pipe"])
def test_what_is_planted_in_place_of_a_part_is_never_written_to(into: Path, kind: str) -> None:
    parts, precious = into / ".parts", into.parent.parent / "precious" / "thesis.txt"
    parts.mkdir(parents=True)
    planted = parts / f"{digest(WEIGHTS)}.part"
    plant(kind, planted, precious)
    assert brought(Box({"adapter/a.safetensors": WEIGHTS}), into).verified


def test_a_link_planted_as_the_folder_of_parts_stops_the_pull(into: Path) -> None:
    into.mkdir(parents=True)
    (into / ".parts").symlink_to(into.parent.parent / "precious")
    with pytest.raises(PullError):
        brought(Box(GOOD), into)


@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
def test_what_stands_at_the_place_of_a_file_is_moved_aside(into: Path, kind: str) -> None:
    into.mkdir(parents=True)
    place = into / "notes.md"
    plant(kind, place, into)
    pulled = brought(Box({"notes.md": b"good"}), into)
    assert pulled.verified
    assert place.read_bytes() == b"good"
    assert "aside" in pulled.replaced[0]


def test_our_own_record_is_never_written_through_a_link(into: Path) -> None:
    into.mkdir(parents=True)
    (into / "manifest.json").symlink_to(into.parent.parent / "precious" / "thesis.txt")
    assert brought(Box(GOOD), into).verified
    assert json.loads((into / "manifest.json").read_bytes())["schema"] == 1


@pytest.mark.parametrize("text", [b"[" * 100_000, b"{", b"\xff", b"[]", b'{"files": [1, {"path": 3}]}'])
def test_a_damaged_record_is_as_good_as_none(into: Path, text: bytes) -> None:
    into.mkdir(parents=True)
    (into / "manifest.json").write_bytes(text)
    assert brought(Box(GOOD), into).verified


def test_a_folder_that_cannot_be_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PullError):
        brought(Box(GOOD), tmp_path / "file" / "results")


def test_two_pulls_at_once_do_not_write_into_one_part(into: Path) -> None:
    with Landing(into) as other:
        busy = other.part(digest(WEIGHTS), len(WEIGHTS))
        busy.write(b"half")
        assert brought(Box({"adapter/a.safetensors": WEIGHTS}), into).verified
        busy.close()


def test_too_little_room_is_told_before_anything_is_asked_for(into: Path) -> None:
    huge = RemoteFile(path="adapter/a.safetensors", bytes=2**60, sha256="0" * 64)
    box = Box({}, lies=(huge,))
    with pytest.raises(NoRoom) as told:
        brought(box, into, caps=Caps(files=9, bytes=2**61, seconds=9))
    assert box.asked == []
    assert 2**59 < told.value.missing_bytes < 2**60


def test_a_disk_that_takes_no_more_in_the_middle_keeps_what_came(into: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    try:
        with pytest.raises(NoRoom) as told:
            brought(Box({"adapter/a.safetensors": WEIGHTS}), into)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    cause = told.value.__cause__
    assert isinstance(cause, OSError)
    assert cause.errno == errno.EFBIG
    again = Box({"adapter/a.safetensors": WEIGHTS})
    assert brought(again, into).verified
    assert again.asked[0][1] > 0
