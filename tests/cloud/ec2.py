"""EC2's verbs about machines, where moto is too kind: tokens, refusals, slow states, late lists."""

import base64
import binascii
import secrets
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from xml.etree import ElementTree as ET

from tests.cloud import moto_ec2
from tests.cloud.ec2_life import Ec2Life, Ec2Machine, gpu_of
from tests.cloud.meter import Metered
from tests.cloud.scenario import DLAMI_ROOT_GIB, dlami_id, quota_code
from tests.cloud.sight import is_shown
from tests.cloud.wire import Answer, Call, Refused, as_xml, each, edited
from tests.cloud.world import SSH_PORT, World

USER_DATA_LIMIT = 16384
OWN_FILTERS = {"client-token", "instance-lifecycle", "spot-instance-request-id"}
"""Filters of DescribeInstances that moto does not know."""
NOT_COMPARED = {"ClientToken", "Action", "Version"}
CREDIT = "We currently do not have sufficient {type} capacity in the Availability Zone you requested ({zone}). Our "
CREDIT += "system will be working on provisioning additional capacity."
Moto = Callable[[Call], Answer]


class Ec2:
    """The verbs, over one world. Every method is called under the world's lock."""

    def __init__(self, world: World, life: Ec2Life, moto: Moto) -> None:
        self._world, self._life, self._moto = world, life, moto
        self._answered: dict[tuple[str, str, str], tuple[dict[str, str], Answer]] = {}

    # RunInstances

    def run_instances(self, call: Call) -> Answer:
        """The same token with the same parameters gives the first answer again; a refusal is not remembered."""
        zone = self._zone(call)
        token = call.form.get("ClientToken", "")
        asked = {name: value for name, value in call.form.items() if name not in NOT_COMPARED}
        before = self._answered.get((call.region, zone, token)) if token else None
        if before is not None and before[0] == asked:
            return before[1]
        if before is not None:
            text = f"The client token you have provided ({token}) is associated with a different request."
            raise Refused("IdempotentParameterMismatch", text)
        answer = self._run_new(call, zone)
        if token and answer.status == 200:
            self._answered[call.region, zone, token] = (asked, answer)
        return answer

    def forget(self) -> None:
        """Forget all tokens."""
        self._answered.clear()

    def _zone(self, call: Call) -> str:
        subnet = call.form.get("NetworkInterface.1.SubnetId") or call.form.get("SubnetId")
        if subnet is None and not self._life.knobs.default_vpc:
            raise Refused("VPCIdNotSpecified", "No default VPC for this user")
        if subnet is None:
            return call.form.get("Placement.AvailabilityZone", f"{call.region}a")
        zone = moto_ec2.subnet_zone(call.region, subnet)
        if zone is None:
            raise Refused("InvalidSubnetID.NotFound", f"The subnet ID '{subnet}' does not exist")
        return zone

    def _run_new(self, call: Call, zone: str) -> Answer:
        instance_type = call.form.get("InstanceType", "m1.small")
        spot = call.form.get("InstanceMarketOptions.MarketType") == "spot"
        self._check_parameters(call, instance_type, zone, spot)
        if call.form.get("DryRun") == "true":
            raise Refused("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
        self._check_quota(call.region, instance_type, spot)
        price = self._check_price(call, zone, instance_type) if spot else None
        pool = f"{zone}/{instance_type}/{'spot' if spot else 'on-demand'}"
        self._check_capacity(pool, zone, instance_type, spot)
        answer = self._moto(call)
        if answer.status != 200:
            return answer
        self._life.scenario.take(pool)
        return self._enter(call, answer, zone, price)

    def _check_parameters(self, call: Call, instance_type: str, zone: str, spot: bool) -> None:
        """What AWS refuses as malformed, in about its order."""
        if moto_ec2.vcpus(instance_type) is None:
            raise Refused("InvalidParameterValue", f"Invalid value '{instance_type}' for InstanceType.")
        image = call.form.get("ImageId", "")
        if image != dlami_id(call.region) and image not in moto_ec2.images(call.region):
            raise Refused("InvalidAMIID.NotFound", f"The image id '[{image}]' does not exist")
        _user_data(call)
        _check_spot_options(call, spot)
        _check_disk(call, image == dlami_id(call.region))
        if not moto_ec2.sold(call.region, zone, instance_type):
            others = ", ".join(moto_ec2.zones(call.region, instance_type))
            text = f"Your requested instance type ({instance_type}) is not supported in your requested Availability "
            raise Refused("Unsupported", f"{text}Zone ({zone}). Please retry your request by choosing {others}.")

    def _check_quota(self, region: str, instance_type: str, spot: bool) -> None:
        code = quota_code(instance_type, spot=spot)
        limit = self._life.scenario.quota(region, code) or 0.0
        alive = [one for one in self._life.machines.values() if one.alive and one.region == region]
        counted = [one for one in alive if quota_code(one.instance_type, spot=one.spot) == code]
        used = sum(moto_ec2.vcpus(one.instance_type) or 0 for one in counted)
        if used + (moto_ec2.vcpus(instance_type) or 0) <= limit:
            return
        if spot:
            raise Refused("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
        text = f"You have requested more vCPU capacity than your current vCPU limit of {limit:.0f} allows for the "
        text += "instance bucket that the specified instance type belongs to. Please visit "
        raise Refused("VcpuLimitExceeded", f"{text}http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.")  # fmt: skip  # noqa: E501 - AWS's own text

    def _check_price(self, call: Call, zone: str, instance_type: str) -> Decimal:
        market = self._life.scenario.spot_price(zone, instance_type)
        if market is None:
            raise Refused("Unsupported", f"There is no spot market for {instance_type} in {zone}.")
        said = call.form.get("InstanceMarketOptions.SpotOptions.MaxPrice")
        if said is not None and Decimal(said) < market:
            text = f"Your Spot request price of {said} is lower than the minimum required Spot request fulfillment "
            raise Refused("SpotMaxPriceTooLow", f"{text}price of {market}.")
        return market

    def _check_capacity(self, pool: str, zone: str, instance_type: str, spot: bool) -> None:
        if self._life.scenario.has(pool):
            return
        text = "There is no Spot capacity available that matches your request."
        if not spot:
            text = CREDIT.format(type=instance_type, zone=zone)
        raise Refused("InsufficientInstanceCapacity", text, 500)

    def _enter(self, call: Call, answer: Answer, zone: str, price: Decimal | None) -> Answer:
        """Bring what moto made into the world, and the answer into the state that a new machine has."""
        id = next(iter(each(ET.fromstring(answer.body), "instanceId"))).text or ""
        machine = self._machine(call, id, zone, price)
        self._life.create(machine)
        return edited(answer, lambda root: _as_pending(root, machine))

    def _machine(self, call: Call, id: str, zone: str, price: Decimal | None) -> Ec2Machine:
        now, instance_type = self._world.clock.seconds(), call.form["InstanceType"]
        on_demand = self._life.scenario.on_demand(call.region, instance_type) or Decimal(0)
        metered = Metered(
            id=id,
            tags=moto_ec2.tags(call.region, id),
            created=now,
            disk_gib=moto_ec2.disks_gib(call.region, id),
            prices=[(now, on_demand if price is None else price)],
        )
        return Ec2Machine(
            cloud="aws",
            port=SSH_PORT,
            gpu=gpu_of(instance_type),
            id=id,
            region=call.region,
            zone=zone,
            instance_type=instance_type,
            spot=price is not None,
            address=self._world.next_address(),
            created=now,
            metered=metered,
            # a one-time spot machine cannot be stopped: its own shutdown ends it, whatever was asked
            terminates_on_shutdown=price is not None
            or call.form.get("InstanceInitiatedShutdownBehavior") == "terminate",
            user_data=_user_data(call),
            token=call.form.get("ClientToken", ""),
            spot_request=None if price is None else f"sir-{secrets.token_hex(4)}",
            groups=moto_ec2.security_groups(call.region, id),
        )

    # the rest of a machine's life

    def terminate_instances(self, call: Call) -> Answer:
        """One unknown id and nothing is ended; the ended are ended again without complaint."""
        machines = [self._known(call, id) for id in call.many("InstanceId")]
        ignored = self._life.knobs.terminate_ignored > 0
        if ignored:
            self._life.knobs.terminate_ignored -= 1
        rows = [self._ending(machine, ignored) for machine in machines]
        return as_xml("TerminateInstances", instancesSet=rows)

    def _ending(self, machine: Ec2Machine, ignored: bool) -> dict[str, object]:
        before = machine.state
        code = "Client.UserInitiatedShutdown"
        if not ignored:
            self._life.end(machine.id, code, f"{code}: User initiated shutdown")
        after = "shutting-down" if ignored and machine.alive else machine.state
        states = {
            name: {"code": moto_ec2.CODES[state], "name": state}
            for name, state in (("currentState", after), ("previousState", before))
        }
        return {"instanceId": machine.id, **states}

    def describe_instances(self, call: Call) -> Answer:
        """moto's answer, less what AWS would not show (yet, or any more)."""
        asked = call.many("InstanceId")
        for id in asked:
            self._known(call, id)
        own = {name: values for name, values in call.filters().items() if name in OWN_FILTERS}
        shown = {one.id for one in self._life.machines.values() if self._listed(one, bool(asked)) and _fits(one, own)}
        if not asked and self._life.knobs.list_gap > 0:
            self._life.knobs.list_gap -= 1
            self._world.say("gap", "", "a listing left everything out")
            shown = set()
        answer = self._moto(_without_filters(call, OWN_FILTERS) if own else call)
        return answer if answer.status != 200 else edited(answer, lambda root: _keep(root, shown))

    def _listed(self, machine: Ec2Machine, by_id: bool) -> bool:
        now, knobs = self._world.clock.seconds(), self._life.knobs
        return is_shown(
            now - machine.created,
            lag_seconds=0 if by_id else knobs.list_lag_seconds,
            gone_seconds=None if machine.terminated is None else now - machine.terminated,
            kept_seconds=knobs.listed_seconds,
        )

    def _known(self, call: Call, id: str) -> Ec2Machine:
        machine = self._life.machines.get(id)
        now, knobs = self._world.clock.seconds(), self._life.knobs
        unknown = machine is None or machine.region != call.region or not self._listed(machine, by_id=True)
        if machine is not None and not unknown and now - machine.created >= knobs.early_not_found_seconds:
            return machine
        raise Refused("InvalidInstanceID.NotFound", f"The instance ID '{id}' does not exist")

    def stop_instances(self, call: Call) -> Answer:
        """Refused for one-time spot; the product never stops, so that nothing more is simulated."""
        for machine in (self._known(call, id) for id in call.many("InstanceId")):
            if machine.spot:
                text = f"You can't stop the Spot Instance '{machine.id}' because it is associated with a one-time Spot "
                raise Refused("UnsupportedOperation", f"{text}Instance request. You can only stop Spot Instances associated with persistent Spot Instance requests.")  # fmt: skip  # noqa: E501 - AWS's own text
        raise Refused("UnsupportedOperation", "the test cloud does not stop machines")

    def spot_requests(self, call: Call) -> Answer:
        """DescribeSpotInstanceRequests: one-time requests, active while their machine lives."""
        asked = set(call.many("SpotInstanceRequestId"))
        mine = [one for one in self._life.machines.values() if one.spot and one.region == call.region]
        rows = [_spot_request(one) for one in mine if not asked or one.spot_request in asked]
        return as_xml("DescribeSpotInstanceRequests", spotInstanceRequestSet=rows)

    def cancel_spot_requests(self, call: Call) -> Answer:
        """Tidiness only: a cancelled one-time request leaves its machine alone."""
        rows = [{"spotInstanceRequestId": id, "state": "cancelled"} for id in call.many("SpotInstanceRequestId")]
        return as_xml("CancelSpotInstanceRequests", spotInstanceRequestSet=rows)

    def delete_security_group(self, call: Call) -> Answer:
        """Refused while a machine that is not terminated holds it."""
        id = call.form.get("GroupId", "")
        if any(id in one.groups and one.state != "terminated" for one in self._life.machines.values()):
            raise Refused("DependencyViolation", f"resource {id} has a dependent object")
        return self._moto(call)

    def describe_vpcs(self, call: Call) -> Answer:
        """Without a default VPC there is none to be found."""
        return self._moto(call) if self._life.knobs.default_vpc else as_xml("DescribeVpcs", vpcSet=[])


def _user_data(call: Call) -> bytes:
    try:
        raw = base64.b64decode(call.form.get("UserData", ""), validate=True)
    except binascii.Error as error:
        raise Refused("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.") from error
    if len(raw) > USER_DATA_LIMIT:
        raise Refused("InvalidUserData.Malformed", f"User data is limited to {USER_DATA_LIMIT} bytes")
    return raw


def _check_spot_options(call: Call, spot: bool) -> None:
    options = "InstanceMarketOptions.SpotOptions"
    resources = [value for name, value in call.form.items() if name.endswith(".ResourceType")]
    if not spot and "spot-instances-request" in resources:
        raise Refused("InvalidParameterCombination", "Tags for spot-instances-request are for Spot requests only")
    if call.form.get(f"{options}.SpotInstanceType", "one-time") != "one-time":
        raise Refused("InvalidParameterCombination", "the test cloud rents one-time spot machines only")
    if call.form.get(f"{options}.InstanceInterruptionBehavior", "terminate") != "terminate":
        text = "The interruption behavior must be terminate for a one-time Spot Instance request"
        raise Refused("InvalidParameterCombination", text)
    try:
        positive = Decimal(call.form.get(f"{options}.MaxPrice", "1")) > Decimal("0.001")
    except InvalidOperation:
        positive = False
    if not positive:
        raise Refused("InvalidParameterValue", "Invalid value for MaxPrice: it must be greater than 0.001")


def _check_disk(call: Call, deep_learning: bool) -> None:
    size = call.form.get("BlockDeviceMapping.1.Ebs.VolumeSize")
    if deep_learning and size is not None and int(size) < DLAMI_ROOT_GIB:
        text = f"Volume of size {size}GB is smaller than snapshot 'snap-0dee9000000000000', expect size >= "
        raise Refused("InvalidBlockDeviceMapping", f"{text}{DLAMI_ROOT_GIB}GB")


def _as_pending(root: ET.Element, machine: Ec2Machine) -> None:
    for state in each(root, "instanceState"):
        for part in state:
            part.text = "0" if part.tag.endswith("code") else "pending"
    for name in ("ipAddress", "dnsName"):
        for one in each(root, name):
            one.text = ""


def _keep(root: ET.Element, shown: set[str]) -> None:
    """Drop the instances that are not shown, and reservations that are empty by that."""
    for reservations in each(root, "reservationSet"):
        for reservation in list(reservations):
            for instances in each(reservation, "instancesSet"):
                for item in list(instances):
                    if not {one.text for one in each(item, "instanceId")} & shown:
                        instances.remove(item)
                if not len(instances):
                    reservations.remove(reservation)


def _fits(machine: Ec2Machine, filters: dict[str, list[str]]) -> bool:
    known = {
        "client-token": machine.token,
        "instance-lifecycle": "spot" if machine.spot else "",
        "spot-instance-request-id": machine.spot_request or "",
    }
    return all(known[name] in values for name, values in filters.items())


def _without_filters(call: Call, names: set[str]) -> Call:
    """The call as moto can take it, its remaining filters numbered anew."""
    kept = {name: values for name, values in call.filters().items() if name not in names}
    form = {name: value for name, value in call.form.items() if not name.startswith("Filter.")}
    for n, (name, values) in enumerate(kept.items(), 1):
        form[f"Filter.{n}.Name"] = name
        form.update({f"Filter.{n}.Value.{m}": value for m, value in enumerate(values, 1)})
    return Call(operation=call.operation, region=call.region, access_key=call.access_key, form=form)


def _spot_request(machine: Ec2Machine) -> dict[str, object]:
    over = {"Server.SpotInstanceTermination": "instance-terminated-no-capacity"}
    code = "fulfilled" if machine.alive else over.get(machine.reason[0], "instance-terminated-by-user")
    return {
        "spotInstanceRequestId": machine.spot_request or "",
        "type": "one-time",
        "state": "active" if machine.alive else "closed",
        "status": {"code": code, "message": code},
        "instanceId": machine.id,
        "launchedAvailabilityZone": machine.zone,
    }
