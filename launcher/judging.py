"""Asks the judge and the larger model of a run, from this computer, when no machine of the run is billed any more.

What their calls cost has a cap of its own (`cap_usd` in launch.yaml) and is no part of the run's budget.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from jobs.progress import clean
from jobs.whole_files import write_below
from launcher import scoring
from launcher.errors import Exit, LaunchError
from launcher.events import Warned
from launcher.interrupt import Interrupted
from launcher.run import Run
from launcher.wire import usd
from launcher.world import World

if TYPE_CHECKING:  # for start-up time
    from jobs.judge.asking import Asker
    from jobs.judge.exchanges import Exchange
    from jobs.judge.failures import EndpointError
    from jobs.results.summarise import Besides
    from jobs.results.summary import Judging
    from jobs.spec_evaluate import Endpoint, Judge, Larger

# jobs.judge and jobs.results (pydantic, numpy) are imported inside the functions, for start-up time: most runs have
# neither a judge nor a larger model.

STOPPED = "stopped, as asked"
SLICE_SECONDS = 0.5
"""The longest that a pause goes on when there is nothing to wait for any more."""
TOLD_SHARE = 4
"""How far the asking is, is said after each quarter."""

UNFORESEEN = (OSError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError, RuntimeError)
"""Whatever we make of what a machine sent and an endpoint answers, the receipt of the run must be written."""

Note = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A finished run as its judges need it: where its results lie, and where we keep what it was started with."""

    id: str
    out_dir: Path
    run_folder: Path
    settings: Mapping[str, Any]

    @property
    def judge(self) -> "Judge | None":
        """Who compares, as launch.yaml had it."""
        said = (self.settings.get("evaluate") or {}).get("judge")
        if said is None:
            return None
        from jobs.spec_evaluate import Judge

        return Judge.model_validate(said)

    @property
    def larger(self) -> "Larger | None":
        """The fourth arm, as launch.yaml had it."""
        said = (self.settings.get("evaluate") or {}).get("larger")
        if said is None:
            return None
        from jobs.spec_evaluate import Larger

        return Larger.model_validate(said)


@dataclass(kw_only=True)
class Said:
    """What came of it. `failure`: why it is not all of it."""

    larger: dict[str, Any] | None = None
    judging: "Judging | None" = None
    failure: LaunchError | None = None
    notes: list[str] = field(default_factory=list)


def ran(run_id: str, out_dir: Path, world: World) -> Ran:
    """A run by its id."""
    folder = world.run_folder(run_id)
    return Ran(id=run_id, out_dir=out_dir, run_folder=folder, settings=scoring.settings_of(folder))


def judged(run: Run, world: World) -> None:
    """For a run whose machines are gone: all that launch.yaml asks for. What goes wrong is a warning, no error."""

    def note(text: str) -> None:
        world.console.tell(Warned(run=run.id, at=world.now(), code="judge", text=text))

    try:
        of = ran(run.id, run.out_dir, world)
        if of.judge is None and of.larger is None:
            return
        said = asked(of, world, note)
        failure = said.failure
        if said.judging is not None:
            from jobs.results.serving import Paid

            # What the run cost is not known yet: its receipt scores once more, and keeps what the judge said.
            scoring.scored(run.out_dir, of.run_folder, Paid(), besides(said))
    except LaunchError as error:
        failure = error
    except UNFORESEEN as error:
        failure = LaunchError(clean(repr(error))[:200], code="judge-files", exit_code=Exit.USAGE)
    else:
        note(cost(said))
    if failure is not None:
        text = f"judge or larger model did not finish ({failure.message}); `launch judge {run.id}` goes on"
        world.console.tell(Warned(run=run.id, at=world.now(), code="unjudged", text=text))


def cost(said: Said) -> str:
    """What the calls came to, in all tries together."""
    spent = [] if said.larger is None else [("larger model", said.larger["cost_usd"], said.larger["cap_usd"])]
    if said.judging is not None:
        spent.append(("judge", said.judging.cost_usd, said.judging.cap_usd))
    told = (f"{who} ${Decimal(usd_spent):.4f} of ${usd(Decimal(cap))}" for who, usd_spent, cap in spent)
    return f"{', '.join(told) or '$0'}; besides the run's budget"


def besides(said: Said) -> "Besides":
    """What goes into the summary besides the scores."""
    from jobs.results.summarise import Besides

    return Besides(judging=said.judging)


def asked(of: Ran, world: World, note: Note) -> Said:
    """Ask the larger model, then the judge, whatever is not answered yet.

    Raises `LaunchError` where nothing can be asked at all; what ends it on the way is in `failure`, with all that was
    answered before it.
    """
    must_be_asked_for(of)
    said = Said()
    try:
        if of.larger is not None:
            said.larger = _ask_larger(of, of.larger, world, note, said)
        if of.judge is not None and not world.interrupt.asked:
            said.judging = _ask_judge(of, of.judge, world, note, said)
    except Interrupted:
        said.failure = _stopped()
    return said


def must_be_asked_for(of: Ran) -> None:
    """Raises `LaunchError` for a run that asks for no outside model, or whose data must not be seen by one."""
    if of.judge is None and of.larger is None:
        raise LaunchError(
            f"{of.id} has neither a judge nor a larger model in its launch.yaml",
            code="no-judge",
            exit_code=Exit.USAGE,
            hint=f"launch review {of.id}     # people compare; or `evaluate.judge` in launch.yaml of the next run",
        )
    if of.settings.get("privacy") == "private":
        raise LaunchError(
            f"{of.id} has `privacy: private`: no outside model may see its data",
            code="private-data",
            exit_code=Exit.USAGE,
            hint=f"launch review {of.id}     # people compare, on this computer",
        )


def items_of(of: Ran, arms: Sequence[str]) -> "list[Exchange]":
    """What each of these arms answered, item by item. Raises `LaunchError` where the tuned one answered nothing."""
    from jobs.judge.exchanges import asked_turns, exchanges
    from jobs.results.items import asked as own_items
    from jobs.results.items import read_arm
    from jobs.results.sent import sent_rows

    data = sent_rows(of.run_folder)
    files = [] if data is None else [data / "test.jsonl", data / "validation.jsonl"]
    file = next((one for one in files if own_items(one)), None)
    ours = None if file is None else own_items(file)
    found = [one for arm in arms if (one := read_arm(of.out_dir / "eval", arm, arm, ours)) is not None]
    items = exchanges(found, None if file is None else asked_turns(file))
    if not items:
        raise LaunchError(
            f"{of.id} brought no answers of the tuned model home ({of.out_dir / 'eval' / 'tuned.jsonl'})",
            code="no-answers",
            exit_code=Exit.USAGE,
            hint=f"launch show {of.id}",
        )
    return items


def _ask_larger(of: Ran, to: "Larger", world: World, note: Note, said: Said) -> dict[str, Any]:
    from jobs.judge import larger

    asker = _asker(of, to, "larger", world)
    try:
        items = items_of(of, ("tuned",))
        evaluate = of.settings.get("evaluate") or {}
        arm = larger.FourthArm(
            model=to, system=_system_text(of), items=items, max_new_tokens=evaluate.get("max_new_tokens")
        )
        left = sum(asker.book.find(arm.key(item)) is None for item in items)
        note(_before("larger model", to, asker, left, arm.worst_usd(asker)))
        unfinished = _ended(
            lambda: larger.ask_all(arm, asker, _tick(world, "larger model", note if left else _nothing)), said
        )
        figures, lines = larger.results(arm, asker, evaluate.get("metrics") or ["exact"], unfinished)
    finally:
        asker.close()
    if lines:
        write_below(of.out_dir, "eval/larger.jsonl", "".join(_line(line) for line in lines))
        write_below(of.out_dir, "eval/larger.json", _line(figures))
    found: dict[str, Any] = figures
    return found


def _ask_judge(of: Ran, by: "Judge", world: World, note: Note, said: Said) -> "Judging":
    from jobs.judge import judge

    arms = ("base", "prompted", "tuned", *(("larger",) if of.larger is not None else ()))
    asker = _asker(of, by, "judge", world)
    try:
        court = judge.Court(by=by, items=items_of(of, arms))
        left = sum(asker.book.find(court.key(question, 0)) is None for question in court.questions())
        note(_before("judge", by, asker, left, court.worst_usd(asker)))
        unfinished = _ended(
            lambda: judge.ask_all(court, asker, _tick(world, "judge", note if left else _nothing)), said
        )
        found = judge.tally(court, asker, unfinished)
    finally:
        asker.close()
    if asker.book.path.exists():
        write_below(of.out_dir, "eval/judge.jsonl", asker.book.path.read_text(encoding="utf-8"))
    return found


def _asker(of: Ran, to: "Endpoint", name: str, world: World) -> "Asker":
    """Raises `LaunchError` without a key, and where what was spent is not known."""
    from jobs.judge.asking import Asker
    from jobs.judge.cache import Book
    from jobs.judge.endpoint import Client
    from jobs.judge.failures import EndpointError

    try:
        stopping = Event()
        client, book = Client(to, world.environ), Book(of.run_folder / f"{name}.jsonl")
        return Asker(client, book, sleep=_pause(world, stopping), stopping=stopping)
    except EndpointError as error:
        raise told(error) from error


def _pause(world: World, stopping: Event) -> Callable[[float], None]:
    """Between two tries; ends early where another question ended it all, or somebody asked to stop."""
    from jobs.judge.failures import Stopped

    def pause(seconds: float) -> None:
        left = seconds
        while left > 0 and not stopping.is_set():
            try:
                world.sleep(min(left, SLICE_SECONDS))
            except Interrupted:
                raise Stopped(STOPPED) from None
            left -= SLICE_SECONDS

    return pause


def _ended(ask: Callable[[], object], said: Said) -> str:
    """Why the asking did not come to its end; "" where it did. The first failure of all is the one that is told."""
    from jobs.judge.failures import EndpointError

    failure: LaunchError | None = None
    try:
        ask()
    except Interrupted:
        failure = _stopped()
    except EndpointError as error:
        failure = told(error)
    except OSError as error:
        failure = LaunchError(
            f"an answer cannot be kept: {error.strerror}", code="disk-full", exit_code=Exit.USAGE, hint="df -h"
        )
    said.failure = said.failure or failure
    return "" if failure is None else failure.message


def _stopped() -> LaunchError:
    return LaunchError(STOPPED, code="interrupted", exit_code=Exit.INTERRUPTED, hint="launch judge     # goes on")


def _nothing(text: str) -> None:
    """What is kept already comes at once: how far it is need not be said."""


def _tick(world: World, name: str, note: Note) -> Callable[[int, int], None]:
    """Looks for Ctrl-C, and says after each quarter how far it is."""
    said = {"quarter": 0}

    def tick(done: int, of: int) -> None:
        world.interrupt.check()
        quarter = done * TOLD_SHARE // of
        if said["quarter"] < quarter < TOLD_SHARE:
            said["quarter"] = quarter
            note(f"{name}: {done} of {of} questions answered")

    return tick


def _before(name: str, to: "Endpoint", asker: "Asker", left: int, worst_usd: Any) -> str:
    """What is about to be asked, of whom, and what it may cost."""
    from urllib.parse import urlsplit

    from jobs.judge.endpoint import is_near

    address = urlsplit(to.endpoint)
    text = f"{name}: {left} questions to {to.model} at {address.netloc}"
    if not to.input_usd_per_million and not to.output_usd_per_million:
        free = is_near(address.hostname or "")
        return text + ("" if free else "; no prices in launch.yaml: its cost is not known, and the cap cannot hold")
    spent = f", ${asker.purse.spent_usd:.4f} of it spent" if asker.purse.spent_usd else ""
    return f"{text}, at most ${worst_usd:.4f}; never more than the cap of ${usd(to.cap_usd)}{spent}"


def _system_text(of: Ran) -> str:
    """What the larger model is told first: its own text, else the one that the prompted arm was given."""
    texts = of.settings.get("prompts") or {}
    if "larger" in texts:
        return str(texts["larger"])
    from jobs.results.items import read_arm

    prompted = read_arm(of.out_dir / "eval", "prompted", "prompted", None)
    chosen = prompted.told.prompt.system if prompted is not None and prompted.told.prompt is not None else ""
    # A machine says which text it chose; only one that we sent is sent on.
    return chosen if chosen.strip() in {str(text).strip() for text in texts.values()} else ""


def told(error: "EndpointError") -> LaunchError:
    """An endpoint's failure as a person sees it."""
    from jobs.judge import failures
    from jobs.judge.judge import Useless

    rows: list[tuple[tuple[type[EndpointError], ...], LaunchError]] = [
        ((failures.Stopped,), _stopped()),
        ((failures.NoKey, failures.OpenKey), _as(error, code="endpoint-key", exit_code=Exit.USAGE)),
        ((failures.UnknownModel, failures.Misplaced), _as(error, code="endpoint-address", exit_code=Exit.USAGE)),
        ((failures.KeyRefused, failures.NoCredit), _as(error, code="endpoint-account", exit_code=Exit.PROVIDER)),
        ((failures.CapReached,), _as(error, code="judge-cap", exit_code=Exit.STOPPED)),
        ((failures.BookDamaged,), _as(error, code="judge-files", exit_code=Exit.USAGE)),
        (
            (failures.Garbage, failures.Refused, Useless),
            _as(error, code="endpoint-answers", exit_code=Exit.PROVIDER),
        ),
    ]
    away = _as(error, code="endpoint-unreachable", exit_code=Exit.PROVIDER)
    return next((failure for kinds, failure in rows if isinstance(error, kinds)), away)


def _as(error: "EndpointError", *, code: str, exit_code: Exit) -> LaunchError:
    return LaunchError(error.message, code=code, exit_code=exit_code, hint=error.hint)


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"
