"""What Runpod sells, as offers: the secure cloud by default, a row for each card and data centre that has some."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from pricing.offer import Market, Offer, Stock
from providers.base import OfferQuery, Unavailable
from providers.runpod import Runpod
from tests.cloud.runpod_life import GPUS
from tests.providers.hand_clouds import HandClouds
from tests.providers.plain_server import PlainServer, document

RTX4090 = "NVIDIA GeForce RTX 4090"


@pytest.fixture
def provider(clouds: HandClouds, tmp_path: Path) -> Runpod:
    return clouds.runpod_at(tmp_path)


def found(provider: Runpod, name: str, **query: Any) -> list[Offer]:
    return [one for one in provider.offers(OfferQuery(**query)) if one.instance_type == name]


def test_a_card_is_offered_in_each_data_centre_with_how_many_there_are(provider: Runpod) -> None:
    offers = found(provider, RTX4090)
    assert [(one.region, one.stock) for one in offers] == [("US-KS-2", Stock.HIGH), ("EU-RO-1", Stock.LOW)]


def test_a_price_is_the_secure_clouds_to_the_last_digit(provider: Runpod) -> None:
    assert {one.usd_per_hour for one in found(provider, RTX4090)} == {Decimal("0.69")}


def test_what_a_pod_may_cost_above_its_list_price_is_counted_in(provider: Runpod) -> None:
    assert {one.worst_usd_per_hour for one in found(provider, RTX4090)} == {Decimal("0.6969")}


def test_a_card_that_is_nowhere_free_says_so(provider: Runpod) -> None:
    (one,) = found(provider, "NVIDIA RTX A5000")
    assert (one.region, one.stock) == ("any", Stock.NONE)


def test_a_data_centre_that_has_none_is_left_out(provider: Runpod, clouds: HandClouds) -> None:
    clouds.runpod_life.set_places(RTX4090, {"US-KS-2": "NONE", "EU-RO-1": "LOW"})
    assert [one.region for one in found(provider, RTX4090)] == ["EU-RO-1"]
    clouds.runpod_life.set_places(RTX4090, {"US-KS-2": "NONE"})
    assert [(one.region, one.stock) for one in found(provider, RTX4090)] == [("any", Stock.NONE)]


def test_private_hosts_are_offered_only_to_who_asks_for_them(provider: Runpod) -> None:
    assert all(one.vetted for one in provider.offers(OfferQuery()))
    asked = found(provider, RTX4090, community=True)
    (private,) = [one for one in asked if not one.vetted]
    assert (private.region, private.usd_per_hour) == ("community", Decimal("0.34"))
    assert len(asked) == 3


def test_a_card_without_a_price_among_private_hosts_is_not_offered_there(provider: Runpod) -> None:
    assert [one.vetted for one in found(provider, "NVIDIA L4", community=True)] == [True, True]


def test_the_private_clouds_catalogue_is_asked_only_then(provider: Runpod, clouds: HandClouds) -> None:
    provider.offers(OfferQuery())
    provider.offers(OfferQuery(community=True))
    clouds_asked = [parse_qs(one.query)["cloud"] for one in clouds.calls("runpod.gpus")]
    assert clouds_asked == [["SECURE"], ["SECURE"], ["COMMUNITY"]]


def test_the_catalogue_is_asked_for_what_can_run_the_image(clouds: HandClouds, tmp_path: Path) -> None:
    clouds.runpod_at(tmp_path, settings={"min_cuda": "13.0"}).offers(OfferQuery())
    (asked,) = clouds.calls("runpod.gpus")
    assert parse_qs(asked.query) == {
        "include": ["AVAILABILITY"],
        "product": ["POD"],
        "count": ["1"],
        "cloud": ["SECURE"],
        "minCudaVersion": ["13.0"],
    }


def test_a_slice_of_a_card_is_not_offered(provider: Runpod, clouds: HandClouds) -> None:
    assert any("MIG" in name for name in clouds.runpod_life.scenario.gpus)
    assert not [one for one in provider.offers(OfferQuery()) if "MIG" in one.instance_type]


def test_a_card_that_is_none_of_nvidias_is_known_as_one_that_cannot_run_the_job(provider: Runpod) -> None:
    """The plan leaves it out, with that as its reason."""
    others = [one for one in provider.offers(OfferQuery()) if one.instance_type.startswith("AMD")]
    assert [one.gpu.cuda for one in others if one.gpu is not None] == [False] * len(others)


def test_an_offer_tells_its_card_its_market_and_how_it_is_billed(provider: Runpod) -> None:
    one = found(provider, "NVIDIA A40")[0]
    assert (one.provider, one.gpu and one.gpu.name, one.gpu_count) == ("runpod", "A40", 1)
    assert (one.market, one.billing.granularity_seconds) == (Market.ON_DEMAND, 1)
    assert one.fees.disk_usd_per_gib_month == Decimal("0.10")
    assert one.fees.egress_usd_per_gib == 0


def test_host_memory_is_assumed_and_said_to_be(provider: Runpod) -> None:
    small, large = found(provider, RTX4090)[0], found(provider, "NVIDIA A100 80GB PCIe")[0]
    assert (small.ram_gib, large.ram_gib) == (24.0, 80.0)
    assert "host memory assumed" in small.source


def test_a_price_was_seen_now(provider: Runpod, clouds: HandClouds) -> None:
    clouds.world.pass_time(3600)
    assert {one.seen_at for one in provider.offers(OfferQuery())} == {clouds.world.clock.now()}


def test_the_regions_that_are_asked_for_are_all_that_is_shown(provider: Runpod) -> None:
    offers = provider.offers(OfferQuery(regions=("CA-MTL-1",)))
    assert {(one.instance_type, one.region) for one in offers} == {("NVIDIA A40", "CA-MTL-1")}


def test_private_hosts_are_a_place_that_can_be_asked_for(provider: Runpod) -> None:
    offers = provider.offers(OfferQuery(regions=("community",), community=True))
    assert {one.region for one in offers} == {"community"}


def test_the_users_own_data_centres_hold_where_none_are_asked_for(clouds: HandClouds, tmp_path: Path) -> None:
    provider = clouds.runpod_at(tmp_path, settings={"regions": ["EU-RO-1"]})
    assert {one.region for one in provider.offers(OfferQuery())} == {"EU-RO-1", "any"}


def test_card_and_price_are_kept_to(provider: Runpod) -> None:
    assert {one.instance_type for one in provider.offers(OfferQuery(gpus=("RTX4090",)))} == {RTX4090}
    cheap = provider.offers(OfferQuery(gpus=("RTX4090", "L4"), max_usd_per_hour=Decimal("0.50")))
    assert {one.instance_type for one in cheap} == {"NVIDIA L4"}


def test_new_fields_and_cards_that_nobody_knows_do_not_hide_the_rest(provider: Runpod, clouds: HandClouds) -> None:
    clouds.world.set_knobs("runpod", {"more_fields": True})
    clouds.runpod_life.scenario.gpus["NVIDIA Z9"] = replace(GPUS[RTX4090], id="NVIDIA Z9", memory=512)
    names = {one.instance_type for one in provider.offers(OfferQuery())}
    assert RTX4090 in names
    assert "NVIDIA Z9" not in names


def entry(**changes: Any) -> dict[str, Any]:
    """One card as the catalogue lists it."""
    given = {
        "id": "NVIDIA L4",
        "memory": 24,
        "price": {"secure": 0.43, "community": 0.2},
        "availability": "HIGH",
        "dataCenters": [{"id": "US-KS-2", "name": "Kansas", "availability": "HIGH"}],
    }
    return {**given, **changes}


ODD: dict[str, object] = {
    "no price": entry(price=None),
    "a price of nothing": entry(price={"secure": 0, "community": 0}),
    "a price in words": entry(price={"secure": "0.43"}),
    "no memory": entry(memory=None),
    "a memory with a point": entry(memory=24.5),
    "no id": entry(id=""),
    "data centres that are no list": entry(dataCenters="everywhere"),
    "a data centre without an id": entry(dataCenters=[{"availability": "HIGH"}]),
}


def offered(clouds: HandClouds, server: PlainServer, folder: Path, answer: object, **query: Any) -> tuple[Offer, ...]:
    server.says(document(answer))
    provider = clouds.runpod_at(folder, clouds.runpod_environ(RUNPOD_API_BASE_URL=server.url))
    return provider.offers(OfferQuery(**query))


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("community", [False, True])
def test_an_entry_that_makes_no_sense_is_left_out_and_the_rest_is_offered(
    clouds: HandClouds, server: PlainServer, tmp_path: Path, odd: object, community: bool
) -> None:
    right = entry(id="NVIDIA A40", memory=48)
    offers = offered(clouds, server, tmp_path, {"gpus": [odd, right]}, community=community)
    assert ("NVIDIA A40", "US-KS-2") in {(one.instance_type, one.region) for one in offers}
    assert not [one for one in offers if one.vetted and one.instance_type != "NVIDIA A40"]


@pytest.mark.parametrize("answer", [None, [], {}, {"gpus": None}, {"gpus": {}}, {"gpus": [None]}])
def test_a_market_that_is_no_market_is_never_an_empty_one(
    clouds: HandClouds, server: PlainServer, tmp_path: Path, answer: object
) -> None:
    with pytest.raises(Unavailable):
        offered(clouds, server, tmp_path, answer)


@pytest.mark.parametrize(
    ("word", "stock"), [("HIGH", Stock.HIGH), ("MEDIUM", Stock.MEDIUM), ("LOW", Stock.LOW), ("PLENTY", Stock.SOME)]
)
def test_stock_is_taken_by_its_word_and_a_new_word_means_some(
    clouds: HandClouds, server: PlainServer, tmp_path: Path, word: str, stock: Stock
) -> None:
    (one,) = offered(clouds, server, tmp_path, {"gpus": [entry(dataCenters=[{"id": "US-KS-2", "availability": word}])]})
    assert one.stock is stock
