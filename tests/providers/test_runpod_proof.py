"""A pod counts as guarded once one was seen to end itself: by key, for thirty days, and through which door."""

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pricing.offer import Offer
from providers.base import Level, NoCapacity, NoCredentials, OfferQuery, Unavailable
from providers.runpod import Runpod
from providers.runpod_proof import DOORS, KEPT_FOR, Proofs, door_of
from tests.cloud.client import RUNPOD_KEY, RUNPOD_READ_ONLY_KEY
from tests.fake_machine import VirtualClock
from tests.providers.hand_clouds import HandClouds
from tests.providers.plain_server import PlainServer, document
from tests.providers.samples import machine, request, surroundings

LINES = ("launch: 120 s of the lease are left", "launch-end: delete 204 ")


@pytest.fixture
def provider(clouds: HandClouds, tmp_path: Path) -> Runpod:
    return clouds.runpod_at(tmp_path)


def test_nobody_counts_as_guarded_before_it_is_proven(provider: Runpod) -> None:
    assert not provider.traits.guarded
    assert "launch doctor --live" in provider.traits.guard
    assert {one.guarded for one in provider.offers(OfferQuery())} == {False}


def test_a_trial_that_went_well_makes_every_offer_guarded(provider: Runpod, clouds: HandClouds) -> None:
    finding = provider.note_trial(machine(id="p1"), LINES)
    assert (finding.level, finding.subject) == (Level.OK, "guard")
    assert "p1 ended itself, by delete" in finding.text
    assert provider.traits.guarded
    assert f"proven {clouds.world.clock.now():%Y-%m-%d}" in provider.traits.guard
    assert {one.guarded for one in provider.offers(OfferQuery())} == {True}


def test_another_process_of_ours_knows_it_too(provider: Runpod, clouds: HandClouds, tmp_path: Path) -> None:
    provider.note_trial(machine(), LINES)
    assert clouds.runpod_at(tmp_path).traits.guarded


def test_another_key_has_to_prove_it_anew(provider: Runpod, clouds: HandClouds, tmp_path: Path) -> None:
    provider.note_trial(machine(), LINES)
    other = clouds.runpod_at(tmp_path, clouds.runpod_environ(RUNPOD_API_KEY=RUNPOD_READ_ONLY_KEY))
    assert not other.traits.guarded


def test_without_a_key_nothing_is_proven_and_nothing_raised(
    provider: Runpod, clouds: HandClouds, tmp_path: Path
) -> None:
    provider.note_trial(machine(), LINES)
    assert not clouds.runpod_at(tmp_path, {}).traits.guarded


def test_after_thirty_days_it_has_to_be_proven_anew(provider: Runpod, clouds: HandClouds) -> None:
    provider.note_trial(machine(), LINES)
    clouds.world.pass_time(timedelta(days=30).total_seconds() - 1)
    assert provider.traits.guarded
    clouds.world.pass_time(1)
    assert not provider.traits.guarded


def test_doctor_tells_when_and_through_which_door(provider: Runpod, tmp_path: Path) -> None:
    provider.note_trial(machine(), LINES)
    told = json.loads((tmp_path / "runpod" / "proof.json").read_text())
    assert told["door"] == "delete"
    assert RUNPOD_KEY not in json.dumps(told)


def test_only_the_look_at_a_booting_pod_follows_the_users_pace(clouds: HandClouds, tmp_path: Path) -> None:
    slow = clouds.runpod_at(tmp_path, settings={"seconds_between_requests": 5})
    assert slow.traits.look_seconds == 40.0


def proofs(file: Path, clock: VirtualClock | None = None) -> Proofs:
    return Proofs(file, clock or VirtualClock())


def test_a_proof_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    kept = proofs(tmp_path / "proof.json").keep("k", "runpodctl")
    assert proofs(tmp_path / "proof.json").of("k") == kept
    assert proofs(tmp_path / "proof.json").of("other") is None


def test_a_later_proof_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    clock = VirtualClock()
    known = proofs(tmp_path / "proof.json", clock)
    known.keep("k", "delete")
    clock.sleep(KEPT_FOR.total_seconds() - 1)
    known.keep("k", "action-stop")
    clock.sleep(2)
    found = known.of("k")
    assert found is not None
    assert found.door == "action-stop"


@pytest.mark.parametrize("left", ["", "{", "[]", "{}", '{"key_sha256": "x", "at": "soon", "door": "delete"}', "null"])
def test_half_a_file_is_no_proof(tmp_path: Path, left: str) -> None:
    (tmp_path / "proof.json").write_text(left)
    assert proofs(tmp_path / "proof.json").of("k") is None


def rewritten(file: Path, clock: VirtualClock, **changes: object) -> None:
    """The proof of the key "k", changed by hand."""
    proofs(file, clock).keep("k", "delete")
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_a_time_without_a_zone_is_no_proof(tmp_path: Path) -> None:
    rewritten(tmp_path / "proof.json", VirtualClock(), at="2026-11-24T12:00:00")
    assert proofs(tmp_path / "proof.json").of("k") is None


def test_a_proof_from_the_future_is_none(tmp_path: Path) -> None:
    rewritten(tmp_path / "proof.json", VirtualClock(), at="2036-11-24T12:00:00+00:00")
    assert proofs(tmp_path / "proof.json").of("k") is None


def tried(*words: str) -> tuple[str, ...]:
    return ("launch: sshd starts", *(f"launch-end: {word}" for word in words), "something else")


@pytest.mark.parametrize(
    ("lines", "door"),
    [
        ((), "delete"),
        (("launch: sshd starts",), "delete"),
        (tried("delete 204"), "delete"),
        (tried("delete 204 "), "delete"),
        (tried("delete 403"), "action-terminate"),
        (tried("delete 403", "action-terminate 403"), "action-stop"),
        (tried("delete 403", "action-terminate 403", "action-stop 200"), "action-stop"),
        (tried("delete 500", "action-terminate 500", "action-stop URLError"), "graphql-terminate"),
        (
            tried("delete 403", "action-terminate 403", "action-stop 403", "graphql-terminate 200 errors"),
            "graphql-stop",
        ),
        (tried(*(f"{one} 403" for one in DOORS)), "runpodctl"),
        (tried("", "nonsense 7"), "delete"),
    ],
)
def test_the_door_is_the_one_that_answered_or_the_one_after_the_last_that_did_not(
    lines: tuple[str, ...], door: str
) -> None:
    assert door_of(lines) == door


def trial(provider: Runpod) -> Offer:
    found = provider.trial()
    assert found is not None
    return found


def test_the_trial_is_a_small_pod_without_a_card(provider: Runpod) -> None:
    offer = trial(provider)
    assert (offer.gpu, offer.gpu_count, offer.vcpus, offer.instance_type) == (None, 0, 2, "cpu3c")
    assert (offer.usd_per_hour, offer.worst_usd_per_hour) == (Decimal("0.06"), Decimal("0.12"))


def test_the_trials_pod_is_created_like_any_other_but_for_its_processor(provider: Runpod, clouds: HandClouds) -> None:
    offer = trial(provider)
    made = provider.create(request(offer, disk_gib=1))
    (asked,) = clouds.calls("runpod.create")
    assert asked.body["cpu"] == {"id": "cpu3c", "vcpuCount": 2}
    assert "gpu" not in asked.body
    assert "dataCenterIds" not in asked.body
    assert asked.body["env"]["LAUNCH_DEADMAN"]
    assert made.billed_usd_per_hour == offer.usd_per_hour


def cpu(**changes: Any) -> dict[str, Any]:
    return {"id": "cpu3c", "price": {"securePerVcpu": 0.03}, **changes}


def tries(clouds: HandClouds, server: PlainServer, folder: Path, answer: object) -> Runpod:
    server.says(document(answer))
    return clouds.runpod_at(folder, clouds.runpod_environ(RUNPOD_API_BASE_URL=server.url))


def test_the_cheapest_processor_is_tried(clouds: HandClouds, server: PlainServer, tmp_path: Path) -> None:
    dear = cpu(id="cpu5c", price={"securePerVcpu": 0.04})
    free = cpu(id="cpu0", price={"securePerVcpu": 0})
    nameless = cpu(id="", price={"securePerVcpu": 0.01})
    provider = tries(clouds, server, tmp_path, {"cpus": [dear, free, nameless, cpu()]})
    assert trial(provider).instance_type == "cpu3c"


def test_a_processor_that_is_sold_out_or_sold_in_other_sizes_is_not_tried(
    clouds: HandClouds, server: PlainServer, tmp_path: Path
) -> None:
    cheap = {"price": {"securePerVcpu": 0.01}}
    others = [
        cpu(id="none", availability="NONE", **cheap),
        cpu(id="large", vcpu={"min": 4, "max": 32}, **cheap),
        cpu(id="tiny", vcpu={"min": 1, "max": 1}, **cheap),
    ]
    provider = tries(clouds, server, tmp_path, {"cpus": [*others, cpu(availability="LOW", vcpu={"min": 2, "max": 2})]})
    assert trial(provider).instance_type == "cpu3c"
    assert "vcpuCount=2" in server.heard[0].path
    with pytest.raises(NoCapacity):
        tries(clouds, server, tmp_path, {"cpus": others}).trial()


@pytest.mark.parametrize("answer", [{"cpus": []}, {"cpus": [cpu(price={})]}])
def test_a_catalogue_without_processors_has_nothing_to_try(
    clouds: HandClouds, server: PlainServer, tmp_path: Path, answer: object
) -> None:
    with pytest.raises(NoCapacity):
        tries(clouds, server, tmp_path, answer).trial()


@pytest.mark.parametrize("answer", [{}, {"cpus": None}, {"cpus": [None]}, {"cpus": [cpu(price=None)]}, []])
def test_a_catalogue_that_makes_no_sense_is_unavailable(
    clouds: HandClouds, server: PlainServer, tmp_path: Path, answer: object
) -> None:
    with pytest.raises(Unavailable):
        tries(clouds, server, tmp_path, answer).trial()


def test_a_trial_without_a_key_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoCredentials):
        Runpod(surroundings(tmp_path)).trial()
