"""What AWS tells before anything is rented: spot prices, price list, quotas, images. moto knows none of it."""

import json
from fnmatch import fnmatchcase
from zlib import crc32

from tests.cloud import moto_ec2
from tests.cloud.scenario import (
    DLAMI_NAME,
    DLAMI_OWNER,
    DLAMI_ROOT_GIB,
    ON_DEMAND_USD_PER_HOUR,
    QUOTA_NAMES,
    REGIONS,
    Scenario,
    dlami_id,
)
from tests.cloud.wire import Answer, Call, Refused, as_json, as_xml
from tests.cloud.world import World

DLAMI_PREFIX = "/aws/service/deeplearning/ami/x86_64/"
DLAMI_SUFFIX = "/latest/ami-id"
PRODUCTS = ("Linux/UNIX", "Linux/UNIX (Amazon VPC)")


def spot_prices(world: World, scenario: Scenario, call: Call) -> Answer:
    """DescribeSpotPriceHistory: the price in force per type and zone; a price has held since the world began."""
    filters = call.filters()
    types = call.many("InstanceType") or filters.get("instance-type") or list(ON_DEMAND_USD_PER_HOUR)
    wanted = set(filter(None, [call.form.get("AvailabilityZone"), *filters.get("availability-zone", [])]))
    products = call.many("ProductDescription") or list(PRODUCTS)
    if "Linux/UNIX" not in products or world.landlords["aws"].knobs.no_spot_history:
        return as_xml("DescribeSpotPriceHistory", spotPriceHistorySet=[], nextToken="")
    rows = [
        {
            "instanceType": name,
            "productDescription": "Linux/UNIX",
            "spotPrice": f"{price:.6f}",
            "timestamp": world.clock.now().strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "availabilityZone": zone,
        }
        for name in types
        for zone in moto_ec2.zones(call.region, name)
        if not wanted or zone in wanted
        if (price := scenario.spot_price(zone, name)) is not None
    ]
    return as_xml("DescribeSpotPriceHistory", spotPriceHistorySet=rows, nextToken="")


def offerings(call: Call) -> Answer | None:
    """DescribeInstanceTypeOfferings by zone, where patterns are asked for (moto knows none); all else is moto's."""
    patterns = call.filters().get("instance-type")
    if call.form.get("LocationType") != "availability-zone" or not patterns:
        return None
    rows = [
        {"instanceType": name, "locationType": "availability-zone", "location": zone}
        for name, zone in moto_ec2.offered(call.region)
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    ]
    return as_xml("DescribeInstanceTypeOfferings", instanceTypeOfferingSet=rows, nextToken="")


def parameter(call: Call) -> Answer | None:
    """ssm:GetParameter for the Deep Learning image in one spelling; the others are not found."""
    name = str(call.document.get("Name", ""))
    if not name.startswith("/aws/service/deeplearning/"):
        return None
    if name != f"{DLAMI_PREFIX}base-oss-nvidia-driver-gpu-ubuntu-24.04{DLAMI_SUFFIX}":
        raise Refused("ParameterNotFound", f"Parameter {name} not found.")
    value = {"Name": name, "Type": "String", "Value": dlami_id(call.region), "Version": 42, "DataType": "text"}
    return as_json({"Parameter": value})


def quota(scenario: Scenario, call: Call) -> Answer | None:
    """service-quotas:GetServiceQuota for EC2's vCPU quotas."""
    if call.document.get("ServiceCode") != "ec2":
        return None
    code = str(call.document.get("QuotaCode", ""))
    value = scenario.quota(call.region, code)
    if value is None:
        raise Refused("NoSuchResourceException", "The request failed because the specified quota does not exist.")
    described = {
        "ServiceCode": "ec2",
        "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
        "QuotaCode": code,
        "QuotaName": QUOTA_NAMES.get(code, code),
        "Value": value,
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
    }
    return as_json({"Quota": described})


def products(scenario: Scenario, call: Call) -> Answer:
    """pricing:GetProducts: Linux on-demand prices, each item a JSON string inside the JSON, as AWS does it."""
    asked = {one["Field"]: one["Value"] for one in call.document.get("Filters", ())}
    regions = [asked["regionCode"]] if "regionCode" in asked else list(REGIONS)
    types = [asked["instanceType"]] if "instanceType" in asked else list(ON_DEMAND_USD_PER_HOUR)
    rows = [_product(scenario, region, name) for region in regions for name in types]
    return as_json({"FormatVersion": "aws_v1", "PriceList": [row for row in rows if row]})


def _product(scenario: Scenario, region: str, instance_type: str) -> str:
    price = scenario.on_demand(region, instance_type)
    if price is None:
        return ""
    sku = f"SKU{crc32(f'{region}/{instance_type}'.encode()):010d}"
    attributes = {
        "instanceType": instance_type,
        "regionCode": region,
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
        "marketoption": "OnDemand",
    }
    dimension = {"unit": "Hrs", "pricePerUnit": {"USD": f"{price:.10f}"}}
    term = {"priceDimensions": {f"{sku}.JRTCKXETXF.6YS6EN2CT7": dimension}}
    product = {"sku": sku, "productFamily": "Compute Instance", "attributes": attributes}
    terms = {"OnDemand": {f"{sku}.JRTCKXETXF": term}}
    return json.dumps({"product": product, "serviceCode": "AmazonEC2", "terms": terms})


def images(call: Call) -> Answer | None:
    """DescribeImages for the Deep Learning image, by id or by owner and name; all else is moto's."""
    id, names = dlami_id(call.region), call.filters().get("name", [])
    by_id, by_owner = id in call.many("ImageId"), DLAMI_OWNER in call.many("Owner")
    if not by_id and not by_owner:
        return None
    fits = by_id or not names or any(fnmatchcase(DLAMI_NAME, pattern) for pattern in names)
    return as_xml("DescribeImages", imagesSet=[_image(id)] if fits else [])


def _image(id: str) -> dict[str, object]:
    disk = {"snapshotId": "snap-0dee9000000000000", "volumeSize": DLAMI_ROOT_GIB, "volumeType": "gp3",
            "deleteOnTermination": "true", "encrypted": "false"}  # fmt: skip
    return {
        "imageId": id,
        "imageState": "available",
        "imageOwnerId": DLAMI_OWNER,
        "isPublic": "true",
        "architecture": "x86_64",
        "imageType": "machine",
        "name": DLAMI_NAME,
        "creationDate": "2026-11-01T09:00:00.000Z",
        "rootDeviceName": "/dev/sda1",
        "rootDeviceType": "ebs",
        "virtualizationType": "hvm",
        "hypervisor": "xen",
        "blockDeviceMapping": [{"deviceName": "/dev/sda1", "ebs": disk}],
    }
