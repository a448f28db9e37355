"""Every refusal that Runpod is known for, told apart as it comes over the wire: by status, and by words if need be."""

from pathlib import Path
from typing import Any

import pytest

from providers.base import (
    Ambiguous,
    AuthFailed,
    Busy,
    ContractBroken,
    NoCapacity,
    NoFunds,
    NotFound,
    ProviderError,
    Throttled,
    Unavailable,
)
from providers.rest import Call, Reply
from providers.runpod import Runpod
from providers.runpod_calls import refusal
from tests.cloud.client import RUNPOD_KEY, RUNPOD_READ_ONLY_KEY
from tests.cloud.runpod_life import NO_CAPACITY
from tests.providers.hand_clouds import OWNER, HandClouds
from tests.providers.plain_server import PlainServer, Said, document
from tests.providers.samples import machine, request, runpod_offer

CREATE = Call(method="POST", path="/v2/pods", acts=True)
READ = Call(method="GET", path="/v2/pods")
DELETE = Call(method="DELETE", path="/v2/pods/x", acts=True)
FULL = [
    # facts/runpod.md, section 2
    NO_CAPACITY,
    "This machine does not have the resources to deploy your pod. Please try a different machine",
    "There are no instances available with the request specifications.",
    "Not enough capacity.",
]


@pytest.fixture
def provider(clouds: HandClouds, tmp_path: Path) -> Runpod:
    return clouds.runpod_at(tmp_path)


def refused(status: int, detail: str = "", call: Call = CREATE) -> ProviderError:
    """What the table makes of one refusal."""
    body = {"title": "No", "status": status, "detail": detail} if detail else None
    return refusal(Reply(status=status, document=body, headers={}), call)


def failure(provider: Runpod) -> ProviderError:
    """What a create call raises."""
    with pytest.raises(ProviderError) as caught:
        provider.create(request(runpod_offer()))
    return caught.value


@pytest.mark.parametrize("text", FULL)
def test_a_place_that_is_full_is_known_by_its_words(text: str) -> None:
    error = refused(400, text)
    assert isinstance(error, NoCapacity)
    assert (error.or_else, error.text) == (None, text)


@pytest.mark.parametrize("text", ["", "exactly one of gpu or cpu must be set"])
def test_a_400_in_other_words_may_be_our_own_mistake(text: str) -> None:
    error = refused(400, text)
    assert isinstance(error, NoCapacity)
    assert isinstance(error.or_else, ContractBroken)


@pytest.mark.parametrize("status", [400, 402, 403])
def test_an_account_that_cannot_pay_is_never_taken_for_a_full_place(status: int) -> None:
    error = refused(status, "Your account balance is too low to rent a pod")
    assert isinstance(error, NoFunds)
    assert "billing" in error.fix


def test_a_403_on_create_is_a_pool_for_others_or_a_key_that_may_not() -> None:
    error = refused(403, "access denied")
    assert isinstance(error, NoCapacity)
    assert isinstance(error.or_else, AuthFailed)
    assert "may write" in error.or_else.fix


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AuthFailed),
        (404, NotFound),
        (410, ContractBroken),
        (413, ContractBroken),
        (422, ContractBroken),
        (429, Throttled),
        (500, Ambiguous),
        (502, Ambiguous),
        (503, Ambiguous),
    ],
)
def test_each_other_status_of_a_refused_create_is_one_of_our_errors(status: int, kind: type[ProviderError]) -> None:
    error = refused(status, "well")
    assert (type(error), error.code) == (kind, str(status))
    assert "well" in error.text


def test_a_conflict_on_create_leaves_open_whether_there_is_a_pod() -> None:
    assert type(refused(409, "conflict")) is Ambiguous


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ContractBroken),
        (401, AuthFailed),
        (403, AuthFailed),
        (404, NotFound),
        (409, Busy),
        (410, ContractBroken),
        (422, ContractBroken),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
def test_each_status_of_a_refused_look_is_one_of_our_errors(status: int, kind: type[ProviderError]) -> None:
    assert type(refused(status, "well", READ)) is kind


@pytest.mark.parametrize(("status", "kind"), [(403, AuthFailed), (409, Busy), (500, Ambiguous)])
def test_only_create_has_a_403_of_its_own(status: int, kind: type[ProviderError]) -> None:
    assert type(refused(status, "well", DELETE)) is kind


def test_what_the_form_lacks_is_told() -> None:
    body = {
        "title": "No",
        "status": 422,
        "detail": "Request validation failed.",
        "errors": ["$: a", "$.b: c", "d", "e"],
    }
    error = refusal(Reply(status=422, document=body, headers={}), CREATE)
    assert "Request validation failed. $: a; $.b: c; d" in error.text


@pytest.mark.parametrize("body", [None, [], {}, {"detail": None}, {"detail": 7, "errors": "x"}, {"errors": [None, {}]}])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 500])
def test_a_refusal_without_words_is_told_by_its_status(body: object, status: int) -> None:
    assert refusal(Reply(status=status, document=body, headers={}), READ).text


def test_too_many_requests_without_words_are_told_in_ours() -> None:
    assert refusal(Reply(status=429, document=None, headers={}), READ).text


def test_runpods_words_cannot_write_on_a_terminal() -> None:
    error = refused(422, "a\x1b[31mb\r\nc" + "x" * 9999)
    assert "\x1b" not in error.text
    assert "\n" not in error.text
    assert len(error.text) < 400


@pytest.mark.parametrize(("header", "seconds"), [("", 15.0), ("7", 7.0), ("soon", 15.0), ("-1", 15.0), ("1.5", 15.0)])
def test_too_many_requests_tell_how_long_to_wait(header: str, seconds: float) -> None:
    headers = {"retry-after": header} if header else {}
    error = refusal(Reply(status=429, document=None, headers=headers), READ)
    assert isinstance(error, Throttled)
    assert error.wait_seconds == seconds


def test_a_full_place_is_found_out_by_one_call(provider: Runpod, clouds: HandClouds) -> None:
    clouds.runpod_life.scenario.capacity["SECURE/US-KS-2/NVIDIA GeForce RTX 4090"] = 0
    error = failure(provider)
    assert isinstance(error, NoCapacity)
    assert error.or_else is None
    assert len(clouds.calls("runpod.create")) == 1


def test_an_empty_account_is_told_as_that(provider: Runpod, clouds: HandClouds) -> None:
    clouds.world.set_knobs("runpod", {"balance_usd": "0.10"})
    assert isinstance(failure(provider), NoFunds)


def test_a_card_that_is_not_for_this_account_is_the_next_choices_turn(provider: Runpod, clouds: HandClouds) -> None:
    clouds.world.set_knobs("runpod", {"forbidden": "NVIDIA GeForce RTX 4090"})
    assert isinstance(failure(provider), NoCapacity)


def test_a_key_that_may_only_read_creates_nothing_and_says_why_if_all_places_do(
    clouds: HandClouds, tmp_path: Path
) -> None:
    error = failure(clouds.runpod_at(tmp_path, clouds.runpod_environ(RUNPOD_API_KEY=RUNPOD_READ_ONLY_KEY)))
    assert isinstance(error, NoCapacity)
    assert isinstance(error.or_else, AuthFailed)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 422, 429, 500, 503])
def test_no_refused_create_is_sent_twice(provider: Runpod, clouds: HandClouds, status: int) -> None:
    clouds.fault("runpod.create", "before", status=status)
    failure(provider)
    assert len(clouds.calls("runpod.create")) == 1


def test_what_runpod_forbids_for_a_while_is_kept_by_all_processes_of_ours(
    provider: Runpod, clouds: HandClouds, tmp_path: Path
) -> None:
    clouds.fault("runpod.list", "throttle", seconds=40)
    with pytest.raises(Throttled):
        provider.list()
    with pytest.raises(Throttled) as held:
        clouds.runpod_at(tmp_path).list()
    assert held.value.code == "pace"
    clouds.world.pass_time(40)
    assert provider.list() == ()
    assert len(clouds.calls("runpod.list")) == 2


def test_the_last_requests_of_a_minute_are_left_to_others(
    clouds: HandClouds, server: PlainServer, tmp_path: Path
) -> None:
    few = '"minute";r=3;t=9, "hour";r=2800;t=1812'
    server.says(document({"pods": []}, RateLimit=few), document({"pods": []}))
    provider = clouds.runpod_at(tmp_path, clouds.runpod_environ(RUNPOD_API_BASE_URL=server.url))
    provider.list()
    before = clouds.world.clock.seconds()
    provider.list()
    assert clouds.world.clock.seconds() - before >= 9


@pytest.mark.parametrize("header", ["", "nonsense", '"hour";r=0;t=5', '"minute";r=4;t=50', '"minute";r=x;t=1'])
def test_a_header_that_says_nothing_of_the_minute_holds_up_nobody(
    clouds: HandClouds, server: PlainServer, tmp_path: Path, header: str
) -> None:
    server.says(document({"pods": []}, RateLimit=header))
    provider = clouds.runpod_at(tmp_path, clouds.runpod_environ(RUNPOD_API_BASE_URL=server.url))
    before = clouds.world.clock.seconds()
    provider.list()
    provider.list()
    assert clouds.world.clock.seconds() == before


def test_all_requests_together_keep_to_what_a_minute_allows(
    provider: Runpod, clouds: HandClouds, tmp_path: Path
) -> None:
    other = clouds.runpod_at(tmp_path)
    for _ in range(35):
        provider.list()
        other.list()
    assert {one.status for one in clouds.calls("runpod.list")} == {200}


@pytest.mark.parametrize("when", ["before", "hang", "reset", "html", "empty", "badjson"])
def test_a_list_without_a_usable_answer_never_reads_as_nothing_there(
    provider: Runpod, clouds: HandClouds, when: str
) -> None:
    clouds.fault("runpod.list", when, seconds=0.1)
    with pytest.raises(Unavailable):
        provider.list()


OURS_WITHOUT_AN_ID = {"pods": [{"id": None, "env": {"LAUNCH_OWNER": OWNER}}]}


@pytest.mark.parametrize("body", [None, [], {}, {"pods": None}, {"pods": {}}, {"pods": [None]}, OURS_WITHOUT_AN_ID])
def test_a_list_that_lacks_its_list_never_reads_as_nothing_there(
    clouds: HandClouds, server: PlainServer, tmp_path: Path, body: object
) -> None:
    server.says(document(body))
    with pytest.raises(Unavailable):
        clouds.runpod_at(tmp_path, clouds.runpod_environ(RUNPOD_API_BASE_URL=server.url)).list()


@pytest.mark.parametrize("when", ["after", "hang", "reset", "html", "empty"])
def test_a_delete_without_an_answer_is_unclear(provider: Runpod, clouds: HandClouds, when: str) -> None:
    made = provider.create(request(runpod_offer()))
    clouds.fault("runpod.delete", when, seconds=0.1, applied=True)
    with pytest.raises(Ambiguous):
        provider.terminate(made)


def test_no_error_tells_the_key(clouds: HandClouds, server: PlainServer, tmp_path: Path) -> None:
    provider = clouds.runpod_at(tmp_path, clouds.runpod_environ(RUNPOD_API_BASE_URL=server.url))
    told: list[Any] = []
    for said in (Said(status=401, body=b"no"), Said(status=500), Said(body=b"<html>"), Said(body=b"{}", cut=1)):
        server.says(said)
        with pytest.raises(ProviderError) as caught:
            provider.get(machine())
        told += [repr(caught.value), caught.value.text, caught.value.fix, repr(caught.value.__cause__)]
    assert not [text for text in told if RUNPOD_KEY in text]
