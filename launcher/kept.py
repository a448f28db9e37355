"""A receipt as it was kept, read back from its JSON by hand: `launch receipt` must start fast, without pydantic."""

import json
from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from launcher.errors import Exit, LaunchError
from launcher.receipt import Gain, Receipt, ReceiptPart, ReceiptPhase, Results, Score, Task, Terminated
from launcher.run import Outcome
from launcher.wire import Json
from pricing.interval import Dollars
from pricing.offer import Market


def parsed(document: str) -> dict[str, Json]:
    """The JSON object. Raises `LaunchError` where it is none."""
    try:
        value = json.loads(document)
    except ValueError as error:
        raise _damaged(str(error)) from error
    if not isinstance(value, dict):
        raise _damaged("it is no object")
    return value


def receipt(document: str) -> Receipt:
    """The receipt that `wire.document` wrote. Raises `LaunchError` where the document is damaged."""
    try:
        return _receipt(parsed(document))
    except (KeyError, TypeError, ValueError, AttributeError, InvalidOperation) as error:
        raise _damaged(repr(error)) from error


def _damaged(detail: str) -> LaunchError:
    return LaunchError(
        "the kept receipt cannot be read",
        code="receipt-damaged",
        exit_code=Exit.USAGE,
        hint="launch show",
        detail=detail,
    )


def _receipt(kept: dict[str, Any]) -> Receipt:
    return Receipt(
        run=kept["run"],
        name=kept["name"],
        at=_instant(kept["at"]),
        started_at=_instant(kept["started_at"]),
        outcome=Outcome(kept["outcome"]),
        exit_code=Exit(kept["exit_code"]),
        why=kept["why"],
        provider=kept["provider"],
        region=kept["region"],
        zone=kept["zone"],
        instance_type=kept["instance_type"],
        market=None if kept["market"] is None else Market(kept["market"]),
        attempts=kept["attempts"],
        budget_usd=None if kept["budget_usd"] is None else Decimal(kept["budget_usd"]),
        planned_usd=None if kept["planned_usd"] is None else _dollars(kept["planned_usd"]),
        spent_usd=Decimal(kept["spent_usd"]),
        spent_is=kept["spent_is"],
        price_source=kept["price"]["source"],
        price_seen_at=_maybe_instant(kept["price"]["seen_at"]),
        phases=tuple(_phase(one) for one in kept["phases"]),
        terminated=_terminated(kept["terminated"]),
        leftovers=tuple(kept["leftovers"]),
        results=_results(kept["results"]),
        scores=tuple(_score(one) for one in kept["scores"]),
        gate=tuple(kept["gate"]),
        # Of what follows receipts of older versions know nothing.
        gains=tuple(_gain(one) for one in kept.get("gains", ())),
        adjacent=tuple(_task(one) for one in kept.get("adjacent", ())),
        verdict=kept.get("verdict", ""),
        parts=tuple(_part(one) for one in kept.get("parts", ())),
        resume_usd=_maybe_usd(kept.get("resume_budget_usd")),
    )


def _part(kept: dict[str, Any]) -> ReceiptPart:
    return ReceiptPart(
        outcome=Outcome(kept["outcome"]),
        attempts=kept["attempts"],
        budget_usd=_maybe_usd(kept["budget_usd"]),
        allowed_usd=_maybe_usd(kept["allowed_usd"]),
        spent_usd=Decimal(kept["spent_usd"]),
        phases=tuple(_phase(one) for one in kept["phases"]),
    )


def _maybe_usd(kept: str | None) -> Decimal | None:
    return None if kept is None else Decimal(kept)


def _dollars(kept: dict[str, str]) -> Dollars:
    return Dollars(low_usd=Decimal(kept["low"]), expected_usd=Decimal(kept["expected"]), high_usd=Decimal(kept["high"]))


def _phase(kept: dict[str, Any]) -> ReceiptPhase:
    return ReceiptPhase(
        name=kept["name"],
        seconds=kept["seconds"],
        usd=Decimal(kept["usd"]),
        planned_seconds=kept["planned_seconds"],
        planned_usd=None if kept.get("planned_usd") is None else Decimal(kept["planned_usd"]),
    )


def _terminated(kept: dict[str, Any]) -> Terminated:
    return Terminated(confirmed=kept["confirmed"], at=_maybe_instant(kept["at"]), looks=kept["looks"])


def _results(kept: dict[str, Any]) -> Results:
    told = {name: kept[name] for name in ("files", "bytes", "verified")}
    return Results(folder=Path(kept["dir"]), **told, store=kept.get("store", ""))


def _score(kept: dict[str, Any]) -> Score:
    return Score(arm=kept["arm"], metrics=tuple(kept["metrics"].items()), n=kept["n"])


def _gain(kept: dict[str, Any]) -> Gain:
    return Gain(**{field.name: kept[field.name] for field in fields(Gain)})


def _task(kept: dict[str, Any]) -> Task:
    return Task(**{field.name: kept[field.name] for field in fields(Task)})


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _maybe_instant(text: str | None) -> datetime | None:
    return None if text is None else _instant(text)
