"""Systems Manager's answers: which hosts are online, Run Command, and the limits of Parameter Store."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar

from moto.core.responses import ActionResult
from moto.ssm.exceptions import SSMException
from moto.ssm.responses import SimpleSystemManagerResponse

from . import agents, faults, instances, stack
from .commands import PLUGIN, Command, Commands, Invocation, Request
from .settings import ACCOUNT

DOCUMENT = "AWS-RunShellScript"
REQUEST_LIMIT = 64 * 1024
STANDARD_LIMIT, ADVANCED_LIMIT = 4_096, 8_192
DEFAULT_EXECUTION_TIMEOUT = 3600
Row = TypeVar("Row")


def refusal(code: str, message: str) -> SSMException:
    """An error as Systems Manager answers it."""
    return SSMException(code, message)


class LabSsm(SimpleSystemManagerResponse):
    """moto's Parameter Store beside the lab's own Run Command."""

    commands: ClassVar[Commands]
    sessions: ClassVar[set[str]] = set()

    def call_action(self) -> Any:
        try:
            return super().call_action()
        except NotImplementedError:
            error = refusal("UnknownOperationException", f"{self._get_action()} is not part of the lab")
            return self.serialized(ActionResult(error))

    # Hosts

    def describe_instance_information(self) -> ActionResult:
        wanted = self._information_filters()
        rows = [
            self._information(instance, ping)
            for instance in instances.every_instance()
            if instance.alive and instance.region_name == self.region
            if (ping := agents.last_ping(instance.id)) and not faults.never_online()
        ]
        return self._page("InstanceInformationList", [row for row in rows if wanted(row)], default=10, least=5)

    def _information(self, instance: instances.LabInstance, ping: datetime) -> dict[str, Any]:
        return {
            "InstanceId": instance.id,
            "PingStatus": "Online" if agents.online(instance.id) else "ConnectionLost",
            "LastPingDateTime": ping,
            "AgentVersion": "3.3.2299.0",
            "IsLatestVersion": False,
            "PlatformType": "Linux",
            "PlatformName": "Flatcar Container Linux by Kinvolk",
            "PlatformVersion": "4593.2.5",
            "ResourceType": "EC2Instance",
            "IPAddress": instance.address,
            "ComputerName": f"ip-{instance.address.replace('.', '-')}",
        }

    def _information_filters(self) -> Callable[[dict[str, Any]], bool]:
        given: list[tuple[str, list[str]]] = [
            (f.get("Key") or f.get("key"), f.get("Values") or f.get("valueSet") or [])
            for name in ("Filters", "InstanceInformationFilterList")
            for f in self._get_param(name, [])
        ]
        keys = {key for key, _ in given}
        if len(keys) > 1 and any(key.startswith("tag:") for key in keys):
            raise refusal("ValidationException", "Tag filters cannot be combined with other filters.")
        for key in keys:
            if key not in ("InstanceIds", "PingStatus") and not key.startswith("tag:"):
                raise refusal("InvalidFilterKey", f"the filter {key} is not part of the lab")

        def matches(row: dict[str, Any]) -> bool:
            instance = instances.find(row["InstanceId"])
            tags = {tag["key"]: tag["value"] for tag in instance.get_tags()} if instance else {}
            found = {"InstanceIds": row["InstanceId"], "PingStatus": row["PingStatus"]}
            return all(found.get(key, tags.get(key.removeprefix("tag:"))) in values for key, values in given)

        return matches

    # Run Command

    def send_command(self) -> ActionResult:
        ids: list[str] = self._get_param("InstanceIds", [])
        if self._get_param("Targets"):
            raise refusal("ValidationException", "the lab's Run Command takes InstanceIds, not Targets")
        if not ids:
            raise refusal("ValidationException", "InstanceIds must not be empty")
        if len(ids) > 50:
            raise refusal(
                "ValidationException",
                f"1 validation error detected: Value '{ids}' at 'instanceIds' failed to satisfy constraint: "
                "Member must have length less than or equal to 50",
            )
        request = self._request()
        absent = [i for i in ids if not self._takes_commands(i)]
        if absent:
            raise refusal(
                "InvalidInstanceId", f"Instances [{', '.join(absent)}] not in a valid state for account {ACCOUNT}"
            )
        command = self.commands.send(request, list(dict.fromkeys(ids)))
        return ActionResult({"Command": self._command(command)})

    def _takes_commands(self, instance_id: str) -> bool:
        instance = instances.find(instance_id)
        return (
            instance is not None
            and instance.region_name == self.region
            and agents.online(instance_id)
            and not faults.never_online()
        )

    def _request(self) -> Request:
        document = self._get_param("DocumentName", "")
        parameters: dict[str, list[str]] = self._get_param("Parameters", {})
        if document.split("/")[-1] != DOCUMENT:
            return self._request_of_document(document, parameters)
        if len(json.dumps(parameters).encode()) > REQUEST_LIMIT:
            raise refusal("MaxDocumentSizeExceeded", "The size limit of a document is 64 KB.")
        unknown = set(parameters) - {"commands", "workingDirectory", "executionTimeout"}
        if unknown or not parameters.get("commands"):
            raise refusal(
                "InvalidParameters", f"The parameters are not those of {DOCUMENT}: {', '.join(sorted(unknown))}"
            )
        return self._checked(
            document,
            parameters,
            script="\n".join(parameters["commands"]) + "\n",
            execution_timeout=_execution_timeout(parameters.get("executionTimeout", [])),
            working_directory=(parameters.get("workingDirectory") or [""])[0],
        )

    def _request_of_document(self, name: str, parameters: dict[str, list[str]]) -> Request:
        """What a document of the account's own has in it: one shell script, which takes no parameters."""
        if name not in self.ssm_backend._documents:
            raise refusal("InvalidDocument", f"Document with name {name} does not exist.")
        if parameters:
            raise refusal("InvalidParameters", f"Document {name} does not support parameters.")
        content = json.loads(self.ssm_backend.get_document(name, "", "", "JSON")["Content"])
        inputs = content["mainSteps"][0]["inputs"]
        return self._checked(
            name,
            parameters,
            script="\n".join(inputs["runCommand"]) + "\n",
            execution_timeout=_execution_timeout([inputs.get("timeoutSeconds", "")]),
            working_directory="",
        )

    def _checked(self, document: str, parameters: dict[str, list[str]], **script: Any) -> Request:
        timeout = self._get_param("TimeoutSeconds", 3600)
        if not 30 <= int(timeout) <= 2_592_000:
            raise refusal("ValidationException", f"Value '{timeout}' at 'timeoutSeconds' is not from 30 to 2592000")
        comment = self._get_param("Comment", "")
        if len(comment) > 100:
            raise refusal("ValidationException", "Value at 'comment' must have length less than or equal to 100")
        return Request(
            document=document,
            comment=comment,
            parameters=parameters,
            delivery_timeout=int(timeout),
            region=self.region,
            fault=faults.invocation(comment),
            **script,
        )

    def create_document(self) -> ActionResult:
        try:
            stack.check_document(self._get_param("Content", ""))
        except ValueError as error:
            raise refusal("InvalidDocumentContent", str(error)) from None
        return super().create_document()

    def get_document(self) -> ActionResult:
        name = self._get_param("Name", "")
        if name not in self.ssm_backend._documents:
            raise refusal("InvalidDocument", f"Document with name {name} does not exist.")
        return super().get_document()

    def cancel_command(self) -> ActionResult:
        self.commands.cancel(self._known(self._get_param("CommandId", "")), self._get_param("InstanceIds", []))
        return ActionResult({})

    def _known(self, command_id: str) -> Command:
        command = self.commands.all.get(command_id)
        if command is None:
            raise refusal("InvalidCommandId", f"The command {command_id} does not exist")
        return command

    def list_commands(self) -> ActionResult:
        command_id, instance_id = self._get_param("CommandId"), self._get_param("InstanceId")
        rows = [
            self._command(command)
            for command in reversed(list(self.commands.all.values()))
            if command.seen
            and command_id in (None, command.id)
            and (instance_id is None or instance_id in command.invocations)
        ]
        return self._page("Commands", rows, default=50, least=1)

    def list_command_invocations(self) -> ActionResult:
        command_id, instance_id = self._get_param("CommandId"), self._get_param("InstanceId")
        wanted = {f["key"]: f["value"] for f in self._get_param("Filters", [])}
        if set(wanted) - {"Status"}:
            raise refusal("InvalidFilterKey", "the lab filters invocations by Status only")
        rows = [
            self._invocation(command, invocation)
            for command in list(self.commands.all.values())
            if command.seen and command_id in (None, command.id)
            for invocation in command.invocations.values()
            if instance_id in (None, invocation.instance_id) and wanted.get("Status") in (None, invocation.status)
        ]
        return self._page("CommandInvocations", rows, default=50, least=1)

    def get_command_invocation(self) -> ActionResult:
        command = self.commands.all.get(self._get_param("CommandId", ""))
        invocation = command.invocations.get(self._get_param("InstanceId", "")) if command else None
        if command is None or invocation is None or not command.seen:
            raise refusal("InvocationDoesNotExist", "")
        if self._get_param("PluginName", PLUGIN) != PLUGIN:
            raise refusal("InvalidPluginName", "")
        began, ended = invocation.began, invocation.ended
        elapsed = ((ended or datetime.now(UTC)) - began).total_seconds() if began else None
        return ActionResult(
            {
                "CommandId": command.id,
                "InstanceId": invocation.instance_id,
                "Comment": command.request.comment,
                "DocumentName": command.request.document,
                "DocumentVersion": "$DEFAULT",
                "PluginName": PLUGIN,
                "ResponseCode": invocation.code,
                "ExecutionStartDateTime": _stamp(began),
                "ExecutionElapsedTime": f"PT{elapsed:.3f}S" if elapsed is not None else "",
                "ExecutionEndDateTime": _stamp(ended),
                "Status": invocation.status,
                "StatusDetails": invocation.details,
                "StandardOutputContent": invocation.stdout,
                "StandardOutputUrl": "",
                "StandardErrorContent": invocation.stderr,
                "StandardErrorUrl": "",
                "CloudWatchOutputConfig": {"CloudWatchLogGroupName": "", "CloudWatchOutputEnabled": False},
            }
        )

    def _command(self, command: Command) -> dict[str, Any]:
        states = [invocation.status for invocation in command.invocations.values()]
        details = [invocation.details for invocation in command.invocations.values()]
        return {
            "CommandId": command.id,
            "DocumentName": command.request.document,
            "DocumentVersion": "$DEFAULT",
            "Comment": command.request.comment,
            "Parameters": command.request.parameters,
            "InstanceIds": list(command.invocations),
            "Targets": [],
            "RequestedDateTime": command.requested,
            "Status": command.status,
            "StatusDetails": command.status,
            "MaxConcurrency": "50",
            "MaxErrors": "0",
            "TargetCount": len(states),
            "CompletedCount": sum(state in ("Success", "Failed", "TimedOut", "Cancelled") for state in states),
            "ErrorCount": sum(d in ("Failed", "Execution Timed Out") for d in details),
            "DeliveryTimedOutCount": details.count("Delivery Timed Out"),
            "TimeoutSeconds": command.request.delivery_timeout,
        }

    def _invocation(self, command: Command, invocation: Invocation) -> dict[str, Any]:
        plugins = [
            {
                "Name": PLUGIN,
                "Status": invocation.status,
                "StatusDetails": invocation.details,
                "ResponseCode": invocation.code,
                "ResponseStartDateTime": invocation.began,
                "ResponseFinishDateTime": invocation.ended,
                "Output": invocation.listed_output(),
                "StandardOutputUrl": "",
                "StandardErrorUrl": "",
            }
        ]
        return {
            "CommandId": command.id,
            "InstanceId": invocation.instance_id,
            "InstanceName": "",
            "Comment": command.request.comment,
            "DocumentName": command.request.document,
            "DocumentVersion": "$DEFAULT",
            "RequestedDateTime": command.requested,
            "Status": invocation.status,
            "StatusDetails": invocation.details,
            "StandardOutputUrl": "",
            "StandardErrorUrl": "",
            "CommandPlugins": plugins if self._get_param("Details", False) else [],
        }

    # Sessions, which nobody speaks in here

    def start_session(self) -> ActionResult:
        target = self._get_param("Target", "")
        if self._get_param("DocumentName") or self._get_param("Parameters"):
            raise refusal("ValidationException", "the lab's sessions are those of a shell")
        if not self._takes_commands(target):
            raise refusal("TargetNotConnected", f"{target} is not connected.")
        session = f"lab-{uuid.uuid4().hex[:17]}"
        self.sessions.add(session)
        stream = f"wss://ssmmessages.{self.region}.amazonaws.com/v1/data-channel/{session}?role=publish_subscribe"
        return ActionResult({"SessionId": session, "TokenValue": uuid.uuid4().hex, "StreamUrl": stream})

    def terminate_session(self) -> ActionResult:
        session = self._get_param("SessionId", "")
        if session not in self.sessions:
            raise refusal("DoesNotExistException", "The session does not exist.")
        self.sessions.discard(session)
        return ActionResult({"SessionId": session})

    # Parameter Store

    def put_parameter(self) -> ActionResult:
        size = len((self._get_param("Value") or "").encode())
        tier = self._get_param("Tier") or "Standard"
        if tier == "Intelligent-Tiering":
            tier = "Advanced" if size > STANDARD_LIMIT else "Standard"
            self.body = json.dumps({**json.loads(self.body), "Tier": tier})
        limit = ADVANCED_LIMIT if tier == "Advanced" else STANDARD_LIMIT
        if size > limit:
            advice = (
                " To create a larger parameter value, upgrade the parameter to use the advanced-parameter tier."
                if tier == "Standard"
                else ""
            )
            raise refusal(
                "ValidationException",
                f"{tier} tier parameters support a maximum parameter value of {limit} characters.{advice}",
            )
        return super().put_parameter()

    # Pages

    def _page(self, key: str, rows: list[dict[str, Any]], *, default: int, least: int) -> ActionResult:
        size = int(self._get_param("MaxResults", default))
        if not least <= size <= 50:
            raise refusal("ValidationException", f"Value '{size}' at 'maxResults' is not from {least} to 50")
        start, token = 0, self._get_param("NextToken")
        if token:
            try:
                start = int(base64.b64decode(token, validate=True).decode().removeprefix("from:"))
            except ValueError:
                raise refusal("InvalidNextToken", "The specified token isn't valid.") from None
        end = start + size
        following = base64.b64encode(f"from:{end}".encode()).decode() if end < len(rows) else None
        return ActionResult({key: rows[start:end], "NextToken": following})


def _execution_timeout(given: list[str]) -> int:
    """The agent takes 5 to 172,800 s; anything else silently becomes an hour."""
    text = given[0] if given else ""
    seconds = int(text) if text.isascii() and text.isdigit() else 0
    return seconds if 5 <= seconds <= 172_800 else DEFAULT_EXECUTION_TIMEOUT


def _stamp(time: datetime | None) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z" if time else ""
