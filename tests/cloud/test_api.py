"""EC2 as the test cloud plays it, asked by boto3."""

import urllib.request
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from botocore.parsers import ResponseParserError

from tests.cloud.client import Cloud, CloudError
from tests.cloud.tenant import TYPE, Tenant


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def test_the_same_token_twice_is_one_machine(tenant: Tenant) -> None:
    assert tenant.rent("t") == tenant.rent("t")
    assert tenant.cloud.meter("run", "a").peak == 1


def test_the_same_token_with_other_parameters_is_refused(tenant: Tenant) -> None:
    tenant.rent("t")
    with pytest.raises(ClientError) as error:
        tenant.rent("t", spot=False)
    assert code_of(error) == "IdempotentParameterMismatch"


def test_the_same_token_in_another_zone_is_another_machine(tenant: Tenant) -> None:
    assert tenant.rent("t") != tenant.rent("t", zone="us-east-1b")
    assert tenant.cloud.meter("run", "a").peak == 2


def test_a_machine_is_pending_without_an_address_before_it_runs(tenant: Tenant) -> None:
    tenant.cloud.knobs(never_ready=True)
    machine = tenant.look(tenant.rent())
    assert (machine["State"]["Name"], machine.get("PublicIpAddress")) == ("pending", None)


def test_a_machine_runs_is_ended_and_stays_listed_with_its_reason(tenant: Tenant) -> None:
    machine = tenant.rent_ready()
    running = tenant.look(machine.id)
    assert (running["State"]["Name"], running["PublicIpAddress"]) == ("running", machine.address)
    assert (running["InstanceLifecycle"], running["Placement"]["AvailabilityZone"]) == ("spot", "us-east-1a")
    tenant.ec2.terminate_instances(InstanceIds=[machine.id])
    tenant.reached(machine.id, lambda one: one.state == "terminated")
    ended = tenant.look(machine.id)
    assert ended["State"]["Name"] == "terminated"
    assert ended["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    assert tenant.ec2.describe_volumes()["Volumes"] == []
    tenant.cloud.knobs(listed_seconds=0)
    assert tenant.listed() == []


def test_a_machine_is_shutting_down_before_it_is_terminated(tenant: Tenant) -> None:
    tenant.cloud.knobs(ending_seconds=3600)
    id = tenant.rent()
    answer = tenant.ec2.terminate_instances(InstanceIds=[id])["TerminatingInstances"][0]
    assert answer["CurrentState"]["Name"] == "shutting-down"
    assert tenant.look(id)["State"]["Name"] == "shutting-down"


REFUSALS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("Unsupported", {}, {"zone": "us-east-1e"}),
    ("InvalidUserData.Malformed", {}, {"UserData": "#cloud-config\n" + "#" * 16371}),
    ("InvalidAMIID.NotFound", {}, {"ImageId": "ami-00000000000000bad"}),
    ("InvalidParameterValue", {}, {"InstanceType": "g5.tiny"}),
    ("InsufficientInstanceCapacity", {"capacity": {"pool": "us-east-1a/g5.xlarge/spot", "units": 0}}, {}),
    (
        "InsufficientInstanceCapacity",
        {"capacity": {"pool": "us-east-1a/g5.xlarge/on-demand", "units": 0}},
        {"spot": False},
    ),
    ("MaxSpotInstanceCountExceeded", {"quota": {"region": "us-east-1", "code": "L-3819A6DF", "value": 3}}, {}),
    ("VcpuLimitExceeded", {"quota": {"region": "us-east-1", "code": "L-DB2E81BA", "value": 3}}, {"spot": False}),
]


@pytest.mark.parametrize(("code", "set_up", "asked"), REFUSALS)
def test_what_aws_would_refuse_is_refused_with_its_code_and_nothing_is_made(
    tenant: Tenant, code: str, set_up: dict[str, Any], asked: dict[str, Any]
) -> None:
    for verb, parts in set_up.items():
        tenant.cloud.call(verb, **parts)
    with pytest.raises(ClientError) as error:
        tenant.rent("t", **asked)
    assert code_of(error) == code
    assert tenant.listed() == []
    assert tenant.cloud.meter().machines == 0


def test_a_max_price_below_the_market_is_refused_and_above_it_is_not(tenant: Tenant) -> None:
    tenant.cloud.price("us-east-1a", TYPE, "0.60")
    for price, refused in (("0.59", True), ("0.61", False)):
        options = {"SpotInstanceType": "one-time", "MaxPrice": price}
        market = {"MarketType": "spot", "SpotOptions": options}
        if refused:
            with pytest.raises(ClientError) as error:
                tenant.rent(InstanceMarketOptions=market)
            assert code_of(error) == "SpotMaxPriceTooLow"
        else:
            assert tenant.rent(InstanceMarketOptions=market)


def test_capacity_runs_out_by_the_machine(tenant: Tenant) -> None:
    tenant.cloud.capacity("us-east-1a/g5.xlarge/spot", 1)
    tenant.rent()
    with pytest.raises(ClientError) as error:
        tenant.rent()
    assert code_of(error) == "InsufficientInstanceCapacity"


def test_a_dry_run_says_that_it_would_have_worked_and_makes_nothing(tenant: Tenant) -> None:
    with pytest.raises(ClientError) as error:
        tenant.rent(DryRun=True)
    assert code_of(error) == "DryRunOperation"
    assert tenant.cloud.machines() == ()


def test_without_a_default_network_there_is_none_to_be_found(tenant: Tenant) -> None:
    tenant.cloud.knobs(default_vpc=False)
    assert tenant.ec2.describe_vpcs()["Vpcs"] == []


def test_a_lost_answer_leaves_one_machine_which_the_same_token_finds_and_another_doubles(tenant: Tenant) -> None:
    tenant.cloud.fault("RunInstances", "after")
    with pytest.raises(ClientError) as error:
        tenant.rent("t")
    assert code_of(error) == "InternalError"
    (only,) = tenant.listed()
    assert tenant.rent("t") == only
    tenant.rent("u")
    assert (tenant.cloud.meter().peak, tenant.cloud.fired()) == (2, 1)


FAULTS: list[tuple[str, type[Exception]]] = [
    ("before", ClientError),
    ("throttle", ClientError),
    ("reset", ConnectionClosedError),
    ("html", ResponseParserError),
    ("empty", ResponseParserError),
    ("hang", ReadTimeoutError),
]


@pytest.mark.parametrize(("when", "error"), FAULTS)
def test_each_fault_fires_once_and_what_was_not_applied_makes_nothing(
    tenant: Tenant, when: str, error: type[Exception]
) -> None:
    request = tenant.request("t")
    tenant.cloud.fault("RunInstances", when)
    with pytest.raises(error):
        tenant.client("ec2", read_timeout=0.5).run_instances(**request)
    assert tenant.cloud.fired() == 1
    assert tenant.listed() == []


def test_a_hang_that_was_applied_leaves_a_machine_behind(tenant: Tenant) -> None:
    request = tenant.request("t")
    tenant.cloud.fault("RunInstances", "hang", applied=True)
    with pytest.raises(ReadTimeoutError):
        tenant.client("ec2", read_timeout=0.5).run_instances(**request)
    assert len(tenant.listed()) == 1


def test_a_fault_that_does_not_exist_is_refused(cloud: Cloud) -> None:
    with pytest.raises(CloudError, match="no such fault"):
        cloud.fault("RunInstances", "perhaps")


def test_a_new_machine_may_be_listed_late_and_be_unknown_by_its_id(tenant: Tenant) -> None:
    tenant.cloud.knobs(list_lag_seconds=3600, early_not_found_seconds=3600)
    id = tenant.rent()
    assert tenant.listed() == []
    with pytest.raises(ClientError) as error:
        tenant.look(id)
    assert code_of(error) == "InvalidInstanceID.NotFound"
    tenant.cloud.knobs(list_lag_seconds=0, early_not_found_seconds=0)
    assert tenant.listed() == [id]


def test_one_listing_may_have_a_gap(tenant: Tenant) -> None:
    id = tenant.rent()
    tenant.cloud.knobs(list_gap=1)
    assert (tenant.listed(), tenant.listed()) == ([], [id])


def test_machines_are_found_by_token_lifecycle_and_tag(tenant: Tenant) -> None:
    spot, owned = tenant.rent("t"), tenant.rent("u", spot=False)

    def found(**filters: str) -> list[str]:
        asked = [{"Name": name.replace("_", "-"), "Values": [value]} for name, value in filters.items()]
        pages = tenant.ec2.describe_instances(Filters=asked)["Reservations"]
        return [one["InstanceId"] for page in pages for one in page["Instances"]]

    assert found(client_token="u", **{"tag:run": "a"}) == [owned]
    assert found(instance_lifecycle="spot") == [spot]
    assert found(client_token="t", **{"tag:run": "b"}) == []


def test_a_terminate_that_is_answered_well_may_do_nothing(tenant: Tenant) -> None:
    id = tenant.rent()
    tenant.cloud.knobs(terminate_ignored=1)
    assert tenant.ec2.terminate_instances(InstanceIds=[id])["TerminatingInstances"][0]["InstanceId"] == id
    assert tenant.cloud.meter().alive == (id,)
    tenant.ec2.terminate_instances(InstanceIds=[id])
    assert tenant.cloud.meter().alive == ()


def test_one_unknown_id_and_no_machine_of_the_batch_is_ended(tenant: Tenant) -> None:
    id = tenant.rent()
    with pytest.raises(ClientError) as error:
        tenant.ec2.terminate_instances(InstanceIds=[id, "i-00000000000000bad"])
    assert code_of(error) == "InvalidInstanceID.NotFound"
    assert tenant.cloud.meter().alive == (id,)


def test_a_machine_may_die_while_pending_and_costs_no_compute(tenant: Tenant) -> None:
    tenant.cloud.knobs(die_in_pending="Server.InsufficientInstanceCapacity")
    id = tenant.rent()
    machine = tenant.reached(id, lambda one: one.state == "terminated")
    assert tenant.look(id)["StateReason"]["Code"] == "Server.InsufficientInstanceCapacity"
    assert float(machine.bill["compute_usd"]) == 0


def test_a_security_group_in_use_cannot_be_deleted(tenant: Tenant) -> None:
    id = tenant.rent()
    with pytest.raises(ClientError) as error:
        tenant.ec2.delete_security_group(GroupId=tenant.group)
    assert code_of(error) == "DependencyViolation"
    tenant.ec2.terminate_instances(InstanceIds=[id])
    tenant.reached(id, lambda one: one.state == "terminated")
    tenant.ec2.delete_security_group(GroupId=tenant.group)


def test_a_one_time_spot_machine_cannot_be_stopped(tenant: Tenant) -> None:
    with pytest.raises(ClientError) as error:
        tenant.ec2.stop_instances(InstanceIds=[tenant.rent()])
    assert code_of(error) == "UnsupportedOperation"


def test_the_catalogue_knows_prices_zones_quotas_and_the_image(tenant: Tenant) -> None:
    history = tenant.ec2.describe_spot_price_history(InstanceTypes=[TYPE], ProductDescriptions=["Linux/UNIX"])
    prices = {one["AvailabilityZone"]: one["SpotPrice"] for one in history["SpotPriceHistory"]}
    assert prices["us-east-1a"] == "0.492900"
    assert len(prices) == 5
    wanted = [{"Type": "TERM_MATCH", "Field": name, "Value": value}
              for name, value in (("regionCode", "us-east-2"), ("instanceType", TYPE))]  # fmt: skip
    (product,) = tenant.client("pricing").get_products(ServiceCode="AmazonEC2", Filters=wanted)["PriceList"]
    assert '"USD": "1.0060000000"' in product
    quota = tenant.client("service-quotas").get_service_quota(ServiceCode="ec2", QuotaCode="L-3819A6DF")["Quota"]
    assert quota["Value"] == 64
    image = tenant.ec2.describe_images(ImageIds=[tenant.image])["Images"][0]
    assert (image["RootDeviceName"], image["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"]) == ("/dev/sda1", 65)


def test_the_callers_address_is_told_as_plain_text(cloud: Cloud) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    assert opener.open(f"{cloud.url}/checkip", timeout=5).read() == b"127.0.0.1\n"
