"""`launch offers`: what was seen last is shown before anybody is asked, then what each one says now, as it comes."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal

import pytest
from syrupy.assertion import SnapshotAssertion

from launcher import listing, market, tables
from launcher.request import Request
from launcher.world import World
from pricing.gpus import UnknownGpu
from pricing.offer import Market, Offer, Stock
from providers.base import NoCredentials, NotSetUp, OfferQuery, Unavailable
from tests.fake_machine import fake_offer, fake_traits
from tests.fake_world import Stage
from tests.launcher import values
from tests.launcher.moments import Waiting, raising
from tests.launcher.values import NOW


@dataclass
class Shown:
    """What `show` was told, and how often the providers had been asked by then."""

    stage: Stage
    steps: list[tuple[set[str], list[str], int]] = field(default_factory=list)

    def __call__(self, offers: Sequence[Offer], waiting: Sequence[str]) -> None:
        asked = self.stage.cloud.calls.count("offers")
        self.steps.append(({one.id for one in offers}, list(waiting), asked))


def _two_of_which_one_waits(stage: Stage) -> threading.Event:
    """`fake` answers at once, `slow` after the event."""
    release = threading.Event()
    Waiting(stage, "slow", fake_offer("f5.slow")).first = lambda: release.wait(10)
    return release


def _looked_before(stage: Stage, *names: str) -> World:
    """A world in which somebody has looked at the market a while ago."""
    world = stage.laptop()
    market.whole(names, OfferQuery(), world)
    stage.clock.sleep(3600)
    stage.cloud.calls.clear()
    return world


def test_prices_as_last_seen_are_shown_before_anybody_is_asked(stage: Stage) -> None:
    _two_of_which_one_waits(stage).set()
    world, shown = _looked_before(stage, "fake", "slow"), Shown(stage)
    listing.offers(Request(), world, shown)
    offers, waiting, asked = shown.steps[0]
    assert asked == 0
    assert waiting == ["fake", "slow"]
    assert {name.split("/")[2] for name in offers} == {"f1.small", "f1.large", "f5.slow"}


def test_the_table_grows_as_the_answers_come(stage: Stage) -> None:
    release = _two_of_which_one_waits(stage)
    waiting_for: list[list[str]] = []

    def show(offers: Sequence[Offer], waiting: Sequence[str]) -> None:
        waiting_for.append(list(waiting))
        if waiting == ["slow"]:
            assert {one.provider for one in offers} == {"fake"}
            release.set()

    found, notes = listing.offers(Request(), stage.laptop(), show)
    assert waiting_for == [["fake", "slow"], ["slow"], []]
    assert {one.provider for one in found} == {"fake", "slow"}
    assert notes == ()


def test_what_a_provider_says_now_stands_in_the_place_of_what_it_said_before(stage: Stage) -> None:
    world, shown = _looked_before(stage, "fake"), Shown(stage)
    stage.provider.catalogue = stage.provider.catalogue[:1]
    found, _ = listing.offers(Request(), world, shown)
    assert [len(offers) for offers, _, _ in shown.steps] == [2, 1]
    assert {one.seen_at for one in found} == {stage.clock()}


def test_what_is_seen_is_kept_for_the_next_look(stage: Stage) -> None:
    listing.offers(Request(), stage.laptop(), Shown(stage))
    shown = Shown(stage)
    stage.clock.sleep(86_400)
    listing.offers(Request(), stage.laptop(), shown)
    assert len(shown.steps[0][0]) == 2


def test_a_provider_that_does_not_answer_keeps_its_rows_with_their_age_and_a_note(stage: Stage) -> None:
    slow = Waiting(stage, "slow", fake_offer("f5.slow"))
    world = _looked_before(stage, "fake", "slow")
    slow.first = raising(Unavailable("the price list is not to be had"))
    shown = Shown(stage)
    found, notes = listing.offers(Request(), world, shown)
    (kept,) = (one for one in found if one.provider == "slow")
    assert all(kept.id in offers for offers, _, _ in shown.steps)
    assert kept.age(stage.clock()) == timedelta(hours=1)
    assert notes == ("slow: the price list is not to be had; its prices as last seen, up to 1 h old",)


def test_a_provider_of_which_nothing_is_known_is_said_to_be_so(stage: Stage) -> None:
    Waiting(stage, "slow").first = raising(Unavailable("down"))
    assert listing.offers(Request(), stage.laptop(), Shown(stage))[1] == ("slow: down; no prices of it are known",)


def test_providers_without_credentials_are_shown_as_last_seen_and_noted_in_one_line(stage: Stage) -> None:
    for name in ("a", "b"):
        Waiting(stage, name, fake_offer(f"f5.{name}"))
    world = _looked_before(stage, "a", "b")
    for name in ("a", "b"):
        stage.others[name].first = raising(NoCredentials("no key"))  # type: ignore[attr-defined]  # a Waiting it is
    found, notes = listing.offers(Request(), world, Shown(stage))
    assert {one.provider for one in found} == {"a", "b", "fake"}
    assert notes == ("no credentials for a, b: prices as last seen or shipped, each with its age",)


def test_only_what_was_asked_for_is_shown_of_what_was_seen_last(stage: Stage) -> None:
    world, shown = _looked_before(stage, "fake"), Shown(stage)
    found, _ = listing.offers(Request(markets=(Market.SPOT,)), world, shown)
    assert [len(offers) for offers, _, _ in shown.steps] == [1, 1]
    assert [one.market for one in found] == [Market.SPOT]


def test_only_the_providers_that_were_named_are_asked(stage: Stage) -> None:
    Waiting(stage, "other").first = raising(AssertionError("nobody named it"))
    shown = Shown(stage)
    listing.offers(Request(providers=("fake",)), stage.laptop(), shown)
    assert shown.steps[0][1] == ["fake"]


def test_a_provider_that_cannot_even_be_set_up_is_left_out_with_a_note(stage: Stage) -> None:
    def provider(name: str) -> object:
        if name == "broken":
            raise NotSetUp("providers.broken.color is no setting")
        return stage.provider

    world = replace(stage.laptop(), provider_names=("broken", "fake"), provider=provider)  # type: ignore[arg-type]  # as
    # it is for a provider whose part of config.yaml is wrong
    try:
        found, notes = listing.offers(Request(), world, Shown(stage))
    except NotSetUp as error:
        pytest.fail(f"{error.text}: nobody else was asked")
    assert {one.provider for one in found} == {"fake"}
    assert "providers.broken.color is no setting" in notes[0]


# What is seen of it

WIDTHS = pytest.mark.parametrize("width", [80, 120])


def sold() -> list[Offer]:
    """With all that a column may have to hold."""
    fresh = NOW - timedelta(seconds=40)
    return [
        replace(values.offers()[0], seen_at=fresh, stock=Stock.LOW, boot_seconds=95.0),
        replace(values.offers()[4], stock=Stock.NONE),
        replace(
            fake_offer("NVIDIA GeForce RTX 4090", usd="0.34", market=Market.ON_DEMAND, zone="EU-RO-1x"),
            seen_at=fresh, stock=Stock.HIGH, boot_seconds=4000.0, guarded=False, vetted=False,
            source="a source with a name that is rather long, and says so",
        ),
        replace(fake_offer("f4.many", usd="12.5"), gpu_count=8, seen_at=NOW - timedelta(hours=30)),
    ]  # fmt: skip


@WIDTHS
def test_offers_tell_stock_boot_time_and_age(width: int, snapshot: SnapshotAssertion) -> None:
    text = tables.offers_table(sold(), NOW, width)
    assert text == snapshot
    assert max(len(line) for line in text.splitlines()) <= width


@WIDTHS
def test_a_table_that_grows_says_who_is_being_asked(width: int, snapshot: SnapshotAssertion) -> None:
    text = tables.growing(sold(), ["aws", "lambda"], NOW, width)
    assert text == snapshot
    assert text.startswith("asking aws, lambda; prices as last seen\n")


def test_a_table_to_which_all_have_answered_says_so() -> None:
    assert tables.growing([], [], NOW).splitlines()[0] == "all have answered"


def test_columns_that_nobody_fills_are_not_there() -> None:
    plain = [replace(one, boot_seconds=0.0, stock=Stock.UNKNOWN) for one in sold()]
    head = tables.offers_table(plain, NOW, 140).splitlines()[0]
    assert "boot" not in head
    assert "stock" not in head
    assert "boot" in tables.offers_table(sold(), NOW, 140).splitlines()[0]


def test_a_machine_of_a_private_host_can_be_told_from_others() -> None:
    ours = replace(sold()[0], vetted=True)
    assert tables.offers_table([ours], NOW, 140) != tables.offers_table([replace(ours, vetted=False)], NOW, 140)


def test_offers_come_cheapest_hour_first() -> None:
    prices = [Decimal(str(price)) for price in ("0.34", "0.49", "1.29", "12.50")]
    lines = tables.offers_table(list(reversed(sold())), NOW, 120).splitlines()[1:5]
    assert [f"{price:.2f}" in line for price, line in zip(prices, lines, strict=True)] == [True] * 4


def test_no_offer_is_told_with_a_next_step() -> None:
    assert "next  launch offers" in tables.offers_table([], NOW)


def test_a_mistake_in_a_name_is_not_a_look_at_the_market(stage: Stage) -> None:
    with pytest.raises(UnknownGpu):
        listing.offers(Request(gpu="a10gg"), stage.laptop(), Shown(stage))
    assert "offers" not in stage.cloud.calls


def test_the_own_machine_is_listed_with_those_that_are_rented(stage: Stage) -> None:
    stage.also("mine", fake_offer("f1.mine"), traits=replace(fake_traits(), bills=False))
    assert {one.provider for one in listing.offers(Request(), stage.laptop(), Shown(stage))[0]} == {"fake", "mine"}
