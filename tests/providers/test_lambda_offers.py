"""What Lambda sells, as offers: whole cents of a whole machine, a row for each region that has some."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pricing.offer import Market, Offer, Stock
from providers.base import OfferQuery, Unavailable
from providers.lambda_cloud import Lambda
from tests.cloud.lambda_life import A10
from tests.providers.hand_clouds import HandClouds
from tests.providers.plain_server import PlainServer, document


@pytest.fixture
def provider(clouds: HandClouds, tmp_path: Path) -> Lambda:
    return clouds.lambda_at(tmp_path)


def found(provider: Lambda, type_name: str, **query: Any) -> list[Offer]:
    return [one for one in provider.offers(OfferQuery(**query)) if one.instance_type == type_name]


def test_cents_become_dollars_to_the_cent(provider: Lambda) -> None:
    assert {one.usd_per_hour for one in found(provider, "gpu_1x_a10")} == {Decimal("1.29")}


def test_the_price_is_the_whole_machines_and_is_not_divided_by_its_cards(provider: Lambda) -> None:
    (one,) = found(provider, "gpu_8x_a100_80gb_sxm4")
    assert (one.usd_per_hour, one.gpu_count, one.gpu and one.gpu.name) == (Decimal("22.32"), 8, "A100-80")


def test_the_price_comes_without_tax_and_with_what_a_rounded_price_may_hide(provider: Lambda) -> None:
    (one,) = found(provider, "gpu_1x_h100_pcie")
    assert (one.usd_per_hour, one.worst_usd_per_hour) == (Decimal("3.29"), Decimal("3.3229"))


def test_a_type_is_offered_in_each_region_that_has_some(provider: Lambda) -> None:
    offers = found(provider, "gpu_1x_a10")
    assert [(one.region, one.zone, one.stock) for one in offers] == [
        ("us-west-1", "", Stock.SOME),
        ("us-east-1", "", Stock.SOME),
    ]


def test_a_type_that_is_sold_out_everywhere_says_so(provider: Lambda) -> None:
    (one,) = found(provider, "gpu_1x_a6000")
    assert (one.region, one.stock, one.usd_per_hour) == ("any", Stock.NONE, Decimal("1.09"))


def test_a_gh200_is_an_arm_machine_and_the_others_are_not(provider: Lambda) -> None:
    offers = provider.offers(OfferQuery())
    assert {one.instance_type for one in offers if one.architecture == "aarch64"} == {"gpu_1x_gh200"}
    assert {one.architecture for one in offers} == {"aarch64", "x86_64"}


def test_an_offer_tells_the_machine_the_market_and_how_it_is_billed(provider: Lambda) -> None:
    one = found(provider, "gpu_1x_a10")[0]
    assert (one.provider, one.market, one.vcpus, one.ram_gib) == ("lambda", Market.ON_DEMAND, 30, 200.0)
    assert (one.billing.granularity_seconds, one.billing.minimum_seconds) == (60, 60)
    assert one.vetted


def test_a_price_was_seen_now_at_the_source_that_it_names(provider: Lambda, clouds: HandClouds) -> None:
    clouds.world.pass_time(3600)
    one = found(provider, "gpu_1x_a10")[0]
    assert (one.seen_at, one.source) == (clouds.world.clock.now(), "Lambda's API")


def test_the_regions_that_are_asked_for_are_all_that_is_shown(provider: Lambda) -> None:
    offers = provider.offers(OfferQuery(regions=("us-west-1",)))
    assert {(one.instance_type, one.region) for one in offers} == {
        ("gpu_1x_a10", "us-west-1"),
        ("gpu_1x_h100_pcie", "us-west-1"),
    }


def test_the_users_own_regions_hold_where_none_are_asked_for(clouds: HandClouds, tmp_path: Path) -> None:
    provider = clouds.lambda_at(tmp_path, settings={"regions": ["us-west-1"]})
    by_type = {one.instance_type: one.region for one in provider.offers(OfferQuery())}
    assert by_type["gpu_1x_a10"] == "us-west-1"
    assert by_type["gpu_1x_a100_sxm4"] == "any"


def test_card_price_and_market_are_kept_to(provider: Lambda) -> None:
    cards = provider.offers(OfferQuery(gpus=("A100-40", "A100-80")))
    assert {one.gpu.name for one in cards if one.gpu} == {"A100-40", "A100-80"}
    cheap = provider.offers(OfferQuery(max_usd_per_hour=Decimal("1.29")))
    assert {one.instance_type for one in cheap} == {"gpu_1x_a10", "gpu_1x_a6000"}
    assert provider.offers(OfferQuery(markets=(Market.SPOT,))) == ()


def test_one_request_tells_the_whole_market(provider: Lambda, clouds: HandClouds) -> None:
    provider.offers(OfferQuery())
    assert [(one.method, one.path) for one in clouds.calls("lambda.*")] == [("GET", "/api/v1/instance-types")]


def test_new_fields_and_cards_that_nobody_knows_do_not_hide_the_rest(provider: Lambda, clouds: HandClouds) -> None:
    clouds.world.set_knobs("lambda", {"more_fields": True})
    clouds.lambda_life.scenario.types["gpu_1x_z9"] = replace(A10, name="gpu_1x_z9", gpu="Z9 (512 GB)")
    names = {one.instance_type for one in provider.offers(OfferQuery())}
    assert "gpu_1x_a10" in names
    assert "gpu_1x_z9" not in names


def entry(**changes: Any) -> dict[str, Any]:
    """One machine type as Lambda lists it."""
    specs = {"vcpus": 30, "memory_gib": 200, "storage_gib": 512, "gpus": 1}
    kind = {
        "name": "gpu_1x_a10",
        "description": "1x A10 (24 GB PCIe)",
        "gpu_description": "A10 (24 GB PCIe)",
        "price_cents_per_hour": 129,
        "specs": specs,
    }
    places = [{"name": "us-east-1", "description": "Virginia, USA"}]
    return {"instance_type": {**kind, **changes}, "regions_with_capacity_available": places}


def offered(clouds: HandClouds, server: PlainServer, folder: Path, listed: object) -> tuple[Offer, ...]:
    server.says(document({"data": listed}))
    environ = clouds.lambda_environ(LAMBDA_API_BASE_URL=server.url)
    return clouds.lambda_at(folder, environ).offers(OfferQuery())


def test_a_card_without_a_description_is_known_by_the_name_of_its_type(
    clouds: HandClouds, server: PlainServer, tmp_path: Path
) -> None:
    listed = {"gpu_1x_a10": entry(gpu_description=None)}
    (one,) = offered(clouds, server, tmp_path, listed)
    assert one.gpu is not None
    assert one.gpu.name == "A10"


@pytest.mark.parametrize(
    "odd",
    [
        entry(price_cents_per_hour=0),
        entry(price_cents_per_hour=None),
        entry(price_cents_per_hour="129"),
        entry(specs=None),
        entry(specs={"gpus": 1}),
        entry(specs={"vcpus": 8, "memory_gib": 16, "gpus": 0}),
        entry(name=""),
        {**entry(), "regions_with_capacity_available": None},
        {**entry(), "regions_with_capacity_available": [{"code": "us-east-1"}]},
        {"regions_with_capacity_available": []},
        None,
        "sold out",
    ],
)
def test_an_entry_that_makes_no_sense_is_left_out_and_the_rest_is_offered(
    clouds: HandClouds, server: PlainServer, tmp_path: Path, odd: object
) -> None:
    offers = offered(clouds, server, tmp_path, {"odd": odd, "gpu_1x_a10": entry()})
    assert [(one.instance_type, one.region) for one in offers] == [("gpu_1x_a10", "us-east-1")]


@pytest.mark.parametrize("listed", [None, [], "all", [entry()]])
def test_a_market_that_is_no_market_is_never_an_empty_one(
    clouds: HandClouds, server: PlainServer, tmp_path: Path, listed: object
) -> None:
    with pytest.raises(Unavailable):
        offered(clouds, server, tmp_path, listed)


def test_an_empty_market_is_one(clouds: HandClouds, server: PlainServer, tmp_path: Path) -> None:
    assert offered(clouds, server, tmp_path, {}) == ()


@pytest.mark.parametrize(("deadman", "guarded"), [("none", False), ("api-key", True)])
def test_offers_are_guarded_only_where_the_user_puts_a_key_on_the_machines(
    clouds: HandClouds, tmp_path: Path, deadman: str, guarded: bool
) -> None:
    provider = clouds.lambda_at(tmp_path, settings={"deadman": deadman})
    assert {one.guarded for one in provider.offers(OfferQuery())} == {guarded}
    assert provider.traits.guarded is guarded
