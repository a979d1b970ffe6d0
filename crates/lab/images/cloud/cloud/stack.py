"""CloudFormation, as far as the template of `skipper iam` goes: its parameters, conditions and kinds of resources."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from moto.iam.models import iam_backends
from moto.ssm.models import ssm_backends

from . import policies
from .settings import ACCOUNT

Properties = dict[str, Any]
# The lab's only region that has stacks.
REGION = "us-east-1"
# What a stack may leave to CloudFormation, or say for people.
UNUSED = {"Tags", "Description", "DocumentFormat", "UpdateMethod", "TargetType", "MaxSessionDuration"}


def _iam() -> Any:
    return iam_backends[ACCOUNT]["aws"]


def _policy(document: dict[str, Any]) -> str:
    policies.check(document)
    return json.dumps(document)


def _provider(url: str, clients: list[str]) -> None:
    _iam().create_open_id_connect_provider(url, [], clients, [])


def _role(name: str, trust: dict[str, Any], inline: list[dict[str, Any]]) -> None:
    if name in {role.name for role in _iam().get_roles()}:
        _iam().get_role(name).assume_role_policy_document = _policy(trust)
    else:
        _iam().create_role(name, _policy(trust), "/", None, "", [], "3600")
    for policy in inline:
        _iam().put_role_policy(name, policy["PolicyName"], _policy(policy["PolicyDocument"]))


def _profile(name: str, roles: list[str]) -> None:
    _iam().create_instance_profile(name, "/", [])
    for role in roles:
        _iam().add_role_to_instance_profile(name, role)


def _document(name: str, kind: str, content: dict[str, Any]) -> None:
    backend = ssm_backends[ACCOUNT][REGION]
    backend._documents.pop(name, None)
    backend.create_document(check_document(json.dumps(content)), [], [], name, "", kind, "JSON", "", [])


def check_document(content: str) -> str:
    """Systems Manager takes two braces for a parameter of the document, wherever they stand."""
    if "{{" in content:
        raise ValueError("Document content contains undeclared parameters")
    return content


def _made(kind: str, given: Properties) -> None:
    take: Callable[[str], Any] = given.pop
    match kind:
        case "AWS::IAM::OIDCProvider":
            _provider(take("Url"), take("ClientIdList"))
        case "AWS::IAM::Role":
            _role(take("RoleName"), take("AssumeRolePolicyDocument"), given.pop("Policies", []))
        case "AWS::IAM::RolePolicy":
            _iam().put_role_policy(take("RoleName"), take("PolicyName"), _policy(take("PolicyDocument")))
        case "AWS::IAM::InstanceProfile":
            _profile(take("InstanceProfileName"), take("Roles"))
        case "AWS::SSM::Document":
            _document(take("Name"), take("DocumentType"), take("Content"))
        case _:
            raise ValueError(f"the lab's stacks have no {kind}")
    if left := set(given) - UNUSED:
        raise ValueError(f"the lab's stacks know no {', '.join(sorted(left))} of {kind}")


def create(template: dict[str, Any], parameters: dict[str, str]) -> None:
    """Makes what a template has, in the order in which one thing waits for another; ValueError where it cannot be read."""
    values = {name: parameters.get(name, given["Default"]) for name, given in template.get("Parameters", {}).items()}

    def holds(name: str | None) -> bool:
        if name is None:
            return True
        parameter, wanted = template["Conditions"][name]["Fn::Equals"]
        return bool(values[parameter["Ref"]] == wanted)

    waiting = {name: thing for name, thing in template["Resources"].items() if holds(thing.get("Condition"))}
    while waiting:
        # What is not made at all is not waited for.
        ready = next((name for name, thing in waiting.items() if thing.get("DependsOn") not in waiting), None)
        if ready is None:
            raise ValueError("the resources wait for each other")
        thing = waiting.pop(ready)
        _made(thing["Type"], dict(thing["Properties"]))
