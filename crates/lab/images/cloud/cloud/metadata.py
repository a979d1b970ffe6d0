"""The instance metadata service, version 2 only; each host is known by the address it asks from."""

from __future__ import annotations

import json
import secrets
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from . import agents, instances, trust
from .instances import LabInstance
from .settings import ACCOUNT, METADATA_PORT

TTL_LIMIT = 21_600
_tokens: dict[str, tuple[str, float]] = {}


def values(instance: LabInstance) -> dict[str, str]:
    """Every path below `/latest/` that has a value, for this instance."""
    zone = instance.placement.zone or ""
    found = {
        "meta-data/ami-id": instance.image_id,
        "meta-data/hostname": instance.private_dns_name,
        "meta-data/instance-id": instance.id,
        "meta-data/instance-type": instance.instance_type,
        "meta-data/local-hostname": instance.private_dns_name,
        "meta-data/local-ipv4": instance.address,
        "meta-data/public-ipv4": instance.address,
        "meta-data/placement/availability-zone": zone,
        "meta-data/placement/region": instance.region_name,
        "meta-data/security-groups": "\n".join(group.name for group in instance.security_groups),
        "dynamic/instance-identity/document": json.dumps(
            {
                "accountId": ACCOUNT,
                "architecture": instance.architecture,
                "availabilityZone": zone,
                "imageId": instance.image_id,
                "instanceId": instance.id,
                "instanceType": instance.instance_type,
                "privateIp": instance.address,
                "region": instance.region_name,
                "version": "2017-09-30",
            }
        ),
    }
    if instance.user_data:
        found["user-data"] = instance.user_data.decode()
    profile = instance.iam_instance_profile
    if profile:
        name = profile["Arn"].split("/")[-1]
        now = datetime.now(UTC)
        found["meta-data/iam/info"] = json.dumps(
            {"Code": "Success", "InstanceProfileArn": profile["Arn"], "InstanceProfileId": profile["Id"]}
        )
        # In the lab a profile and its role share a name.
        found[f"meta-data/iam/security-credentials/{name}"] = json.dumps(
            {
                "Code": "Success",
                "Type": "AWS-HMAC",
                "LastUpdated": f"{now:%Y-%m-%dT%H:%M:%SZ}",
                "Expiration": f"{now + timedelta(hours=6):%Y-%m-%dT%H:%M:%SZ}",
                "AccessKeyId": trust.host_key(instance),
                "SecretAccessKey": "lab/" + instance.id,
                "Token": "lab//token==",
            }
        )
    return found


def look_up(found: dict[str, str], path: str) -> str | None:
    """A value, or the listing of what is below a path, as the service answers both."""
    if path.rstrip("/") in found:
        return found[path.rstrip("/")]
    prefix = path.rstrip("/") + "/"
    below = {name[len(prefix) :] for name in found if name.startswith(prefix)}
    names = {head + "/" if rest else head for head, rest in ((n.split("/")[0], "/" in n) for n in below)}
    return "\n".join(sorted(names)) if names else None


class Handler(BaseHTTPRequestHandler):
    """One request of a host."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        """A session token."""
        ttl = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if self.path != "/latest/api/token":
            return self._answer(405)
        if not ttl.isdigit() or not 1 <= int(ttl) <= TTL_LIMIT:
            return self._answer(400)
        token = secrets.token_urlsafe(40)
        _tokens[token] = (self.client_address[0], time.monotonic() + int(ttl))
        self._answer(200, token)

    def do_GET(self) -> None:
        """A value, for a host that shows its token."""
        owner, expires = _tokens.get(self.headers.get("X-aws-ec2-metadata-token", ""), ("", 0.0))
        if owner != self.client_address[0] or time.monotonic() > expires:
            return self._answer(401)
        instance = instances.at(self.client_address[0])
        if instance is None or not self.path.startswith("/latest/"):
            return self._answer(404)
        value = look_up(values(instance), self.path.removeprefix("/latest/"))
        return self._answer(404) if value is None else self._answer(200, value)

    def do_POST(self) -> None:
        """The host's agent reports; AWS takes no agent whose instance has no profile."""
        instance = instances.at(self.client_address[0])
        if self.path != "/lab/ssm-agent" or instance is None:
            return self._answer(404)
        if instance.state == "running" and instance.iam_instance_profile:
            agents.report(instance.id)
        return self._answer(204)

    def _answer(self, status: int, text: str = "") -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: agents report every few seconds."""


def serve() -> None:
    """Answers hosts until the process ends."""
    ThreadingHTTPServer(("0.0.0.0", METADATA_PORT), Handler).serve_forever()
