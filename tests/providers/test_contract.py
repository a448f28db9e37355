"""The numbered promises of `providers.base`, held against every provider: the fake, this machine, and three clouds."""

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pricing.offer import Offer
from providers import aws_create, cloud_init, local, registry
from providers.aws_calls import Calls
from providers.base import (
    Ambiguous,
    Instance,
    InstanceRequest,
    InstanceState,
    NotFound,
    OfferQuery,
    Provider,
)
from tests.fake_provider import FakeCloud, VirtualClock, fake_offer, fake_traits
from tests.providers.conftest import aws_on
from tests.providers.hand_clouds import STRANGER, HandClouds
from tests.providers.moto_cloud import MotoCloud
from tests.providers.samples import aws_offer, request, surroundings


@dataclass(frozen=True)
class Case:
    """One provider, and what only its own world can tell about it."""

    provider: Provider
    stranger: Provider
    """The same place, seen by another owner."""
    offer: Offer
    is_armed: Callable[[Instance, InstanceRequest], bool]
    lose_answer: Callable[[], object] | None
    creates_sent: Callable[[], int]
    pass_time: Callable[[], None]
    hide_marks: Callable[[Instance], object] | None = None
    """The machine's name and tags are shown no more."""


def fake_case(idempotent: bool) -> Case:
    clock = VirtualClock()
    cloud = FakeCloud(clock)
    traits = fake_traits(idempotent_create=idempotent)
    provider = cloud.provider("fake", (fake_offer(),), traits=traits)
    stranger = cloud.provider("fake", (fake_offer(),), owner="stranger", traits=traits)

    def is_armed(instance: Instance, asked: InstanceRequest) -> bool:
        clock.sleep(asked.boot.lease_seconds + traits.guard_delay_seconds)
        return provider.get(instance).state is not InstanceState.RUNNING

    def lose() -> None:
        provider.lies.create_lost_after = 1

    return Case(
        provider, stranger, fake_offer(), is_armed, lose, lambda: cloud.calls.count("create"), lambda: clock.sleep(60)
    )


def local_case(folder: Path) -> Case:
    provider = local.connect(surroundings(folder))
    offer = next(one for one in provider.offers(OfferQuery()) if one.gpu is None)

    def is_armed(instance: Instance, asked: InstanceRequest) -> bool:
        guard = folder / "machines" / instance.id / "guard"
        return (guard / "pid").exists() and (guard / "lease").read_text().strip() == str(asked.boot.lease_seconds)

    stranger = local.connect(surroundings(folder, owner_id="stranger"))
    return Case(provider, stranger, offer, is_armed, None, lambda: 1, lambda: None)


def aws_case(moto: MotoCloud, folder: Path) -> Case:
    def is_armed(_instance: Instance, asked: InstanceRequest) -> bool:
        first = json.loads(
            cloud_init.user_data(asked.boot, aws_create.END, aws_create.MOST_USER_DATA_BYTES).partition("\n")[2]
        )["bootcmd"][0]
        return asked.boot.deadman in first and str(asked.boot.lease_seconds) in first

    def lose() -> None:
        moto.app.lost = 1

    return Case(
        aws_on(moto, folder / "mine"),
        aws_on(moto, folder / "theirs", owner_id="stranger"),
        aws_offer(),
        is_armed,
        lose,
        lambda: len(moto.app.made()),
        lambda: None,
        lambda one: Calls(moto.environ).act(
            "ec2", "delete_tags", one.region, Resources=[one.id], Tags=[{"Key": "launch:owner"}, {"Key": "launch:run"}]
        ),
    )


def first_boot(user_data: bytes) -> list[str]:
    """The command that such a machine runs before all others."""
    found: list[str] = json.loads(user_data.decode().partition("\n")[2])["bootcmd"][0]
    return found


def lambda_case(clouds: HandClouds, folder: Path) -> Case:
    hurried = {"seconds_between_requests": 0.0, "seconds_between_launches": 0.0}
    clouds.world.set_knobs("lambda", {"requests_every_seconds": 0, "launches_every_seconds": 0})
    provider = clouds.lambda_at(folder, settings=hurried)

    def is_armed(instance: Instance, asked: InstanceRequest) -> bool:
        first = first_boot(clouds.world.machines[instance.id].user_data)
        return asked.boot.deadman in first and str(asked.boot.lease_seconds) in first

    return Case(
        provider,
        clouds.lambda_at(folder, settings=hurried, owner_id=STRANGER),
        next(one for one in provider.offers(OfferQuery()) if one.region == "us-east-1"),
        is_armed,
        lambda: clouds.fault("lambda.launch", "after"),
        lambda: len(clouds.calls("lambda.launch")),
        lambda: clouds.world.pass_time(60),
        lambda one: clouds.world.set_knobs("lambda", {"no_names": True, "no_tags": True}),
    )


def runpod_case(clouds: HandClouds, folder: Path) -> Case:
    provider = clouds.runpod_at(folder)

    def is_armed(instance: Instance, asked: InstanceRequest) -> bool:
        (made,) = [one.body for one in clouds.calls("runpod.create") if one.body["name"].endswith(instance.nonce)]
        env, boot = made["env"], asked.boot
        armed = 'sh "$guard/deadman.sh"' in env["LAUNCH_BOOT"] and "$LAUNCH_BOOT" in made["args"]
        return armed and (env["LAUNCH_DEADMAN"], env["LAUNCH_LEASE"]) == (boot.deadman, str(boot.lease_seconds))

    def hide(instance: Instance) -> None:
        clouds.runpod_life.pods[instance.id].body |= {"name": "a name that a person gave", "env": {}}

    return Case(
        provider,
        clouds.runpod_at(folder, owner_id=STRANGER),
        next(one for one in provider.offers(OfferQuery()) if one.region == "US-KS-2"),
        is_armed,
        lambda: clouds.fault("runpod.create", "after"),
        lambda: len(clouds.calls("runpod.create")),
        lambda: clouds.world.pass_time(60),
        hide,
    )


@pytest.fixture(params=["fake", "fake without tokens", *registry.names()])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    made = {
        "fake": lambda: fake_case(idempotent=True),
        "fake without tokens": lambda: fake_case(idempotent=False),
        "local": lambda: local_case(tmp_path),
        "aws": lambda: aws_case(request.getfixturevalue("moto"), tmp_path),
        "lambda": lambda: lambda_case(request.getfixturevalue("clouds"), tmp_path),
        "runpod": lambda: runpod_case(request.getfixturevalue("clouds"), tmp_path),
    }[request.param]()
    yield made
    for instance in made.provider.list():
        made.provider.terminate(instance)


def test_promise_1_the_same_request_twice_makes_one_machine_or_machines_found_by_their_nonce(case: Case) -> None:
    asked = request(case.offer)
    first, second = case.provider.create(asked), case.provider.create(asked)
    found = [one for one in case.provider.list() if one.nonce == asked.nonce]
    assert {first.id, second.id} == {one.id for one in found}
    assert (len(found) == 1) is case.provider.traits.idempotent_create


def test_promise_1_a_machine_whose_create_answer_was_lost_is_found_by_its_nonce(case: Case) -> None:
    if case.lose_answer is None:
        pytest.skip("no answer can get lost inside one computer")
    asked = request(case.offer)
    case.lose_answer()
    with pytest.raises(Ambiguous):
        case.provider.create(asked)
    assert [one.nonce for one in case.provider.list()] == [asked.nonce]


def test_promise_1_another_nonce_is_another_machine(case: Case) -> None:
    assert case.provider.create(request(case.offer)).id != case.provider.create(request(case.offer)).id


def test_promise_1_the_machine_carries_run_attempt_nonce_and_deadline(case: Case) -> None:
    asked = request(case.offer, attempt=3)
    case.provider.create(asked)
    (seen,) = case.provider.list()
    assert (seen.run_id, seen.attempt, seen.nonce) == (asked.run_id, 3, asked.nonce)
    assert seen.deadline == asked.deadline
    assert (seen.instance_type, seen.region, seen.zone) == (
        case.offer.instance_type,
        case.offer.region,
        case.offer.zone,
    )


def test_promise_2_the_deadline_is_armed_by_create(case: Case) -> None:
    asked = request(case.offer)
    assert case.is_armed(case.provider.create(asked), asked)


def test_promise_2_whether_a_machine_ends_itself_stands_on_every_offer(case: Case) -> None:
    offers = case.provider.offers(OfferQuery(regions=(case.offer.region,)))
    assert {one.guarded for one in offers} == {case.provider.traits.guarded}
    assert case.provider.traits.guard


def state_of(provider: Provider, instance: Instance) -> InstanceState:
    """ABSENT where the cloud forgets a machine that has ended: then only looking again makes it sure."""
    try:
        return provider.get(instance).state
    except NotFound:
        return InstanceState.ABSENT


def test_promise_3_terminate_twice_is_as_good_as_once(case: Case) -> None:
    instance = case.provider.create(request(case.offer))
    case.provider.terminate(instance)
    case.provider.terminate(instance)
    case.pass_time()
    assert state_of(case.provider, instance) in (InstanceState.GONE, InstanceState.ABSENT)
    assert case.provider.list() == ()


def test_promise_3_nothing_says_gone_before_somebody_asked_for_the_end(case: Case) -> None:
    instance = case.provider.create(request(case.offer))
    case.pass_time()
    assert state_of(case.provider, instance) in (InstanceState.PENDING, InstanceState.RUNNING)


def test_promise_4_the_list_shows_what_is_ours_everywhere_and_nothing_else(case: Case) -> None:
    instance = case.provider.create(request(case.offer))
    assert [one.id for one in case.provider.list()] == [instance.id]
    assert [one.id for one in case.provider.list(case.offer.region)] == [instance.id]
    assert case.stranger.list() == ()


def test_promise_5_an_unknown_machine_is_not_found_and_neither_is_a_strangers(case: Case) -> None:
    instance = case.provider.create(request(case.offer))
    with pytest.raises(NotFound):
        case.provider.get(replace(instance, id="i-00000000000000000"))
    with pytest.raises(NotFound):
        case.stranger.get(instance)


def test_promise_5_an_id_that_we_hold_is_shown_although_its_marks_are_not(case: Case) -> None:
    if case.hide_marks is None:
        pytest.skip("marks do not get lost inside one computer")
    instance = case.provider.create(request(case.offer))
    case.hide_marks(instance)
    assert case.provider.list() == ()
    assert case.provider.get(instance).id == instance.id


def test_promise_6_nothing_is_printed_and_an_unanswered_create_is_sent_once(
    case: Case, capfd: pytest.CaptureFixture[str]
) -> None:
    if case.lose_answer:
        case.lose_answer()
    expected = pytest.raises(Ambiguous) if case.lose_answer else contextlib.nullcontext()
    with expected:
        case.provider.create(request(case.offer))
    assert case.creates_sent() == 1
    case.provider.check()
    case.provider.offers(OfferQuery(regions=(case.offer.region,)))
    for instance in case.provider.list():
        case.provider.terminate(instance)
    assert capfd.readouterr() == ("", "")


def test_promise_7_prices_say_when_and_where_they_were_seen(case: Case) -> None:
    offers = case.provider.offers(OfferQuery(regions=(case.offer.region,)))
    assert offers
    assert all(one.source and one.provider == case.provider.name for one in offers)
    assert all(one.seen_at.tzinfo is not None for one in offers)


def test_promise_7_a_running_machine_tells_its_rate_where_the_provider_knows_it(case: Case) -> None:
    instance = case.provider.create(request(case.offer))
    case.pass_time()
    assert case.provider.get(instance).billed_usd_per_hour is not None


def test_what_was_removed_may_be_removed_again(case: Case) -> None:
    instance = case.provider.create(request(case.offer))
    case.provider.terminate(instance)
    for left in case.provider.leftovers():
        case.provider.remove(left)
        case.provider.remove(left)
    assert case.provider.leftovers() == ()


def test_offers_keep_to_what_was_asked_for(case: Case) -> None:
    wanted = () if case.offer.gpu is None else (case.offer.gpu.name,)
    only = case.provider.offers(OfferQuery(gpus=wanted or ("A10G",), regions=(case.offer.region,)))
    assert {one.gpu.name for one in only if one.gpu is not None} == set(wanted)
    assert all(one.region == case.offer.region for one in only)
