"""Offers in the ledger's file: they come back as they were, and a row of another version is as if it were not there."""

import json
import sqlite3
from dataclasses import replace
from decimal import Decimal

import pytest

from launcher.offer_rows import dumped, loaded
from pricing.offer import Billing, Offer, Stock
from tests.fake_machine import fake_offer
from tests.fake_world import Stage
from tests.launcher import values
from tests.pricing.samples import cpu

FULL = replace(
    fake_offer("NVIDIA RTX 4090", zone=""),
    region="EU-RO-1",
    billing=Billing(granularity_seconds=60, minimum_seconds=60),
    architecture="aarch64",
    reclaims_per_hour=0.05,
    stock=Stock.LOW,
    vetted=False,
    guarded=False,
    boot_seconds=90.5,
    usd_per_hour=Decimal("0.000100"),
)
"""Nothing in it is the default of its field."""


@pytest.mark.parametrize("offer", [FULL, cpu(ram_gib=31.3), *values.offers()], ids=lambda one: str(one.id))
def test_an_offer_comes_back_as_it_was(offer: Offer) -> None:
    back = loaded(dumped(offer))
    assert back == offer
    assert str(back.usd_per_hour) == str(offer.usd_per_hour)


def changed(**fields: object) -> str:
    return json.dumps({**json.loads(dumped(FULL)), **fields})


@pytest.mark.parametrize(
    "text",
    [
        "", "no json", "null", "[]", "{}", '"offer"', json.dumps({"provider": "fake"}),
        changed(gpu="H900"), changed(market="barter"), changed(stock="plenty"), changed(usd_per_hour="dear"),
        changed(usd_per_hour="9"), changed(seen_at="yesterday"), changed(seen_at="2026-11-24T12:00:00"),
        changed(fees_usd=["0", "0"]), changed(billing_seconds=[1]), changed(gpu_count=0),
        json.dumps({key: value for key, value in json.loads(dumped(FULL)).items() if key != "vetted"}),
    ],
)  # fmt: skip
def test_a_row_of_another_version_is_none(text: str) -> None:
    assert loaded(text) is None


def test_a_row_of_another_version_hides_no_row_of_this_one(stage: Stage) -> None:
    ledger = stage.laptop().ledger
    ledger.sightings.keep_offers("fake", stage.provider.catalogue, whole=True)
    with sqlite3.connect(stage.folder / "home" / "ledger.sqlite") as other_version:
        other_version.execute("INSERT INTO offers VALUES ('newer', 'fake', ?)", (changed(stock="plenty"),))
    other_version.close()
    assert set(ledger.sightings.offers("fake")) == set(stage.provider.catalogue)


def test_a_field_that_a_newer_version_added_does_not_spoil_a_row() -> None:
    assert loaded(changed(colour="green")) == FULL
