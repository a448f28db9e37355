"""Create calls that are refused, repeated or never answered: what is waited for, what is barred, what is told."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from launcher import flow
from launcher.creating import AGAIN_SECONDS, COOL_DOWN_SECONDS, LONGEST_PAUSE_SECONDS, create_for
from launcher.errors import Exit, LaunchError
from launcher.events import IntentWritten, OfferRefused, Warned
from launcher.intents import LEAST_LOOKS
from launcher.price import current_plan
from launcher.run import Outcome, Run, State
from launcher.world import World
from pricing.offer import Market
from pricing.plan import Choice
from providers.base import (
    AuthFailed,
    NoCapacity,
    NoFunds,
    NotSetUp,
    PriceTooLow,
    ProviderError,
    QuotaExceeded,
    Throttled,
    Unreachable,
)
from tests.fake_machine import fake_offer, fake_traits
from tests.fake_world import Stage
from tests.launcher.moments import in_state, when

QUOTA = QuotaExceeded("All G spot: 0 vCPUs, 4 needed", code="L-3819A6DF")


def created_at(stage: Stage) -> list[datetime]:
    """When each create call was made; to be called before they are."""
    times: list[datetime] = []
    before = stage.cloud.before_call

    def note(verb: str) -> None:
        if verb == "create":
            times.append(stage.clock())
        before(verb)

    stage.cloud.before_call = note
    return times


def pauses(times: list[datetime]) -> list[float]:
    return [(later - earlier).total_seconds() for earlier, later in pairwise(times)]


def refused(stage: Stage, **said: object) -> LaunchError:
    """A launch that comes to nothing."""
    with pytest.raises(LaunchError) as caught:
        stage.launch(**said)
    stage.all_quiet()
    assert not stage.cloud.machines()
    return caught.value


def codes(stage: Stage, *, warned: bool = False) -> list[str]:
    events = stage.heard.of(Warned) if warned else stage.heard.of(OfferRefused)
    return [event.code for event in events]


# Asked again


def test_a_provider_that_says_how_long_to_wait_is_waited_for_so_long(stage: Stage) -> None:
    times = created_at(stage)
    stage.provider.lies.refuse(Throttled("slow down", wait_seconds=40.0), times=2)
    assert stage.launch().outcome is Outcome.SUCCEEDED
    assert pauses(times) == [40.0, 40.0]
    assert len(stage.cloud.machines()) == 1


def test_one_that_does_not_say_is_given_longer_each_time(stage: Stage) -> None:
    times = created_at(stage)
    stage.provider.lies.refuse(Throttled("slow down"), times=5)
    assert stage.launch().outcome is Outcome.SUCCEEDED
    assert pauses(times) == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_a_short_wait_that_is_told_does_not_make_ours_shorter(stage: Stage) -> None:
    times = created_at(stage)
    stage.provider.lies.refuse(Throttled("slow down", wait_seconds=3.0), times=3)
    stage.launch()
    assert pauses(times) == [3.0, 3.0, 4.0]


def test_one_that_asks_for_more_patience_than_there_is_is_left_for_the_next_choice(stage: Stage) -> None:
    times = created_at(stage)
    too_long = Throttled("slow down", wait_seconds=LONGEST_PAUSE_SECONDS + 1)
    stage.provider.lies.refuse(too_long, instance_type="f1.small")
    assert stage.launch().instance_type == "f1.large"
    assert pauses(times) == [0.0]
    assert codes(stage) == ["throttled"]


@pytest.mark.parametrize("error", [Throttled("slow down"), Unreachable("no route")])
def test_what_was_never_done_is_repeated_so_often_and_no_more(stage: Stage, error: ProviderError) -> None:
    stage.provider.lies.refuse(error, instance_type="f1.small")
    stage.provider.lies.refuse(error, instance_type="f1.large")
    refused(stage)
    told = len(codes(stage))
    assert stage.cloud.calls.count("create") == told * (len(AGAIN_SECONDS) + 1)


@pytest.mark.parametrize("error", [Throttled("slow down"), Unreachable("no route")])
def test_what_was_never_done_is_never_called_unclear_nor_looked_for(stage: Stage, error: ProviderError) -> None:
    stage.provider.lies.refuse(error)
    refused(stage)
    assert "create-unclear" not in codes(stage, warned=True)
    assert "list" not in stage.cloud.calls


def test_a_provider_that_cannot_be_reached_is_told_as_that(stage: Stage) -> None:
    stage.provider.lies.refuse(Unreachable("no route to api.example"))
    error = refused(stage)
    assert (error.code, error.exit_code) == ("provider-unavailable", Exit.PROVIDER)
    assert "no route to api.example" in error.message


def test_a_repeated_create_is_the_same_request_under_the_same_intent(stage: Stage) -> None:
    stage.provider.lies.refuse(Throttled("slow down"), times=3)
    stage.launch()
    assert len(stage.heard.of(IntentWritten)) == 1


def _presses_ctrl_c(stage: Stage, world: World) -> World:
    """At the first pause; like the real one, a pause ends as soon as somebody asked to stop."""

    def sleep(seconds: float) -> None:
        stage.clock.sleep(min(seconds, 0.2))
        world.interrupt.ask()
        world.interrupt.check()

    return replace(world, sleep=sleep)


@pytest.mark.parametrize("error", [Throttled("slow down", wait_seconds=30.0), Unreachable("no route")])
def test_ctrl_c_between_two_tries_leaves_no_open_intent_and_nothing_to_look_for(
    stage: Stage, error: ProviderError
) -> None:
    stage.provider.lies.refuse(error)
    world = stage.laptop()
    run = stage.open_run(world)
    began = stage.clock()
    with pytest.raises(LaunchError) as caught:
        flow.carry(run, _presses_ctrl_c(stage, world), is_new=True)
    assert caught.value.exit_code is Exit.INTERRUPTED
    assert "nothing was rented" in caught.value.message
    assert world.ledger.open_intents(run.id) == ()
    assert stage.cloud.calls == ["create", "leftovers"]
    assert (stage.clock() - began).total_seconds() < 1
    stage.all_quiet()


# What falls with a refusal


ELSEWHERE = fake_offer("x9.big", usd="0.90", market=Market.ON_DEMAND, zone="west-1a")
PEOPLES: Mapping[str, Callable[[], ProviderError]] = {
    "funds": lambda: NoFunds("the account holds 0.12"),
    "credentials": lambda: AuthFailed("may not rent"),
    "set up": lambda: NotSetUp("no default VPC"),
    "line": lambda: Unreachable("no route"),
}


@pytest.mark.parametrize("why", PEOPLES)
def test_what_concerns_a_whole_account_bars_that_provider_and_no_other(stage: Stage, why: str) -> None:
    stage.also("other", ELSEWHERE)
    stage.provider.lies.refuse(PEOPLES[why]())
    receipt = stage.launch()
    assert receipt.provider == "other"
    tries = len(AGAIN_SECONDS) + 1 if why == "line" else 1
    assert stage.cloud.calls.count("create") == tries + 1
    assert len(codes(stage)) == 1
    stage.all_quiet()


@pytest.mark.parametrize(
    ("why", "code"), [("funds", "balance"), ("credentials", "credentials"), ("set up", "not-set-up")]
)
def test_where_there_is_no_other_the_account_s_trouble_is_what_is_told(stage: Stage, why: str, code: str) -> None:
    stage.provider.lies.refuse(PEOPLES[why]())
    error = refused(stage, wait_capacity_seconds=3600.0)
    assert (error.code, error.exit_code) == (code, Exit.PROVIDER)
    assert stage.cloud.calls.count("create") == 1


def test_where_another_may_have_machines_later_one_account_s_trouble_is_not_what_is_told(stage: Stage) -> None:
    stage.also("other", ELSEWHERE).lies.refuse(NoCapacity("none left"))
    stage.provider.lies.refuse(AuthFailed("may not rent"))
    assert refused(stage).code == "no-capacity"


def test_a_quota_bars_its_family_in_its_region_and_market_and_no_more(folder: Path) -> None:
    offers = (
        fake_offer("g5.small", usd="0.50"), fake_offer("g5.large", usd="0.55"),
        fake_offer("g5.other-zone", usd="0.56", zone="north-1b"),
        fake_offer("g6.small", usd="0.60"), fake_offer("g5.away", usd="0.70", zone="south-1a"),
        fake_offer("g5.firm", usd="0.80", market=Market.ON_DEMAND),
    )  # fmt: skip
    stage = Stage(folder, offers=offers)
    asked: list[str] = []
    stage.provider.lies.refuse(QUOTA, instance_type="g5.small")
    stage.provider.lies.refuse(NoCapacity("none left"))
    with pytest.raises(LaunchError):
        stage.launch()
    asked = [event.offer.instance_type for event in stage.heard.of(IntentWritten)]
    assert asked == ["g5.small", "g6.small", "g5.away", "g5.firm"]


def test_a_quota_everywhere_is_told_as_a_quota_also_to_one_who_would_wait(stage: Stage) -> None:
    stage.provider.lies.refuse(QUOTA)
    error = refused(stage, wait_capacity_seconds=3600.0)
    assert (error.code, error.exit_code) == ("quota", Exit.PROVIDER)
    assert "4 needed" in error.message


# Words that may mean something else


def ambiguous() -> NoCapacity:
    return NoCapacity("no instances", code="500", or_else=NoFunds("or the account holds too little"))


def test_what_all_places_of_the_only_provider_say_is_what_it_means(stage: Stage) -> None:
    stage.provider.lies.refuse(ambiguous())
    error = refused(stage)
    assert (error.code, error.exit_code) == ("balance", Exit.PROVIDER)
    assert "holds too little" in error.message


def test_where_one_place_says_it_plainly_it_is_a_lack_of_machines(stage: Stage) -> None:
    stage.provider.lies.refuse(NoCapacity("none left"), instance_type="f1.large")
    stage.provider.lies.refuse(ambiguous())
    assert refused(stage).code == "no-capacity"


def test_where_another_provider_refused_too_it_is_a_lack_of_machines(stage: Stage) -> None:
    stage.also("other", ELSEWHERE).lies.refuse(ambiguous())
    stage.provider.lies.refuse(ambiguous())
    assert refused(stage).code == "no-capacity"


def test_where_not_every_place_was_asked_it_is_a_lack_of_machines(stage: Stage) -> None:
    world = stage.laptop()
    resting = stage.provider.catalogue[1].pool
    world.ledger.note_refusal(resting, stage.clock() + timedelta(minutes=3), "none left")
    stage.provider.lies.refuse(ambiguous())
    assert refused(stage).code == "no-capacity"


# Places that are left alone


def resting(stage: Stage, world: World, number: int) -> datetime | None:
    return world.ledger.refused_until(stage.provider.catalogue[number].pool, stage.clock())


@pytest.mark.parametrize("error", [NoCapacity("none left"), PriceTooLow("too low"), Throttled("no", wait_seconds=90.0)])
def test_a_place_that_waiting_may_mend_is_left_alone_for_a_while(stage: Stage, error: ProviderError) -> None:
    stage.provider.lies.refuse(error, instance_type="f1.small")
    world = stage.laptop()
    assert create_for(*opened(stage, world), 3600, world) is error
    assert resting(stage, world, 0) == stage.clock() + timedelta(seconds=COOL_DOWN_SECONDS)
    assert resting(stage, world, 1) is None


@pytest.mark.parametrize("error", [QUOTA, NoFunds("empty"), AuthFailed("may not"), NotSetUp("no VPC")])
def test_a_place_that_a_person_must_mend_is_asked_again_as_soon_as_they_have(
    stage: Stage, error: ProviderError
) -> None:
    stage.provider.lies.refuse(error)
    world = stage.laptop()
    assert create_for(*opened(stage, world), 3600, world) is error
    assert resting(stage, world, 0) is None


def opened(stage: Stage, world: World) -> tuple[Run, Choice]:
    """A run that asks for its first machine, and its best choice."""
    run = stage.open_run(world)
    world.ledger.advance(run, State.PROVISIONING, stage.clock())
    return run, current_plan(run, world).choices[0]


def test_where_every_place_refused_a_moment_ago_nobody_is_asked_and_it_is_said_when(stage: Stage) -> None:
    world = stage.laptop()
    for number, one in enumerate(stage.provider.catalogue):
        until = stage.clock() + timedelta(seconds=100 + number)
        world.ledger.note_refusal(one.pool, until, "none left")
    error = refused(stage)
    assert (error.code, error.exit_code) == ("no-capacity", Exit.REFUSED)
    assert "every place refused a moment ago; the first may be asked again at 12:01:40 UTC" in error.message
    assert "create" not in stage.cloud.calls


def test_where_none_had_a_machine_it_is_said_how_many_were_asked(stage: Stage) -> None:
    stage.provider.lies.refuse(NoCapacity("none left"))
    assert "none of the 2 places asked had a machine" in refused(stage).message


def test_who_waits_asks_a_place_that_refused_again_as_soon_as_it_has_rested(stage: Stage) -> None:
    times = created_at(stage)
    stage.provider.lies.refuse(NoCapacity("none left"), times=2)
    assert stage.launch(wait_capacity_seconds=3600.0).outcome is Outcome.SUCCEEDED
    assert pauses(times) == [0.0, COOL_DOWN_SECONDS]


def test_who_waits_waits_for_a_line_that_is_down_too(stage: Stage) -> None:
    stage.provider.lies.refuse(Unreachable("no route"), times=len(AGAIN_SECONDS) + 1)
    assert stage.launch(wait_capacity_seconds=3600.0).outcome is Outcome.SUCCEEDED
    assert codes(stage) == ["provider-unavailable"]
    stage.all_quiet()


# One machine at a time


def test_a_machine_that_another_computer_made_meanwhile_at_another_provider_is_taken_in(stage: Stage) -> None:
    """Our own was taken back; before another one is asked for, all clouds that may be used are looked at."""
    other = stage.also("other", ELSEWHERE)

    def made_elsewhere() -> None:
        ours = stage.cloud.truth["m-0001"]
        request = replace(ours.request, offer=other.catalogue[0], nonce="e" * 24)
        there = replace(ours, id="m-0002", provider="other", request=request, born_at=stage.clock())
        stage.cloud.preempt("m-0001")
        stage.cloud.truth["m-0002"] = replace(there, rates=[(stage.clock(), Decimal("0.90"))])

    when(stage, in_state(stage, State.RUNNING), made_elsewhere)
    receipt = stage.launch()
    assert (receipt.outcome, receipt.attempts, receipt.provider) == (Outcome.SUCCEEDED, 2, "other")
    assert stage.cloud.calls.count("create") == 1
    stage.all_quiet()


@pytest.mark.parametrize("idempotent", [True, False])
def test_another_provider_is_asked_only_once_the_first_has_certainly_no_machine(stage: Stage, idempotent: bool) -> None:
    times = created_at(stage)
    stage.provider.traits = fake_traits(idempotent_create=idempotent)
    stage.provider.catalogue = stage.provider.catalogue[:1]
    stage.provider.lies.create_lost_before = 2 if idempotent else 1
    stage.also("other", ELSEWHERE)
    receipt = stage.launch()
    assert receipt.provider == "other"
    assert pauses(times)[-1] >= stage.provider.traits.settle_seconds
    assert stage.cloud.calls.count("list") >= LEAST_LOOKS
    stage.all_quiet()


def test_a_machine_whose_answer_got_lost_is_found_and_nobody_else_is_asked(stage: Stage) -> None:
    stage.provider.traits = fake_traits(idempotent_create=False)
    stage.also("other", ELSEWHERE)
    stage.provider.lies.create_lost_after = 1
    stage.provider.lies.visible_after_seconds = 40
    receipt = stage.launch()
    assert (receipt.provider, receipt.attempts) == ("fake", 1)
    assert len(stage.cloud.machines()) == 1
    assert codes(stage, warned=True)[0] == "create-unclear"
    stage.all_quiet()


def test_a_machine_is_proven_gone_before_another_provider_is_asked(stage: Stage) -> None:
    stage.also("other", ELSEWHERE)
    stage.provider.catalogue = stage.provider.catalogue[:1]
    stage.provider.lies.deaf_terminates = 3
    stage.site.unreachable.add("m-0001")
    receipt = stage.launch()
    assert (receipt.provider, receipt.attempts) == ("other", 2)
    first, second = stage.cloud.machines()
    assert first.ended_at is not None
    assert first.ended_at < second.born_at
    stage.all_quiet()


def test_a_create_that_waited_out_a_throttle_ends_its_machine_when_the_first_one_would_have(stage: Stage) -> None:
    """The lease counts from the machine's birth; who vanishes right after must not pass the deadline by the wait."""
    stage.provider.lies.throttled = 4
    born: list[str] = []
    stage.cloud.after_call = lambda verb: born.append(verb) if verb == "create" else None
    receipt = stage.launch(deadline_seconds=7200.0)
    machine = stage.cloud.machines()[0]
    attempt = stage.laptop().ledger.load(receipt.run).attempt
    waited = (machine.born_at - attempt.started_at).total_seconds()
    assert waited >= 15
    lease = machine.request.boot.lease_seconds
    assert machine.born_at + timedelta(seconds=lease) <= attempt.started_at + timedelta(seconds=7200)
    assert machine.request.deadline >= machine.born_at + timedelta(seconds=lease)
