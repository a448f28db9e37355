"""The verbs beside the supervisor: files in and out, the bundle, the lease, the probe; hostile input is refused."""

import hashlib
import os
import tarfile
from pathlib import Path

import pytest

from jobs.guest.keep import LineRedactor, Redactor
from jobs.progress import Step
from tests.jobs.guest.box import RUN, Box, archive

TARGET = f"{RUN}/bundle.tar.gz"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_an_upload_that_was_cut_off_goes_on_where_it_was(box: Box) -> None:
    data = bytes(range(256)) * 40
    named = ["--path", TARGET, "--sha256", digest(data)]
    assert box.ask("received", *named) == {"have": 0}
    assert "cut off at 5000 bytes" in box.refusal("receive", *named, stdin=data[:5000])
    assert not (box.folder / TARGET).exists()
    assert box.ask("received", *named) == {"have": 5000}
    assert box.ask("receive", *named, "--offset", "5000", stdin=data[5000:]) == {"sha256": digest(data), "bytes": 10240}
    assert (box.folder / TARGET).read_bytes() == data
    assert box.ask("received", *named) == {"have": 10240}
    assert box.ask("receive", *named, "--offset", "10240")["bytes"] == 10240, "once more does no harm"
    assert [path.name for path in box.run.iterdir()] == ["bundle.tar.gz"]


def test_an_upload_that_arrived_damaged_is_begun_again(box: Box) -> None:
    named = ["--path", TARGET, "--sha256", digest(b"right")]
    box.refusal("receive", *named, stdin=b"wrong")
    assert box.ask("received", *named) == {"have": 5}
    box.refusal("receive", *named, "--offset", "5")  # all is here, and it is wrong
    assert box.ask("received", *named) == {"have": 0}
    assert box.ask("receive", *named, stdin=b"right")["bytes"] == 5


def test_an_upload_cannot_go_on_where_nothing_is(box: Box) -> None:
    assert "cannot go on" in box.refusal("receive", "--path", TARGET, "--sha256", "0" * 64, "--offset", "7", stdin=b"x")


@pytest.mark.parametrize("path", ["../x", "/tmp/x", "a/../../x", "a//b", "a\nb", "", "a/./b", "a\\b"])
def test_an_upload_stays_below_the_login_folder(box: Box, path: str) -> None:
    assert box.refusal("receive", "--path", path, "--sha256", digest(b"x"), stdin=b"x")


def odd(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, link
    return entry


HOSTILE = {
    "climbs": odd("../evil"),
    "climbs later": odd("job/../../evil"),
    "absolute": odd("/tmp/evil"),
    "symbolic link": odd("job/link", tarfile.SYMTYPE, "/etc/passwd"),
    "hard link": odd("job/link", tarfile.LNKTYPE, "/etc/passwd"),
    "pipe": odd("job/pipe", tarfile.FIFOTYPE),
    "device": odd("job/device", tarfile.CHRTYPE),
    "folder": odd("job/folder", tarfile.DIRTYPE),
    "terminal escape": odd("job/\x1b[2J"),
    "empty name": odd("job//x"),
}


@pytest.mark.parametrize("entry", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_bundle_with_an_odd_member_leaves_nothing_behind(box: Box, entry: tarfile.TarInfo) -> None:
    bundle = archive({"job.json": b"{}"}, odd=[entry])
    box.ask("receive", "--path", TARGET, "--sha256", digest(bundle), stdin=bundle)
    said = box.refusal("unpack", "--run", RUN, "--sha256", digest(bundle))
    assert ("no regular file" if entry.type != tarfile.REGTYPE else "not a p") in said
    assert sorted(path.name for path in box.run.iterdir()) == ["bundle.tar.gz"]
    assert not (box.folder / "evil").exists()


def test_a_bundle_of_another_hash_or_a_broken_one_is_not_unpacked(box: Box) -> None:
    assert "no bundle" in box.refusal("unpack", "--run", RUN, "--sha256", "0" * 64)
    box.ask("receive", "--path", TARGET, "--sha256", digest(b"not gzip"), stdin=b"not gzip")
    assert "not 0000" in box.refusal("unpack", "--run", RUN, "--sha256", "0" * 64)
    assert "cannot be read" in box.refusal("unpack", "--run", RUN, "--sha256", digest(b"not gzip"))


def test_a_manifest_names_finished_regular_files_only(box: Box) -> None:
    out = box.run / "out"
    (out / "adapter").mkdir(parents=True)
    (out / "adapter" / "a.json").write_bytes(b"{}")
    (out / "half.json.part").write_bytes(b"x")
    (out / "half.json.tmp").write_bytes(b"x")
    (out / "link").symlink_to("/etc/passwd")
    rows = box.ask("manifest", "--run", RUN)["files"]
    assert rows == [{"path": "adapter/a.json", "bytes": 2, "sha256": digest(b"{}")}]


@pytest.mark.parametrize("under", ["", "bundle", "../out", "checkpoints", "checkpoints/..", "checkpoints/a/b"])
def test_only_results_and_checkpoints_can_be_listed(box: Box, under: str) -> None:
    assert "--under" in box.refusal("manifest", "--run", RUN, "--under", under)


def test_a_file_is_sent_from_a_byte_on_and_nothing_outside_its_folder(box: Box) -> None:
    out = box.run / "out"
    out.mkdir()
    (out / "a.json").write_bytes(b"0123456789")
    (out / "link").symlink_to(box.run / "secret")
    (out / "folder").symlink_to(box.run)
    (box.run / "secret").write_bytes(b"secret")
    named = ["--run", RUN, "--under", "out", "--path"]
    assert box.call("send", *named, "a.json").stdout == b"0123456789"
    assert box.call("send", *named, "a.json", "--offset", "7").stdout == b"789"
    for path in ("link", "folder/secret", "../secret", "missing", str(box.run / "secret")):
        assert box.refusal("send", *named, path)


def test_a_lease_is_so_many_seconds_from_now_and_needs_a_dead_man(box: Box) -> None:
    box.arm(life=500, lease=600)
    assert box.ask("lease", "--guard", "guard", "--seconds", "50") == {"life_seconds": 500, "lease_seconds": 550}
    assert box.ask("lease", "--guard", "guard", "--seconds", "-9") == {"life_seconds": 500, "lease_seconds": 500}
    assert (box.guard / "lease").read_text() == "500\n"
    (box.guard / "life").write_text("")
    assert "no dead-man" in box.refusal("lease", "--guard", "guard", "--seconds", "50")


def smi(box: Box, script: str) -> None:
    tools = box.folder / "tools"
    tools.mkdir(exist_ok=True)
    (tools / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    (tools / "nvidia-smi").chmod(0o755)
    box.environment["PATH"] = f"{tools}:{box.environment['PATH']}"


def test_a_probe_tells_the_machine_its_gpus_and_its_guard(box: Box) -> None:
    smi(box, "echo 'NVIDIA A10G, 23028, 550.144.03'")
    found = box.ask("probe", "--guard", "guard")
    assert found["gpus"] == [{"name": "NVIDIA A10G", "memory_mib": 23028, "driver": "550.144.03"}]
    assert found["guard"] == {"armed": True, "life_seconds": 10, "lease_seconds": 100_000, "why": ""}
    assert found["cpus"] >= 1
    assert found["ram_gib"] > 0


@pytest.mark.parametrize(
    "script",
    [
        "exit 9",
        "echo 'No devices were found'",
        "echo 'A, [N/A], 1'",
        "printf '\\377\\376,x'",
        "echo 'a,b,c,d'",
        "kill -9 $$",
    ],
)
def test_a_driver_that_says_odd_things_is_no_gpu(box: Box, script: str) -> None:
    smi(box, script)
    assert box.ask("probe", "--guard", "guard")["gpus"] == []


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [("life", "", "no life"), ("lease", "x", "no lease"), ("pid", "999999999", "gone"), ("pid", "", "gone")],
)
def test_a_guard_that_does_not_count_is_not_armed_and_says_why(box: Box, name: str, text: str, why: str) -> None:
    (box.guard / name).write_text(text)
    found = box.ask("probe", "--guard", "guard")["guard"]
    assert found["armed"] is False
    assert why in found["why"]


def test_a_guard_that_stopped_counting_is_not_armed(box: Box) -> None:
    os.utime(box.guard / "life", (1_700_000_000, 1_700_000_000))
    assert "not counted" in box.ask("probe", "--guard", "guard")["guard"]["why"]


def test_status_and_follow_of_a_run_that_never_began_answer_at_once(box: Box) -> None:
    assert box.status() == {"supervisor_alive": False, "life_seconds": 10, "lease_seconds": 100_000}
    assert box.events() == []
    assert box.call("log", "--run", RUN, "--offset", "0", "--follow").stdout == b""


def test_a_value_that_comes_in_two_pieces_is_still_redacted() -> None:
    lines = LineRedactor(Redactor({"A": "s3cr3t-value"}))
    assert lines.feed(b"it is s3cr3t-") == b""
    assert lines.feed(b"value\nand then\r") == b"it is [redacted]\nand then\r"
    assert lines.feed(b"s3cr3t-value") + lines.close() == b"[redacted]"


def test_a_line_without_end_is_neither_held_for_ever_nor_leaks() -> None:
    lines = LineRedactor(Redactor({"A": "s3cr3t-value"}))
    pieces = [lines.feed(b"x" * 1000 + b"s3cr3t-value") for _ in range(200)]
    whole = b"".join(pieces) + lines.close()
    assert b"s3cr3t" not in whole
    assert whole.count(b"[redacted]") == 200
    assert any(pieces[:100])


def test_each_line_of_a_key_and_each_spelling_is_redacted_and_short_values_are_left() -> None:
    redactor = Redactor({"KEY": "first line\nsecond/line\n", "TINY": "ab"})
    assert redactor.redact(b"second/line second%2Fline ab") == b"[redacted] second%2Fline ab"
    assert redactor.redact(b"first%20line") == b"[redacted]"
    masked = redactor.mask(b"a first line z")
    assert masked == b"a ********** z"


def test_no_verb_ends_in_a_traceback(box: Box) -> None:
    done = box.call("nonsense")
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert Path(box.folder / ".launch").is_dir()


def test_a_training_is_shortened_before_and_after_its_start_and_the_last_word_counts(box: Box) -> None:
    box.ship()
    for steps in (5, 3):
        assert box.ask("shorten", "--run", RUN, "--steps", str(steps)) == {
            "max_steps": steps,
            "supervisor_alive": False,
        }
    assert (box.run / "max_steps").read_text() == "3\n"
    box.start()
    ofs = [(event.step, event.of) for event in box.events() if isinstance(event, Step)]
    assert ofs == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("steps", ["0", "-1", "100000000001"])
def test_a_training_cannot_end_at_a_step_that_there_is_not(box: Box, steps: str) -> None:
    assert "a training ends at a step between" in box.refusal("shorten", "--run", RUN, "--steps", steps)
    assert not (box.run / "max_steps").exists()
