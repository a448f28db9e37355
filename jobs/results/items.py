"""Per-item results as a rented machine wrote them, read with suspicion and held against the rows that we sent."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jobs.progress import clean
from jobs.qlora.template import pairs

MOST_FILE_BYTES = 256 << 20
"""Of one arm: 50,000 answers of 5 kB each; a larger file is read by nobody."""
MOST_ITEMS = 100_000
MOST_LINE_BYTES = 4 << 20
MOST_SIGNS = 400_000
"""Of one text: a context of 128,000 tokens is about so long; who sends more is not answering."""
MOST_FIGURES_BYTES = 8 << 20
"""Of `<arm>.json`: the prompt that was chosen stands in it, with its examples."""
MOST_SECONDS = 30 * 86_400.0

Text = Annotated[str, Field(max_length=MOST_SIGNS)]
Count = Annotated[int, Field(ge=0, le=10**9)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.,\- ]{1,60}$")]


class _Sent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class _Turn(_Sent):
    role: Annotated[str, Field(max_length=20)]
    content: Text


class _Line(_Sent):
    """One line of `eval/<arm>.jsonl`. Lines of older jobs have no number: theirs is their place in the file."""

    item: Count | None = None
    prompt: Annotated[tuple[_Turn, ...], Field(max_length=1000)]
    wanted: Text
    answer: Text
    loss: Annotated[float, Field(ge=0, le=1e6)] | None = None
    tokens: Count = 0
    ended: bool = True


class _Prompt(_Sent):
    system: Text = ""
    shots: Annotated[tuple[_Turn, ...], Field(max_length=1000)] = ()
    tried: Annotated[tuple[Any, ...], Field(max_length=1000)] = ()


class Told(_Sent):
    """`eval/<arm>.json`: the machine's own figures, and what only it can know: how long it took."""

    n: Count = 0
    metrics: Annotated[dict[Name, float], Field(max_length=64)] = {}
    stderr: Annotated[dict[Name, float], Field(max_length=64)] = {}
    """Standard errors, which a harness tells."""
    seconds: Annotated[float, Field(ge=0, le=MOST_SECONDS)] | None = None
    new_tokens: Count | None = None
    batch: Count | None = None
    prompt: _Prompt | None = None
    cost_usd: Annotated[str, Field(max_length=40)] | None = None
    """Only of an arm behind an endpoint, whose file we write ourselves."""
    usd_per_request: Annotated[str, Field(max_length=40)] | None = None
    unfinished: Annotated[str, Field(max_length=2000)] = ""
    model: Annotated[str, Field(max_length=300)] = ""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One item as we sent it. Items of one `cluster` (a conversation, or a group of rows) are not independent."""

    prompt: str
    wanted: str
    cluster: int


@dataclass(frozen=True, kw_only=True)
class Item:
    """One answer. `number` is the same in every arm; `loss` is per token of the wanted answer."""

    number: int
    prompt: str
    wanted: str
    answer: str
    loss: float | None
    tokens: int
    cluster: int

    def as_line(self) -> dict[str, Any]:
        """As the job's own scoring takes it."""
        return {"answer": self.answer, "wanted": self.wanted, "loss": self.loss, "tokens": self.tokens}


@dataclass(frozen=True, kw_only=True)
class ArmItems:
    """One arm as it came home; `of`: how many items we sent, None where that is not known."""

    arm: str
    items: tuple[Item, ...]
    told: Told
    of: int | None = None
    warnings: tuple[str, ...] = field(default=())

    @property
    def by_number(self) -> Mapping[int, Item]:
        """The items, by the number that they have in every arm."""
        return {item.number: item for item in self.items}


def asked(file: Path, limit: int | None = None) -> tuple[Asked, ...] | None:
    """The items of our own rows (each assistant turn is one); None where the file is not there or not ready-made rows.

    `limit`: only so many of them were to be asked.
    """
    try:
        rows = [json.loads(line) for line in file.read_bytes().split(b"\n") if line.strip()]
        found = [one for row, cluster in zip(rows, _clusters(rows), strict=True) for one in _asked(row, cluster)]
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None
    return tuple(found[:limit])


def _asked(row: Mapping[str, Any], cluster: int) -> Iterator[Asked]:
    for pair in pairs([(turn["role"], turn["content"]) for turn in row["messages"]]):
        yield Asked(prompt=_joined(pair["prompt"]), wanted=pair["completion"][0]["content"], cluster=cluster)


def _clusters(rows: list[Any]) -> list[int]:
    """A number for each row: rows of the same group have the same one."""
    known: dict[tuple[str, object], int] = {}
    keys = [("row", at) if row.get("group") is None else ("group", row["group"]) for at, row in enumerate(rows)]
    return [known.setdefault(key, at) for at, key in enumerate(keys)]


def _joined(turns: list[dict[str, str]]) -> str:
    """A prompt as one text: the same whether its system text is a turn of its own or stands in the first one."""
    return "\n\n".join(turn["content"] for turn in turns)


def read_arm(folder: Path, stem: str, arm: str, ours: tuple[Asked, ...] | None) -> ArmItems | None:
    """`<folder>/<stem>.json` and `.jsonl`, as far as they are sound; None where neither is there. Raises nothing.

    An item that we did not send is left out of every figure, and told.
    """
    figures, lines = folder / f"{stem}.json", folder / f"{stem}.jsonl"
    if not is_plain(figures) and not is_plain(lines):
        return None
    warnings: list[str] = []
    told = _told(figures, warnings)
    found = _numbered(_lines(lines, warnings), warnings)
    items = _without_ours(found) if ours is None else _held_against(found, ours, warnings)
    return ArmItems(
        arm=arm,
        items=tuple(sorted(items, key=lambda item: item.number)),
        told=told,
        of=None if ours is None else len(ours),
        warnings=tuple(f"{stem}: {text}" for text in warnings),
    )


def _whole(line: _Line) -> str:
    return _joined([turn.model_dump() for turn in line.prompt])


def is_plain(path: Path) -> bool:
    """Whether a file lies there that is no link to somewhere else."""
    return path.is_file() and not path.is_symlink()


def _told(path: Path, warnings: list[str]) -> Told:
    if not is_plain(path) or path.stat().st_size > MOST_FIGURES_BYTES:
        warnings.append("the machine's own figures did not come home, or are too large to be read")
        return Told()
    try:
        return Told.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        warnings.append(f"the machine's own figures cannot be read ({_why(error)})")
        return Told()


def _why(error: Exception) -> str:
    """What is wrong, on one line; nothing that the machine wrote reaches a terminal as it is."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return clean(f"{'.'.join(str(part) for part in first['loc']) or 'the line'}: {first['msg']}")[:200]
    return clean(str(error))[:200]


def _lines(path: Path, warnings: list[str]) -> Iterator[tuple[int, _Line]]:
    """The sound lines with their places; the first of the others is told, with how many there are."""
    if not is_plain(path):
        return
    if path.stat().st_size > MOST_FILE_BYTES:
        warnings.append(f"{path.stat().st_size:,} bytes of per-item results, at most {MOST_FILE_BYTES:,} are read")
        return
    bad, first = 0, ""
    with path.open("rb") as file:
        for place, line in enumerate(file):
            if place >= MOST_ITEMS:
                warnings.append(f"more than {MOST_ITEMS:,} lines: the rest is not read")
                break
            try:
                yield place, _Line.model_validate_json(line if len(line) <= MOST_LINE_BYTES else b"")
            except ValueError as error:
                why = _why(error) if len(line) <= MOST_LINE_BYTES else f"longer than {MOST_LINE_BYTES:,} bytes"
                bad, first = bad + 1, first or f"line {place + 1}: {why}"
    if bad:
        warnings.append(f"{bad} lines of the per-item results are not sound ({first})")


def _numbered(lines: Iterator[tuple[int, _Line]], warnings: list[str]) -> dict[int, _Line]:
    """Each number once: of two lines with the same number neither is believed more, so the first is kept, and told."""
    found: dict[int, _Line] = {}
    twice = 0
    for place, line in lines:
        number = place if line.item is None else line.item
        twice += number in found
        found.setdefault(number, line)
    if twice:
        warnings.append(f"{twice} items came twice; the first answer to each counts")
    return found


def _without_ours(found: Mapping[int, _Line]) -> list[Item]:
    return [_item(number, line, cluster=number, prompt=_whole(line)) for number, line in found.items()]


def _held_against(found: Mapping[int, _Line], ours: tuple[Asked, ...], warnings: list[str]) -> list[Item]:
    """Those that we sent, under our own numbers: each may be claimed once, whatever number the machine gave it."""
    places: dict[tuple[str, str], list[int]] = {}
    for at, one in enumerate(ours):
        places.setdefault((one.prompt, one.wanted), []).append(at)
    items: list[Item] = []
    foreign: list[int] = []
    for number, line in sorted(found.items()):
        free = places.get((_whole(line), line.wanted))
        if not free:
            foreign.append(number)
            continue
        at = free.pop(free.index(number) if number in free else 0)
        items.append(_item(at, line, cluster=ours[at].cluster, prompt=ours[at].prompt))
    if foreign:
        warnings.append(
            f"the machine was asked something else: {len(foreign)} of {len(found)} items are not among the test rows "
            f"that we sent (the first is item {foreign[0]}); they count for nothing"
        )
    if len(items) < len(ours):
        warnings.append(f"of {len(ours)} items that we sent {len(items)} came home")
    return items


def _item(number: int, line: _Line, *, cluster: int, prompt: str) -> Item:
    return Item(
        number=number,
        prompt=prompt,
        wanted=line.wanted,
        answer=line.answer,
        loss=line.loss,
        tokens=line.tokens,
        cluster=cluster,
    )


def in_both(one: ArmItems, other: ArmItems) -> tuple[list[int], str]:
    """The numbers of the items that both arms have, the same question with the same wanted answer; and what is odd."""
    mine, theirs = one.by_number, other.by_number
    both = [number for number in sorted(mine) if number in theirs]
    same = [at for at in both if (mine[at].wanted, mine[at].prompt) == (theirs[at].wanted, theirs[at].prompt)]
    if len(same) == max(len(mine), len(theirs)):
        return same, ""
    text = f"{one.arm} ({len(mine)} items) and {other.arm} ({len(theirs)}) are compared over the {len(same)} in common"
    return same, text
