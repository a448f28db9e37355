"""Closing the books of a run: sweep, score, gate, receipt. Nothing here can cost money."""

import json
import sqlite3
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from jobs.progress import clean
from jobs.report import counted
from jobs.whole_files import write_whole
from launcher import data_papers, durable, keys, pages, rest, scoring, wire
from launcher.books import attempt_usd, spent_usd
from launcher.called import UNKNOWN
from launcher.errors import Exit, LaunchError
from launcher.events import Settled, Warned
from launcher.gate import wanting
from launcher.history import note_records
from launcher.pulling import NOT_PULLED
from launcher.receipt import Receipt, ReceiptPart, ReceiptPhase, Results, Terminated
from launcher.remote import Keys
from launcher.run import Attempt, Ending, Outcome, Part, Run
from launcher.strays import end_late
from launcher.teardown import sweep
from launcher.world import World
from pricing.budget import SMALLEST_USD
from pricing.estimate import PHASES

if TYPE_CHECKING:  # numpy: the scoring is imported when it is needed
    from collections.abc import Callable

    from jobs.results.serving import Paid
    from jobs.results.summary import Summary

EXIT_OF = {
    Outcome.SUCCEEDED: Exit.SUCCEEDED,
    Outcome.FAILED: Exit.JOB_FAILED,
    Outcome.PREEMPTED: Exit.STOPPED,
    Outcome.OUT_OF_BUDGET: Exit.STOPPED,
    Outcome.CANCELLED: Exit.INTERRUPTED,
    Outcome.LOST: Exit.STOPPED,
}
MOST_TOLD = 3
"""Oddities of the results that are told one by one: a machine can make up any number of them."""
REFUSED_CODES = ("no-capacity", "not-offered")


def settle(run: Run, world: World, *, opinions: "Callable[[Run, World], None] | None" = None) -> Receipt:
    """The receipt of a run whose machines are proven gone. Raises `LaunchError` where no machine was ever had.

    `opinions`: asks whoever else has a say about the answers of a run that succeeded, now that nothing is billed; the
    gate may need it.
    """
    ending = run.ending or Ending(outcome=Outcome.LOST, why="nobody knows how it ended")
    end_late(world, run.id)
    run.attempts = world.ledger.load(run.id).attempts
    had = [attempt for attempt in run.attempts if not attempt.never_was]
    left = (*sweep(run, world), *durable.clean(run, world))
    if not had:
        raise never_started(run.id, ending)
    if run.parts and all(attempt.never_was for attempt in run.since_resumed):
        raise _not_resumed(run, ending, world)
    if opinions is not None and ending.outcome is Outcome.SUCCEEDED:
        opinions(run, world)
    receipt = _as_before(_receipt(run, had, ending, left, world), world)
    world.ledger.note_spent(run, receipt.spent_usd)
    document = _document(receipt)
    world.ledger.note_receipt(run, document)
    with suppress(ValueError, KeyError, TypeError, sqlite3.Error):  # what a later run may learn must not lose this one
        note_records(run, world)
    write_whole(run.out_dir / "receipt.json", document + "\n")
    data_papers.bring(world.run_folder(run.id), run.out_dir)
    pages.write_pages(run, document, world)
    keys.forget(Keys(folder=world.run_folder(run.id) / "keys"))
    world.console.tell(Settled(run=run.id, at=receipt.at, receipt=receipt))
    return receipt


def _as_before(receipt: Receipt, world: World) -> Receipt:
    """One that says nothing new keeps its time: who looks at a run again has not closed it again."""
    known = world.ledger.find(receipt.run).receipt_json
    if known is None:
        return receipt
    again = replace(receipt, at=datetime.fromisoformat(json.loads(known)["at"]))
    return again if _document(again) == known else receipt


def _document(receipt: Receipt) -> str:
    return wire.text(wire.document(Settled(run=receipt.run, at=receipt.at, receipt=receipt)))


def never_started(run_id: str, ending: Ending) -> LaunchError:
    """How a run without any machine is told."""
    if ending.exit_code is not None:
        exit_code = Exit(ending.exit_code)
    else:
        exit_code = Exit.REFUSED if ending.code in REFUSED_CODES else EXIT_OF[ending.outcome]
    hint = (
        ending.hint
        or "`launch offers` shows what there is; --wait-capacity 30m keeps asking; --any-market widens the choice"
    )
    is_certain = ending.code != UNKNOWN
    return LaunchError(
        f"{run_id}: {ending.why}" + "; nothing was rented, nothing was spent" * is_certain,
        code=ending.code or "not-started",
        exit_code=exit_code,
        hint=hint,
    )


def _not_resumed(run: Run, ending: Ending, world: World) -> LaunchError:
    """`launch resume` found no machine: the run stands as it stood before, its receipt and its budget too."""
    world.ledger.undo_reopening(run)
    keys.forget(Keys(folder=world.run_folder(run.id) / "keys"))
    return never_started(run.id, ending)


def _receipt(run: Run, had: list[Attempt], ending: Ending, left: tuple[str, ...], world: World) -> Receipt:
    now, last = world.now(), had[-1]
    spent, phases = spent_usd(run, now).quantize(SMALLEST_USD), _phases(had, now)
    found = _scored(run, scoring.paid_for(spent, phases, f"{last.offer.provider} {last.offer.instance_type}"), world)
    settings = scoring.settings_of(world.run_folder(run.id))
    failed_gate = wanting(settings, found) if ending.outcome is Outcome.SUCCEEDED else ()
    exit_code = Exit(ending.exit_code) if ending.exit_code is not None else EXIT_OF[ending.outcome]
    instance = last.instance
    return Receipt(
        run=run.id,
        name=run.name,
        at=now,
        started_at=run.created_at,
        outcome=ending.outcome,
        exit_code=Exit.JOB_FAILED if failed_gate and exit_code is Exit.SUCCEEDED else exit_code,
        why=ending.why,
        provider=last.offer.provider,
        region=last.offer.region,
        zone=instance.zone if instance else last.offer.zone,
        instance_type=last.offer.instance_type,
        market=last.offer.market,
        attempts=len(had),
        budget_usd=run.budget_usd,
        planned_usd=run.attempts[0].choice.estimate.usd,
        spent_usd=spent,
        spent_is=_spent_is(had),
        price_source=last.offer.source,
        price_seen_at=last.offer.seen_at,
        phases=phases,
        terminated=Terminated(
            confirmed=all(one.gone_at is not None for one in had),
            at=max((one.gone_at for one in had if one.gone_at), default=None),
            looks=last.looks,
        ),
        leftovers=left,
        results=_results(run, ending, world),
        scores=() if found is None else scoring.scores_of(found),
        gate=failed_gate,
        gains=() if found is None else scoring.gains_of(found),
        adjacent=() if found is None else scoring.tasks_of(found),
        verdict="" if found is None else found.verdict.headline,
        parts=_parts(run, ending, now),
        resume_usd=_resume_usd(run, ending, world),
    )


def _parts(run: Run, ending: Ending, now: datetime) -> tuple[ReceiptPart, ...]:
    """What each budget of a resumed run came to; none of a run that had one budget only."""
    if not run.parts:
        return ()
    last = Part(
        resumed_at=now,
        budget_usd=run.budget_usd,
        spent_usd=spent_usd(run, now).quantize(SMALLEST_USD),
        attempts=len(run.attempts),
        outcome=ending.outcome,
        why=ending.why,
    )
    found, spent, first = [], Decimal(0), 0
    for part in (*run.parts, last):
        had = [one for one in run.attempts[first : part.attempts] if not one.never_was]
        found.append(
            ReceiptPart(
                outcome=part.outcome,
                attempts=len(had),
                budget_usd=part.budget_usd,
                allowed_usd=None if part.budget_usd is None else part.budget_usd - spent,
                spent_usd=part.spent_usd - spent,
                phases=_phases(had, now) if had else (),
            )
        )
        spent, first = part.spent_usd, part.attempts
    return tuple(found)


def _resume_usd(run: Run, ending: Ending, world: World) -> Decimal | None:
    """A budget to go on with, where the run can: it has a checkpoint, and money or a machine was what it lacked."""
    failed_by_itself = ending.outcome is Outcome.FAILED and not ending.code
    if ending.outcome is Outcome.SUCCEEDED or ending.code == durable.IN_STORE or failed_by_itself:
        return None
    if run.budget_usd is None or world.ledger.checkpoint(run.id) is None:
        return None
    try:
        return rest.needed_usd(run, world)
    except (ValueError, LookupError, TypeError):  # the receipt must be written, whatever an older plan holds
        return None


def _spent_is(had: list[Attempt]) -> str:
    if all(one.choice.worst_usd_per_hour == 0 for one in had):
        return "nothing is billed for this machine"
    rates = ", ".join(dict.fromkeys(f"{one.rate_usd_per_hour:.4f}" for one in had))
    text = f"metered by us from the create call to the confirmed end, at the rates seen, all in, last {rates}/h"
    if any(one.instance is None for one in had):
        text += "; whether a create call without an answer made a machine is unknown, and counted as if it had"
    return text


def _phases(had: list[Attempt], now: datetime) -> tuple[ReceiptPhase, ...]:
    """Seconds and dollars by phase, over all attempts; what no phase claims is teardown (and the time between)."""
    planned = {phase.name: phase for phase in had[0].choice.estimate.phases}
    seconds: dict[str, float] = {}
    usd: dict[str, Decimal] = {}
    for attempt in had:
        took = dict(attempt.phases)
        took["teardown"] = max(0.0, attempt.seconds(now) - sum(took.values()))
        per_second = attempt_usd(attempt, now) / Decimal(sum(took.values()) or 1)
        for name, value in took.items():
            seconds[name] = seconds.get(name, 0.0) + value
            usd[name] = usd.get(name, Decimal(0)) + per_second * Decimal(value)
    return tuple(
        ReceiptPhase(
            name=name,
            seconds=round(seconds[name], 1),
            usd=usd[name].quantize(Decimal("0.0001")),
            planned_seconds=planned[name].seconds.expected if name in planned else None,
            planned_usd=planned[name].usd.expected_usd if name in planned else None,
        )
        for name in PHASES
        if name in seconds
    )


def _results(run: Run, ending: Ending, world: World) -> Results:
    """What lies here. Sound files are not verified results where the last pull did not bring all that there was."""
    files, size, verified = counted(run.out_dir)
    whole = verified and ending.code not in (NOT_PULLED, durable.IN_STORE)
    store = durable.came_from(run, world)
    return Results(folder=run.out_dir, files=files, bytes=size, verified=whole, store=store)


def _scored(run: Run, paid: "Paid", world: World) -> "Summary | None":
    """Scored from what came home. Whatever a machine sent, and whatever we make of it, the receipt must be written."""
    try:
        found = scoring.scored(run.out_dir, world.run_folder(run.id), paid)
    except pages.UNFORESEEN as error:
        text = f"what came home could not be scored ({clean(repr(error))[:200]}); launch report {run.id} tries again"
        world.console.tell(Warned(run=run.id, at=world.now(), code="results", text=text))
        return None
    odd = () if found is None else found.warnings
    rest = (f"{len(odd) - MOST_TOLD} more about the results in eval/summary.json",) if len(odd) > MOST_TOLD else ()
    for text in (*odd[:MOST_TOLD], *rest):
        world.console.tell(Warned(run=run.id, at=world.now(), code="results", text=text))
    return found
