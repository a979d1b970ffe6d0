"""Instances that take time and are host containers: moto's model with AWS's states in front of real ones."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import moto.ec2.models.instances as moto_instances
from moto.core.types import Base64EncodedString
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends
from moto.ec2.models.instances import Instance, InstanceState, StateReason

from . import agents
from .engine import REBOOT_EXIT, Engine
from .settings import ACCOUNT, INSTANCE_LAG, SHORTEST_TRANSITION

log = logging.getLogger(__name__)

CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}


class LabInstance(Instance):
    """An instance whose machine is a container; every change of its state is carried out in order by its own thread."""

    engine: ClassVar[Engine]

    def __init__(
        self,
        ec2_backend: Any,
        image_id: str,
        user_data: Base64EncodedString | None,
        security_groups: list[Any],
        **kwargs: Any,
    ) -> None:
        super().__init__(ec2_backend, image_id, user_data, security_groups, **kwargs)
        self._guard = threading.Lock()
        self._work = ThreadPoolExecutor(1, thread_name_prefix=self.id)
        self._enter("pending")
        self.seen_from = time.monotonic() + INSTANCE_LAG
        self.address = self.engine.promise_address(self.id)
        interface = self.nics[0]
        interface.public_ip_auto_assign = False
        interface.private_ip_address = interface.public_ip = self.address
        interface.private_ip_addresses = [{"Primary": True, "PrivateIpAddress": self.address}]

    # The addresses outlive moto's network interface, which goes as soon as the instance is told to terminate.

    @property
    def private_ip(self) -> str | None:
        return None if self.state == "terminated" else self.address

    @property
    def private_ip_address(self) -> str | None:
        return self.private_ip

    @property
    def public_ip(self) -> str | None:
        # Elastic addresses lead nowhere in here; they are only told.
        elastic = (address.public_ip for address in self.ec2_backend.addresses if address.instance is self)
        return next(elastic, self.private_ip)

    @property
    def public_ip_address(self) -> str | None:
        return self.public_ip

    @property
    def private_dns_name(self) -> str:
        return f"ip-{self.address.replace('.', '-')}.ec2.internal" if self.private_ip else ""

    @property
    def network_interfaces(self) -> list[Any]:
        return [] if self.state in ("shutting-down", "terminated") else super().network_interfaces

    @property
    def alive(self) -> bool:
        """Whether anything of the instance is left."""
        return self.state != "terminated"

    @property
    def project(self) -> str | None:
        """The project of skipper's that launched it."""
        return next((tag["value"] for tag in self.get_tags() if tag["key"] == "skipper:project"), None)

    # States

    def _enter(self, state: str) -> None:
        self._state = InstanceState(state, CODES[state])

    def _pass(self, before: str, after: str, act: Callable[[], None]) -> None:
        """Acts while the instance is in `before`, then puts it in `after` unless something else came in between."""

        def work() -> None:
            began = time.monotonic()
            try:
                act()
            except Exception as error:  # the engine's refusal must become the instance's state, whatever it is
                log.exception("%s: %s -> %s failed", self.id, before, after)
                self._fail(str(error))
                return
            time.sleep(max(0.0, SHORTEST_TRANSITION - (time.monotonic() - began)))
            with self._guard:
                if self.state == before:
                    self._enter(after)

        self._work.submit(work)

    def _fail(self, reason: str) -> None:
        with self._guard:
            self._enter("terminated")
            self.state_reason = StateReason(f"Server.InternalError: {reason}", "Server.InternalError")
        self.engine.remove(self.id)

    def launch(self) -> None:
        """Brings up the machine of a new instance."""

        def act() -> None:
            self.engine.launch(self.id, self.user_data.decode().encode() if self.user_data else b"")
            self._watch()

        self._pass("pending", "running", act)

    def start(self) -> InstanceState:
        with self._guard:
            previous = InstanceState(self.state, self.state_code)
            if self.state in ("pending", "running"):
                return previous
            if self.state != "stopped":
                raise self._wrong_state("started")
            super().start()
            self._enter("pending")

        def act() -> None:
            self.engine.start(self.id)
            self._watch()

        self._pass("pending", "running", act)
        return previous

    def stop(self) -> InstanceState:
        with self._guard:
            previous = InstanceState(self.state, self.state_code)
            if self.state in ("stopping", "stopped"):
                return previous
            if self.state != "running":
                raise self._wrong_state("stopped")
            super().stop()
            self._enter("stopping")
            agents.forget(self.id)
        self._pass("stopping", "stopped", lambda: self.engine.stop(self.id))
        return previous

    def terminate(self) -> InstanceState:
        with self._guard:
            previous = InstanceState(self.state, self.state_code)
            if self.state in ("shutting-down", "terminated"):
                return previous
            super().terminate()
            self._enter("shutting-down")
            agents.forget(self.id)
        self._pass("shutting-down", "terminated", lambda: self.engine.remove(self.id))
        return previous

    def reboot(self) -> None:
        if self.state != "running":
            raise self._wrong_state("rebooted")
        agents.forget(self.id)
        self._work.submit(self.engine.reboot, self.id)

    def _watch(self) -> None:
        """Follows the machine: one that reboots comes up again, one that shuts itself down is a stopped instance."""

        def follow() -> None:
            code = self.engine.wait(self.id)
            with self._guard:
                if self.state != "running":
                    return
                agents.forget(self.id)
                if code != REBOOT_EXIT:
                    log.info("%s: its machine ended by itself with code %s", self.id, code)
                    self._enter("stopped")
                    return
            self._work.submit(self.engine.start, self.id)
            self._work.submit(self._watch)

        threading.Thread(target=follow, name=f"{self.id}-watch", daemon=True).start()

    def _wrong_state(self, verb: str) -> EC2ClientError:
        return EC2ClientError(
            "IncorrectInstanceState",
            f"This instance '{self.id}' is not in a state from which it can be {verb}.",
        )


def every_instance() -> Iterator[LabInstance]:
    """All instances of all regions, the terminated among them."""
    for backend in list(ec2_backends[ACCOUNT].values()):
        for reservation in list(backend.reservations.values()):
            for instance in reservation.instances:
                assert isinstance(instance, LabInstance)
                yield instance


def find(instance_id: str) -> LabInstance | None:
    """The instance of that id."""
    return next((instance for instance in every_instance() if instance.id == instance_id), None)


def at(address: str) -> LabInstance | None:
    """The instance that has this address now."""
    return next((i for i in every_instance() if i.alive and i.address == address), None)


def install(engine: Engine) -> None:
    """Makes moto build these instances from now on."""
    LabInstance.engine = engine
    moto_instances.Instance = LabInstance  # type: ignore[misc]
