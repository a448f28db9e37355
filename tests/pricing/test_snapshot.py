"""The dated prices that ship with the package are whole, known, and old enough to say so."""

import csv
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

import pricing
from pricing import snapshot
from pricing.offer import Market
from tests.pricing.samples import NOW

FOLDER = Path(pricing.__file__).parent


def rows(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((FOLDER / name).read_text().splitlines()))


def test_every_row_is_an_offer_with_a_known_card_a_positive_price_and_a_source() -> None:
    offers = snapshot.offers(NOW)
    assert len(offers) == len(rows("snapshot.csv"))
    for offer in offers:
        assert offer.gpu is not None
        assert offer.usd_per_hour > 0
        assert offer.usd_per_hour == offer.worst_usd_per_hour
        assert "snapshot" in offer.source
        assert Decimal("0.05") < offer.usd_per_hour / offer.gpu_count < 20


def test_machines_of_private_hosts_are_marked_as_such_here_too() -> None:
    private = {one.region for one in snapshot.offers(NOW) if not one.vetted}
    assert private == {one.region for one in snapshot.offers(NOW) if one.region == "community"} == {"community"}


def test_a_processor_is_called_as_the_providers_call_it() -> None:
    assert {one.architecture for one in snapshot.offers(NOW)} <= {"x86_64", "aarch64"}


def test_no_place_sells_the_same_thing_twice() -> None:
    assert not [key for key, times in Counter(offer.pool for offer in snapshot.offers(NOW)).items() if times > 1]


def test_a_price_is_as_old_as_its_source_and_is_not_there_before_it() -> None:
    known = {offer.id: offer for offer in snapshot.offers(NOW)}
    g5 = known["aws/us-east-1/g5.xlarge/on-demand"]
    assert g5.age(datetime(2026, 7, 21, tzinfo=UTC)) == timedelta(days=1)
    assert g5.usd_per_hour == Decimal("1.006")
    assert snapshot.offers(datetime(2026, 2, 1, tzinfo=UTC)) == ()


def test_there_are_three_providers_with_their_terms_and_no_spot_price() -> None:
    assert {offer.provider for offer in snapshot.offers(NOW)} == {"aws", "lambda", "runpod"}
    assert {row["provider"] for row in rows("snapshot_terms.csv")} == {"aws", "lambda", "runpod"}
    assert all(row["source"] for row in rows("snapshot_terms.csv"))
    assert {offer.market for offer in snapshot.offers(NOW)} == {Market.ON_DEMAND}


def test_what_is_assumed_about_a_machine_is_said_in_its_source() -> None:
    blank = {row["instance_type"] for row in rows("snapshot.csv") if not row["ram_gib"]}
    for offer in snapshot.offers(NOW):
        assert (offer.instance_type in blank) == offer.source.endswith("host memory assumed")


@pytest.mark.parametrize(
    ("place", "price"), [("us-east-1", (Decimal("1.006"), date(2026, 7, 20))), ("eu-north-1", None)]
)
def test_an_on_demand_price_is_told_only_for_the_region_that_it_was_seen_in(place: str, price: object) -> None:
    assert snapshot.on_demand_usd("aws", "g5.xlarge", place) == price
