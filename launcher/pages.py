"""The pages of a run, made on this computer: its report, the model card, the script that tries the adapter."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.progress import clean
from launcher import codec, kept, look, scoring
from launcher.errors import LaunchError
from launcher.events import Warned
from launcher.request import Request
from launcher.run import Run
from launcher.world import World
from pricing.offer import Market

if TYPE_CHECKING:  # pydantic models of the report: who only looks at a run should not wait for them
    from jobs.report import Notes

UNFORESEEN = (
    OSError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError, RecursionError, MemoryError,
)  # fmt: skip
"""Whatever we make of what a machine sent, the receipt of its run must be written and told."""
MOST_ROWS = 2_000
"""Of the test rows that are looked at for a system text that all of them have."""


def write_pages(run: Run, receipt: str, world: World) -> None:
    """The same at the end of a run: what cannot be written then is a warning, and `launch report` tries again."""
    from jobs.report import ReportError  # late, for start-up time

    try:
        _written(run.id, run.out_dir, receipt, world)
    except (ReportError, LaunchError, *UNFORESEEN) as error:
        why = error if isinstance(error, ReportError | LaunchError | OSError) else clean(repr(error))[:200]
        text = f"there is no report yet ({why}); launch report {run.id} tries again"
        world.console.tell(Warned(run=run.id, at=world.now(), code="results", text=text))


def make(run_id: str, folder: Path, receipt: str, world: World) -> tuple[Path, ...]:
    """Write the pages beside the results in `folder`; the report is the first. `receipt`: its JSON document.

    An evaluation that nobody has scored yet is scored. Raises `ReportError`: the folder is gone; `LaunchError`: what
    the run was started with is gone; `OSError`: a page cannot be written.
    """
    if folder.is_dir() and not (folder / "eval" / "summary.json").exists():
        scoring.scored(folder, world.run_folder(run_id), scoring.paid_of(kept.receipt(receipt)))
    return _written(run_id, folder, receipt, world)


def _written(run_id: str, folder: Path, receipt: str, world: World) -> tuple[Path, ...]:
    from jobs.report import write  # late, for start-up time

    return write(folder, kept.parsed(receipt), look.base_of(run_id, world), notes_of(run_id, world))


def notes_of(run_id: str, world: World) -> "Notes":
    """What we wrote down ourselves when the run began."""
    from jobs.report import Notes  # late, for start-up time

    folder = world.run_folder(run_id)
    try:
        bundle = (folder / "bundle.sha256").read_text().strip()
    except OSError:
        bundle = ""
    return Notes(
        settings=scoring.settings_of(folder),
        bundle_sha256=bundle,
        command=_command(run_id, world),
        system=shared_system(folder),
    )


def _command(run_id: str, world: World) -> str:
    """What was typed, as it can be typed again; "" where the ledger of an older version cannot say."""
    try:
        return typed(codec.load(Request, world.ledger.request(run_id)))
    except ValueError:
        return ""


def typed(request: Request) -> str:
    """The command line that asks for the same run; how it was watched and agreed to is left out."""
    return shlex.join(["launch", *_options(request)])


_MARKETS = {Market.SPOT: "--spot", Market.ON_DEMAND: "--on-demand"}


def _options(request: Request) -> Iterator[str]:
    single = {
        "--budget": request.budget_usd,
        "--gpu": request.gpu,
        "--job": request.job,
        "--model": request.model,
        "--data": request.data,
        "--name": request.name,
        "--max-price": request.max_price_usd_per_hour,
        "--deadline": None if request.deadline_seconds is None else f"{request.deadline_seconds:g}s",
    }
    for flag, value in single.items():
        if value is not None:
            yield from (flag, str(value))
    repeated = {
        "--provider": request.providers,
        "--region": request.regions,
        "--secret": request.secrets,
        "--set": request.sets,
    }
    for flag, values in repeated.items():
        for value in values:
            yield from (flag, value)
    if len(request.markets) == 1 and request.markets[0] in _MARKETS:
        yield _MARKETS[request.markets[0]]
    elif request.markets:
        yield "--any-market"


def shared_system(run_folder: Path) -> str:
    """The system text that every test row has, as it was sent: a question in use needs it too; "" where they differ."""
    from jobs.results.sent import sent_rows  # late, for start-up time

    rows = sent_rows(run_folder)
    found = {text for part in ("test", "validation") for text in _systems(rows, part)} if rows else set()
    return found.pop() if len(found) == 1 else ""


def _systems(rows: Path, part: str) -> Iterator[str]:
    """Of each row; "" of one without. The rows are our own: we wrote them before anything was rented."""
    path = rows / f"{part}.jsonl"
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as lines:
        for _, line in zip(range(MOST_ROWS), lines, strict=False):
            turns = json.loads(line).get("messages") or [{}]
            yield turns[0]["content"] if turns[0].get("role") == "system" else ""
