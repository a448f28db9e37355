"""Where a machine on AWS goes: its subnet, the firewall that lets only the caller in, the image it starts from."""

import ipaddress
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from providers.aws_calls import Answer, Calls, required
from providers.aws_errors import IMAGE_FIX, VPC_FIX, Duplicate
from providers.aws_settings import AwsSettings
from providers.base import NoCapacity, NotFound, NotSetUp, ProviderError, Unavailable

IMAGE_PATH = "/aws/service/deeplearning/ami/{machine}/{name}/latest/ami-id"
IMAGE_NAMES = (
    "base-oss-nvidia-driver-gpu-ubuntu-24.04",
    "base-oss-nvidia-driver-ubuntu-24.04",
)
"""AWS's pages show both spellings of the Deep Learning base image's parameter; the first that exists is taken. Not
22.04: its Python is 3.10, and the job's locked packages need 3.11."""
IMAGE_OWNER = "898082745236"
IMAGE_PATTERN = "Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 24.04) *"
MACHINES = {"x86_64": "x86_64", "aarch64": "arm64"}
CHECKIP_SECONDS = 10
LONGEST_ADDRESS = 64
AVAILABLE = {"Name": "state", "Values": ["available"]}


@dataclass(frozen=True, kw_only=True)
class Image:
    """What a machine starts from; a root disk may not be smaller than `least_gib`."""

    id: str
    root_device: str
    least_gib: int


@dataclass(frozen=True, kw_only=True)
class Subnets:
    """Zone to subnet id of one region, all in one VPC."""

    vpc: str
    by_zone: dict[str, str]


class Places:
    """Looks up (and for the firewall, makes) what a create call in a region needs."""

    def __init__(self, calls: Calls, settings: AwsSettings, owner_id: str) -> None:
        self._calls, self._settings, self._owner = calls, settings, owner_id

    def subnets(self, region: str) -> Subnets:
        """The region's usable subnets: the user's, else the VPC's own. Raises `NotSetUp` where there are none."""
        named = {zone: one for zone, one in self._settings.subnet.items() if zone.startswith(region)}
        if named:
            found = self._described(region, SubnetIds=sorted(named.values()))
        elif region in self._settings.vpc:
            found = self._described(region, Filters=[_is("vpc-id", self._settings.vpc[region]), AVAILABLE])
        else:
            found = self._of_default_vpc(region)
        if not found:
            raise NotSetUp(f"no subnet can be used in {region}", code="DefaultVpcDoesNotExist", fix=_fix(region))
        by_zone: dict[str, str] = {}
        for one in sorted(found, key=_preference):
            by_zone.setdefault(one["AvailabilityZone"], one["SubnetId"])
        return Subnets(vpc=found[0]["VpcId"], by_zone=by_zone)

    def subnet(self, region: str, zone: str) -> tuple[str, str]:
        """The subnet of a zone, and its VPC. Raises `NoCapacity` where this zone has none and others may."""
        subnets = self.subnets(region)
        if zone not in subnets.by_zone:
            raise NoCapacity(f"{subnets.vpc} has no subnet in {zone}", code="no-subnet")
        return subnets.by_zone[zone], subnets.vpc

    def image(self, region: str, architecture: str) -> Image:
        """The Deep Learning base image of the day: driver and CUDA are on it, the rest the job brings."""
        own = self._settings.image.get(region)
        found = self._image_by_id(region, own or self._published(region, architecture))
        if found is None:
            found = self._newest_image(region, architecture)
        if found is None:
            raise NotSetUp(f"no image for GPU machines was found in {region}", code="no-image", fix=IMAGE_FIX)
        root = found["RootDeviceName"]
        sizes = [
            one["Ebs"]["VolumeSize"]
            for one in found["BlockDeviceMappings"]
            if one.get("DeviceName") == root and "Ebs" in one
        ]
        return Image(id=found["ImageId"], root_device=root, least_gib=max(sizes, default=0))

    def firewall(self, region: str, vpc: str) -> str:
        """The id of the owner's security group in that VPC: the caller's address may reach the SSH port, no more."""
        cidr = self.caller_cidr()
        group = self._group(region, vpc) or self._made_group(region, vpc)
        self._open_to(region, group, cidr)
        return str(group["GroupId"])

    def let_in(self, region: str) -> str:
        """The same for what stands there already, when our address has changed: the new one, "" where it has not."""
        cidr = self.caller_cidr()
        changed = [self._open_to(region, group, cidr) for group in self._groups(region)]
        return cidr if any(changed) else ""

    def _open_to(self, region: str, group: Answer, cidr: str) -> bool:
        """To that address alone; whether anything had to change."""
        stale = [one for one in group["IpPermissions"] if not self._is_wanted(one, cidr)]
        if stale:
            self._act(region, "revoke_security_group_ingress", group["GroupId"], [_rule_of(one) for one in stale])
        if len(stale) == len(group["IpPermissions"]):
            self._allow(region, group["GroupId"], cidr)
            return True
        return bool(stale)

    def caller_cidr(self) -> str:
        """From where we come, as the internet sees it: one address. Raises `NotSetUp` when nobody tells."""
        if self._settings.caller_cidr:
            return self._settings.caller_cidr
        url = self._settings.checkip_url
        try:
            return f"{ipaddress.IPv4Address(_asked(url))}/32"
        except (OSError, ValueError) as error:
            fix = "set providers.aws.caller_cidr in config.yaml, for example 203.0.113.7/32"
            text = f"this computer's public address is not known ({url}: {error}), and SSH is opened to it alone"
            raise NotSetUp(text, code="caller-address", fix=fix) from error

    def _of_default_vpc(self, region: str) -> list[Answer]:
        """Both questions at once: which VPC it is, and all subnets; a listing of the market waits one round less."""
        with ThreadPoolExecutor(1) as pool:
            everywhere = pool.submit(self._described, region, Filters=[AVAILABLE])
            vpc = self._default_vpc(region)
            return [one for one in everywhere.result() if one["VpcId"] == vpc]

    def _default_vpc(self, region: str) -> str:
        found = list(self._calls.items("describe_vpcs", region, "Vpcs", Filters=[_is("isDefault", "true")]))
        if not found:
            raise NotSetUp(f"{region} has no default VPC", code="DefaultVpcDoesNotExist", fix=_fix(region))
        return str(found[0]["VpcId"])

    def _described(self, region: str, **which: Any) -> list[Answer]:
        return list(self._calls.items("describe_subnets", region, "Subnets", **which))

    def _published(self, region: str, architecture: str) -> str | None:
        for name in IMAGE_NAMES:
            path = IMAGE_PATH.format(machine=MACHINES[architecture], name=name)
            try:
                answer = self._calls.read("ssm", "get_parameter", region, Name=path)
            except NotFound:
                continue
            except ProviderError:  # ssm may be forbidden or down: the images themselves can be listed as well
                return None
            return str(required(required(answer, "Parameter"), "Value"))
        return None

    def _image_by_id(self, region: str, image: str | None) -> Answer | None:
        if image is None:
            return None
        found = list(self._calls.items("describe_images", region, "Images", ImageIds=[image]))
        return found[0] if found else None

    def _newest_image(self, region: str, architecture: str) -> Answer | None:
        wanted = [
            _is("name", IMAGE_PATTERN),
            _is("state", "available"),
            _is("architecture", MACHINES[architecture]),
        ]
        found = self._calls.items("describe_images", region, "Images", Owners=[IMAGE_OWNER], Filters=wanted)
        return max(found, key=lambda one: str(one["CreationDate"]), default=None)

    def _group(self, region: str, vpc: str) -> Answer | None:
        found = self._groups(region, _is("vpc-id", vpc))
        return found[0] if found else None

    def _groups(self, region: str, *more: dict[str, Any]) -> list[Answer]:
        wanted = [*more, _is("group-name", self._group_name), _is("tag:launch:owner", self._owner)]
        return list(self._calls.items("describe_security_groups", region, "SecurityGroups", Filters=wanted))

    def _made_group(self, region: str, vpc: str) -> Answer:
        tags = [{"Key": "Name", "Value": self._group_name}, {"Key": "launch:owner", "Value": self._owner}]
        try:
            made = self._calls.act(
                "ec2",
                "create_security_group",
                region,
                GroupName=self._group_name,
                Description="SSH from the computer that runs launch, and nothing else",
                VpcId=vpc,
                TagSpecifications=[{"ResourceType": "security-group", "Tags": tags}],
            )
        except Duplicate as error:  # another process of ours was quicker, and the list is late
            raise Unavailable(f"the security group {self._group_name} is just being made", code=error.code) from error
        return {"GroupId": required(made, "GroupId"), "IpPermissions": []}

    @property
    def _group_name(self) -> str:
        return f"launch-{self._owner}"

    def _is_wanted(self, rule: Answer, cidr: str) -> bool:
        port = self._settings.ssh_port
        addresses = [one["CidrIp"] for one in rule.get("IpRanges", ())]
        others = rule.get("Ipv6Ranges") or rule.get("UserIdGroupPairs") or rule.get("PrefixListIds")
        ports = (rule.get("IpProtocol"), rule.get("FromPort"), rule.get("ToPort"))
        return ports == ("tcp", port, port) and addresses == [cidr] and not others

    def _allow(self, region: str, group: str, cidr: str) -> None:
        port = self._settings.ssh_port
        rule = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": cidr}]}
        try:
            self._act(region, "authorize_security_group_ingress", group, [rule])
        except Duplicate:
            return

    def _act(self, region: str, operation: str, group: str, rules: list[Answer]) -> None:
        self._calls.act("ec2", operation, region, GroupId=group, IpPermissions=rules)


def _is(name: str, value: str) -> dict[str, Any]:
    return {"Name": name, "Values": [value]}


def _fix(region: str) -> str:
    return VPC_FIX.replace("REGION", region)


def _preference(subnet: Answer) -> tuple[bool, bool, str]:
    """Default subnets first, then those that give public addresses; ties by id, so that a choice is repeatable."""
    return (not subnet.get("DefaultForAz"), not subnet.get("MapPublicIpOnLaunch"), str(subnet["SubnetId"]))


def _asked(url: str) -> str:
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"{url!r} is no web address")
    import urllib.error  # here for start-up time: only to rent, and ssl comes with it
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=CHECKIP_SECONDS) as answer:  # noqa: S310 - checked just above
            text: bytes = answer.read(LONGEST_ADDRESS)
    except urllib.error.HTTPError as refusal:  # it is an open answer too
        with refusal:
            raise ValueError(f"answered {refusal.code}") from None
    return text.decode("ascii").strip()


def _rule_of(permission: Answer) -> Answer:
    """A rule as the revoke call wants it: without the empty parts of its description."""
    return {key: value for key, value in permission.items() if value not in (None, [])}
