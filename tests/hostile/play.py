"""Plays cases, one after the other, and judges each by what it did: nothing outside, nothing run, bounded, readable."""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser

from jobs.report import ReportError
from launcher.errors import LaunchError
from launcher.landing import PullError
from launcher.remote import RemoteError
from tests.hostile.ground import CAPS, Ground
from tests.hostile.watch import inside, picture, unprintable, watched

FOR_PEOPLE = (PullError, RemoteError, LaunchError, ReportError)
"""What may be raised: all of them become a message with a hint. Anything else is a crash."""
MOST_SECONDS = 2.0
"""Of processor time, for one case; as a rule it is some milliseconds."""
MOST_NAMES = CAPS.files * 6 + 30
"""In a results folder: each file may have five folders to itself, and our own papers lie there too."""
MOST_BYTES = 3 * CAPS.bytes
MOST_TAKEN_BYTES = 2 * CAPS.bytes + (5 << 20)
"""Over the line: what is small may come twice (all together, then one by one)."""
NEVER_TAGS = {"script", "iframe", "object", "embed", "link", "base", "form", "img", "foreignobject", "svg:script"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One artifact: `play` puts it before the real code, and says what was wrong, "" where nothing was."""

    family: str
    name: str
    play: Callable[[Ground], str]
    always: bool = True
    """Also in the suite, which has no time for each bomb in each file: there, each bomb in one, each file with some."""

    def __str__(self) -> str:
        return f"{self.family}: {self.name}"


def judged(case: Case, ground: Ground) -> list[str]:
    """All breaches of one case."""
    into, before, began = ground.fresh(), picture(ground.precious), time.process_time()
    with watched(into, ground.moved, ground.base / "stage") as watch:
        try:
            wrong = case.play(ground)
        except FOR_PEOPLE as told:
            wrong = ""
            ground.texts += [str(told), str(getattr(told, "hint", ""))]
        except Exception as crash:
            wrong = f"crash: {type(crash).__name__}: {str(crash)[:200]}"
    seconds = time.process_time() - began
    found = [wrong, *watch.breaches]
    if seconds > MOST_SECONDS:
        found.append(f"it took {seconds:.1f} s")
    if picture(ground.precious) != before:
        found.append("something beside the results folder changed")
    strange = {path.name for path in (*ground.base.iterdir(), *(ground.base / "runs").iterdir())}
    found += [f"{name} was made" for name in strange - {"precious", "runs", "stage", into.name}]
    return [one for one in [*found, *_unbounded(ground), *_unreadable(ground.texts)] if one]


def _unbounded(ground: Ground) -> Iterator[str]:
    names, size = inside(ground.into)
    if names > MOST_NAMES:
        yield f"{names} names in the results folder"
    if size > MOST_BYTES:
        yield f"{size} bytes in the results folder"
    if ground.liar.taken_bytes > MOST_TAKEN_BYTES:
        yield f"{ground.liar.taken_bytes} bytes were taken from the machine"


def _unreadable(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        if bad := unprintable(text):
            yield f"{bad} in a text for people: {text[:80]!r}"
        if text.startswith("<!doctype html"):
            yield from (f"the report holds {one}" for one in _foreign_markup(text))
        elif text.startswith("---\n"):
            yield from (f"the model card holds {one}" for one in _foreign_markdown(text))


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.bad: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.bad += [f"a <{tag}>"] if tag in NEVER_TAGS else []
        for name, value in attrs:
            away = name == "href" and not str(value).startswith("#")
            if away or name in ("src", "action", "srcdoc", "formaction") or name.startswith("on"):
                self.bad.append(f"{name}={value!r}")


def _foreign_markup(page: str) -> list[str]:
    tags = _Tags()
    tags.feed(page)
    return tags.bad


def _foreign_markdown(card: str) -> list[str]:
    bare = re.sub(r"\\.", "", card).partition("## How to use")[0]
    return re.findall(r"<[A-Za-z!/][^ ]{0,20}|\]\([^)]{0,20}|!\[", bare)


def warm_up(ground: Ground) -> None:
    """What is imported late is imported now, so that no case has to be forgiven an import."""
    ground.fresh()
    ground.brings(
        {
            "eval/tuned.json": b'{"arm": "tuned", "n": 1, "metrics": {"exact": 1.0}}',
            "logs/training.json": b"{}",
            "adapter/adapter_config.json": b"{}",
        }
    )
    ground.read()
