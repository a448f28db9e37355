"""What the account may have on AWS: which quota counts for a machine, its value, how to say that it is too small."""

from pricing.offer import Market, Offer
from providers.aws_calls import Calls, tried
from providers.base import QuotaExceeded

G_FAMILIES = ("g", "vt")
P_FAMILIES = ("p",)
CODES = {
    ("G and VT", Market.SPOT): "L-3819A6DF",
    ("G and VT", Market.ON_DEMAND): "L-DB2E81BA",
    ("P", Market.SPOT): "L-7212CCBC",
    ("P", Market.ON_DEMAND): "L-417A185B",
    ("P5", Market.SPOT): "L-C4BD4855",
    ("P5", Market.ON_DEMAND): "L-417A185B",
    ("Standard", Market.SPOT): "L-34B43A08",
    ("Standard", Market.ON_DEMAND): "L-1216C47A",
}
"""Quotas count vCPUs, by region, over a whole family. Whether the P spot quota covers P6 is not confirmed."""
CONSOLE = "https://console.aws.amazon.com/servicequotas/home?region={region}#!/services/ec2/quotas/{code}"


def quota_of(instance_type: str, market: Market) -> tuple[str, str]:
    """Name and code of the quota that counts for such a machine."""
    family = instance_type.partition(".")[0]
    name = "Standard"
    if family.startswith("p5"):
        name = "P5"
    elif family.startswith(P_FAMILIES):
        name = "P"
    elif family.startswith(G_FAMILIES):
        name = "G and VT"
    words = "spot requests" if market is Market.SPOT else "on-demand instances"
    return f"{name} {words}", CODES[name, market]


def quota_vcpus(calls: Calls, region: str, code: str) -> float | None:
    """Its value in vCPUs; None where the account does not let us ask, or nobody answers."""
    answer = tried(calls, "service-quotas", "get_service_quota", region, ServiceCode="ec2", QuotaCode=code)
    value = (answer or {}).get("Quota", {}).get("Value")
    return float(value) if value is not None else None


def console(region: str, code: str) -> str:
    """Where a person asks for more."""
    return CONSOLE.format(region=region, code=code)


def explained(error: QuotaExceeded, offer: Offer, calls: Calls) -> QuotaExceeded:
    """The refusal with the quota's code and value, what is needed, and where to ask for more."""
    name, code = quota_of(offer.instance_type, offer.market)
    value = quota_vcpus(calls, offer.region, code)
    has = "its value could not be read" if value is None else f"it is {value:g} vCPUs"
    text = f"the quota {name} ({code}) in {offer.region} is used up: {has}, {offer.instance_type} needs {offer.vcpus}"
    return QuotaExceeded(text, code=error.code, fix=f"ask for more at {console(offer.region, code)}")
