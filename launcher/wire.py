"""Events as the JSON documents of the contract: versioned, money as decimal strings with the currency in the key."""

import json
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import singledispatch

from launcher.errors import LaunchError
from launcher.events import (
    Forecast,
    Happened,
    IntentWritten,
    OfferRefused,
    PlanMade,
    Progressed,
    Pulled,
    Settled,
    StateChanged,
    Warned,
)
from launcher.receipt import Gain, Receipt, ReceiptPart, ReceiptPhase, Score, Task
from launcher.records import RunRecord
from pricing.estimate import Estimate, Phase
from pricing.interval import Dollars, Interval
from pricing.offer import Offer
from pricing.plan import Choice, Fitted, Plan, Rejected
from providers.base import Finding

SCHEMA = 1

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
"""What `json.dumps` writes without help."""

FINEST = Decimal("0.000001")
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def document(event: Happened) -> dict[str, Json]:
    """One event as a JSON object: the head that every line has, then the event's own fields."""
    name, fields = _fields(event)
    return {**head(name, event.at, event.run), **fields}


def dumps(event: Happened) -> str:
    """`document` as one line of text."""
    return text(document(event))


def text(value: Json) -> str:
    """JSON on one line; a number that JSON does not know (NaN) is our bug and raises ValueError."""
    return _ENCODER.encode(value)


def head(event: str, at: datetime, run: str) -> dict[str, Json]:
    """What every line begins with."""
    return {"schema": SCHEMA, "event": event, "at": instant(at), "run": run}


def error(failure: LaunchError, run: str, at: datetime) -> dict[str, Json]:
    """The last line of a run that ended badly; `detail` (raw codes) is left to logs."""
    return {
        **head("error", at, run),
        "exit_code": int(failure.exit_code),
        "code": failure.code,
        "message": failure.message,
        "hint": failure.hint,
    }


def usd(amount_usd: Decimal) -> str:
    """Money as an exact decimal string: at least two decimals, at most six, never an exponent."""
    digits = f"{amount_usd.quantize(FINEST, rounding=ROUND_HALF_UP):f}".rstrip("0")
    whole, _, decimals = digits.partition(".")
    return f"{whole}.{decimals.ljust(2, '0')}"


def maybe_usd(amount_usd: Decimal | None) -> str | None:
    """As `usd`; null where nobody knows."""
    return None if amount_usd is None else usd(amount_usd)


def instant(at: datetime) -> str:
    """RFC 3339 in UTC, whole seconds."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def maybe_instant(at: datetime | None) -> str | None:
    """As `instant`; null where there is none."""
    return None if at is None else instant(at)


# The documents of one-shot commands


def runs(records: list[RunRecord], at: datetime) -> dict[str, Json]:
    """`ps`: all runs."""
    return {**head("runs", at, ""), "runs": [record(one) for one in records]}


def shown(one: RunRecord, at: datetime) -> dict[str, Json]:
    """`show`: one run."""
    return {**head("show", at, one.id), **record(one)}


def record(one: RunRecord) -> dict[str, Json]:
    """One run as the ledger has it."""
    return {
        "id": one.id,
        "name": one.name,
        "created_at": instant(one.created_at),
        "state": str(one.state),
        "outcome": None if one.outcome is None else str(one.outcome),
        "provider": one.provider,
        "region": one.region,
        "zone": one.zone,
        "instance_type": one.instance_type,
        "market": one.market,
        "instance_id": one.instance_id,
        "budget_usd": maybe_usd(one.budget_usd),
        "spent_usd": usd(one.spent_usd),
        "dir": str(one.out_dir),
        "open_intents": one.open_intents,
        "maybe_usd_per_hour": maybe_usd(one.maybe_usd_per_hour),
        "resumed": one.resumed,
    }


def offers(found: tuple[Offer, ...], at: datetime) -> dict[str, Json]:
    """`offers`: what can be rented."""
    return {**head("offers", at, ""), "offers": [offer(one) for one in found]}


def findings(found: list[tuple[str, Finding]], at: datetime) -> dict[str, Json]:
    """`doctor`: each provider's findings."""
    rows: list[Json] = [
        {"provider": name, "level": str(one.level), "subject": one.subject, "text": one.text, "fix": one.fix}
        for name, one in found
    ]
    return {**head("doctor", at, ""), "findings": rows}


# The fields of each event


@singledispatch
def _fields(event: Happened) -> tuple[str, dict[str, Json]]:
    raise TypeError(f"no document for {type(event).__name__}")


@_fields.register
def _(event: PlanMade) -> tuple[str, dict[str, Json]]:
    return "plan", {"title": event.title, "data": event.data, **plan(event.plan)}


@_fields.register
def _(event: IntentWritten) -> tuple[str, dict[str, Json]]:
    return "intent", {
        "attempt": event.attempt,
        "offer": offer(event.offer),
        "nonce": event.nonce,
        "worst_usd_per_hour": usd(event.worst_usd_per_hour),
        "lease_seconds": event.lease_seconds,
        "deadline": instant(event.deadline),
    }


@_fields.register
def _(event: OfferRefused) -> tuple[str, dict[str, Json]]:
    return "refused", {"offer": offer(event.offer), "code": event.code, "reason": event.reason}


@_fields.register
def _(event: StateChanged) -> tuple[str, dict[str, Json]]:
    place: Json = None if event.offer is None else offer(event.offer)
    fields: dict[str, Json] = {"state": str(event.state), "attempt": event.attempt, "instance_id": event.instance_id}
    return "state", {**fields, "offer": place}


@_fields.register
def _(event: Progressed) -> tuple[str, dict[str, Json]]:
    now, looked = event.snapshot, event.snapshot.validation
    phases: list[Json] = [{"name": name, "seconds": round(seconds, 1)} for name, seconds in now.phases]
    return "progress", {
        "phases": phases,
        "step": now.step,
        "of": now.of,
        "loss": now.loss,
        "loss_falls": now.loss_falls,
        "tokens_per_second": now.tokens_per_second,
        "vram_gib": now.vram_gib,
        "validation": None if looked is None else {"step": looked[0], "loss": looked[1], "best": looked[2]},
        "arm": now.arm,
        "evaluated": now.evaluated,
        "evaluate_of": now.evaluate_of,
        "spent_usd": usd(now.spent_usd),
    }


@_fields.register
def _(event: Forecast) -> tuple[str, dict[str, Json]]:
    return "forecast", {
        "seconds": interval(event.seconds),
        "forecast_usd": dollars(event.usd),
        "basis": event.basis,
    }


@_fields.register
def _(event: Warned) -> tuple[str, dict[str, Json]]:
    return "warning", {"code": event.code, "text": event.text}


@_fields.register
def _(event: Pulled) -> tuple[str, dict[str, Json]]:
    return "pulled", {
        "what": event.what,
        "dir": str(event.folder),
        "files": event.files,
        "bytes": event.bytes,
        "verified": event.verified,
        "refused": list(event.refused),
    }


@_fields.register
def _(event: Settled) -> tuple[str, dict[str, Json]]:
    return "receipt", receipt(event.receipt)


# The values inside


def receipt(paper: Receipt) -> dict[str, Json]:
    """The fields of a receipt, as the contract's sample has them, and why, scores, gate and price behind."""
    gone = paper.terminated
    return {
        "name": paper.name,
        "outcome": str(paper.outcome),
        "exit_code": int(paper.exit_code),
        "why": paper.why,
        "started_at": instant(paper.started_at),
        "provider": paper.provider,
        "region": paper.region,
        "zone": paper.zone,
        "instance_type": paper.instance_type,
        "market": None if paper.market is None else str(paper.market),
        "attempts": paper.attempts,
        "budget_usd": maybe_usd(paper.budget_usd),
        "planned_usd": None if paper.planned_usd is None else dollars(paper.planned_usd),
        "spent_usd": usd(paper.spent_usd),
        "spent_is": paper.spent_is,
        "price": {"source": paper.price_source, "seen_at": maybe_instant(paper.price_seen_at)},
        "phases": [_phase(one) for one in paper.phases],
        "terminated": {"confirmed": gone.confirmed, "at": maybe_instant(gone.at), "looks": gone.looks},
        "leftovers": list(paper.leftovers),
        "results": _results(paper),
        "scores": [_score(one) for one in paper.scores],
        "gate": list(paper.gate),
        "gains": [_gain(one) for one in paper.gains],
        "adjacent": [_task(one) for one in paper.adjacent],
        "verdict": paper.verdict,
        "parts": [_part(one) for one in paper.parts],
        "resume_budget_usd": maybe_usd(paper.resume_usd),
    }


def _part(part: ReceiptPart) -> dict[str, Json]:
    return {"outcome": str(part.outcome), "attempts": part.attempts, "budget_usd": maybe_usd(part.budget_usd),
            "allowed_usd": maybe_usd(part.allowed_usd), "spent_usd": usd(part.spent_usd),
            "phases": [_phase(one) for one in part.phases]}  # fmt: skip


def _results(paper: Receipt) -> dict[str, Json]:
    found = paper.results
    told: dict[str, Json] = {"store": found.store} if found.store else {}
    return {"dir": str(found.folder), "files": found.files, "bytes": found.bytes, "verified": found.verified, **told}


def _phase(phase: ReceiptPhase) -> dict[str, Json]:
    planned = None if phase.planned_seconds is None else round(phase.planned_seconds, 1)
    planned_usd = None if phase.planned_usd is None else usd(phase.planned_usd)
    return {
        "name": phase.name, "seconds": round(phase.seconds, 1), "usd": usd(phase.usd), "planned_seconds": planned,
        "planned_usd": planned_usd,
    }  # fmt: skip


def _score(score: Score) -> dict[str, Json]:
    return {"arm": score.arm, "metrics": dict(score.metrics), "n": score.n}


def _gain(gain: Gain) -> dict[str, Json]:
    return {
        "metric": gain.metric, "title": gain.title, "against": gain.against, "value": gain.value, "low": gain.low,
        "high": gain.high, "n": gain.n, "distinguishable": gain.distinguishable,
    }  # fmt: skip


def _task(task: Task) -> dict[str, Json]:
    return {"name": task.name, "metric": task.metric, "base": task.base, "tuned": task.tuned, "state": task.state}


def plan(made: Plan) -> dict[str, Json]:
    """The fields of a plan."""
    return {
        "budget_usd": maybe_usd(made.terms.budget_usd),
        "choices": [_choice(one) for one in made.choices],
        "outranked": made.outranked,
        "fitted": None if made.fitted is None else _fitted(made.fitted),
        "rejected": [_rejected(one) for one in made.rejected],
    }


def _fitted(fitted: Fitted) -> dict[str, Json]:
    return {
        "asked_epochs": round(fitted.asked_epochs, 4),
        "asked_steps": fitted.asked_steps,
        "epochs": round(fitted.epochs, 4),
        "steps": fitted.steps,
        "whole_usd": maybe_usd(fitted.whole_usd),
    }


def _choice(choice: Choice) -> dict[str, Json]:
    return {
        "offer": offer(choice.offer),
        **_estimate(choice.estimate),
        "finish_usd": usd(choice.finish_usd),
        "odds": None if choice.odds is None else round(choice.odds, 4),
        "worst_usd_per_hour": usd(choice.worst_usd_per_hour),
        "expected_usd_per_hour": usd(choice.expected_usd_per_hour),
        "lease_seconds": int(choice.lease_seconds),
        "disk_gib": choice.disk_gib,
    }


def _estimate(estimate: Estimate) -> dict[str, Json]:
    fit = estimate.fit
    return {
        "planned_usd": dollars(estimate.usd),
        "seconds": interval(estimate.seconds),
        "phases": [_planned_phase(one) for one in estimate.phases],
        "corrected": [{"phase": name, "factor": round(factor, 4)} for name, factor in estimate.times.factors],
        "rework_seconds": round(estimate.rework_seconds, 1),
        "egress_usd": usd(estimate.egress_usd),
        "memory": {
            "needed_gib": round(fit.needed_gib, 2),
            "sure_gib": round(fit.sure_gib, 2),
            "usable_gib": round(fit.usable_gib, 2),
            "margin": round(fit.margin, 4),
            "verdict": "fits" if fit.fits else "barely" if fit.barely else "does-not-fit",
            "parts": [{"name": name, "gib": round(size, 3)} for name, size in fit.parts],
        },
        "tokens_per_second": interval(estimate.tokens_per_second),
        "corrections": {name: round(factor, 4) for name, factor in estimate.times.factors},
    }


def _planned_phase(phase: Phase) -> dict[str, Json]:
    return {"name": phase.name, "seconds": interval(phase.seconds), "planned_usd": dollars(phase.usd)}


def _rejected(one: Rejected) -> dict[str, Json]:
    return {"offer": offer(one.offer), "code": one.code, "reason": one.reason}


def offer(one: Offer) -> dict[str, Json]:
    """An offer, with source and age of its price."""
    return {
        "provider": one.provider,
        "instance_type": one.instance_type,
        "region": one.region,
        "zone": one.zone,
        "market": str(one.market),
        "gpu": None if one.gpu is None else one.gpu.name,
        "gpu_count": one.gpu_count,
        "vcpus": one.vcpus,
        "ram_gib": one.ram_gib,
        "usd_per_hour": usd(one.usd_per_hour),
        "worst_usd_per_hour": usd(one.worst_usd_per_hour),
        "seen_at": instant(one.seen_at),
        "source": one.source,
        "guarded": one.guarded,
        "stock": str(one.stock),
        "boot_seconds": one.boot_seconds,
        "vetted": one.vetted,
    }


def interval(span: Interval) -> dict[str, Json]:
    """Low, expected and high."""
    return {"low": round(span.low, 1), "expected": round(span.expected, 1), "high": round(span.high, 1)}


def dollars(span: Dollars) -> dict[str, Json]:
    """Low, expected and high, as money."""
    return {"low": usd(span.low_usd), "expected": usd(span.expected_usd), "high": usd(span.high_usd)}
