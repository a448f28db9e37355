"""The market: all are asked at once, who hangs or fails is left out and said, and what was seen stays with its age."""

import threading
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from launcher import market
from launcher.errors import Exit
from launcher.market import ANSWER_SECONDS, Answer, Market
from launcher.world import World
from pricing.offer import Offer
from providers.base import (
    AuthFailed,
    NoCredentials,
    OfferQuery,
    QuotaExceeded,
    Unavailable,
)
from providers.funds import Funds
from tests.fake_machine import fake_offer, fake_traits
from tests.fake_world import Stage
from tests.launcher.moments import Waiting, raising

ANY = OfferQuery()
HUNDRED = Funds(balance_usd=Decimal(100))


def types(offers: tuple[Offer, ...]) -> set[str]:
    return {one.instance_type for one in offers}


def _joined(name: str) -> None:
    """Once the thread of that name is over."""
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(10)


# All at once


def test_each_provider_is_asked_while_the_others_still_answer(stage: Stage) -> None:
    together = threading.Barrier(3)
    for name in ("a", "b", "c"):
        Waiting(stage, name).first = lambda: together.wait(10)
    found = market.whole(("a", "b", "c"), ANY, stage.laptop())
    assert found.failed == ()
    assert [one.provider for one in found.answers] == ["a", "b", "c"]


def test_an_answer_is_handed_on_as_soon_as_it_is_there(stage: Stage) -> None:
    release = threading.Event()
    Waiting(stage, "slow").first = lambda: release.wait(10)
    coming = market.ask(("slow", "fake"), ANY, stage.laptop())
    assert next(coming).provider == "fake"
    release.set()
    assert next(coming).provider == "slow"
    assert next(coming, None) is None


def test_answers_stand_in_the_order_of_the_names_whoever_was_first(stage: Stage) -> None:
    fast_began = threading.Event()

    def after_the_fast_one() -> None:
        assert fast_began.wait(10)
        _joined("ask-fast")

    Waiting(stage, "slow").first = after_the_fast_one
    Waiting(stage, "fast").first = fast_began.set
    found = market.whole(("slow", "fast"), ANY, stage.laptop())
    assert [one.provider for one in found.answers] == ["slow", "fast"]
    assert [one.provider for one in found.offers] == ["slow", "slow", "fast", "fast"]


def _with_one_that_hangs(stage: Stage) -> tuple[World, threading.Event]:
    """Until the event is set; the time that it may take is over once the other one has answered."""
    release = threading.Event()
    Waiting(stage, "hung").first = lambda: release.wait(30)
    told = [stage.clock()] * 2  # when it begins, and while it waits for the first answer
    late = stage.clock() + timedelta(seconds=ANSWER_SECONDS + 1)
    return replace(stage.laptop(), now=lambda: told.pop() if told else late), release


def test_one_that_hangs_is_left_out_in_time_and_the_offers_of_the_others_come(stage: Stage) -> None:
    world, release = _with_one_that_hangs(stage)
    found = market.whole(("hung", "fake"), ANY, world)
    release.set()
    assert {one.provider for one in found.offers} == {"fake"}
    assert found.notes == ("hung left out: no answer within 30 s",)
    assert isinstance(dict(found.failed)["hung"], Unavailable)


def test_what_was_kept_of_one_that_hangs_stays(stage: Stage) -> None:
    world, release = _with_one_that_hangs(stage)
    market.remember(Answer(provider="hung", offers=(replace(fake_offer("f9.kept"), provider="hung"),)), ANY, world)
    market.whole(("hung", "fake"), ANY, world)
    release.set()
    assert types(market.last_seen("hung", ANY, world)) == {"f9.kept"}


def test_one_that_fails_is_left_out_with_its_reason_and_the_offers_of_the_others_come(stage: Stage) -> None:
    Waiting(stage, "broken").first = raising(Unavailable("the price list is not to be had"))
    found = market.whole(("broken", "fake"), ANY, stage.laptop())
    assert {one.provider for one in found.offers} == {"fake"}
    assert found.notes == ("broken left out: the price list is not to be had",)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_of_one_provider_is_raised_where_it_is_seen_and_not_told_as_silence(stage: Stage) -> None:
    Waiting(stage, "buggy").first = raising(KeyError("a bug of ours"))
    began = [stage.clock()]

    def now() -> datetime:
        if began:
            return began.pop()
        _joined("ask-buggy")
        return stage.clock() + timedelta(seconds=ANSWER_SECONDS + 1)

    with pytest.raises(KeyError):
        market.whole(("buggy",), ANY, replace(stage.laptop(), now=now))


# Funds


def _prepaid(stage: Stage) -> Waiting:
    provider = Waiting(stage, "prepaid", traits=replace(fake_traits(), prepaid=True))
    provider.funds = lambda: HUNDRED
    return provider


def test_a_prepaid_account_is_asked_what_it_holds(stage: Stage) -> None:
    _prepaid(stage)
    stage.provider.funds = raising(AssertionError("nothing is paid in advance there"))
    found = market.whole(("prepaid", "fake"), ANY, stage.laptop(), with_funds=True)
    assert [one.funds for one in found.answers] == [HUNDRED, None]


def test_nobody_is_asked_what_an_account_holds_where_only_prices_are_wanted(stage: Stage) -> None:
    _prepaid(stage).funds = raising(AssertionError("not wanted"))
    assert market.whole(("prepaid",), ANY, stage.laptop()).answers[0].funds is None


# What is said of those who did not answer


def strangers(*names: str) -> tuple[Answer, ...]:
    return tuple(Answer(provider=name, error=NoCredentials(f"no key for {name}")) for name in names)


def test_those_without_credentials_share_one_line_behind_the_others() -> None:
    found = Market(
        answers=(*strangers("a", "b"), Answer(provider="c", error=Unavailable("down")), Answer(provider="d"))
    )
    assert found.notes == ("c left out: down", "not asked, no credentials: a, b (launch doctor)")
    assert found.left_out == ("c left out: down",)


def test_a_balance_that_is_not_told_is_told_as_that(stage: Stage) -> None:
    _prepaid(stage).funds = lambda: None
    found = market.whole(("prepaid",), ANY, stage.laptop(), with_funds=True)
    assert found.left_out == ("prepaid does not tell what the account holds: it may end before the budget does",)


def test_nothing_is_noted_where_nobody_has_credentials_because_that_is_the_error() -> None:
    assert Market(answers=strangers("a", "b")).notes == ()


def test_a_market_that_is_closed_says_what_kept_us_out_of_each(stage: Stage) -> None:
    world = stage.laptop()
    found = Market(answers=(*strangers("a"), Answer(provider="b", error=AuthFailed("expired", fix="renew it"))))
    told = found.why_closed(world)
    assert told is not None
    assert told.message == "b did not accept your credentials\nexpired\na: no key for a"
    assert (told.hint, told.exit_code) == ("renew it", Exit.PROVIDER)


def test_a_market_is_not_closed_where_somebody_who_rents_has_answered(stage: Stage) -> None:
    fake = Answer(provider="fake", offers=stage.provider.catalogue)
    assert Market(answers=(*strangers("a"), fake)).why_closed(stage.laptop()) is None
    assert Market(answers=(fake,)).why_closed(stage.laptop()) is None


def test_a_market_is_closed_although_the_own_machine_answers(stage: Stage) -> None:
    mine = stage.also("mine", traits=replace(fake_traits(), bills=False))
    found = Market(answers=(*strangers("a"), Answer(provider="mine", offers=mine.catalogue)))
    told = found.why_closed(stage.laptop())
    assert told is not None
    assert told.code == "credentials"


# What is kept


def _seen(world: World) -> set[str]:
    return types(market.last_seen("fake", ANY, world))


def test_an_answer_to_the_open_question_replaces_all_that_was_kept(stage: Stage) -> None:
    market.whole(("fake",), ANY, stage.laptop())
    stage.provider.catalogue = stage.provider.catalogue[:1]
    market.whole(("fake",), ANY, stage.laptop())
    assert _seen(stage.laptop()) == {"f1.small"}


def test_an_answer_to_a_narrow_question_only_adds(stage: Stage) -> None:
    market.whole(("fake",), ANY, stage.laptop())
    stage.provider.catalogue = (replace(fake_offer("f1.fresh", zone="south-1a"), provider="fake"),)
    market.whole(("fake",), OfferQuery(regions=("south-1",)), stage.laptop())
    assert _seen(stage.laptop()) == {"f1.small", "f1.large", "f1.fresh"}


def test_a_price_that_is_seen_again_is_kept_as_it_is_now(stage: Stage) -> None:
    market.whole(("fake",), ANY, stage.laptop())
    stage.clock.sleep(60)
    stage.provider.catalogue = tuple(replace(one, worst_usd_per_hour=Decimal(9)) for one in stage.provider.catalogue)
    market.whole(("fake",), OfferQuery(gpus=("A10G",)), stage.laptop())
    kept = market.last_seen("fake", ANY, stage.laptop())
    assert {(one.worst_usd_per_hour, one.seen_at) for one in kept} == {(Decimal(9), stage.clock())}


def test_an_error_keeps_what_was_seen_before(stage: Stage) -> None:
    world = stage.laptop()
    market.whole(("fake",), ANY, world)
    market.remember(Answer(provider="fake", error=QuotaExceeded("none")), ANY, world)
    assert len(_seen(world)) == 2


def test_one_provider_keeps_nothing_for_another(stage: Stage) -> None:
    stage.also("other", fake_offer("f7.other"))
    market.whole(("fake", "other"), ANY, stage.laptop())
    stage.others["other"].catalogue = ()
    market.whole(("other",), ANY, stage.laptop())
    assert _seen(stage.laptop()) == {"f1.small", "f1.large"}


def test_what_was_never_seen_is_told_from_the_snapshot_that_ships_with_us(stage: Stage) -> None:
    world = stage.laptop()
    shown = market.last_seen("aws", OfferQuery(gpus=("A10G",)), world)
    assert shown
    assert {one.gpu.name for one in shown if one.gpu} == {"A10G"}
    assert all(one.source.startswith("snapshot ") and one.seen_at < stage.clock() for one in shown)


def test_prices_that_were_seen_hide_those_of_the_snapshot(stage: Stage) -> None:
    world = stage.laptop()
    fresh = replace(fake_offer(), provider="aws")
    market.remember(Answer(provider="aws", offers=(fresh,)), ANY, world)
    assert market.last_seen("aws", ANY, world) == (fresh,)


@pytest.mark.parametrize("query", [OfferQuery(gpus=("L4",)), OfferQuery(max_usd_per_hour=Decimal("0.10"))])
def test_what_was_seen_is_shown_only_where_it_was_asked_for(stage: Stage, query: OfferQuery) -> None:
    world = stage.laptop()
    market.whole(("fake",), ANY, world)
    assert market.last_seen("fake", query, world) == ()


def test_machines_of_private_hosts_are_shown_only_to_those_who_ask_for_them(stage: Stage) -> None:
    world = stage.laptop()
    private = replace(fake_offer("f1.private"), vetted=False)
    market.remember(Answer(provider="fake", offers=(private,)), OfferQuery(community=True), world)
    assert market.last_seen("fake", ANY, world) == ()
    assert market.last_seen("fake", OfferQuery(community=True), world) == (private,)
