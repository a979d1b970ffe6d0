"""Who a caller is: the exchange of a job's token for a role's keys, and what those keys may do."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from typing import Any

from moto.core.responses import ActionResult
from moto.iam.models import iam_backends
from moto.sts.exceptions import STSClientError
from moto.sts.models import sts_backends
from moto.sts.responses import TokenResponse

from . import instances, policies
from .instances import LabInstance
from .policies import Demand
from .settings import ACCOUNT, ROLE

# What the lab's GitHub signs with; `crates/lab/src/github/identity.rs` has the same word.
KEY = "the lab's GitHub"
EXCHANGE = "sts:AssumeRoleWithWebIdentity"


def _iam() -> Any:
    return iam_backends[ACCOUNT]["aws"]


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _refusal(code: str, message: str) -> STSClientError:
    return STSClientError(code, message)


def _claims(token: str) -> dict[str, Any]:
    """What a token of the lab's GitHub says; anything else is refused as STS does it."""
    signed, _, signature = token.rpartition(".")
    if signed.count(".") != 1 or _decoded(signature) != hashlib.sha256((KEY + signed).encode()).digest():
        raise _refusal("InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider")
    claims: dict[str, Any] = json.loads(_decoded(signed.split(".")[1]))
    if claims["exp"] < time.time():
        raise _refusal("ExpiredTokenException", "Token expired: current date/time must be before the expiration date/time")
    return claims


def _provider(claims: dict[str, Any]) -> str:
    """The ARN of the account's identity provider for a token."""
    host = claims["iss"].removeprefix("https://")
    provider = next((found for found in _iam().open_id_providers.values() if found.url == host), None)
    if provider is None:
        raise _refusal("InvalidIdentityToken", f"No OpenIDConnect provider found in your account for {claims['iss']}")
    if claims["aud"] not in provider.client_id_list:
        raise _refusal("InvalidIdentityToken", "Incorrect token audience")
    return str(provider.arn)


class LabSts(TokenResponse):
    """moto's STS, which asks a role's trust policy whether a token will do."""

    def assume_role_with_web_identity(self) -> ActionResult:
        claims = _claims(self._get_param("WebIdentityToken") or "")
        provider = _provider(claims)
        arn = self._get_param("RoleArn")
        role = next((role for role in _iam().get_roles() if role.arn == arn), None)
        host = claims["iss"].removeprefix("https://")
        context: policies.Context = {f"{host}:{name}": str(value) for name, value in claims.items() if value is not None}
        statements = json.loads(role.assume_role_policy_document)["Statement"] if role else []
        trusting = [
            {**statement, "Resource": "*"}
            for statement in statements
            if statement.get("Principal", {}).get("Federated") == provider
        ]
        if policies.verdict([{"Statement": trusting}], Demand(EXCHANGE, arn, context)) != "Allow":
            raise _refusal("AccessDenied", f"Not authorized to perform {EXCHANGE}")
        return super().assume_role_with_web_identity()


def session(key: str) -> Any:
    """The session that an access key belongs to; None where it is no role's."""
    return sts_backends[ACCOUNT]["aws"].get_assumed_role_from_access_key(key)


def host_key(instance: LabInstance) -> str:
    """The access key of a host's role, by which the host is known."""
    return "ASIA" + hashlib.sha256(instance.id.encode()).hexdigest()[:16].upper()


def _host(key: str) -> LabInstance | None:
    return next((instance for instance in instances.every_instance() if host_key(instance) == key), None)


def _granted(key: str) -> tuple[str, list[Any]] | None:
    """Who a key belongs to, and its policies; None where it may do everything.

    All hosts of the lab share a role, so one is held to its policies only where they have one for its environment.
    """
    if (taken := session(key)) is not None:
        return taken.arn, list(_iam().get_role(taken.role_arn.split("/")[-1]).policies.values())
    if (host := _host(key)) is not None:
        tags = {tag["key"]: tag["value"] for tag in host.get_tags()}
        given = _iam().get_role(ROLE).policies
        if f"skipper-{tags.get('skipper:project')}-{tags.get('skipper:environment')}" in given:
            return f"arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/{host.id}", list(given.values())
    return None


def refused(key: str, demands: list[Demand]) -> tuple[Demand, str, str] | None:
    """The first permission that a role's key lacks, why, and who asks; keys of nobody may do everything."""
    held = _granted(key)
    if held is None:
        return None
    who, texts = held
    granted = [json.loads(text) if isinstance(text, str) else text for text in texts]
    for demand in demands:
        verdict = policies.verdict(granted, demand)
        if verdict == "Deny":
            return demand, "with an explicit deny in an identity-based policy", who
        if verdict != "Allow":
            return demand, f"because no identity-based policy allows the {demand.action} action", who
    return None
