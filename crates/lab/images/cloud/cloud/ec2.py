"""EC2's answers where moto's differ from AWS's: idempotent launches, refusals, pages, filters, groups in use."""

from __future__ import annotations

import base64
import json
import threading
import time
from dataclasses import dataclass
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instances import Reservation
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ec2.responses import EC2Response
from moto.ec2.utils import filter_dict_attribute_mapping, parse_user_data
from moto.iam.models import iam_backends

from .instances import LabInstance, find

USER_DATA_LIMIT = 16_384
IMAGE_VOLUME_GIB = 16
TAG_FILTERS = ("tag:", "tag-key", "tag-value")
FILTERS = {
    "instances": {*filter_dict_attribute_mapping, "client-token", "iam-instance-profile.arn"},
    "images": {
        *("architecture", "description", "hypervisor", "image-id", "image-type", "is-public", "name", "owner-id"),
        *("platform", "root-device-name", "root-device-type", "state", "virtualization-type"),
    },
    "addresses": {"allocation-id", "association-id", "instance-id", "public-ip"},
    "groups": {
        *("description", "group-id", "group-name", "owner-id", "vpc-id"),
        *(f"ip-permission.{part}" for part in ("cidr", "from-port", "group-id", "group-name", "protocol", "to-port")),
    },
}


def _same_rule(one: SecurityGroupRule, other: SecurityGroupRule) -> bool:
    """By protocol, ports and source: a description is no part of what a rule is, and whoever revokes it need not know it."""

    def identity(rule: SecurityGroupRule) -> tuple[Any, ...]:
        ports = () if rule.ip_protocol == "-1" else (str(rule.from_port), str(rule.to_port))
        sources = (rule.ip_range, rule.source_group, rule.prefix_list_id)
        of_source = [sorted((key, value) for key, value in (source or {}).items() if key != "Description") for source in sources]
        return (rule.ip_protocol, ports, of_source)

    return identity(one) == identity(other)


SecurityGroupRule.__eq__ = _same_rule  # type: ignore[method-assign,assignment]


def refusal(code: str, message: str) -> EC2ClientError:
    """An error as EC2 answers it."""
    return EC2ClientError(code, message)


@dataclass(frozen=True)
class Launch:
    """What one client token stands for."""

    parameters: str
    reservation: Reservation


class LabEc2(EC2Response):
    """moto's EC2 with the lab's mends."""

    # moto's own list says `pending` for whatever RunInstances returns; here it is the instance's true state.
    RESPONSE_KEY_PATH_TO_TRANSFORMER = {
        path: transform
        for path, transform in EC2Response.RESPONSE_KEY_PATH_TO_TRANSFORMER.items()
        if not path.startswith("RunInstances.")
    }

    _launches: dict[tuple[str, str], Launch] = {}
    _launching = threading.Lock()

    def call_action(self) -> Any:
        try:
            return super().call_action()
        except NotImplementedError:
            error = refusal("InvalidAction", f"The action {self._get_action()} is not valid for this web service.")
            status, headers, body = self.serialized(ActionResult(error))
            return status, headers, body

    # Launch

    def run_instances(self) -> ActionResult:
        token = self._get_param("ClientToken")
        if token and len(token) > 64:
            raise refusal("InvalidParameterValue", "The client token may have at most 64 characters.")
        parameters = json.dumps({**self.params, "ClientToken": None}, sort_keys=True, default=str)
        with self._launching:
            earlier = self._launches.get((self.region, token)) if token else None
            if earlier:
                if earlier.parameters != parameters:
                    raise refusal(
                        "IdempotentParameterMismatch",
                        "The request uses the same client token as a previous, but non-identical request.",
                    )
                return ActionResult(earlier.reservation)
            reservation = self._launch()
            if token:
                self._launches[self.region, token] = Launch(parameters, reservation)
            return ActionResult(reservation)

    def _launch(self) -> Reservation:
        count = self._count()
        self._check_machine()
        profile = self._profile()
        # moto launches MinCount where AWS launches as many as it can, up to MaxCount.
        self.params["MinCount"] = count
        result = super().run_instances()
        reservation = result.result
        assert isinstance(reservation, Reservation)
        for instance in reservation.instances:
            if profile and instance.id not in self.ec2_backend.iam_instance_profile_associations:
                self.ec2_backend.associate_iam_instance_profile(instance.id, iam_instance_profile_arn=profile.arn)
            assert isinstance(instance, LabInstance)
            instance.launch()
        return reservation

    def _parse_block_device_mapping(self) -> list[dict[str, Any]]:
        # AWS takes the size of the image's own volume where the request leaves it out; moto refuses that.
        for mapping in self._get_param("BlockDeviceMappings", []):
            mapping.get("Ebs", {}).setdefault("VolumeSize", IMAGE_VOLUME_GIB)
        return super()._parse_block_device_mapping()

    def _count(self) -> int:
        least, most = int(self._get_param("MinCount", 0)), int(self._get_param("MaxCount", 0))
        if not 1 <= least <= most:
            raise refusal("InvalidParameterValue", f"Value ({least}) for parameter minCount is invalid.")
        return most

    def _check_machine(self) -> None:
        image_id = self._get_param("ImageId") or ""
        images = {image.id: image for image in self.ec2_backend.describe_images()}
        image = images.get(image_id)
        if image is None:
            raise refusal("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")
        if image.state != "available":
            raise refusal("InvalidAMIID.Unavailable", f"The image ID '{image_id}' is not available")

        size = self._get_param("InstanceType", "m1.small")
        types = {kind.get("InstanceType"): kind for kind in self.ec2_backend.describe_instance_types()}
        if size not in types:
            raise refusal("InvalidParameterValue", f"Invalid value '{size}' for InstanceType.")
        zone = self._zone()
        offered = self.ec2_backend.describe_instance_type_offerings("availability-zone", {"instance-type": [size]})
        zones = sorted(offer["Location"] for offer in offered)
        if zone and zone not in zones:
            raise refusal(
                "Unsupported",
                f"Your requested instance type ({size}) is not supported in your requested Availability Zone ({zone}). "
                f"Please retry your request by not specifying an Availability Zone or choosing {', '.join(zones)}.",
            )
        architectures = types[size].get("ProcessorInfo", {}).get("SupportedArchitectures", [])
        if image.architecture not in architectures:
            raise refusal(
                "InvalidParameterValue",
                f"The architecture '{','.join(architectures)}' of the specified instance type does not match the "
                f"architecture '{image.architecture}' of the specified AMI. Specify an instance type and an AMI that "
                "have matching architectures, and try again.",
            )
        user_data = parse_user_data(self._get_param("UserData"))
        if user_data and len(base64.b64decode(str(user_data))) > USER_DATA_LIMIT:
            raise refusal("InvalidParameterValue", f"User data is limited to {USER_DATA_LIMIT} bytes")

    def _zone(self) -> str | None:
        interfaces = self._get_param("NetworkInterfaces", [])
        subnet = self._get_param("SubnetId") or next((i["SubnetId"] for i in interfaces if "SubnetId" in i), None)
        if subnet:
            return str(self.ec2_backend.get_subnet(subnet).availability_zone)
        zone = self._get_param("Placement.AvailabilityZone")
        return str(zone) if zone else None

    def _profile(self) -> Any:
        name, arn = self._get_param("IamInstanceProfile.Name"), self._get_param("IamInstanceProfile.Arn")
        if not name and not arn:
            return None
        profiles = iam_backends[self.current_account][self.partition].instance_profiles.values()
        for profile in profiles:
            if (name and profile.name == name) or (arn and profile.arn == arn):
                return profile
        field, value = ("name", name) if name else ("arn", arn)
        raise refusal(
            "InvalidParameterValue",
            f"Value ({value}) for parameter iamInstanceProfile.{field} is invalid. "
            f"Invalid IAM Instance Profile {'name' if name else 'ARN'}",
        )

    # States

    def start_instances(self) -> ActionResult:
        return self._change("StartingInstances", self.ec2_backend.start_instances)

    def stop_instances(self) -> ActionResult:
        return self._change("StoppingInstances", self.ec2_backend.stop_instances)

    def terminate_instances(self) -> ActionResult:
        return self._change("TerminatingInstances", self.ec2_backend.terminate_instances)

    def _change(self, name: str, act: Any) -> ActionResult:
        ids = self._get_param("InstanceIds", [])
        self.error_on_dryrun()
        changes = [
            {"InstanceId": instance.id, "CurrentState": instance.instance_state, "PreviousState": previous}
            for instance, previous in act(ids)
        ]
        return ActionResult({name: changes})

    # Reads

    def modify_instance_attribute(self) -> ActionResult:
        instance = find(self._get_param("InstanceId", ""))
        if instance is not None and self._get_param("InstanceType.Value") and instance.state != "stopped":
            raise refusal("IncorrectInstanceState", f"The instance '{instance.id}' is not in the 'stopped' state.")
        return super().modify_instance_attribute()

    def describe_instances(self) -> ActionResult:
        filters = self._checked_filters("instances")
        ids = self._get_param("InstanceIds", [])
        size = self._page_size(5, 1000)
        if ids and size:
            raise refusal(
                "InvalidParameterCombination",
                "The parameter instancesSet cannot be used with the parameter maxResults",
            )
        tokens, arns = filters.pop("client-token", None), filters.pop("iam-instance-profile.arn", None)
        unseen = {i.id for r in self.ec2_backend.all_reservations() for i in r.instances if not _seen(i)}
        missing = [i for i in ids if i in unseen]
        if missing:
            raise refusal("InvalidInstanceID.NotFound", f"The instance ID '{missing[0]}' does not exist")
        if ids:
            found = self.ec2_backend.get_reservations_by_instance_ids(ids, filters=filters)
        else:
            found = self.ec2_backend.describe_instances(filters=filters)
        rows = [
            (reservation, instance)
            for reservation in found
            for instance in reservation.instances
            if instance.id not in unseen
            and (tokens is None or instance.client_token in tokens)
            and (arns is None or (instance.iam_instance_profile or {}).get("Arn") in arns)
        ]
        page, following = self._page(rows, size)
        reservations: dict[str, Reservation] = {}
        for reservation, instance in page:
            shown = reservations.setdefault(reservation.id, Reservation(reservation.id, reservation.owner_id))
            shown.instances.append(instance)
        return ActionResult({"Reservations": list(reservations.values()), "NextToken": following})

    def describe_images(self) -> ActionResult:
        self._checked_filters("images")
        return self._paged(super().describe_images(), "Images", self._page_size(1, 1000))

    def describe_security_groups(self) -> ActionResult:
        self._checked_filters("groups")
        return self._paged(super().describe_security_groups(), "SecurityGroups", self._page_size(5, 1000))

    # Addresses: no page, and none leads to an instance that is gone.

    def describe_addresses(self) -> ActionResult:
        self._checked_filters("addresses")
        self._let_go()
        return super().describe_addresses()

    def associate_address(self) -> ActionResult:
        name = self._get_param("InstanceId")
        instance = self.ec2_backend.get_instance(name)
        if instance.state != "running":
            raise refusal(
                "InvalidInstanceID", f"The {instance.state} instance '{name}' is not in a valid state for this operation."
            )
        return super().associate_address()

    def release_address(self) -> ActionResult:
        self._let_go()
        allocation = self._get_param("AllocationId")
        found = next((a for a in self.ec2_backend.addresses if a.allocation_id == allocation), None)
        if found is not None and found.instance is not None:
            raise refusal("InvalidIPAddress.InUse", f"Address {found.public_ip} is in use.")
        return super().release_address()

    def _let_go(self) -> None:
        for address in self.ec2_backend.addresses:
            if address.instance is not None and address.instance.state in ("terminated", "shutting-down"):
                self.ec2_backend.disassociate_address(address=address.public_ip)

    def _checked_filters(self, kind: str) -> dict[str, Any]:
        filters: dict[str, Any] = dict(self._filters_from_querystring())
        for name in filters:
            if name not in FILTERS[kind] and not name.startswith(TAG_FILTERS):
                raise refusal("InvalidParameterValue", f"The filter '{name}' is invalid")
        return filters

    def _page_size(self, least: int, most: int) -> int | None:
        size = self._get_param("MaxResults")
        if size is None:
            return None
        if not least <= int(size) <= most:
            raise refusal(
                "InvalidParameterValue",
                f"Value ( {size} ) for parameter maxResults is invalid. Expecting a value from {least} to {most}.",
            )
        return int(size)

    def _paged(self, result: ActionResult, key: str, size: int | None) -> ActionResult:
        assert isinstance(result.result, dict)
        page, following = self._page(list(result.result[key]), size)
        return ActionResult({key: page, "NextToken": following})

    def _page(self, rows: list[Any], size: int | None) -> tuple[list[Any], str | None]:
        start, token = 0, self._get_param("NextToken")
        if token:
            try:
                start = int(base64.b64decode(token, validate=True).decode().removeprefix("from:"))
            except ValueError:
                raise refusal("InvalidParameterValue", f"Value ({token}) for parameter nextToken is invalid.") from None
        end = len(rows) if size is None else start + size
        following = base64.b64encode(f"from:{end}".encode()).decode() if end < len(rows) else None
        return rows[start:end], following

    # Groups

    def delete_security_group(self) -> ActionResult:
        group = self._get_param("GroupId") or self._get_param("GroupName")
        users = [
            instance.id
            for reservation in self.ec2_backend.all_reservations()
            for instance in reservation.instances
            if instance.state != "terminated"
            for used in instance.security_groups
            if group in (used.id, used.name)
        ]
        referers = [
            other.id
            for other in self.ec2_backend.describe_security_groups()
            if group not in (other.id, other.name)
            for rule in other.ingress_rules
            if rule.source_group and group in (rule.source_group.get("GroupId"), rule.source_group.get("GroupName"))
        ]
        if users or referers:
            raise refusal("DependencyViolation", f"resource {group} has a dependent object")
        return super().delete_security_group()


def _seen(instance: LabInstance) -> bool:
    return time.monotonic() >= instance.seen_from
