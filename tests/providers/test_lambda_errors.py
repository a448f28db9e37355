"""Every refusal that Lambda is known for, told apart as it comes over the wire, by its code and never by its text."""

from pathlib import Path

import pytest

from providers import lambda_calls
from providers.base import (
    Ambiguous,
    AuthFailed,
    Busy,
    ContractBroken,
    NoCapacity,
    NotFound,
    NotSetUp,
    ProviderError,
    QuotaExceeded,
    Throttled,
    Unavailable,
)
from providers.lambda_calls import refusal
from providers.lambda_cloud import Lambda
from providers.rest import Call, Reply
from tests.cloud.client import LAMBDA_KEY
from tests.providers.hand_clouds import OWNER, HandClouds
from tests.providers.plain_server import PlainServer, Said, document
from tests.providers.samples import lambda_offer, request

LAUNCH = "instance-operations/launch"
ROWS: list[tuple[int, str, type[ProviderError]]] = [
    # facts/lambda.md, section 5
    (400, f"{LAUNCH}/insufficient-capacity", NoCapacity),
    (400, "global/quota-exceeded", QuotaExceeded),
    (400, "global/invalid-parameters", ContractBroken),
    (400, f"{LAUNCH}/file-system-in-wrong-region", ContractBroken),
    (400, "global/duplicate", Busy),
    (401, "global/invalid-api-key", AuthFailed),
    (403, "global/account-inactive", NotSetUp),
    (403, "global/invalid-address", NotSetUp),
    (403, "global/forbidden", AuthFailed),
    (409, "global/conflict", Busy),
    (409, "firewall-rulesets/firewall-ruleset-in-use", Busy),
    (400, "filesystems/filesystem-in-use", Busy),
    (429, "global/rate-limited", Throttled),
    (500, "global/internal-error", Ambiguous),
    (500, "global/unknown", Ambiguous),
    (400, "global/unknown", Ambiguous),
    (503, "provider/internal-unavailable", Ambiguous),
    (400, "provider/internal-unavailable", Ambiguous),
    (400, "provider/network-error", Ambiguous),
    (500, "provider/insufficient-capacity", Ambiguous),
    (503, "provider/quota-exceeded", Ambiguous),
    (400, "provider/insufficient-capacity", NoCapacity),
    (400, "provider/quota-exceeded", NoCapacity),
    (400, "provider/resource-exhausted", NoCapacity),
]
ACT = Call(method="POST", path=f"/{LAUNCH}", acts=True)
READ = Call(method="GET", path="/instances")


@pytest.fixture
def provider(clouds: HandClouds, tmp_path: Path) -> Lambda:
    """One that has a machine already, and the run's key in the account."""
    found = clouds.lambda_at(tmp_path)
    found.create(request(lambda_offer()))
    clouds.clouds["lambda"].calls.clear()
    clouds.world.pass_time(60)
    return found


def refused(reply_status: int, body: object, call: Call = ACT, **headers: str) -> ProviderError:
    """What the table makes of one refusal."""
    return refusal(Reply(status=reply_status, document=body, headers=headers), call)


@pytest.mark.parametrize(("status", "code", "kind"), ROWS)
def test_a_refused_launch_is_one_of_our_errors_and_was_sent_once(
    provider: Lambda, clouds: HandClouds, status: int, code: str, kind: type[ProviderError]
) -> None:
    clouds.fault("lambda.launch", "before", code=code, message="about it", status=status)
    with pytest.raises(ProviderError) as caught:
        provider.create(request(lambda_offer()))
    assert (type(caught.value), caught.value.code) == (kind, code)
    assert "about it" in caught.value.text
    assert len(clouds.calls("lambda.launch")) == 1


@pytest.mark.parametrize("status", [400, 500])
def test_words_in_the_message_of_a_provider_never_say_that_no_machine_was_made(status: int) -> None:
    text = "An error occurred while provisioning resources: capacity, quota, exhausted."
    error = refused(status, {"error": {"code": "provider/internal-error", "message": text}})
    assert type(error) is Ambiguous


@pytest.mark.parametrize("code", ["global/object-does-not-exist", "global/not-found"])
@pytest.mark.parametrize("status", [400, 404])
def test_what_does_not_exist_is_not_found(code: str, status: int) -> None:
    error = refused(status, {"error": {"code": code, "message": "Specified instance does not exist."}}, READ)
    assert (type(error), error.code) == (NotFound, code)


def test_every_code_of_the_facts_is_in_the_table_or_told_by_its_beginning() -> None:
    told_apart = {code for _, code, _ in ROWS} | {"global/object-does-not-exist", "global/not-found"}
    others = {code for code in told_apart if code.startswith("provider/") or code.endswith("internal-error")}
    assert told_apart - others - {"global/unknown", "global/rate-limited"} == set(lambda_calls.CODES)


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("global/quota-exceeded", "quota"),
        ("global/invalid-api-key", "LAMBDA_API_KEY"),
        ("global/forbidden", "full rights"),
        ("global/account-inactive", "cloud.lambda.ai"),
    ],
)
def test_what_a_person_can_mend_is_said(code: str, word: str) -> None:
    assert word in refused(400, {"error": {"code": code, "message": "no"}}).fix


@pytest.mark.parametrize(("status", "kind"), [(400, ContractBroken), (404, ContractBroken), (418, ContractBroken)])
def test_a_code_that_nobody_knows_is_a_broken_contract(status: int, kind: type[ProviderError]) -> None:
    error = refused(status, {"error": {"code": "global/newest-nonsense", "message": "well"}})
    assert (type(error), error.code) == (kind, "global/newest-nonsense")


@pytest.mark.parametrize("body", [None, [], {}, {"error": None}, {"error": "no"}, {"error": {"code": 7}}])
@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AuthFailed), (403, AuthFailed), (429, Throttled), (400, ContractBroken), (500, Ambiguous), (502, Ambiguous)],
)
def test_a_refusal_without_a_code_is_told_by_its_status(body: object, status: int, kind: type[ProviderError]) -> None:
    assert type(refused(status, body)) is kind


@pytest.mark.parametrize("status", [500, 502, 503, 599])
def test_the_same_trouble_says_nothing_to_a_reader(status: int) -> None:
    error = refused(status, {"error": {"code": "global/internal-error", "message": "oh"}}, READ)
    assert type(error) is Unavailable


@pytest.mark.parametrize("code", ["global/quota-exceeded", f"{LAUNCH}/insufficient-capacity"])
def test_a_code_without_a_message_is_told_in_our_words(code: str) -> None:
    assert refused(400, {"error": {"code": code}}).text


def test_lambdas_words_cannot_write_on_a_terminal() -> None:
    error = refused(400, {"error": {"code": "global/quota-exceeded", "message": "a\x1b[31mb\r\nc" + "x" * 9999}})
    assert "\x1b" not in error.text
    assert "\n" not in error.text
    assert len(error.text) <= 300


@pytest.mark.parametrize(
    ("header", "launch_seconds", "read_seconds"),
    [("", 12.0, 2.0), ("1", 12.0, 2.0), ("40", 40.0, 40.0), ("soon", 12.0, 2.0), ("-5", 12.0, 2.0), ("٣٠", 12.0, 2.0)],
)
def test_too_many_requests_tell_how_long_to_wait(header: str, launch_seconds: float, read_seconds: float) -> None:
    headers = {"retry-after": header} if header else {}
    launch, read = refused(429, None, ACT, **headers), refused(429, None, READ, **headers)
    assert isinstance(launch, Throttled)
    assert isinstance(read, Throttled)
    assert (launch.wait_seconds, read.wait_seconds) == (launch_seconds, read_seconds)


def test_a_launch_refused_for_its_haste_is_held_for_all_processes_of_ours(
    provider: Lambda, clouds: HandClouds, tmp_path: Path
) -> None:
    clouds.fault("lambda.launch", "throttle", seconds=60)
    with pytest.raises(Throttled) as caught:
        provider.create(request(lambda_offer()))
    assert caught.value.wait_seconds == 60.0
    with pytest.raises(Throttled) as held:
        clouds.lambda_at(tmp_path).create(request(lambda_offer()))
    assert held.value.code == "pace"
    assert len(clouds.calls("lambda.launch")) == 1
    assert len(provider.list()) == 1  # reading goes on


def test_a_look_refused_for_its_haste_makes_the_next_one_wait(provider: Lambda, clouds: HandClouds) -> None:
    clouds.fault("lambda.list", "throttle", seconds=5)
    with pytest.raises(Throttled):
        provider.list()
    before = clouds.world.clock.seconds()
    provider.list()
    assert clouds.world.clock.seconds() - before >= 5


def test_all_requests_together_keep_to_lambdas_own_limit(provider: Lambda, clouds: HandClouds, tmp_path: Path) -> None:
    other = clouds.lambda_at(tmp_path)
    for _ in range(4):
        provider.list()
        other.list()
    assert {one.status for one in clouds.calls("lambda.list")} == {200}


@pytest.mark.parametrize("when", ["before", "hang", "reset", "html", "empty", "badjson"])
def test_a_list_without_a_usable_answer_never_reads_as_nothing_there(
    provider: Lambda, clouds: HandClouds, when: str
) -> None:
    clouds.fault("lambda.list", when, seconds=0.1)
    with pytest.raises(Unavailable):
        provider.list()


OURS_WITHOUT_AN_ID = {"data": [{"id": 7, "tags": [{"key": "launch:owner", "value": OWNER}]}]}


@pytest.mark.parametrize("body", [{}, {"data": None}, {"data": {}}, {"data": [None]}, OURS_WITHOUT_AN_ID, [], None])
def test_a_list_that_lacks_its_list_never_reads_as_nothing_there(
    clouds: HandClouds, server: PlainServer, tmp_path: Path, body: object
) -> None:
    server.says(document(body))
    with pytest.raises(Unavailable):
        clouds.lambda_at(tmp_path, clouds.lambda_environ(LAMBDA_API_BASE_URL=server.url)).list()


@pytest.mark.parametrize("when", ["after", "hang", "reset", "html", "empty", "badjson"])
def test_a_terminate_without_an_answer_is_unclear(provider: Lambda, clouds: HandClouds, when: str) -> None:
    (instance,) = provider.list()
    clouds.fault("lambda.terminate", when, seconds=0.1, applied=True)
    with pytest.raises(Ambiguous):
        provider.terminate(instance)


def test_no_error_tells_the_key(clouds: HandClouds, server: PlainServer, tmp_path: Path) -> None:
    provider = clouds.lambda_at(tmp_path, clouds.lambda_environ(LAMBDA_API_BASE_URL=server.url))
    told = ""
    for said in (Said(status=401, body=b"no"), Said(status=500), Said(body=b"<html>"), Said(body=b"{}", cut=1)):
        server.says(said)
        with pytest.raises(ProviderError) as caught:
            provider.list()
        told += f"{caught.value!r} {caught.value.text} {caught.value.fix} {caught.value.__cause__!r}"
    assert LAMBDA_KEY not in told
    assert told
