"""What a fleet looks like at one moment; `banyan fleet status --json` prints it as it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from banyan.fleet.process import State


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One process. stage: `servers`, `services` or `gateway`. restarts: how often it came back by itself since `up`.
    last_exit: how it ended the last time; None when it never has."""

    name: str
    service: str
    replica: int
    stage: str
    state: str
    port: int
    pid: int | None
    uptime_seconds: float | None
    restarts: int
    cpu_percent: float | None
    memory_bytes: int | None
    last_exit: str | None
    log: str


@dataclass(frozen=True, slots=True)
class FleetStatus:
    """state: `starting`, `up` or `stopping`."""

    state: str
    url: str
    pid: int
    data_dir: str
    started_at: str
    uptime_seconds: float
    processes: tuple[ProcessStatus, ...] = field(default=())

    @property
    def is_whole(self) -> bool:
        """Whether everything that should run is ready."""
        return self.state == "up" and all(process.state == State.READY for process in self.processes)

    @property
    def up_since(self) -> datetime:
        return datetime.fromisoformat(self.started_at)


def from_json(fields: Mapping[str, Any]) -> FleetStatus:
    return FleetStatus(
        **{**fields, "processes": tuple(ProcessStatus(**each) for each in fields["processes"])}
    )
