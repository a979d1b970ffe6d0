"""What the API is told to do wrong, how often its actions were called, and `/lab/…`, where a test asks for both."""

from __future__ import annotations

import io
import json
import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from . import demands, policies, stack, trust
from .instances import every_instance

WRONG_KEY = "AKIAWRONG"
PRINCIPAL = "arn:aws:sts::123456789012:assumed-role/deploy/ci"
# What may become of a command on its hosts: AWS's own words, an agent that goes silent while the script runs, and results that are
# cut in the list of invocations or everywhere.
INVOCATIONS = {"Undeliverable", "Delivery Timed Out", "Execution Timed Out", "silent", "cut", "cut everywhere"}
UNSIGNED = {"AssumeRoleWithWebIdentity", "AssumeRoleWithSAML"}
# The services that speak JSON.
JSON = {"ssm", "ecr"}
Environ = dict[str, Any]
StartResponse = Callable[..., Any]


@dataclass
class Fault:
    """One thing that goes wrong with the next `times` calls of an action; None means until it is cleared."""

    action: str
    code: str | None = None
    message: str = "injected by the lab"
    status: int = 400
    times: int | None = 1
    delay: float = 0.0
    never_online: bool = False
    lose_reply: bool = False
    denied: str | None = None
    invocation: str | None = None
    script: str | None = None
    region: str | None = None

    @classmethod
    def of(cls, given: dict[str, Any]) -> Fault:
        """Reads a fault; TypeError or ValueError where it is none."""
        fault = cls(**given)
        kinds = (fault.code, fault.delay, fault.never_online, fault.lose_reply, fault.denied, fault.invocation)
        if not any(kinds):
            raise ValueError("a fault needs code, delay, never_online, lose_reply, denied or invocation")
        if fault.invocation and fault.invocation not in INVOCATIONS:
            raise ValueError(f"an invocation is one of {', '.join(sorted(INVOCATIONS))}")
        if fault.never_online and "times" not in given:
            fault.times = None
        return fault


CHANGING = re.compile("Run|Create|Delete|Put|Authorize|Revoke|Terminate|Start|Stop|Reboot|Send|Add|Remove")


@dataclass(frozen=True)
class Call:
    """One API call as far as it shows before moto parses it."""

    service: str
    action: str
    key: str
    region: str = "us-east-1"
    about: str = ""
    resource: str = ""

    @classmethod
    def of(cls, environ: Environ, body: bytes) -> Call:
        """Reads the action from the target header or the form, service, region and key from the signature."""
        scope = re.search(r"Credential=([^/,]+)/[^/]*/([^/]*)/([^/]*)/", environ.get("HTTP_AUTHORIZATION", ""))
        key, region, service = scope.groups() if scope else ("", "us-east-1", "")
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        if target:
            about = _about(body)
            return cls(service or "ssm", target.split(".")[-1], key, region, about, _parameter(about))
        form = parse_qs(body.decode("latin-1")) or parse_qs(environ.get("QUERY_STRING", ""))
        return cls(service, form.get("Action", [""])[0], key, region, _tagged(form), _resource(form))


def _about(body: bytes) -> str:
    """What a call to Systems Manager is about: a parameter's name, a command's comment."""
    try:
        given = json.loads(body)
    except ValueError:
        return ""
    return str(given.get("Name") or given.get("Path") or given.get("Comment") or "") if isinstance(given, dict) else ""


def _parameter(about: str) -> str:
    """The resource by which Systems Manager's permissions are given."""
    return f"arn:aws:ssm:us-east-1:123456789012:parameter{about}" if about.startswith("/") else "arn:aws:ssm:us-east-1:123456789012:*"


def _resource(form: dict[str, list[str]]) -> str:
    """The resource by which EC2's and IAM's permissions are given; empty for what can only be given for all."""
    ec2 = "arn:aws:ec2:us-east-1:123456789012"
    match form.get("Action", [""])[0]:
        case "RunInstances":
            return f"{ec2}:instance/*"
        case "TerminateInstances":
            return f"{ec2}:instance/{form.get('InstanceId.1', ['*'])[0]}"
        case "CreateSecurityGroup":
            return f"{ec2}:security-group/*"
        case "AuthorizeSecurityGroupIngress" | "RevokeSecurityGroupIngress":
            return f"{ec2}:security-group/{form.get('GroupId', ['*'])[0]}"
        case "GetInstanceProfile":
            return f"instance profile {form.get('InstanceProfileName', ['*'])[0]}"
    return ""


def _tagged(form: dict[str, list[str]]) -> str:
    """The host that a launch is tagged as."""
    key = next((name for name, values in form.items() if values == ["skipper:host"]), "")
    return form.get(key.removesuffix("Key") + "Value", [""])[0] if key else ""


_guard = threading.Lock()
_faults: list[Fault] = []
_calls: Counter[str] = Counter()
_changes: list[dict[str, str]] = []


def never_online() -> bool:
    """Whether no host's agent may be seen."""
    with _guard:
        return any(fault.never_online for fault in _faults)


def _next(call: Call) -> Fault | None:
    """The fault that hits this call, counted."""
    with _guard:
        for fault in _faults:
            if fault.action not in (call.action, "*") or fault.region not in (call.region, None):
                continue
            if not fault.never_online and not fault.invocation:
                return _used(fault)
    return None


def _used(fault: Fault) -> Fault:
    if fault.times is not None:
        fault.times -= 1
        if fault.times <= 0:
            _faults.remove(fault)
    return fault


def invocation(comment: str) -> str | None:
    """What becomes of the command with this comment, where a fault says so."""
    with _guard:
        for fault in _faults:
            if fault.invocation and comment == f"skipper {fault.script or comment.removeprefix('skipper ')}":
                return _used(fault).invocation
    return None


def _denial(call: Call, permission: str) -> tuple[str, str, int]:
    """How each service says that a permission is missing which a fault takes away."""
    resource = "arn:aws:iam::123456789012:role/skipper-host" if permission == "iam:PassRole" else call.resource
    because = f"because no identity-based policy allows the {permission} action"
    return _not_authorized(call, PRINCIPAL, permission, resource, because)


def _lacking(call: Call, body: bytes) -> tuple[str, str, int] | None:
    """The same where it is the policies of the caller's role that lack it."""
    refused = trust.refused(call.key, demands.of(call.service, call.action, call.region, body))
    if refused is None:
        return None
    demand, because, principal = refused
    return _not_authorized(call, principal, demand.action, demand.resource, because)


def _not_authorized(call: Call, principal: str, permission: str, resource: str, because: str) -> tuple[str, str, int]:
    on = f" on resource: {resource}" if resource and resource != "*" else ""
    message = f"User: {principal} is not authorized to perform: {permission}{on} {because}"
    if call.service == "ec2":
        encoded = f"You are not authorized to perform this operation. {message}. Encoded authorization failure message: {'q8_Zr5' * 40}"
        return "UnauthorizedOperation", encoded, 403
    return ("AccessDeniedException", message, 400) if call.service in JSON else ("AccessDenied", message, 403)


class Front:
    """The WSGI application in front of moto."""

    def __init__(self, inner: Callable[..., Iterable[bytes]], health: Callable[[], dict[str, Any]]) -> None:
        self.inner = inner
        self.health = health

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        if environ.get("PATH_INFO", "").startswith("/lab/"):
            status, answer = self._lab(environ, body)
            return _reply(start_response, status, "application/json", json.dumps(answer))
        call = Call.of(environ, body)
        if not call.action:
            return self.inner(environ, start_response)
        with _guard:
            _calls[call.action] += 1
        return self._answer(call, body, environ, start_response)

    def _answer(self, call: Call, body: bytes, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if call.key.startswith(WRONG_KEY):
            return _error(start_response, call, *_wrong_key(call.service))
        if not call.key and call.action not in UNSIGNED:
            message = "Request is missing Authentication Token"
            return _error(start_response, call, "MissingAuthenticationToken", message, 403)
        fault = _next(call)
        if fault is None:
            lacking = _lacking(call, body)
            if lacking:
                return _error(start_response, call, *lacking)
            return self._carry_out(call, environ, start_response)
        time.sleep(fault.delay)
        if fault.denied:
            return _error(start_response, call, *_denial(call, fault.denied))
        if fault.code:
            return _error(start_response, call, fault.code, fault.message, fault.status)
        if fault.lose_reply:
            for _ in self._carry_out(call, environ, lambda *_: None):
                pass
            code = "InternalServerError" if call.service in JSON else "InternalError"
            return _error(start_response, call, code, "An internal error has occurred", 500)
        return self._carry_out(call, environ, start_response)

    def _carry_out(self, call: Call, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Lets moto answer; what it changed is kept for who asks what was touched."""

        def started(status: str, *rest: Any) -> Any:
            if status.startswith("2") and CHANGING.match(call.action):
                with _guard:
                    _changes.append({"action": call.action, "about": call.about})
            return start_response(status, *rest)

        return self.inner(environ, started)

    def _lab(self, environ: Environ, body: bytes) -> tuple[int, Any]:
        match environ["REQUEST_METHOD"], environ["PATH_INFO"]:
            case "GET", "/lab/health":
                health = self.health()
                return (200 if health["ready"] else 503), health
            case "POST", "/lab/fault":
                try:
                    fault = Fault.of(json.loads(body))
                except (TypeError, ValueError) as error:
                    return 400, {"error": str(error)}
                with _guard:
                    _faults.append(fault)
                return 200, {}
            case "GET", "/lab/fault":
                with _guard:
                    return 200, [vars(fault) for fault in _faults]
            case "DELETE", "/lab/fault":
                with _guard:
                    _faults.clear()
                return 200, {}
            case "POST", "/lab/stack":
                try:
                    given = json.loads(body)
                    stack.create(given["template"], given.get("parameters", {}))
                except (KeyError, TypeError, ValueError, policies.NotUnderstood) as error:
                    return 400, {"error": repr(error)}
                return 200, {}
            case "POST", "/lab/terminate":
                try:
                    kept = set(json.loads(body)["but"])
                except (KeyError, TypeError, ValueError) as error:
                    return 400, {"error": repr(error)}
                for instance in every_instance():
                    if instance.alive and instance.project not in kept:
                        instance.terminate()
                return 200, {}
            case "GET", "/lab/calls":
                with _guard:
                    return 200, dict(sorted(_calls.items()))
            case "DELETE", "/lab/calls":
                with _guard:
                    _calls.clear()
                    _changes.clear()
                return 200, {}
            case "GET", "/lab/changes":
                with _guard:
                    return 200, list(_changes)
        paths = "/lab/health, /lab/fault, /lab/stack, /lab/terminate, /lab/calls and /lab/changes"
        return 404, {"error": f"the lab has {paths}"}


def _wrong_key(service: str) -> tuple[str, str, int]:
    """How each service answers credentials that do not exist."""
    if service == "ec2":
        return "AuthFailure", "AWS was not able to validate the provided access credentials", 401
    code = "UnrecognizedClientException" if service in JSON else "InvalidClientTokenId"
    return code, "The security token included in the request is invalid.", 400 if service in JSON else 403


def _error(start_response: StartResponse, call: Call, code: str, message: str, status: int) -> Iterable[bytes]:
    """An error in the protocol of the service: JSON for SSM and ECR, EC2's own XML, the query protocol's for the rest."""
    request_id = str(uuid.uuid4())
    if call.service in JSON:
        answer = json.dumps({"__type": code, "message": message})
        return _reply(start_response, status, "application/x-amz-json-1.1", answer)
    error = f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
    if call.service == "ec2":
        answer = f"<Response><Errors><Error>{error}</Error></Errors><RequestID>{request_id}</RequestID></Response>"
    else:
        error = f"<Error><Type>Sender</Type>{error}</Error>"
        answer = f"<ErrorResponse>{error}<RequestId>{request_id}</RequestId></ErrorResponse>"
    return _reply(start_response, status, "text/xml", answer)


def _reply(start_response: StartResponse, status: int, kind: str, text: str) -> Iterable[bytes]:
    content = text.encode()
    start_response(f"{status} Lab", [("Content-Type", kind), ("Content-Length", str(len(content)))])
    return [content]
