"""Every refusal that AWS is known for, told apart as it comes over the wire."""

import json
import socket
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from pricing.offer import Market
from providers import aws_errors
from providers.aws import Aws
from providers.aws_calls import Calls
from providers.base import (
    Ambiguous,
    AuthFailed,
    Busy,
    ContractBroken,
    InstanceState,
    Leftover,
    Level,
    NoCapacity,
    NotFound,
    NotSetUp,
    OfferQuery,
    PriceTooLow,
    ProviderError,
    QuotaExceeded,
    Throttled,
    Unavailable,
)
from tests.providers.conftest import aws_on
from tests.providers.moto_cloud import MotoCloud
from tests.providers.samples import NOW, aws_offer, on_demand, request, surroundings

KNOWN: dict[type[ProviderError], str] = {
    NoCapacity: "InsufficientInstanceCapacity InsufficientCapacity UnfulfillableCapacity ReservationCapacityExceeded "
    "InsufficientHostCapacity Unsupported InsufficientFreeAddressesInSubnet",
    PriceTooLow: "SpotMaxPriceTooLow",
    QuotaExceeded: "MaxSpotInstanceCountExceeded VcpuLimitExceeded InstanceLimitExceeded MaxFleetCountExceeded",
    Throttled: "RequestLimitExceeded Throttling ThrottlingException EC2ThrottledException "
    "InvalidGroup.NotFound InvalidKeyPair.NotFound",
    Ambiguous: "InternalError Unavailable ServiceUnavailable",
    ContractBroken: "IdempotentParameterMismatch InvalidInstanceID.Malformed InvalidParameterValue "
    "InvalidParameterCombination InvalidUserData.Malformed MissingParameter UnsupportedOperation "
    "InvalidKeyPair.Duplicate InvalidGroup.Duplicate InvalidPermission.Duplicate",
    AuthFailed: "UnauthorizedOperation AccessDenied AccessDeniedException AuthFailure InvalidClientTokenId "
    "SignatureDoesNotMatch ExpiredToken ExpiredTokenException RequestExpired "
    "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
    NotSetUp: "OptInRequired PendingVerification Blocked InvalidAMIID.NotFound InvalidAMIID.Unavailable "
    "VPCIdNotSpecified DefaultVpcDoesNotExist OperationNotPermitted",
    Busy: "DependencyViolation",
}
ROWS = [(code, kind) for kind, codes in KNOWN.items() for code in codes.split()]
SERVER_SIDE = {"InsufficientInstanceCapacity": 500, "InternalError": 500, "RequestLimitExceeded": 503}
SERVER_SIDE |= {"Unavailable": 503, "ServiceUnavailable": 503}


@pytest.fixture
def prepared(aws: Aws, moto: MotoCloud) -> Aws:
    """A provider that has its security group and subnets already."""
    aws.create(request(aws_offer()))
    moto.app.calls.clear()
    return aws


def test_each_code_of_a_refused_create_is_told_apart_and_sent_once(prepared: Aws, moto: MotoCloud) -> None:
    wrong = []
    for code, kind in ROWS:
        moto.app.calls.clear()
        moto.app.refuse("RunInstances", code, status=SERVER_SIDE.get(code, 400), text=f"about {code}")
        with pytest.raises(ProviderError) as caught:
            prepared.create(request(aws_offer()))
        if not isinstance(caught.value, kind) or caught.value.code != code or len(moto.app.made()) != 1:
            wrong.append((code, caught.value, len(moto.app.made())))
    assert wrong == []


def test_every_code_that_the_facts_know_is_in_the_table() -> None:
    known = {code for code, _ in ROWS} | {"InvalidInstanceID.NotFound"}
    assert known - set(aws_errors.TABLE) == set()


@pytest.mark.parametrize(("status", "kind"), [(400, ContractBroken), (403, ContractBroken), (500, Ambiguous)])
def test_a_code_that_nobody_knows_is_a_broken_contract_or_unclear(
    prepared: Aws, moto: MotoCloud, status: int, kind: type[ProviderError]
) -> None:
    moto.app.refuse("RunInstances", "NewestNonsense", status=status)
    with pytest.raises(kind) as caught:
        prepared.create(request(aws_offer()))
    assert caught.value.code == "NewestNonsense"


@pytest.mark.parametrize("body", [b"", b"<html>gateway</html>", b"<RunInstancesResponse/>", b"\x00\xff"])
def test_an_answer_to_create_that_says_nothing_is_ambiguous(prepared: Aws, moto: MotoCloud, body: bytes) -> None:
    moto.app.answers["RunInstances"] = ("200 OK", body)
    with pytest.raises(Ambiguous):
        prepared.create(request(aws_offer()))


@pytest.mark.parametrize("body", [b"", b"<html>gateway</html>", b"<DescribeInstancesResponse/>"])
def test_a_list_that_lacks_its_list_never_reads_as_nothing_there(prepared: Aws, moto: MotoCloud, body: bytes) -> None:
    moto.app.answers["DescribeInstances"] = ("200 OK", body)
    with pytest.raises(Unavailable):
        prepared.list()


def test_a_connection_that_is_refused_is_unavailable_for_reads_and_ambiguous_for_changes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    keys = {"AWS_ACCESS_KEY_ID": "AKIATESTING", "AWS_SECRET_ACCESS_KEY": "x"}
    calls = Calls({"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", **keys})
    with pytest.raises(Unavailable):
        calls.read("ec2", "describe_vpcs", "us-east-1")
    with pytest.raises(Ambiguous):
        calls.act("ec2", "terminate_instances", "us-east-1", InstanceIds=["i-1"])


def test_no_credentials_are_said_with_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(AuthFailed) as caught:
        Calls({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}).read("ec2", "describe_vpcs", "us-east-1")
    assert "AWS_ACCESS_KEY_ID" in caught.value.fix
    with pytest.raises(AuthFailed, match="nobody"):
        Calls({"AWS_PROFILE": "nobody"}).read("ec2", "describe_vpcs", "us-east-1")


def test_an_endpoint_that_is_no_address_is_said_so() -> None:
    keys = {"AWS_ACCESS_KEY_ID": "AKIATESTING", "AWS_SECRET_ACCESS_KEY": "x"}
    with pytest.raises(NotSetUp) as caught:
        Calls({"AWS_ENDPOINT_URL": "nonsense", **keys}).read("ec2", "describe_vpcs", "us-east-1")
    assert "AWS_ENDPOINT_URL" in caught.value.fix


def test_a_session_token_in_a_refusal_is_not_repeated(prepared: Aws, moto: MotoCloud) -> None:
    text = "The request signature we calculated. The Canonical String was 'x-amz-security-token:FwoPlanted'"
    moto.app.refuse("RunInstances", "SignatureDoesNotMatch", status=403, text=text)
    with pytest.raises(AuthFailed) as caught:
        prepared.create(request(aws_offer()))
    assert "FwoPlanted" not in caught.value.text
    moto.app.refuse("RunInstances", "SomethingNew", status=403, text=text)
    with pytest.raises(ContractBroken) as broken:
        prepared.create(request(aws_offer()))
    assert "FwoPlanted" not in broken.value.text


def test_a_quota_that_is_used_up_is_named_with_code_value_need_and_link(prepared: Aws, moto: MotoCloud) -> None:
    quota = b'{"Quota": {"QuotaCode": "L-3819A6DF", "Value": 0.0}}'
    moto.app.answers["ServiceQuotasV20190624.GetServiceQuota"] = ("200 OK", quota)
    moto.app.refuse("RunInstances", "MaxSpotInstanceCountExceeded", text="Max spot instance count exceeded")
    with pytest.raises(QuotaExceeded) as caught:
        prepared.create(request(aws_offer()))
    assert "L-3819A6DF" in caught.value.text
    assert "it is 0 vCPUs, g5.xlarge needs 4" in caught.value.text
    assert "quotas/L-3819A6DF" in caught.value.fix
    moto.app.refuse("RunInstances", "VcpuLimitExceeded")
    with pytest.raises(QuotaExceeded, match="L-DB2E81BA"):
        prepared.create(request(on_demand(aws_offer())))


def test_a_quota_whose_value_may_not_be_read_is_still_named(prepared: Aws, moto: MotoCloud) -> None:
    moto.app.refuse("RunInstances", "VcpuLimitExceeded")
    with pytest.raises(QuotaExceeded, match="could not be read"):
        prepared.create(request(on_demand(aws_offer())))


def test_a_region_that_is_not_enabled_hides_nothing_of_the_others(aws: Aws, moto: MotoCloud) -> None:
    instance = aws.create(request(aws_offer()))

    def only_there(region: str) -> tuple[str, ...]:
        if region == "us-east-2":
            raise AuthFailed("not enabled", code="AuthFailure")
        return (region,)

    assert aws._everywhere(("us-east-1", "us-east-2"), only_there) == (("us-east-1",),)
    assert [one.id for one in aws.list()] == [instance.id]


def test_keys_that_no_region_accepts_are_an_error(aws: Aws, moto: MotoCloud) -> None:
    moto.app.refuse("DescribeInstances", "AuthFailure", status=401)
    with pytest.raises(AuthFailed):
        aws.list()


def test_one_region_that_does_not_answer_makes_the_whole_list_unknown(aws: Aws) -> None:
    def silent_there(region: str) -> str:
        if region == "us-east-2":
            raise Unavailable("down", code="503")
        return region

    with pytest.raises(Unavailable):
        aws._everywhere(("us-east-1", "us-east-2"), silent_there)


def test_a_thing_that_a_machine_still_holds_is_busy_and_one_that_is_gone_is_fine(aws: Aws, moto: MotoCloud) -> None:
    group = Leftover(provider="aws", kind="security group", id="sg-1", region="us-east-1", run_id="", billed=False)
    moto.app.refuse("DeleteSecurityGroup", "DependencyViolation")
    with pytest.raises(Busy):
        aws.remove(group)
    moto.app.refuse("DeleteSecurityGroup", "InvalidGroup.NotFound")
    aws.remove(group)


def test_an_unknown_state_counts_as_alive(aws: Aws, moto: MotoCloud) -> None:
    instance = aws.create(request(aws_offer()))
    row = f"""<DescribeInstancesResponse><reservationSet><item><instancesSet><item>
      <instanceId>{instance.id}</instanceId><instanceType>g5.xlarge</instanceType>
      <launchTime>2026-11-24T12:00:00Z</launchTime><instanceState><name>hibernating</name></instanceState>
      <tagSet><item><key>launch:owner</key><value>me</value></item></tagSet>
    </item></instancesSet></item></reservationSet></DescribeInstancesResponse>"""
    moto.app.answers["DescribeInstances"] = ("200 OK", row.encode())
    assert aws.get(instance).state is InstanceState.UNKNOWN
    assert instance.id in {one.id for one in aws.list()}
    moto.app.answers["DescribeInstances"] = ("200 OK", row.replace("hibernating", "stopped").encode())
    assert aws.get(instance).state is InstanceState.STOPPED
    assert instance.id in {one.id for one in aws.list()}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("Server.SpotInstanceTermination", "preempted"),
        ("Client.InstanceInitiatedShutdown", "own deadline"),
        ("Client.UserInitiatedShutdown", "asked"),
        ("Server.InsufficientInstanceCapacity", "no capacity"),
        ("Client.VolumeLimitExceeded", "failed"),
    ],
)
def test_why_a_machine_ended_is_read_from_its_state_reason(aws: Aws, moto: MotoCloud, code: str, reason: str) -> None:
    instance = aws.create(request(aws_offer()))
    row = f"""<DescribeInstancesResponse><reservationSet><item><instancesSet><item>
      <instanceId>{instance.id}</instanceId><instanceType>g5.xlarge</instanceType>
      <launchTime>2026-11-24T12:00:00Z</launchTime><instanceState><name>terminated</name></instanceState>
      <stateReason><code>{code}</code><message>because</message></stateReason>
      <tagSet><item><key>launch:owner</key><value>me</value></item></tagSet>
    </item></instancesSet></item></reservationSet></DescribeInstancesResponse>"""
    moto.app.answers["DescribeInstances"] = ("200 OK", row.encode())
    seen = aws.get(instance)
    assert (seen.state, seen.end_reason.value, seen.end_text) == (InstanceState.GONE, reason, "because")


def test_check_names_what_is_wrong_and_never_raises(aws: Aws, moto: MotoCloud) -> None:
    moto.app.refuse("RunInstances", "UnauthorizedOperation", status=403)
    found = {one.subject: one for one in aws.check()}
    assert found["us-east-1 rights"].level is Level.ERROR
    assert "ec2:RunInstances" in found["us-east-1 rights"].text
    moto.app.refuse("GetCallerIdentity", "InvalidClientTokenId", status=403)
    (only,) = aws.check()
    assert (only.level, only.subject) == (Level.ERROR, "credentials")


def test_check_finds_a_clock_that_is_wrong(moto: MotoCloud, tmp_path: Path) -> None:
    late = aws_on(moto, tmp_path)
    around = surroundings(tmp_path, environ=moto.environ, now=lambda: NOW.replace(year=2020), settings={})
    found = {one.subject: one for one in Aws(around, late._calls).check()}
    assert found["clock"].level is Level.WARNING


def test_a_wrong_setting_is_named_with_the_nearest(moto: MotoCloud, tmp_path: Path) -> None:
    with pytest.raises(NotSetUp, match="did you mean regions"):
        aws_on(moto, tmp_path, region=["us-east-1"])
    with pytest.raises(NotSetUp, match="ssh_port"):
        aws_on(moto, tmp_path, ssh_port="many")


def test_a_spot_offer_is_capped_by_the_max_price_and_the_on_demand_price(moto: MotoCloud, tmp_path: Path) -> None:
    provider = aws_on(moto, tmp_path, regions=["us-east-1"])
    spot = provider.offers(OfferQuery(gpus=("A10G",), markets=(Market.SPOT,)))
    listed = {one.instance_type: one.worst_usd_per_hour for one in spot}
    assert listed["g5.xlarge"] == Decimal("1.006")
    capped = provider.offers(OfferQuery(gpus=("A10G",), markets=(Market.SPOT,), max_usd_per_hour=Decimal("0.60")))
    assert {one.worst_usd_per_hour for one in capped if one.instance_type == "g5.xlarge"} == {Decimal("0.60")}
    dear = provider.offers(OfferQuery(gpus=("A10G",), max_usd_per_hour=Decimal("1.10")))
    assert {one.instance_type for one in dear if one.market is Market.ON_DEMAND} == {"g5.xlarge"}


def test_the_price_list_is_asked_before_the_snapshot_and_kept_for_a_day(moto: MotoCloud, tmp_path: Path) -> None:
    dimension = {"unit": "Hrs", "pricePerUnit": {"USD": "1.2340000000"}}
    product = {"terms": {"OnDemand": {"A": {"priceDimensions": {"B": dimension}}}}}
    body = json.dumps({"PriceList": [json.dumps(product)]}).encode()
    moto.app.answers["AWSPriceListService.GetProducts"] = ("200 OK", body)
    query = OfferQuery(gpus=("A10G",), markets=(Market.ON_DEMAND,))
    first = aws_on(moto, tmp_path, regions=["us-east-1"]).offers(query)
    assert {(str(one.usd_per_hour), one.source) for one in first} == {("1.2340000000", "price list")}
    moto.app.answers["AWSPriceListService.GetProducts"] = ("500 X", b"")
    again = aws_on(moto, tmp_path, regions=["us-east-1"]).offers(query)
    assert {one.usd_per_hour for one in again} == {first[0].usd_per_hour}
    assert {one.seen_at for one in again} == {one.seen_at for one in first}


def test_where_types_are_sold_is_asked_once_a_day_and_for_gpu_families_alone(moto: MotoCloud, tmp_path: Path) -> None:
    query = OfferQuery(gpus=("A10G",), markets=(Market.ON_DEMAND,))

    def listed(hours_later: int) -> set[tuple[str, str]]:
        for file in tmp_path.rglob("sold.json"):
            kept = json.loads(file.read_text())
            at = datetime.now(UTC) - timedelta(hours=hours_later)
            file.write_text(json.dumps({name: {**one, "at": at.isoformat()} for name, one in kept.items()}))
        found = aws_on(moto, tmp_path, regions=["us-east-1"]).offers(query)
        return {(one.instance_type, one.zone) for one in found}

    def asked() -> list[tuple[str, str]]:
        calls = [one for one in moto.app.calls if one["Action"] == "DescribeInstanceTypeOfferings"]
        return [(one["Filter.1.Value.1"], one["Filter.1.Value.2"]) for one in calls]

    assert listed(0) == listed(23) != set()
    assert asked() == [("g*", "p*")]
    listed(25)
    assert len(asked()) == 2
    listed(-1)  # a clock that was set back
    assert len(asked()) == 3


@pytest.mark.parametrize("kept", ["", "{", "[]", '{"us-east-1": {"at": "x", "zones": {}}}', '{"us-east-1": 7}'])
def test_what_a_dying_process_left_of_where_types_are_sold_is_asked_anew(
    moto: MotoCloud, tmp_path: Path, kept: str
) -> None:
    aws = aws_on(moto, tmp_path, regions=["us-east-1"])
    query = OfferQuery(gpus=("A10G",), markets=(Market.ON_DEMAND,))
    first = aws.offers(query)
    (file,) = tmp_path.rglob("sold.json")
    file.write_text(kept)
    assert len(aws.offers(query)) == len(first) > 0


def test_terminate_names_one_machine_a_call(aws: Aws, moto: MotoCloud) -> None:
    instance = aws.create(request(aws_offer()))
    aws.terminate(instance)
    (call,) = [one for one in moto.app.calls if one["Action"] == "TerminateInstances"]
    assert [value for key, value in call.items() if key.startswith("InstanceId")] == [instance.id]


def test_an_id_that_aws_does_not_know_is_not_found(aws: Aws, moto: MotoCloud) -> None:
    instance = aws.create(request(aws_offer()))
    moto.app.refuse("DescribeInstances", "InvalidInstanceID.NotFound")
    with pytest.raises(NotFound):
        aws.get(instance)


@pytest.mark.parametrize(("status", "is_kept"), [("200 OK", True), ("500 X", False)])
def test_that_the_price_list_has_no_entry_is_kept_for_a_day_and_that_it_failed_is_not(
    moto: MotoCloud, tmp_path: Path, status: str, is_kept: bool
) -> None:
    query = OfferQuery(gpus=("A10G",), markets=(Market.ON_DEMAND,))

    def sources() -> set[str]:
        found = aws_on(moto, tmp_path, regions=["us-east-1"]).offers(query)
        return {one.source.partition(" of ")[0] for one in found}

    moto.app.answers["AWSPriceListService.GetProducts"] = (status, json.dumps({"PriceList": []}).encode())
    assert sources() == {"shipped snapshot"}
    dimension = {"unit": "Hrs", "pricePerUnit": {"USD": "1.2340000000"}}
    product = json.dumps({"terms": {"OnDemand": {"A": {"priceDimensions": {"B": dimension}}}}})
    moto.app.answers["AWSPriceListService.GetProducts"] = ("200 OK", json.dumps({"PriceList": [product]}).encode())
    assert sources() == ({"shipped snapshot"} if is_kept else {"price list"})
    for file in tmp_path.rglob("on-demand.json"):
        at = (datetime.now(UTC) - timedelta(hours=25)).isoformat()
        file.write_text(json.dumps({key: [usd, at] for key, (usd, _) in json.loads(file.read_text()).items()}))
    assert sources() == {"price list"}
