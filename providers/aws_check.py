"""What `doctor` asks AWS before money is spent: who we are, the clock, and by region network, quotas and rights."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from pricing.offer import Market
from providers.aws_calls import Calls
from providers.aws_errors import CLOCK_FIX
from providers.aws_places import Places
from providers.aws_quota import console, quota_of, quota_vcpus
from providers.base import Finding, Level, ProviderError, Surroundings
from providers.findings import clock, wrong

SAMPLE_TYPE = "g5.xlarge"
SAMPLE_VCPUS = 4
PERMITTED = "DryRunOperation"


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
        return (who, on_time, _address(places), *(one for part in parts for one in part))


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
    """A create call that AWS checks and does not carry out; permission comes back as an error of its own."""
    subnets, image = places.subnets(region), places.image(region, "x86_64")
    _, subnet = min(subnets.by_zone.items())
    try:
        calls.act(
            "ec2",
            "run_instances",
            region,
            DryRun=True,
            ImageId=image.id,
            InstanceType=SAMPLE_TYPE,
            MinCount=1,
            MaxCount=1,
            SubnetId=subnet,
        )
    except ProviderError as error:
        if error.code == PERMITTED:
            return Finding(level=Level.OK, subject=f"{region} rights", text=f"may create {SAMPLE_TYPE} from {image.id}")
        text = f"ec2:RunInstances is refused: {error.text}"
        return Finding(level=Level.ERROR, subject=f"{region} rights", text=text, fix=error.fix)
    return Finding(level=Level.WARNING, subject=f"{region} rights", text="the trial create got an odd answer")
