"""The wire from the machine: what is understood, and that nothing hostile raises or reaches a terminal."""

import json
import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import progress
from jobs.progress import (
    Checkpoint,
    Done,
    Evaluated,
    Event,
    Heartbeat,
    MemoryHalved,
    Notice,
    PhaseChange,
    Probed,
    Result,
    Splitter,
    Step,
    Stored,
    Unknown,
    Validated,
    Warned,
    clean,
    parse,
)

AT = datetime(2026, 11, 24, 2, 30, tzinfo=UTC)


def line(event: str, **fields: object) -> bytes:
    return json.dumps({"schema": 1, "event": event, "at": "2026-11-24T02:30:00Z", **fields}).encode()


STEP: dict[str, object] = {"step": 3, "of": 9, "loss": 0.5, "learning_rate": 2e-4, "grad_norm": 1, "epoch": 0.3}

PROBE: dict[str, object] = {
    "step": 23, "of": 90, "left": 67, "steps": 20, "step_seconds": 1.8, "spread": 0.07, "save_every": 50,
}  # fmt: skip

UNDERSTOOD: list[tuple[bytes, Event]] = [
    (
        line("phase", phase="train", name="train", state="end", seconds=4.5),
        PhaseChange(at=AT, phase="train", name="train", began=False, seconds=4.5),
    ),
    (
        line("heartbeat", life_seconds=7.1, lease_seconds=900, disk_free_gib=None),
        Heartbeat(at=AT, life_seconds=7.1, lease_seconds=900.0, disk_free_gib=None),
    ),
    (
        line("step", **STEP, tokens_per_second=1180.5, vram_gib=None, eta_seconds=90.5),
        Step(
            at=AT,
            step=3,
            of=9,
            loss=0.5,
            learning_rate=2e-4,
            grad_norm=1.0,
            tokens_per_second=1180.5,
            vram_gib=None,
            epoch=0.3,
            eta_seconds=90.5,
        ),
    ),
    (
        line("probe", **PROBE, tokens_per_second=1180.5, tokens_per_step=2100, vram_gib=None, save_seconds=None),
        Probed(
            at=AT,
            step=23,
            of=90,
            steps=20,
            step_seconds=1.8,
            spread=0.07,
            tokens_per_second=1180.5,
            tokens_per_step=2100.0,
            vram_gib=None,
            save_seconds=None,
            save_every=50,
        ),
    ),
    (line("validation", step=4, loss=0.412, best=True), Validated(at=AT, step=4, loss=0.412, best=True)),
    (
        line("memory", step=0, micro_batch=2, accumulation=8),
        MemoryHalved(at=AT, step=0, micro_batch=2, accumulation=8),
    ),
    (line("evaluated", arm="base", done=5, of=100), Evaluated(at=AT, arm="base", done=5, of=100)),
    (
        line("result", arm=f"tuned/{'x' * 40}", metrics={}, n=1),
        Result(at=AT, arm=f"tuned/{'x' * 40}", metrics={}, n=1),
    ),
    (
        line("checkpoint", name="step-4", step=4, bytes=10, sha256="0" * 64),
        Checkpoint(at=AT, name="step-4", step=4, bytes=10, sha256="0" * 64),
    ),
    (
        line("stored", what="results", name="out", step=8, object="results", files=3, bytes=9, sha256="0" * 64),
        Stored(at=AT, what="results", name="out", step=8, object="results", files=3, bytes=9, sha256="0" * 64),
    ),
    (
        line("result", arm="tuned", metrics={"exact": 0.93, "loss": 1}, n=100),
        Result(at=AT, arm="tuned", metrics={"exact": 0.93, "loss": 1.0}, n=100),
    ),
    (line("warning", code="disk", text="nearly full"), Warned(at=AT, code="disk", text="nearly full")),
    (line("notice", action="terminate", time="2026-11-24T02:30:00Z"), Notice(at=AT, action="terminate", time=AT)),
    (line("notice", action="rebalance"), Notice(at=AT, action="rebalance", time=None)),
    (
        line("done", outcome="failed", exit_code=-9, step="train", text="killed"),
        Done(at=AT, outcome="failed", exit_code=-9, step="train", text="killed"),
    ),
]


@pytest.mark.parametrize(("raw", "event"), UNDERSTOOD)
def test_every_event_of_the_wire_is_understood(raw: bytes, event: Event) -> None:
    assert parse(raw) == event
    assert parse(raw + b"\r\n") == event


def test_a_probe_knows_what_is_left() -> None:
    found = parse(line("probe", **PROBE))
    assert isinstance(found, Probed)
    assert found.left == 67


def test_another_time_zone_is_turned_into_utc() -> None:
    raw = line("warning", code="a", text="b").replace(b"02:30:00Z", b"04:30:00+02:00")
    found = parse(raw)
    assert isinstance(found, Warned)
    assert found.at == AT
    assert found.at.tzinfo is UTC


HOSTILE = {
    "empty": b"",
    "not JSON": b"train: 5%",
    "a list": b"[]",
    "not UTF-8": b'{"schema": 1, "event": "\xff"}',
    "deep": b"[" * 4000,
    "too long": line("warning", code="x", text="y" * 5000),
    "another schema": line("done", outcome="failed", exit_code=1).replace(b'"schema": 1', b'"schema": 2'),
    "a schema that is true": line("done", outcome="failed", exit_code=1).replace(b'"schema": 1', b'"schema": true'),
    "an unknown event": line("upgrade", url="http://example.org"),
    "an event that is a number": line("x").replace(b'"x"', b"7"),
    "a naive time": line("warning", code="x", text="y").replace(b"00Z", b"00"),
    "a time out of range": line("warning", code="x", text="y").replace(
        b"2026-11-24T02:30:00Z", b"0001-01-01T00:00:00+14:00"
    ),
    "NaN": line("step", **{**STEP, "loss": float("nan")}),
    "infinite": line("step", **{**STEP, "loss": float("inf")}),
    "infinite by its exponent": line("step", **STEP).replace(b"0.5", b"1e999"),
    "a huge number": line("step", **{**STEP, "loss": 10**40}),
    "a number of many digits": b'{"schema": ' + b"9" * 4000 + b"}",
    "a negative step": line("step", **{**STEP, "step": -1}),
    "a step that is true": line("step", **{**STEP, "step": True}),
    "a step with a fraction": line("step", **{**STEP, "step": 1.5}),
    "a loss in words": line("step", **{**STEP, "loss": "low"}),
    "a probe beyond its end": line("probe", **{**PROBE, "step": 91}),
    "a probe of no steps": line("probe", **{**PROBE, "steps": 0}),
    "a probe of steps that take no time": line("probe", **{**PROBE, "step_seconds": 0}),
    "a probe of steps that take for ever": line("probe", **{**PROBE, "step_seconds": 1e9}),
    "a probe without a speed": line("probe", **{**PROBE, "step_seconds": None}),
    "a probe of less than no spread": line("probe", **{**PROBE, "spread": -0.1}),
    "a validation that is best in a word": line("validation", step=4, loss=0.4, best="yes"),
    "a validation without a loss": line("validation", step=4, loss=None, best=True),
    "a validation below nothing": line("validation", step=4, loss=-0.1, best=True),
    "a micro-batch of none": line("memory", step=0, micro_batch=0, accumulation=8),
    "a micro-batch of for ever": line("memory", step=0, micro_batch=1, accumulation=2**40),
    "a checkpoint that climbs": line("checkpoint", name="../../x", step=1, bytes=1, sha256="0" * 64),
    "a stored thing that climbs": line(
        "stored", what="results", name="out", step=1, object="../x", files=1, bytes=1, sha256="0" * 64
    ),
    "a stored thing of no kind": line(
        "stored", what="weights", name="out", step=1, object="results", files=1, bytes=1, sha256="0" * 64
    ),
    "a checkpoint that is hidden": line("checkpoint", name=".ssh", step=1, bytes=1, sha256="0" * 64),
    "a checkpoint with a newline": line("checkpoint", name="a\n", step=1, bytes=1, sha256="0" * 64),
    "a hash that is none": line("checkpoint", name="a", step=1, bytes=1, sha256="zz"),
    "metrics that are a list": line("result", arm="tuned", metrics=[1], n=1),
    "metrics that hold text": line("result", arm="tuned", metrics={"exact": "all"}, n=1),
    "too many metrics": line("result", arm="tuned", metrics={str(n): n for n in range(40)}, n=1),
    "an outcome of its own": line("done", outcome="great", exit_code=0),
    "a state of its own": line("phase", phase="a", name="b", state="middle"),
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_the_wire_does_not_know_is_unknown_and_never_raises(raw: bytes) -> None:
    found = parse(raw)
    assert isinstance(found, Unknown)
    assert found.why
    assert len(found.text) <= 200


def test_a_text_from_the_machine_loses_its_terminal_escapes() -> None:
    evil = "\x1b[2J\x1b]0;title\x07ok\x1b]8;;http://x\x1b\\go\x9b31m\u202e\u200b\ud800 \r\nnext\x00\x08"
    found = parse(line("warning", code="x", text=evil))
    assert isinstance(found, Warned)
    assert found.text == "okgo   next"


def test_a_long_text_is_cut() -> None:
    found = parse(line("warning", code="x", text="y" * 3000))
    assert isinstance(found, Warned)
    assert len(found.text) == progress.TEXT_CAP


@given(st.text())
def test_cleaned_text_holds_nothing_that_drives_a_terminal(text: str) -> None:
    found = clean(text)
    assert not {unicodedata.category(one) for one in found} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert clean(found) == found


@given(st.binary(max_size=300))
def test_any_bytes_are_some_event(raw: bytes) -> None:
    parse(raw)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists), st.data())
def test_any_value_in_any_field_is_some_event(value: object, data: st.DataObject) -> None:
    raw, _ = data.draw(st.sampled_from(UNDERSTOOD))
    fields = json.loads(raw)
    fields[data.draw(st.sampled_from(sorted(fields)))] = value
    parse(json.dumps(fields).encode())


@given(st.lists(st.binary(max_size=50).map(lambda raw: raw.replace(b"\n", b"")), max_size=8), st.integers(1, 9))
def test_lines_come_out_whole_however_the_bytes_were_cut(lines: list[bytes], size: int) -> None:
    raw = b"".join(one + b"\n" for one in lines) + b"rest"
    splitter = Splitter()
    found = [one for at in range(0, len(raw), size) for one in splitter.feed(raw[at : at + size])]
    assert found == lines
    assert splitter.offset == len(raw) - len(b"rest")


def test_a_broken_stream_goes_on_after_the_last_whole_line() -> None:
    raw = b"one\ntwo\nthree\n"
    first = Splitter()
    assert list(first.feed(raw[:6])) == [b"one"]
    second = Splitter(first.offset)
    assert list(second.feed(raw[first.offset :])) == [b"two", b"three"]
    assert second.offset == len(raw)


def test_a_line_without_end_is_held_only_up_to_the_cap_and_then_unknown() -> None:
    splitter = Splitter()
    for _ in range(100):
        assert list(splitter.feed(b"x" * 4096)) == []
    (long, after) = splitter.feed(b"\nshort\n")
    assert len(long) == progress.LINE_CAP_BYTES + 1
    assert after == b"short"
    assert isinstance(parse(long), Unknown)
    assert splitter.offset == 100 * 4096 + len(b"\nshort\n")


def test_a_line_of_exactly_the_cap_is_read() -> None:
    frame = len(line("warning", code="x", text=""))
    raw = line("warning", code="x", text="y" * (progress.LINE_CAP_BYTES - frame))
    assert len(raw) == progress.LINE_CAP_BYTES
    (found,) = Splitter().feed(raw + b"\n")
    assert isinstance(parse(found), Warned)
