"""Host containers: started, stopped, removed and entered through the machine's Docker engine."""

from __future__ import annotations

import io
import logging
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import docker
import docker.errors

from .settings import METADATA_PORT, Settings

log = logging.getLogger(__name__)

BOOT_LIMIT = 30.0
FIRST_HOST, LAST_HOST = 10, 250
# systemd's own signals as PID 1: halt and reboot.
REBOOT_SIGNAL = "SIGRTMIN+5"
KILLED = 137
REBOOT_EXIT = 129  # the kernel ends a PID namespace whose init calls reboot(2) with SIGHUP


class HostFailed(Exception):
    """No host container can be started on this machine; the text says why."""


@dataclass(frozen=True)
class Output:
    """What a script left behind; `code` is None where the host went away under it."""

    code: int | None
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Mode:
    """One way to let systemd and a Docker engine run in a container."""

    name: str
    options: dict[str, Any]


PRIVILEGED = Mode("privileged", {"privileged": True, "cgroupns": "private"})
# Where the machine itself lacks a capability, `--privileged` is refused: everything but that one, and its cgroups.
CAPPED = Mode(
    "all capabilities but SYS_RESOURCE",
    {
        "cap_add": ["ALL"],
        "cap_drop": ["SYS_RESOURCE"],
        "security_opt": ["seccomp=unconfined", "apparmor=unconfined"],
        "cgroupns": "host",
        "binds": ["/sys/fs/cgroup:/sys/fs/cgroup:rw"],
        "devices": ["/dev/fuse"],
    },
)


class Engine:
    """The machine's Docker engine, as far as the lab's hosts need it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        # No limit on a read: an exec's stream is silent for as long as its script is.
        self.api = docker.APIClient(base_url="unix:///var/run/docker.sock", version="auto", timeout=None)
        self._lock = threading.Lock()
        self._promised: dict[str, str] = {}
        self._mode: Mode | None = None
        self._mode_lock = threading.Lock()

    # Addresses

    def promise_address(self, instance_id: str) -> str:
        """The lowest address that no host has and no container uses; the instance keeps it until `remove`."""
        with self._lock:
            used = set(self._promised.values()) | set(self._addresses_in_use())
            for last in range(FIRST_HOST, LAST_HOST + 1):
                address = f"{self.settings.subnet}.{last}"
                if address not in used:
                    self._promised[instance_id] = address
                    return address
        raise HostFailed(f"no address is left in {self.settings.subnet}.0/24")

    def _addresses_in_use(self) -> Iterator[str]:
        network = self.api.inspect_network(self.settings.network)
        for endpoint in network.get("Containers", {}).values():
            yield endpoint.get("IPv4Address", "").split("/")[0]

    # Life and death

    def name(self, instance_id: str) -> str:
        """The container's name, which people see in `docker ps`."""
        return f"skipper-lab-{self.settings.name}-{instance_id}"

    def launch(self, instance_id: str, user_data: bytes) -> None:
        """Creates and starts the instance's host with its user-data in place."""
        self._create(self._working_mode(), instance_id, self._promised[instance_id], user_data)
        self.api.start(self.name(instance_id))

    def _create(self, mode: Mode, instance_id: str, address: str | None, user_data: bytes) -> None:
        settings = self.settings
        hostname = f"ip-{address.replace('.', '-')}" if address else "probe"
        # Empty options would mean `noexec`, which neither directory is on a real host.
        tmpfs = {"/run": "rw,nosuid,nodev,exec,mode=755", "/tmp": "rw,nosuid,nodev,exec,mode=1777"}
        networking = None
        if address:
            networking = self.api.create_networking_config(
                {settings.network: self.api.create_endpoint_config(ipv4_address=address)}
            )
        self.api.create_container(
            settings.host_image,
            name=self.name(instance_id),
            hostname=hostname,
            labels={"skipper-lab": settings.name, "skipper-lab.instance": instance_id},
            environment={
                "container": "docker",
                "LAB_REGISTRY_NAME": settings.registry_name,
                "LAB_REGISTRY_ADDRESS": settings.registry_address,
                "LAB_METADATA_ADDRESS": f"{settings.cloud_address}:{METADATA_PORT}",
            },
            stop_signal="SIGRTMIN+3",
            networking_config=networking,
            host_config=self.api.create_host_config(
                tmpfs=tmpfs, network_mode=settings.network if address else "none", **mode.options
            ),
        )
        self._put(instance_id, "etc/lab/user-data", user_data)

    def stop(self, instance_id: str) -> None:
        """An orderly shutdown, cut short after 20 s."""
        self.api.stop(self.name(instance_id), timeout=20)

    def start(self, instance_id: str) -> None:
        """Starts a stopped host; it boots again, with its disk and address."""
        self.api.start(self.name(instance_id))

    def reboot(self, instance_id: str) -> None:
        """Asks the host's systemd to reboot; whoever waits for the container starts it again."""
        self.api.kill(self.name(instance_id), signal=REBOOT_SIGNAL)

    def remove(self, instance_id: str) -> None:
        """Ends the host at once and takes its volumes with it."""
        with suppress(docker.errors.NotFound):
            self.api.remove_container(self.name(instance_id), v=True, force=True)
        with self._lock:
            self._promised.pop(instance_id, None)

    def wait(self, instance_id: str) -> int | None:
        """Blocks until the container ends and returns its exit code; None where it is gone."""
        try:
            return int(self.api.wait(self.name(instance_id))["StatusCode"])
        except docker.errors.NotFound:
            return None

    def running(self, instance_id: str) -> bool:
        """Whether the host's container runs; a paused one does not."""
        try:
            return bool(self.api.inspect_container(self.name(instance_id))["State"]["Status"] == "running")
        except docker.errors.NotFound:
            return False

    # Inside a host

    def run(self, instance_id: str, directory: str, script: bytes, command: list[str]) -> Output:
        """Puts `script` into `directory` of the host as `_script.sh` and runs `command`; blocks until it ends."""
        try:
            self._put(instance_id, f"{directory.lstrip('/')}/_script.sh", script)
            return self.execute(instance_id, command)
        except docker.errors.APIError as error:
            log.warning("%s: a script could not run: %s", instance_id, error)
            return Output(None, "", "")

    def execute(self, instance_id: str, command: list[str]) -> Output:
        """Runs one command in the host as root."""
        created = self.api.exec_create(self.name(instance_id), command)
        stdout, stderr = self.api.exec_start(created["Id"], demux=True)
        code = self.api.exec_inspect(created["Id"])["ExitCode"]
        if code == KILLED:
            # Perhaps by the end of the whole host, which the engine notes a moment after that of its processes.
            time.sleep(0.5)
            code = code if self.running(instance_id) else None
        return Output(code, (stdout or b"").decode(errors="replace"), (stderr or b"").decode(errors="replace"))

    def _put(self, instance_id: str, path: str, content: bytes) -> None:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            entry.mode = 0o600
            tar.addfile(entry, io.BytesIO(content))
        self.api.put_archive(self.name(instance_id), "/", archive.getvalue())

    # How to run a host on this machine

    def probe(self) -> None:
        """Settles how hosts run, before the first one is asked for; what goes wrong is told at the first launch."""
        with suppress(HostFailed):
            self._working_mode()

    def _working_mode(self) -> Mode:
        with self._mode_lock:
            if self._mode is None:
                version = str(self.api.info().get("CgroupVersion", "1"))
                # With cgroup v1 a container has no cgroup tree of its own to give to systemd.
                modes = [PRIVILEGED, CAPPED] if version == "2" else [CAPPED, PRIVILEGED]
                failures: list[str] = []
                for mode in modes:
                    failure = self._try(mode)
                    if failure is None:
                        log.info("hosts run with %s (cgroup v%s)", mode.name, version)
                        self._mode = mode
                        break
                    failures.append(f"{mode.name}: {failure}")
                else:
                    raise HostFailed("; ".join(failures))
            return self._mode

    def _try(self, mode: Mode) -> str | None:
        """Boots an empty host in this mode: None where its systemd and its engine came up, else what went wrong."""
        probe = "probe"
        self.remove(probe)
        try:
            self._create(mode, probe, None, b"")
            self.api.start(self.name(probe))
            deadline = time.monotonic() + BOOT_LIMIT
            check = ["sh", "-c", "systemctl is-active -q multi-user.target && docker version >/dev/null"]
            while time.monotonic() < deadline:
                if not self.running(probe):
                    last_words = bytes(self.api.logs(self.name(probe), tail=5))
                    return "it ended: " + last_words.decode(errors="replace").strip()
                if self.execute(probe, check).code == 0:
                    return None
                time.sleep(0.2)
            return f"its system was not up within {BOOT_LIMIT:.0f} s"
        except docker.errors.APIError as error:
            return str(error)
        finally:
            self.remove(probe)
