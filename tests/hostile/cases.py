"""All cases, by family: each puts one artifact before the code that a real run would put it before."""

import hashlib
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from io import StringIO
from pathlib import Path

from jobs import progress
from launcher import wire
from launcher.answers import GuestError
from launcher.console import Paper, Streams
from launcher.errors import Exit, LaunchError
from launcher.events import Happened, Progressed, Pulled, Warned
from launcher.options import Session
from launcher.pull import Caps
from launcher.tracker import Tracker
from tests.hostile import payloads
from tests.hostile.ground import CAPS, NOW, Ground, Liar, Loud, Sender, endless, manifest, row, said, whole
from tests.hostile.play import Case
from tests.hostile.watch import unheard

GOOD = b'{"arm": "tuned", "n": 1, "metrics": {"exact": 1.0}}'
READ = (
    "eval/tuned.json",
    "eval/tuned.jsonl",
    "eval/base.json",
    "logs/train_log.jsonl",
    "logs/training.json",
    "logs/environment.json",
    "logs/data.json",
    "adapter/adapter_config.json",
)
"""Files that some reader on this computer opens."""


def all_cases() -> tuple[Case, ...]:
    """Every case; the same each time. The suite plays those that are for `always`."""
    makers = (
        names,
        collisions,
        links,
        races,
        sizes,
        floods,
        torn_manifests,
        odd_manifests,
        wrong_answers,
        opened_documents,
        pickled,
        tensors,
        terminal_texts,
        progress_lines,
        markup,
        logs,
        whole_runs,
    )
    return tuple(case for make in makers for case in make())


def shown(path: str) -> str:
    """A name that stays on one line of a table."""
    written = path.encode("unicode_escape", "surrogatepass").decode()
    return written if len(written) <= 60 else f"{written[:50]}... ({len(written)})"


# Names


def names() -> Iterator[Case]:
    """Each name alone, beside one good file: the good one comes home, this one does not."""
    for family, paths in payloads.NAMES.items():
        for path in paths:
            yield Case(family=family, name=shown(path), play=partial(_refused, path=path))


def _refused(ground: Ground, path: str) -> str:
    ground.liar.answers = {"manifest": said(manifest(row("eval/good.json"), row(path, b"evil")))}
    ground.liar.sends = {path: whole(b"evil")}
    pulled = ground.pull()
    lying = {one.relative_to(ground.into).as_posix() for one in ground.into.rglob("*")}
    if lying != {"eval", "eval/good.json", "manifest.json"}:
        return f"this lies there: {sorted(lying)[:5]}"
    return "" if len(pulled.refused) == 1 else f"refused was {pulled.refused}"


def collisions() -> Iterator[Case]:
    """Two names for one file: the second would be written over the first."""
    for one, other in payloads.COLLIDING:
        yield Case(
            family="colliding names", name=shown(f"{one} {other}"), play=partial(_one_of_two, one=one, other=other)
        )


def _one_of_two(ground: Ground, one: str, other: str) -> str:
    ground.liar.answers = {"manifest": said(manifest(row(one, b"first"), row(other, b"second")))}
    ground.liar.sends = {one: whole(b"first"), other: whole(b"second")}
    pulled = ground.pull()
    return "" if pulled.files <= 1 else "both came"


# What somebody planted in the results folder, or swaps while files come


def _link(target: str) -> Callable[[Path, Path], None]:
    return lambda place, precious: place.symlink_to(precious / target)


def _hardlink(place: Path, precious: Path) -> None:
    os.link(precious / "thesis.txt", place)


def _socket(place: Path, _precious: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()
        os.chdir(place.parent)  # a socket's path must be short
        made.bind(place.name)
        os.chdir(here)


PLANTS: Mapping[str, Callable[[Path, Path], None]] = {
    "a link to a file": _link("thesis.txt"),
    "a link to a folder": _link("other-run"),
    "a link to nowhere": _link("nothing-here"),
    "a link to .ssh": _link(".ssh/authorized_keys"),
    "a link to itself": lambda place, _: place.symlink_to(place),
    "a second name": _hardlink,
    "a pipe": lambda place, _: os.mkfifo(place),
    "a socket": _socket,
    "a folder": lambda place, _: place.mkdir(),
    "a file": lambda place, _: place.touch(),
    "a file without rights": lambda place, _: place.touch(0),
    "a link to /dev/zero": lambda place, _: place.symlink_to("/dev/zero"),
}
PLACES = (
    "eval",
    "eval/tuned.json",
    "adapter",
    "adapter/adapter_config.json",
    ".parts",
    "manifest.json",
    "manifest.json.part",
    "report.html",
    ".report.html.part",
    "MODEL_CARD.md",
    "eval/summary.json",
    "eval/.summary.json.part",
    "logs",
    "logs/training.json",
    "data",
)


def links() -> Iterator[Case]:
    """Before the pull, something stands where a file or folder will be; the readers come by afterwards."""
    for place in PLACES:
        for kind, plant in PLANTS.items():
            yield Case(
                family="planted in the way",
                name=f"{kind} at {place}",
                play=partial(_planted, place=place, plant=plant),
                always=kind.startswith("a link") or "/" not in place,
            )


def _planted(ground: Ground, place: str, plant: Callable[[Path, Path], None]) -> str:
    target = ground.into / place
    with unheard():
        target.parent.mkdir(parents=True, exist_ok=True)
        plant(target, ground.precious)
    try:
        ground.brings({"eval/tuned.json": GOOD, "adapter/adapter_config.json": b"{}", "logs/training.json": b"{}"})
    finally:
        try:
            ground.read()
        except OSError as error:  # pages.write_pages and mistakes.mistaken tell it; it is the person's own folder
            ground.texts.append(str(error.strerror))
    return ""


def races() -> Iterator[Case]:
    """While bytes come, a folder or file of the results is swapped for a link to outside."""
    for swapped in ("adapter", "eval", ".parts", "eval/tuned.json", "manifest.json", ""):
        for at in (1, 2, 5, 9):
            for target in ("other-run", "thesis.txt"):
                yield Case(
                    family="swapped while it comes",
                    name=f"{swapped or 'the folder itself'}, chunk {at}, {target}",
                    play=partial(_swapped, swapped=swapped, at=at, target=target),
                )


def _swapped(ground: Ground, swapped: str, at: int, target: str) -> str:
    count = 0

    def swap() -> None:
        nonlocal count
        count += 1
        place = ground.into / swapped
        if count == at and place.exists():
            with unheard():
                place.rename(ground.into / "moved" if swapped else ground.moved)
                place.symlink_to(ground.precious / target)

    files = {"adapter/a.safetensors": b"w" * 300_000, "eval/tuned.json": GOOD, "eval/big.jsonl": b"x" * 300_000}
    ground.liar.tick = swap
    try:
        ground.brings(files)
    finally:
        _put_back(ground, swapped)
    return ""


def _put_back(ground: Ground, swapped: str) -> None:
    """Where the results folder itself was moved: what was written went on into the folder that was opened."""
    if not swapped and ground.moved.exists():
        with unheard():
            ground.into.unlink()
            ground.moved.rename(ground.into)


# Sizes, streams, floods


def sizes() -> Iterator[Case]:
    """What is announced and what comes are not the same."""
    small, huge = GOOD, b"h" * 3_000_000
    sha = hashlib.sha256(small).hexdigest()
    lies: dict[str, tuple[dict[str, object], Sender]] = {
        "small, and comes huge": (row("x"), whole(huge)),
        "small, and never ends": (row("x"), endless()),
        "small, and trickles for ever": (row("x"), endless(b"1")),
        "no bytes, and never ends": (row("x", b""), endless()),
        "no bytes, and one comes": (row("x", b""), whole(b"1")),
        "nothing comes, for ever": (row("x"), endless(b"")),
        "one byte less": (row("x", small), whole(small[:-1])),
        "one byte more": (row("x", small), whole(small + b"1")),
        "other bytes": (row("x", small), whole(small[::-1])),
        "all zero": (row("x", small), whole(b"\0" * len(small))),
        "more than the limit": (row("x", huge), whole(huge)),
        "100 GB": (row("x", bytes=10**11), endless()),
        "2^62": (row("x", bytes=2**62), endless()),
        "just the limit, never there": (row("x", bytes=CAPS.bytes), whole(small)),
        "just the limit, and endless": (row("x", bytes=CAPS.bytes), endless()),
        "the limit and one": (row("x", bytes=CAPS.bytes + 1), endless()),
        "half, then an end": (row("x", huge[:1_000_000]), whole(huge[:500_000])),
        "in single bytes": (row("x", small), lambda offset: (small[at : at + 1] for at in range(offset, len(small)))),
        "from the beginning each time": (row("x", huge[:200_000]), lambda _offset: iter((huge[:200_000],))),
        "with the hash of another": (row("x", small, sha256="0" * 64), whole(small)),
        "with another's size": (row("x", small, sha256=sha, bytes=1), whole(small)),
    }
    for path in ("eval/tuned.json", "adapter/adapter_model.safetensors"):
        for name, (announced, sender) in lies.items():
            play = partial(_lying, announced={**announced, "path": path}, sender=sender)
            yield Case(family="sizes that lie", name=f"{path}: {name}", play=play)


def _lying(ground: Ground, announced: Mapping[str, object], sender: Sender) -> str:
    def tick() -> None:
        ground.seconds += 0.01

    ground.liar.tick = tick
    ground.liar.answers = {"manifest": said(manifest(announced, row("logs/a.json"), row("logs/b.json")))}
    ground.liar.sends = {str(announced["path"]): sender}
    pulled = ground.pull()
    honest = str(announced["path"]) in {one.relative_to(ground.into).as_posix() for one in ground.into.rglob("*.*")}
    if pulled.verified and not honest:
        return "called verified, and is not there"
    again = ground.pull()  # the next try begins where this one left off, and is no way round
    return "" if again.files <= 3 else "the second pull brought more"


def floods() -> Iterator[Case]:
    """More of everything than anybody wants."""
    for count in (101, 1_000, 5_000, 14_000, 40_000, 200_000):
        rows = b",".join(b'{"path":"e/%d.json","bytes":0,"sha256":"%s"}' % (at, b"0" * 64) for at in range(count))
        yield Case(
            family="floods of files",
            name=f"{count} empty files",
            play=partial(_manifested, answer=b'{"files":[' + rows + b"]}"),
        )
        same = b",".join([b'{"path":"e/x.json","bytes":1,"sha256":"%s"}' % (b"0" * 64)] * count)
        yield Case(
            family="floods of files",
            name=f"one name {count} times",
            play=partial(_manifested, answer=b'{"files":[' + same + b"]}"),
        )
    for size in (4 << 20, (4 << 20) + 1, 9 << 20):
        padded = b'{"files":[' + b" " * size + b"]}"
        yield Case(
            family="floods of files", name=f"a manifest of {size} bytes", play=partial(_manifested, answer=padded)
        )
    deep = [row("/".join(f"{at}-{level}" for level in range(5)) + "/x.json", b"") for at in range(200)]
    yield Case(family="floods of files", name="a folder for each", play=partial(_manifested, answer=manifest(*deep)))
    many = {f"e/{at}.json": b"0" * 25_000 for at in range(100)}
    yield Case(family="floods of files", name="all together above the limit", play=partial(_all_of, files=many))
    yield Case(
        family="floods of files",
        name="a checkpoint of a thousand files",
        play=partial(_checkpoint, files={f"{at}.pt": b"" for at in range(1000)}),
    )


def _manifested(ground: Ground, answer: bytes) -> str:
    ground.liar.answers = {"manifest": said(answer)}
    pulled = ground.pull()
    return "" if pulled.files <= CAPS.files else f"{pulled.files} files came"


def _all_of(ground: Ground, files: Mapping[str, bytes]) -> str:
    return "verified" if ground.brings(files).verified else ""


def _checkpoint(ground: Ground, files: Mapping[str, bytes]) -> str:
    ground.liar.answers = {"manifest": said(manifest(*(row(path, data) for path, data in files.items())))}
    ground.liar.sends = {path: whole(data) for path, data in files.items()}
    pulled = ground.pull("checkpoints/step-5", Caps(files=100, bytes=CAPS.bytes, seconds=60))
    return "" if pulled.files <= CAPS.files else f"{pulled.files} files came"


# Manifests and other answers


def torn_manifests() -> Iterator[Case]:
    """A manifest that was cut off, at each of many bytes."""
    good = manifest(row("eval/tuned.json", GOOD), row("logs/a.json"), row("adapter/adapter_config.json"))
    for at in range(0, len(good), max(1, len(good) // 60)):
        yield Case(
            family="torn manifests", name=f"cut at {at} of {len(good)}", play=partial(_not_believed, answer=good[:at])
        )
    for at in range(3, len(good), max(1, len(good) // 20)):
        turned = good[:at] + bytes([good[at] ^ 0x80]) + good[at + 1 :]
        yield Case(family="torn manifests", name=f"one bit turned at {at}", play=partial(_not_believed, answer=turned))


def _not_believed(ground: Ground, answer: bytes) -> str:
    ground.liar.answers = {"manifest": said(answer)}
    try:
        pulled = ground.pull()
    except GuestError as told:
        ground.texts.append(str(told))
        return ""
    return f"{pulled.files} files came of it"


def odd_manifests() -> Iterator[Case]:
    """Well-formed, and not what was agreed."""
    good = row("eval/tuned.json", GOOD)
    odd: dict[str, object] = {
        "a list": [good],
        "no files": {},
        "files that are none": {"files": "x"},
        "files null": {"files": None},
        "a file that is a text": {"files": ["x"]},
        "files as an object": {"files": {"a": good}},
        "an error beside it": {"files": [good], "error": "\x1b[31mno"},
        "a file within a file": {"files": [[good]]},
        "a number": 3,
        "null": None,
    }
    for key in ("path", "bytes", "sha256"):
        odd[f"without {key}"] = {"files": [{name: value for name, value in good.items() if name != key}]}
        values: tuple[object, ...] = (
            None,
            True,
            [],
            {},
            1.5,
            -1,
            "x",
            "",
            2**63,
            10**400,
            "0" * 63,
            "G" * 64,
            "A" * 64,
            float("inf"),
        )
        for value in values:
            odd[f"{key} is {str(value)[:12]!r}"] = {"files": [{**good, key: value}]}
    for name, document in odd.items():
        answer = json.dumps(document).encode()
        yield Case(family="odd manifests", name=name, play=partial(_at_most_refused, answer=said(answer)))
    text = manifest(good)
    for name, completed in {
        "exit 1": said(text, exit_code=1),
        "exit 255": said(text, exit_code=255),
        "escapes on standard error": said(b"", exit_code=1, stderr=payloads.CLIPBOARD),
        "two documents": said(text + text),
        "a line before": said(b"Welcome!\n" + text),
        "a mark before": said(b"\xef\xbb\xbf" + text),
        "UTF-16": said(text.decode().encode("utf-16")),
        "unknown fields": said(manifest({**good, "mode": 0o4755, "link": "/etc/passwd", "type": "symlink"})),
        "no bytes, exit 2": said(b"", exit_code=2, stderr="can't open file"),
        "standard error of a megabyte": said(b"", exit_code=1, stderr="x" * 1_000_000),
    }.items():
        yield Case(family="odd manifests", name=name, play=partial(_at_most_refused, answer=completed))


def _at_most_refused(ground: Ground, answer: object) -> str:
    ground.liar.answers = {"manifest": answer}  # type: ignore[dict-item]  # made above
    pulled = ground.pull()
    return (
        ""
        if pulled.files == 0 or (ground.into / "eval" / "tuned.json").read_bytes() in (GOOD, b"{}")
        else "not what was announced"
    )


VERBS: Mapping[str, Callable[[Ground], object]] = {
    "probe": lambda ground: ground.guest().probe(),
    "status": lambda ground: ground.guest().status(),
    "prove": lambda ground: ground.guest().prove(),
    "start": lambda ground: ground.guest().start(),
    "lease": lambda ground: ground.guest().lease(60),
    "stop": lambda ground: ground.guest().stop(),
}


def wrong_answers() -> Iterator[Case]:
    """Every other verb, answered by each of the documents, and by texts that steer a terminal."""
    for verb in VERBS:
        for name, data in payloads.documents():
            if len(data) < 100_000:
                yield Case(
                    family="answers of a machine", name=f"{verb}: {name}", play=partial(_asked, verb=verb, answer=data)
                )
        for name, text in list(payloads.ESCAPES.items())[:12]:
            refusal = json.dumps({"error": text}).encode()
            yield Case(
                family="answers of a machine",
                name=f"{verb} refuses: {name}",
                play=partial(_asked, verb=verb, answer=refusal),
            )


def _asked(ground: Ground, verb: str, answer: bytes) -> str:
    ground.liar.answers = {verb: said(answer)}
    found = VERBS[verb](ground)
    ground.texts += _told(Warned(run="r", at=NOW, code="x", text=str(found)))
    return ""


def _told(*events: Happened) -> list[str]:
    """As the consoles show them."""
    loud = Loud(lambda: NOW)
    for event in events:
        loud.tell(event)
    return [loud.said]


# What readers of results open


def opened_documents() -> Iterator[Case]:
    """Each bomb in each file that is opened here, and then all readers."""
    for number, path in enumerate(READ):
        for at, (name, data) in enumerate(payloads.documents()):
            yield Case(
                family="bombs in results",
                name=f"{path}: {name}",
                play=partial(_opened, files={path: data}),
                always=(at + number) % len(READ) == 0,
            )


def _opened(ground: Ground, files: Mapping[str, bytes]) -> str:
    ground.brings({"adapter/adapter_config.json": b"{}", **files})
    ground.read()
    return ""


def pickled() -> Iterator[Case]:
    """Pickles under names that are taken: bytes, which nobody here unpickles."""
    for name, data in payloads.pickles():
        for path in (
            "adapter/adapter_model.safetensors",
            "eval/tuned.json",
            "eval/tuned.jsonl",
            "logs/job.log",
            "adapter/tokenizer.model",
            "adapter/x.gguf",
        ):
            yield Case(family="pickles in results", name=f"{path}: {name}", play=partial(_opened, files={path: data}))
        yield Case(
            family="pickles in checkpoints",
            name=name,
            play=partial(_checkpoint, files={"optimizer.pt": data, "rng_state.pth": data}),
        )


def tensors() -> Iterator[Case]:
    """Headers of safetensors: bytes as well, until the person's own libraries read them."""
    for name, data in payloads.safetensors():
        yield Case(
            family="safetensors that lie",
            name=name,
            play=partial(_opened, files={"adapter/adapter_model.safetensors": data}),
        )


# Texts


def terminal_texts() -> Iterator[Case]:
    """Each escape in each text that a machine can bring before a person's eyes."""
    for name, text in payloads.ESCAPES.items():
        for where, lines in _lines_with(text).items():
            yield Case(family=f"escapes in {where}", name=name, play=partial(_followed, data=lines))
        yield Case(family="escapes in errors", name=name, play=partial(_failed, text=text))
        results = {
            "logs/environment.json": {"gpu": text, text[:200]: [text]},
            "logs/training.json": {"last_step": 1, "of": 1, "adapter_of": text},
        }
        files = {path: json.dumps(document).encode() for path, document in results.items()}
        yield Case(
            family="escapes in results",
            name=name,
            play=partial(_opened, files={**files, "eval/tuned.jsonl": _item(text)}),
        )


def _item(text: str) -> bytes:
    item = {"item": 0, "prompt": [{"role": "user", "content": text}], "wanted": text, "answer": text, "tokens": 3}
    return json.dumps(item).encode() + b"\n"


def _line(event: str, **fields: object) -> bytes:
    return json.dumps({"schema": 1, "event": event, "at": NOW.isoformat(), **fields}).encode() + b"\n"


def _lines_with(text: str) -> dict[str, bytes]:
    raw = text[:3000]
    return {
        "warnings": _line("warning", code=raw[:60], text=raw),
        "phases": _line("phase", phase=raw, name=raw, state="begin"),
        "scores": _line("result", arm=raw, metrics={raw: 1.0}, n=1) + _line("evaluated", arm=raw, done=1, of=2),
        "the last word": _line("done", outcome="failed", exit_code=1, step=raw, text=raw),
        "lines that are none": raw.encode("utf-8", "surrogatepass") + b"\n",
    }


def _followed(ground: Ground, data: bytes) -> str:
    """Through splitter, parser and tracker to the consoles, as `launcher.watch` does it."""
    splitter, tracker, events = progress.Splitter(), Tracker(), list[Happened]()
    for at in range(0, len(data), 65_536):
        for line in splitter.feed(data[at : at + 65_536]):
            event = progress.parse(line)
            tracker.take(event, NOW)
            if isinstance(event, progress.Warned):
                events.append(Warned(run="r", at=NOW, code=event.code, text=event.text))
            elif isinstance(event, progress.Notice | progress.Unknown | progress.Done):
                events.append(Warned(run="r", at=NOW, code="x", text=repr(event)))
    events.append(Progressed(run="r", at=NOW, snapshot=tracker.snapshot({}, Decimal(1), NOW)))
    ground.texts += _told(*events[-50:])
    # The machine may say so until its lease is over: what is remembered of it must not grow with it.
    kept = len(tracker.phases) + len(tracker.arms) + len(tracker.moments)
    return "" if kept < 3_000 else f"{kept} things are remembered"


def _failed(ground: Ground, text: str) -> str:
    """A text of a machine in an error, as a person and a program read it."""
    from launcher.answers import printable

    ground.liar.answers = {"status": said(b"", exit_code=1, stderr=text)}
    loud = Loud(lambda: NOW)
    try:
        ground.guest().status()
    except GuestError as error:
        loud.fail(
            LaunchError(str(error), code="x", exit_code=Exit.JOB_FAILED, hint=printable(text), detail=str(error)), "r"
        )
    haul = Pulled(run="r", at=NOW, folder=ground.into, files=0, bytes=0, verified=False, refused=(printable(text),))
    ground.texts += [loud.said, *_told(haul), wire.text(wire.document(haul))]
    return ""


def progress_lines() -> Iterator[Case]:
    """Floods, numbers that are none, times of other days."""
    step = partial(_line, "step", step=1, of=10)
    odd: dict[str, bytes] = {
        "steps of a training without end": b"".join(_line("step", step=at, of=10**9) for at in range(6_000)),
        "the same step": step() * 6_000,
        "steps backwards": b"".join(_line("step", step=at, of=6_000) for at in range(6_000, 0, -1)),
        "six thousand phases": b"".join(_line("phase", phase=f"p{at}", name="x", state="begin") for at in range(6_000)),
        "six thousand checkpoints": b"".join(
            _line("checkpoint", name=f"s{at}", step=at, bytes=1, sha256="0" * 64) for at in range(6_000)
        ),
        "six thousand arms": b"".join(_line("result", arm=f"a{at}", metrics={}, n=1) for at in range(6_000)),
        "six thousand warnings": _line("warning", code="x", text="y" * 300) * 6_000,
        "no newline, ever": b"x" * 8_000_000,
        "newlines only": b"\n" * 50_000,
        "a line of 4,097 bytes": b'{"a":"' + b"x" * 4_091 + b"\n",
        "a checkpoint that leads up": _line("checkpoint", name="../../evil", step=1, bytes=1, sha256="0" * 64),
        "a checkpoint with a slash": _line("checkpoint", name="a/b", step=1, bytes=1, sha256="0" * 64),
        "a checkpoint with a newline": _line("checkpoint", name="a\n", step=1, bytes=1, sha256="0" * 64),
        "a checkpoint like an option": _line("checkpoint", name="--path", step=1, bytes=1, sha256="0" * 64),
    }
    for number in (
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "-1",
        "1.5",
        '"1"',
        "null",
        "true",
        "[]",
        "{}",
        "9" * 30,
        "9" * 4_000,
        "1e16",
        "-0.0",
        "9007199254740993",
    ):
        for key in ("step", "of", "loss", "tokens_per_second", "eta_seconds"):
            line = f'{{"schema":1,"event":"step","at":"{NOW.isoformat()}","step":1,"of":2,"{key}":{number}}}\n'
            odd[f"{key} is {number[:12]}"] = line.encode()
        odd[f"an exit code of {number[:12]}"] = (
            f'{{"schema":1,"event":"done","at":"{NOW.isoformat()}","outcome":"succeeded","exit_code":{number}}}\n'.encode()
        )
    for at in (
        "1970-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2026-11-28",
        "now",
        "",
        "2026-11-28T12:00:00",
        5,
        None,
        "2026-13-45T99:99:99Z",
        "+999999-01-01T00:00:00Z",
    ):
        odd[f"the time is {at}"] = _line("step", step=1, of=2).replace(
            json.dumps(NOW.isoformat()).encode(), json.dumps(at).encode()
        )
        odd[f"a notice for {at}"] = _line("notice", action="terminate", time=at)
    for name, data in odd.items():
        yield Case(family="progress", name=name, play=partial(_followed, data=data))
    for name, document in payloads.documents():
        if len(document) < 2_000_000:
            yield Case(family="progress", name=f"a line of {name}", play=partial(_followed, data=document + b"\n"))


def markup() -> Iterator[Case]:
    """Markup in every text that stands in the report and in the model card."""
    for text in payloads.MARKUP:
        told = {"gpu": text, "driver": text, text: text, "packages": {"torch": text, text: "1"}}
        figures = {"arm": "tuned", "n": 1, "metrics": {"exact": 1.0}, "prompt": {"system": text, "shots": []}}
        files = {
            "logs/environment.json": json.dumps(told).encode(),
            "logs/data.json": json.dumps({text: text}).encode(),
            "logs/training.json": json.dumps({"last_step": 1, "of": 1, "adapter_of": text, text: text}).encode(),
            "eval/tuned.jsonl": _item(text),
            "eval/tuned.json": json.dumps(figures).encode(),
            "adapter/adapter_config.json": json.dumps({"base_model_name_or_path": text, "r": text}).encode(),
        }
        yield Case(family="markup", name=shown(text), play=partial(_opened, files=files))


def logs() -> Iterator[Case]:
    """A job's own words, as `launch logs` shows them, for people and as JSON."""
    for name, text in payloads.ESCAPES.items():
        for as_json in (False, True):
            yield Case(
                family="job logs",
                name=f"{name}{', --json' if as_json else ''}",
                play=partial(_logged, text=text, as_json=as_json),
            )


def _logged(ground: Ground, text: str, *, as_json: bool) -> str:
    out = StringIO()
    paper = Paper(stream=out)
    streams = Streams(out=paper, talk=paper, stdin=StringIO(), now=lambda: datetime.now(UTC))
    session = _Spoken(streams, as_json=as_json)
    for at in range(0, len(text), 4096):
        session.raw(text[at : at + 4096], "r")
    ground.texts.append(out.getvalue())
    return ""


class _Spoken(Session):
    """A session whose streams are a test's own."""

    def __init__(self, streams: Streams, *, as_json: bool) -> None:
        super().__init__(environ={}, make_world=lambda *_: None)  # type: ignore[arg-type]  # no world here
        self.as_json, self._own = as_json, streams

    def streams(self) -> Streams:
        return self._own


# Whole runs


def whole_runs() -> Iterator[Case]:
    """Some of each, through a whole run: watched, pulled, settled, scored, written down."""
    for name in ("clipboard", "bidi override", "carriage return", "not ended, many", "lone half"):
        text = payloads.ESCAPES[name][:3000]
        lines = b"".join(part for where, part in _lines_with(text).items() if where != "the last word")
        yield Case(
            family="whole runs",
            name=f"escapes while it works: {name}",
            play=partial(_run, liar=partial(Liar, progress=lines)),
        )
        last = _lines_with(text)["the last word"]
        yield Case(
            family="whole runs",
            name=f"escapes in its last word: {name}",
            play=partial(_run, liar=partial(Liar, progress=last)),
        )
    for verb in ("status", "manifest", "start"):
        for name, data in (("deep", b"[" * 50_000), ("wrong types", b'{"files": 1, "pid": [], "guard": 0}')):
            yield Case(
                family="whole runs",
                name=f"{verb} answers {name}",
                play=partial(_run, liar=partial(Liar, answers={verb: said(data)})),
            )
    for name, path in (
        ("up", "../../evil.json"),
        ("dot", ".bashrc"),
        ("pickle", "training_args.bin"),
        ("escape", "eval/\x1b[2J.json"),
    ):
        rows = manifest(row("eval/tuned.json", GOOD), row(path, b"evil"))
        sends = {"eval/tuned.json": whole(GOOD), path: whole(b"evil")}
        yield Case(
            family="whole runs",
            name=f"a name: {name}",
            play=partial(_run, liar=partial(Liar, answers={"manifest": said(rows)}, sends=sends)),
        )
    for name, data in [one for one in payloads.documents() if len(one[1]) < 200_000][::9]:
        files = {
            "eval/tuned.json": data,
            "eval/tuned.jsonl": data,
            "logs/training.json": data,
            "adapter/adapter_config.json": data,
        }
        rows = manifest(*(row(path, held) for path, held in files.items()))
        sends = {path: whole(held) for path, held in files.items()}
        yield Case(
            family="whole runs",
            name=f"results that are {name}",
            play=partial(_run, liar=partial(Liar, answers={"manifest": said(rows)}, sends=sends)),
        )


def _run(ground: Ground, liar: Callable[[], Liar]) -> str:
    ground.flow(liar())
    return ""
