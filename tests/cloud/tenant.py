"""A customer of the test cloud who uses only clients that we did not write: boto3 and OpenSSH."""

import base64
import functools
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.cloud.client import Cloud, Machine

TYPE = "g5.xlarge"
DLAMI = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id"


@functools.cache
def _client(url: str, service: str, read_timeout: float) -> Any:
    """Made once for all tests: reading EC2's model takes boto half a second."""
    session = boto3.session.Session(aws_access_key_id="AKIAIOSFODNN7EXAMPLE", aws_secret_access_key="none")
    config = Config(retries={"total_max_attempts": 1}, read_timeout=read_timeout, proxies={})
    return session.client(service, region_name="us-east-1", endpoint_url=url, config=config)  # type: ignore[call-overload]  # the name is the caller's


class Tenant:
    """Rents machines in us-east-1 and logs in to them with keys of its own."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.cloud, self.folder = cloud, folder
        self.ec2 = self.client("ec2")
        self.image = self.client("ssm").get_parameter(Name=DLAMI)["Parameter"]["Value"]
        for name in ("host", "user"):
            argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
            subprocess.run(argv, check=True)
        self.group = self._group()

    def client(self, service: str, read_timeout: float = 10) -> Any:
        """A boto3 client that never asks twice."""
        return _client(self.cloud.url, service, read_timeout)

    def _group(self) -> str:
        vpc = self.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        group = self.ec2.create_security_group(GroupName="tenant", Description="ssh", VpcId=vpc)["GroupId"]
        ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "127.0.0.1/32"}]}
        self.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[ssh])
        return str(group)

    def subnet(self, zone: str) -> str:
        """The default subnet of a zone."""
        zones = [{"Name": "availability-zone", "Values": [zone]}]
        return str(self.ec2.describe_subnets(Filters=zones)["Subnets"][0]["SubnetId"])

    def user_data(self, **parts: object) -> str:
        """Cloud-config with this tenant's keys."""
        keys = {"ed25519_private": self._text("host"), "ed25519_public": self._text("host.pub")}
        config = {"ssh_keys": keys, "ssh_authorized_keys": [self._text("user.pub").strip()], **parts}
        return f"#cloud-config\n{json.dumps(config)}"

    def request(self, token: str = "", zone: str = "us-east-1a", spot: bool = True, **more: object) -> dict[str, Any]:
        """The parameters of RunInstances."""
        market = {"MarketType": "spot", "SpotOptions": {"SpotInstanceType": "one-time"}}
        subnet = {"DeviceIndex": 0, "SubnetId": self.subnet(zone), "Groups": [self.group]}
        disk = {"VolumeSize": 100, "VolumeType": "gp3", "DeleteOnTermination": True}
        return {
            **({"ClientToken": token} if token else {}),
            **({"InstanceMarketOptions": market} if spot else {}),
            "ImageId": self.image,
            "InstanceType": TYPE,
            "MinCount": 1,
            "MaxCount": 1,
            "NetworkInterfaces": [{**subnet, "AssociatePublicIpAddress": True, "DeleteOnTermination": True}],
            "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": disk}],
            "UserData": self.user_data(),
            "InstanceInitiatedShutdownBehavior": "terminate",
            "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "run", "Value": "a"}]}],
            **more,
        }

    def rent(self, token: str = "", **more: Any) -> str:
        """One machine; its id."""
        return str(self.ec2.run_instances(**self.request(token, **more))["Instances"][0]["InstanceId"])

    def rent_ready(self, **more: Any) -> Machine:
        """One machine whose SSH server listens."""
        id = self.rent(**more)
        return self.reached(id, lambda machine: machine.ssh)

    def reached(self, id: str, there: Any) -> Machine:
        """The machine, as soon as `there` says so of it."""

        def look() -> Machine | None:
            machine = self.cloud.machine(id)
            return machine if there(machine) else None

        found: Machine = self.cloud.wait_for(look)
        return found

    def look(self, id: str) -> Mapping[str, Any]:
        """DescribeInstances for one id."""
        described: Mapping[str, Any] = self.ec2.describe_instances(InstanceIds=[id])["Reservations"][0]["Instances"][0]
        return described

    def listed(self) -> list[str]:
        """The ids that DescribeInstances lists."""
        pages = self.ec2.describe_instances()["Reservations"]
        return [one["InstanceId"] for page in pages for one in page["Instances"]]

    def ssh(self, machine: Machine, command: str, *options: str, user: str = "ubuntu", **more: Any) -> Any:
        """The OpenSSH client, strict about the host key; a finished process with bytes."""
        argv = self.ssh_argv(machine, command, *options, user=user)
        return subprocess.run(argv, timeout=20, check=False, **{"capture_output": True, "input": b"", **more})

    def ssh_argv(self, machine: Machine, command: str, *options: str, user: str = "ubuntu") -> list[str]:
        """The command line of it."""
        known = self.folder / "known_hosts"
        known.write_text(f"[{machine.address}]:2222 {' '.join(self._text('host.pub').split()[:2])}\n")
        fixed = ["-F", "none", "-p", "2222", "-i", str(self.folder / "user"), "-o", f"UserKnownHostsFile={known}"]
        rules = [f"-o{rule}" for rule in ("StrictHostKeyChecking=yes", "IdentitiesOnly=yes", "BatchMode=yes")]
        return ["ssh", *fixed, *rules, *options, f"{user}@{machine.address}", command]

    def _text(self, name: str) -> str:
        return (self.folder / name).read_text()


def decoded(text: str) -> str:
    """Base64 as EC2 shows user-data, read."""
    return base64.b64decode(text).decode()
