"""What `doctor` asks AWS before money is spent: who we are, the clock, and by region network, quotas and rights."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pricing.offer import Market
from providers.aws_calls import Calls
from providers.aws_errors import CLOCK_FIX
from providers.aws_places import Places
from providers.aws_quota import console, quota_of, quota_vcpus
from providers.base import (
    AuthFailed,
    ContractBroken,
    Finding,
    Level,
    NotSetUp,
    ProviderError,
    Surroundings,
)
from providers.findings import clock, wrong

SAMPLE_TYPE = "g5.xlarge"
SAMPLE_VCPUS = 4
PERMITTED = "DryRunOperation"
TAGGED = ("instance", "volume", "network-interface")
TRIAL_TAGS = [{"Key": "launch:owner", "Value": "trial"}]
"""The rights may be tied to the tag that all of ours carries (`aws_policy.json`)."""


GUARD = Finding(
    level=Level.OK,
    subject="guard",
    text="a machine ends itself at its deadline: it powers off, which terminates it there",
)


def findings(calls: Calls, places: Places, regions: tuple[str, ...], around: Surroundings) -> tuple[Finding, ...]:
    """All findings, in a fixed order; nothing is raised and nothing is created."""
    try:
        identity = calls.read("sts", "get_caller_identity", regions[0])
    except ProviderError as error:
        return (wrong("credentials", error),)
    who = Finding(level=Level.OK, subject="credentials", text=f"{identity.get('Arn', 'accepted')}")
    with ThreadPoolExecutor(len(regions)) as pool:
        parts = pool.map(lambda region: _region(calls, places, region), regions)
        date = identity.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
        on_time = clock(date, around.now(), "AWS", CLOCK_FIX)
        return (who, on_time, _address(places), *(one for part in parts for one in part), GUARD)


def _address(places: Places) -> Finding:
    try:
        return Finding(level=Level.OK, subject="address", text=f"SSH will be open to {places.caller_cidr()} alone")
    except ProviderError as error:
        return wrong("address", error)


def _region(calls: Calls, places: Places, region: str) -> tuple[Finding, ...]:
    network = _tried(f"{region} network", lambda: _network(places, region))
    if network.level is Level.ERROR:
        return (network,)
    quotas = tuple(_quota(calls, region, market) for market in (Market.SPOT, Market.ON_DEMAND))
    return (network, *quotas, _tried(f"{region} rights", lambda: _rights(calls, places, region)))


def _tried(subject: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except ProviderError as error:
        return wrong(subject, error)


def _network(places: Places, region: str) -> Finding:
    subnets = places.subnets(region)
    text = f"{subnets.vpc} with subnets in {', '.join(sorted(subnets.by_zone))}"
    return Finding(level=Level.OK, subject=f"{region} network", text=text)


def _quota(calls: Calls, region: str, market: Market) -> Finding:
    name, code = quota_of(SAMPLE_TYPE, market)
    value, subject = quota_vcpus(calls, region, code), f"{region} quota {code}"
    if value is None:
        fix = "allow servicequotas:GetServiceQuota to have it checked beforehand"
        return Finding(level=Level.WARNING, subject=subject, text=f"{name}: could not be read", fix=fix)
    text = f"{name}: {value:g} vCPUs ({SAMPLE_TYPE} needs {SAMPLE_VCPUS})"
    if value < SAMPLE_VCPUS:
        return Finding(level=Level.WARNING, subject=subject, text=text, fix=f"ask for more at {console(region, code)}")
    return Finding(level=Level.OK, subject=subject, text=text)


def _rights(calls: Calls, places: Places, region: str) -> Finding:
    """Calls that AWS checks and does not carry out; a missing permission comes back as an error that names it."""
    subnets, image = places.subnets(region), places.image(region, "x86_64")
    _, subnet = min(subnets.by_zone.items())
    rent = {"ImageId": image.id, "InstanceType": SAMPLE_TYPE, "MinCount": 1, "MaxCount": 1, "SubnetId": subnet}
    rent["TagSpecifications"] = [{"ResourceType": kind, "Tags": TRIAL_TAGS} for kind in TAGGED]
    spot = {"InstanceMarketOptions": {"MarketType": "spot"}}
    group = {"GroupName": "launch-trial", "Description": "a trial that makes nothing", "VpcId": subnets.vpc}
    group_tags = {"TagSpecifications": [{"ResourceType": "security-group", "Tags": TRIAL_TAGS}]}
    refused = [
        error
        for operation, call in (
            ("run_instances", rent),
            ("run_instances", {**rent, **spot}),
            ("create_security_group", {**group, **group_tags}),
        )
        if (error := _refusal(calls, region, operation, call)) is not None
    ]
    if not refused:
        text = f"may create {SAMPLE_TYPE} from {image.id}, on demand and spot, and its firewall"
        return Finding(level=Level.OK, subject=f"{region} rights", text=text)
    text = "; ".join(dict.fromkeys(error.text for error in refused))
    denied = any(isinstance(error, AuthFailed | NotSetUp) for error in refused)
    level = Level.ERROR if denied else Level.WARNING
    return Finding(level=level, subject=f"{region} rights", text=text, fix=refused[0].fix)


def _refusal(calls: Calls, region: str, operation: str, call: dict[str, Any]) -> ProviderError | None:
    """Why such a call would be refused; None: it would have succeeded."""
    try:
        calls.act("ec2", operation, region, DryRun=True, **call)
    except ProviderError as error:
        return None if error.code == PERMITTED else error
    return ContractBroken(f"the trial of {operation} got an odd answer: it says that it was carried out")
