"""The JSON of the contract: every document against the committed schema, and a receipt read back as it was."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from launcher import kept, reaping, wire
from launcher.errors import LaunchError
from launcher.events import Happened, Progressed, Settled
from launcher.receipt import Terminated
from launcher.recover import Reaped
from pricing.offer import Market
from providers.base import Finding, Instance, InstanceState, Level
from tests.launcher import values
from tests.launcher.values import NOW, RUN

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "events.schema.json").read_text())


def is_sound(document: object) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(document)


def machine() -> Instance:
    return Instance(
        provider="aws", id="i-0abc", region="us-east-2", zone="us-east-2a", instance_type="g5.xlarge",
        market=Market.SPOT, state=InstanceState.RUNNING, run_id=RUN, attempt=1, nonce="ab", created_at=NOW,
    )  # fmt: skip


def keys(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            yield from keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)


@pytest.mark.parametrize("event", values.events(), ids=lambda event: type(event).__name__)
def test_every_event_is_what_the_schema_says(event: Happened) -> None:
    document = json.loads(wire.dumps(event))
    is_sound(document)
    assert list(document)[:4] == ["schema", "event", "at", "run"]


@pytest.mark.parametrize("event", values.events(), ids=lambda event: type(event).__name__)
def test_money_never_travels_as_a_number(event: Happened) -> None:
    money = [value for key, value in keys(wire.document(event)) if "usd" in key]
    assert all(value is None or isinstance(value, str | dict) for value in money)


def test_every_one_shot_document_is_what_the_schema_says() -> None:
    is_sound(wire.runs([values.record(), values.record(maybe_usd_per_hour=Decimal("0.5"), open_intents=1)], NOW))
    is_sound(wire.shown(values.record(), NOW))
    is_sound(wire.offers(values.offers(), NOW))
    is_sound(wire.findings([("aws", Finding(level=Level.OK, subject="network", text="fine"))], NOW))
    is_sound(reaping.document(Reaped(ended=(machine(),), still_there=(machine(),), unknown=("aws: down",)), NOW))
    is_sound(wire.error(values.failure(), RUN, NOW))


def test_the_schema_refuses_a_receipt_that_lacks_its_proof() -> None:
    document: dict[str, Any] = json.loads(wire.dumps(Settled(run=RUN, at=NOW, receipt=values.receipt())))
    del document["terminated"]["looks"]
    with pytest.raises(jsonschema.ValidationError):
        is_sound(document)


def test_the_receipt_has_the_fields_of_the_contract() -> None:
    document = wire.document(Settled(run=RUN, at=NOW, receipt=values.receipt()))
    assert document["at"] == "2026-11-24T20:04:05Z"
    assert document["planned_usd"] == {"low": "0.61", "expected": "0.83", "high": "1.40"}
    assert document["spent_usd"] == "0.7912"
    boot = {"name": "boot", "seconds": 71.2, "usd": "0.0097", "planned_seconds": 80.0, "planned_usd": "0.0108"}
    assert document["phases"][0] == boot  # type: ignore[index]  # JSON of known shape
    assert document["phases"][2]["planned_usd"] is None  # type: ignore[index,call-overload]  # as above
    assert document["terminated"] == {"confirmed": True, "at": "2026-11-24T21:00:05Z", "looks": 3}
    assert document["results"] == {"dir": f"runs/{RUN}", "files": 14, "bytes": 31_457_280, "verified": True}
    assert document["price"] == {"source": "spot price history", "seen_at": "2026-11-24T20:02:05Z"}


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        ("5", "5.00"),
        ("0.7912", "0.7912"),
        ("1E+3", "1000.00"),
        ("0.00000049", "0.00"),
        ("0.1", "0.10"),
        ("-2.5", "-2.50"),
    ],
)
def test_money_is_a_plain_decimal_string(usd: str, text: str) -> None:
    assert wire.usd(Decimal(usd)) == text


def test_a_number_that_json_does_not_know_is_refused() -> None:
    snapshot = replace(values.snapshot_of_work(), loss=float("nan"))
    with pytest.raises(ValueError, match="JSON"):
        wire.dumps(Progressed(run=RUN, at=NOW, snapshot=snapshot))


def test_a_document_is_one_line() -> None:
    failure = LaunchError("two\nlines", code="x", exit_code=values.failure().exit_code, hint="a\nb")
    assert "\n" not in wire.text(wire.error(failure, RUN, NOW))


@pytest.mark.parametrize(
    "paper",
    [
        values.receipt(),
        values.receipt(budget_usd=None, planned_usd=None, market=None, price_seen_at=None, scores=(), gate=("exact",)),
        values.receipt(terminated=Terminated(confirmed=False, at=None, looks=0), leftovers=("volume",)),
        values.scored_receipt(),
    ],
)
def test_a_kept_receipt_is_read_back_as_it_was(paper: Any) -> None:
    again = kept.receipt(wire.dumps(Settled(run=RUN, at=paper.at, receipt=paper)))
    assert wire.receipt(again) == wire.receipt(paper)
    assert again.at - paper.at == timedelta(0)


def test_a_receipt_of_a_version_that_knew_no_gains_is_still_read() -> None:
    document = json.loads(wire.dumps(Settled(run=RUN, at=NOW, receipt=values.receipt())))
    for newer in ("gains", "adjacent", "verdict"):
        del document[newer]
    again = kept.receipt(json.dumps(document))
    assert (again.gains, again.adjacent, again.verdict) == ((), (), "")
    assert again.scores == values.receipt().scores


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"run": 3}'])
def test_a_damaged_receipt_is_a_message_and_no_traceback(text: str) -> None:
    with pytest.raises(LaunchError) as caught:
        kept.receipt(text)
    assert caught.value.code == "receipt-damaged"
