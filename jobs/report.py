"""What a machine brought home, read with suspicion, to a page that opens anywhere, and a script to try the adapter."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jobs import report_page

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\- ]{1,40}$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]

MOST_BYTES = 1 << 20
"""Of one JSON file: a summary that is longer is none."""
MOST_LOG_BYTES = 32 << 20
MOST_POINTS = 400
"""Of the loss curve: more would not be seen."""
ARMS = ("base", "tuned")


class ReportError(Exception):
    """The results cannot be read as what they should be; `message` says which file, `hint` what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


class ArmScore(BaseModel):
    """One arm of the evaluation, as `eval/<arm>.json` has it: metrics over `n` test rows."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    arm: Name
    n: Annotated[int, Field(ge=0, le=10**9)]
    metrics: Annotated[dict[Name, Finite], Field(max_length=32)]


class LogLine(BaseModel):
    """One line of the training log; other keys are nobody's business here."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    step: Annotated[int, Field(ge=0, le=10**9)]
    loss: Finite


def read_scores(folder: Path) -> tuple[ArmScore, ...]:
    """The arms that were evaluated, base first; () where nothing was. Raises `ReportError` on an unsound file."""
    paths = [folder / "eval" / f"{arm}.json" for arm in ARMS]
    return tuple(_score(path) for path in paths if _is_plain(path))


def counted(folder: Path) -> tuple[int, int, bool]:
    """Files, bytes, and whether every file of `manifest.json` lies here with its sha256; (0, 0, False) without one."""
    rows = list(_listed(folder))
    sound = [path for path, sha256 in rows if _is_plain(path) and _sha256(path) == sha256]
    return len(sound), sum(path.stat().st_size for path in sound), bool(rows) and len(sound) == len(rows)


@dataclass(frozen=True, kw_only=True)
class Base:
    """The model that an adapter belongs to: a name of the Hub, or a folder of this computer."""

    model: str
    revision: str | None


def write(folder: Path, receipt: Mapping[str, object], base: Base) -> tuple[Path, ...]:
    """Write `report.html` and, where an adapter came home, `try.py` with its `try.json`. Raises `ReportError`."""
    if not folder.is_dir():
        raise ReportError(f"{folder} is gone, and the results with it", "launch ps")
    page = report_page.page(
        receipt=receipt,
        scores=[(one.arm, one.n, one.metrics) for one in read_scores(folder)],
        losses=_losses(folder / "logs"),
        made_with=_made_with(folder),
    )
    written = [_put(folder / "report.html", page)]
    if _is_plain(folder / "adapter" / "adapter_config.json"):
        _put(folder / "try.json", json.dumps(asdict(base)) + "\n")
        written.append(_put(folder / "try.py", Path(__file__).with_name("try_adapter.py").read_text(encoding="utf-8")))
    return tuple(written)


def _put(path: Path, text: str) -> Path:
    """Written aside and renamed: a link that somebody planted at the place is replaced, not followed."""
    aside = path.with_name(f".{path.name}.part")
    aside.unlink(missing_ok=True)
    with aside.open("x", encoding="utf-8") as file:
        file.write(text)
    aside.replace(path)
    return path


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _read(path: Path, most: int) -> bytes:
    size = path.stat().st_size
    if size > most:
        raise ReportError(f"{path}: {size} bytes, at most {most} were expected", "launch logs")
    return path.read_bytes()


def _score(path: Path) -> ArmScore:
    try:
        return ArmScore.model_validate_json(_read(path, MOST_BYTES))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ReportError(f"{path}: {place or 'the file'}: {first['msg']}", "launch logs") from error


def _listed(folder: Path) -> Iterator[tuple[Path, str]]:
    """The files of the manifest that we wrote ourselves after the pull, with their sha256."""
    path = folder / "manifest.json"
    if not _is_plain(path):
        return
    document = _json(path)
    rows = document.get("files") if isinstance(document, dict) else None
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and isinstance(row.get("path"), str):
            yield folder / row["path"], str(row.get("sha256"))


def _json(path: Path) -> object:
    try:
        value: object = json.loads(_read(path, MOST_LOG_BYTES))
    except (ValueError, RecursionError):
        return None
    return value


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _losses(logs: Path) -> list[tuple[int, float]]:
    """Steps and losses of the first log that has any, thinned out; lines that are not sound are passed over."""
    for path in sorted(logs.glob("*.jsonl")) if logs.is_dir() else ():
        if not _is_plain(path):
            continue
        points = [(line.step, line.loss) for line in _lines(path)]
        if points:
            stride = -(-len(points) // MOST_POINTS)
            return points[::stride]
    return []


def _lines(path: Path) -> Iterator[LogLine]:
    for line in _read(path, MOST_LOG_BYTES).splitlines():
        try:
            yield LogLine.model_validate_json(line)
        except ValidationError:
            continue


def _made_with(folder: Path) -> list[tuple[str, str]]:
    """Versions, seeds, hashes: what it takes to do it again, as name and value."""
    found = []
    for name in ("environment", "data"):
        path = folder / "logs" / f"{name}.json"
        if _is_plain(path):
            found += list(_flat(name, _json(path)))
    return found[:200]


def _flat(name: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}", inner)
    elif isinstance(value, list):
        yield name, ", ".join(str(one) for one in value)[:400]
    else:
        yield name, str(value)[:400]
