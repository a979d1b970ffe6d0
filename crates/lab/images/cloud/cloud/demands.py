"""The permissions that a call needs, as the "Service Authorization Reference" lists them for what skipper calls."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends

from .policies import Context, Demand
from .settings import ACCOUNT

Form = dict[str, str]
# What anybody may ask.
FREE = {"GetCallerIdentity", "AssumeRoleWithWebIdentity"}
# Systems Manager gives these for a parameter's path.
OF_PARAMETERS = {"GetParametersByPath", "GetParameter", "GetParameters", "PutParameter", "DeleteParameters", "DeleteParameter"}


def of(service: str, action: str, region: str, body: bytes) -> list[Demand]:
    """All of them; for what is not listed here, the action on everything."""
    if action in FREE:
        return []
    known: Context = {"aws:RequestedRegion": region}
    if service == "ssm":
        return _of_ssm(action, region, json.loads(body or b"{}"), known)
    form = {name: values[0] for name, values in parse_qs(body.decode("latin-1")).items()}
    if service == "ec2":
        return _of_ec2(action, region, form, known)
    if service == "iam" and (profile := form.get("InstanceProfileName")):
        return [Demand(f"iam:{action}", f"arn:aws:iam::{ACCOUNT}:instance-profile/{profile}", known)]
    if service == "iam" and (role := form.get("RoleName")):
        return [Demand(f"iam:{action}", f"arn:aws:iam::{ACCOUNT}:role/{role}", known)]
    return [Demand(f"{service}:{action}", "*", known)]


def _tags(region: str, resource: str) -> dict[str, str]:
    """The tags of a thing of EC2's."""
    found = ec2_backends[ACCOUNT][region].describe_tags(filters={"resource-id": [resource]})
    return {tag["key"]: tag["value"] for tag in found}


def _tagged(prefix: str, tags: dict[str, str]) -> Context:
    return {f"{prefix}/{key}": value for key, value in tags.items()}


def _of_ssm(action: str, region: str, given: dict[str, Any], known: Context) -> list[Demand]:
    arn = f"arn:aws:ssm:{region}:{ACCOUNT}"

    def document(name: str) -> str:
        owner = "" if name.startswith("AWS-") else ACCOUNT
        return f"arn:aws:ssm:{region}:{owner}:document/{name}"

    if action == "SendCommand":
        instances = [
            Demand(
                "ssm:SendCommand",
                f"arn:aws:ec2:{region}:{ACCOUNT}:instance/{instance}",
                {**known, **_tagged("ssm:resourceTag", _tags(region, instance))},
            )
            for instance in given.get("InstanceIds", [])
        ]
        return [Demand("ssm:SendCommand", document(given.get("DocumentName", "")), known), *instances]
    if action == "StartSession":
        target = given.get("Target", "")
        tags = _tagged("ssm:resourceTag", _tags(region, target))
        instance = Demand("ssm:StartSession", f"arn:aws:ec2:{region}:{ACCOUNT}:instance/{target}", {**known, **tags})
        return [instance, Demand("ssm:StartSession", document("SSM-SessionManagerRunShell"), known)]
    if action == "TerminateSession":
        return [Demand("ssm:TerminateSession", f"{arn}:session/{given.get('SessionId', '')}", known)]
    if action in ("GetDocument", "DescribeDocument"):
        return [Demand(f"ssm:{action}", document(given.get("Name", "")), known)]
    if action in OF_PARAMETERS:
        names = given.get("Names") or [given.get("Name") or given.get("Path") or ""]
        # One version of a parameter is no thing of its own.
        paths = [name.rstrip("/").split(":")[0] for name in names]
        return [Demand(f"ssm:{action}", f"{arn}:parameter{path}", known) for path in paths]
    return [Demand(f"ssm:{action}", "*", known)]


def _specified(form: Form) -> dict[str, dict[str, str]]:
    """The tags that a request gives, by the kind of what gets them."""
    given: dict[str, dict[str, str]] = {}
    for at in range(1, 10):
        kind = form.get(f"TagSpecification.{at}.ResourceType")
        if kind is None:
            break
        tags = given.setdefault(kind, {})
        for tag in range(1, 51):
            if (key := form.get(f"TagSpecification.{at}.Tag.{tag}.Key")) is None:
                break
            tags[key] = form.get(f"TagSpecification.{at}.Tag.{tag}.Value", "")
    return given


def _listed(form: Form, name: str) -> list[str]:
    return [value for key, value in form.items() if key.startswith(f"{name}.") and key.split(".")[1].isdigit()]


def _of_ec2(action: str, region: str, form: Form, known: Context) -> list[Demand]:
    ec2 = f"arn:aws:ec2:{region}:{ACCOUNT}"

    def existing(kind: str, name: str) -> Demand:
        context = {**known, **_tagged("aws:ResourceTag", _tags(region, name))}
        return Demand(f"ec2:{action}", f"{ec2}:{kind}/{name}", context)

    def made(kind: str, more: Context | None = None) -> list[Demand]:
        """A new thing, and its tags, which are another permission."""
        tags = _specified(form).get(kind, {})
        context = {**known, **(more or {}), **_tagged("aws:RequestTag", tags), "aws:TagKeys": list(tags)}
        new = Demand(f"ec2:{action}", f"{ec2}:{kind}/*", context)
        tagging = Demand("ec2:CreateTags", new.resource, {**context, "ec2:CreateAction": action})
        return [new, tagging] if tags else [new]

    match action:
        case "RunInstances":
            return _of_launch(region, form, known, existing, made)
        case "ModifyInstanceAttribute":
            attribute = next((key.split(".")[0] for key in form if key.endswith(".Value")), "")
            changed = existing("instance", form.get("InstanceId", "*"))
            return [Demand(changed.action, changed.resource, {**changed.context, "ec2:Attribute": attribute})]
        case "TerminateInstances" | "RebootInstances" | "StartInstances" | "StopInstances":
            return [existing("instance", name) for name in _listed(form, "InstanceId")]
        case "AllocateAddress":
            return made("elastic-ip")
        case "AssociateAddress":
            return [existing("elastic-ip", form.get("AllocationId", "*")), existing("instance", form.get("InstanceId", "*"))]
        case "ReleaseAddress":
            return [existing("elastic-ip", form.get("AllocationId", "*"))]
        case "CreateSecurityGroup":
            return [*made("security-group"), Demand("ec2:CreateSecurityGroup", f"{ec2}:vpc/{form.get('VpcId', '*')}", known)]
        case "AuthorizeSecurityGroupIngress" | "RevokeSecurityGroupIngress" | "DeleteSecurityGroup":
            return [existing("security-group", form.get("GroupId", "*"))]
    return [Demand(f"ec2:{action}", "*", known)]


def _of_launch(region: str, form: Form, known: Context, existing: Any, made: Any) -> list[Demand]:
    profile = form.get("IamInstanceProfile.Name", "")
    found = iam_backends[ACCOUNT]["aws"].instance_profiles.values()
    roles = [role for other in found if other.name == profile for role in other.roles]
    image = form.get("ImageId", "*")
    owner = next((image_.owner_id for image_ in ec2_backends[ACCOUNT][region].amis.values() if image_.id == image), "")
    instance: Context = {
        "ec2:InstanceProfile": f"arn:aws:iam::{ACCOUNT}:instance-profile/{profile}",
        "ec2:MetadataHttpTokens": form.get("MetadataOptions.HttpTokens", "optional"),
    }
    groups = _listed(form, "SecurityGroupId")
    return [
        *made("instance", instance),
        *made("volume"),
        *made("network-interface"),
        *(existing("security-group", group) for group in groups),
        existing("subnet", form.get("SubnetId", "*")),
        Demand("ec2:RunInstances", f"arn:aws:ec2:{region}::image/{image}", {**known, "ec2:Owner": owner}),
        *(Demand("iam:PassRole", role.arn, {**known, "iam:PassedToService": "ec2.amazonaws.com"}) for role in roles),
    ]
