"""Which instances' SSM agents report, as the hosts tell through the metadata service."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from .settings import AGENT_SILENCE

_last: dict[str, tuple[float, datetime]] = {}


def report(instance_id: str) -> None:
    """An agent says that it is there."""
    _last[instance_id] = (time.monotonic(), datetime.now(UTC))


def forget(instance_id: str) -> None:
    """The instance stops or ends: its agent is known as silent at once."""
    if instance_id in _last:
        _last[instance_id] = (float("-inf"), _last[instance_id][1])


def last_ping(instance_id: str) -> datetime | None:
    """When the agent reported last; None where it never did."""
    found = _last.get(instance_id)
    return found[1] if found else None


def online(instance_id: str) -> bool:
    """Whether the agent has reported lately."""
    found = _last.get(instance_id)
    return found is not None and time.monotonic() - found[0] < AGENT_SILENCE
