"""What the lab tells its cloud through the environment, and the few times and names that every lab shares."""

from __future__ import annotations

import os
from dataclasses import dataclass

ACCOUNT = "123456789012"
API_PORT = 4566
METADATA_PORT = 1338
ROLE = "skipper-host"

# How long a new thing stays invisible to reads, as in AWS's eventually consistent APIs; seconds.
INSTANCE_LAG = 1.0
INVOCATION_LAG = 0.4
# An instance is never `pending`, `stopping` or `shutting-down` for less; seconds.
SHORTEST_TRANSITION = 1.0
# An agent that has not reported for this long has lost its connection (AWS: minutes); seconds.
AGENT_SILENCE = 20.0


@dataclass(frozen=True)
class Settings:
    """One lab: its name, its network, and where its parts are."""

    name: str
    network: str
    subnet: str
    host_image: str
    registry_name: str
    registry_address: str
    cloud_address: str

    @classmethod
    def from_environment(cls) -> Settings:
        """Reads `LAB_…`; a missing one ends the program with its name."""

        def read(name: str) -> str:
            value = os.environ.get(name, "")
            if not value:
                raise SystemExit(f"cloud: the environment lacks {name}")
            return value

        return cls(
            name=read("LAB_NAME"),
            network=read("LAB_NETWORK"),
            subnet=read("LAB_SUBNET"),
            host_image=read("LAB_HOST_IMAGE"),
            registry_name=read("LAB_REGISTRY_NAME"),
            registry_address=read("LAB_REGISTRY_ADDRESS"),
            # The lab may give it with or without the port of the API: hosts need the address alone.
            cloud_address=read("LAB_CLOUD_ADDRESS").removeprefix("http://").split(":")[0],
        )
