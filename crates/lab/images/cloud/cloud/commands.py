"""Run Command's commands: really run on their hosts, with the states, limits and delays that AWS documents."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime

from . import agents, faults, instances
from .engine import KILLED, Engine, Output
from .settings import INVOCATION_LAG

log = logging.getLogger(__name__)

PLUGIN = "aws:runShellScript"
STDOUT_LIMIT, STDERR_LIMIT, LISTED_LIMIT = 24_000, 8_000, 2_500
# What is left of an output that a fault cuts.
CUT_LIMIT = 200
TRUNCATED = "\n--output truncated--"
ERROR_TITLE = "\n----------ERROR-------\n"
FINAL = {"Success", "Failed", "TimedOut", "Cancelled"}


def now() -> datetime:
    """The time of an API answer."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Request:
    """What SendCommand was asked, checked."""

    document: str
    comment: str
    parameters: dict[str, list[str]]
    script: str
    delivery_timeout: int
    execution_timeout: int
    working_directory: str
    region: str
    fault: str | None = None


@dataclass
class Invocation:
    """A command on one host; its fields change under `guard`."""

    command_id: str
    instance_id: str
    request: Request
    status: str = "Pending"
    details: str = "Pending"
    code: int = -1
    stdout: str = ""
    stderr: str = ""
    began: datetime | None = None
    ended: datetime | None = None
    guard: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def directory(self) -> str:
        """Where the agent keeps the script and its output on the host."""
        return (
            f"/var/lib/amazon/ssm/{self.instance_id}/document/orchestration/"
            f"{self.command_id}/awsrunShellScript/0.awsrunShellScript"
        )

    def move(self, status: str, details: str | None = None, *, unless: set[str] | None = None) -> bool:
        """Takes the next state; nothing follows a final one, nor one of `unless`."""
        with self.guard:
            if self.status in FINAL or self.status in (unless or set()):
                return False
            self.status, self.details = status, details or status
            if status == "InProgress":
                self.began = now()
            if status in FINAL:
                self.ended = now()
            return True

    def listed_output(self) -> str:
        """The head of both outputs as ListCommandInvocations shows it."""
        title = ERROR_TITLE if self.stderr else ""
        room = (CUT_LIMIT if self.request.fault == "cut" else LISTED_LIMIT) - len(title)
        if len(self.stdout) + len(self.stderr) <= room:
            return self.stdout + title + self.stderr
        # Neither output may take more than half where the other one needs it too.
        half = room // 2
        for_errors = min(len(self.stderr), max(half, room - len(self.stdout)))
        for_output = room - for_errors
        return (
            cut(self.stdout, for_output, "\n---Output truncated---")
            + title
            + cut(self.stderr, for_errors, "\n---Error truncated----")
        )


def cut(text: str, limit: int, mark: str) -> str:
    """The head of a text that fits, its end marked where something is missing."""
    return text if len(text) <= limit else text[: limit - len(mark)] + mark


class Command:
    """One SendCommand and its invocations."""

    def __init__(self, request: Request, instance_ids: list[str]) -> None:
        self.id = str(uuid.uuid4())
        self.request = request
        self.requested = now()
        self.seen_from = time.monotonic() + INVOCATION_LAG
        self.invocations = {i: Invocation(self.id, i, request) for i in instance_ids}

    @property
    def seen(self) -> bool:
        """Whether reads show it yet."""
        return time.monotonic() >= self.seen_from

    @property
    def status(self) -> str:
        """The command's own status; an undeliverable invocation is not an error of the command, as in AWS."""
        states = [i.status for i in self.invocations.values() if i.details != "Undeliverable"]
        if all(state == "Pending" for state in states) and states:
            return "Pending"
        if any(state not in FINAL for state in states):
            return "InProgress"
        return next((state for state in ("Failed", "TimedOut", "Cancelled") if state in states), "Success")


class Commands:
    """All commands of the account, oldest first, and what carries them out."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.all: dict[str, Command] = {}

    def send(self, request: Request, instance_ids: list[str]) -> Command:
        """Starts the command on all its hosts at once."""
        command = Command(request, instance_ids)
        self.all[command.id] = command
        for invocation in command.invocations.values():
            threading.Thread(
                target=self._carry_out, args=(invocation,), name=f"ssm-{invocation.instance_id}", daemon=True
            ).start()
        return command

    def cancel(self, command: Command, instance_ids: list[str]) -> None:
        """Stops what has not ended; a script that runs is killed with its process group."""
        for invocation in command.invocations.values():
            if instance_ids and invocation.instance_id not in instance_ids:
                continue
            if invocation.began is None and invocation.move("Cancelled"):
                continue
            if invocation.move("Cancelling"):
                threading.Thread(target=self._kill, args=(invocation,), daemon=True).start()

    def _kill(self, invocation: Invocation) -> None:
        # dash's own `kill` takes no process groups.
        kill = 'exec /bin/kill -s KILL -- "-$(cat "$1/group")"'
        self.engine.execute(invocation.instance_id, ["sh", "-c", kill, "kill", invocation.directory])

    def _carry_out(self, invocation: Invocation) -> None:
        try:
            if invocation.request.fault == "Undeliverable":
                invocation.move("Failed", "Undeliverable")
            elif invocation.request.fault == "Delivery Timed Out":
                invocation.move("TimedOut", "Delivery Timed Out")
            elif self._delivered(invocation):
                self._execute(invocation)
        except Exception:  # the thread's end: what nobody hears of would stay InProgress for ever
            log.exception("command %s on %s failed", invocation.command_id, invocation.instance_id)
            invocation.move("Failed")

    def _delivered(self, invocation: Invocation) -> bool:
        """Waits for a host that can take the command; False where none did in time."""
        deadline = time.monotonic() + invocation.request.delivery_timeout
        time.sleep(INVOCATION_LAG / 2)
        while True:
            instance = instances.find(invocation.instance_id)
            if instance is None or not instance.alive:
                invocation.move("Failed", "Undeliverable")
                return False
            if agents.online(invocation.instance_id) and self.engine.running(invocation.instance_id):
                return invocation.move("InProgress")
            if time.monotonic() >= deadline:
                invocation.move("TimedOut", "Delivery Timed Out")
                return False
            time.sleep(0.5)

    def _execute(self, invocation: Invocation) -> None:
        request = invocation.request
        began = time.monotonic()
        output = self.engine.run(
            invocation.instance_id,
            invocation.directory,
            request.script.encode(),
            [
                *("/usr/lib/lab/ssm-run", invocation.directory, str(request.execution_timeout)),
                *(invocation.instance_id, request.region, request.working_directory or "/"),
            ],
        )
        elapsed = time.monotonic() - began
        if request.fault == "silent":
            return
        if request.fault == "Execution Timed Out":
            invocation.move("TimedOut", "Execution Timed Out")
            return
        if output.code is None:
            # The host went away under its script: AWS hears nothing more and gives up when both time limits are over.
            time.sleep(max(0.0, request.delivery_timeout + request.execution_timeout - elapsed))
            invocation.move("TimedOut", "Execution Timed Out")
            return
        self._finish(invocation, output, timed_out=output.code == KILLED and elapsed >= request.execution_timeout)

    def _finish(self, invocation: Invocation, output: Output, *, timed_out: bool) -> None:
        code = output.code or 0
        stderr = output.stderr
        if code:
            stderr += f"failed to run commands: exit status {code}"
        with invocation.guard:
            invocation.code = code
            limit = CUT_LIMIT if invocation.request.fault == "cut everywhere" else STDOUT_LIMIT
            invocation.stdout = cut(output.stdout, limit, TRUNCATED)
            invocation.stderr = cut(stderr, STDERR_LIMIT, TRUNCATED)
        if invocation.status == "Cancelling":
            invocation.move("Cancelled")
        elif timed_out:
            invocation.move("TimedOut", "Execution Timed Out")
        else:
            invocation.move("Failed" if code else "Success")
