"""The plan of a fleet: which processes there are, with which settings, and what must be there before them.

It is made from the settings and nothing else; nothing is started, and nothing is written.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Protocol

from banyan.fleet.servers.server import Server


class Stage(IntEnum):
    """What a process is for. The last stage is ended first."""

    SERVERS = 1
    SERVICES = 2
    GATEWAY = 3


@dataclass(frozen=True, slots=True)
class Planned:
    """A process of the fleet, described but not started.

    service: what it is one of, such as `todos`; the same as its name where there is only one. replica: its number among
    those, from 1. port: where it answers. after: the processes and jobs that must be there before it is started, as far as
    the plan has them. metrics_port: where it answers `/metrics`, if it does.
    """

    server: Server
    stage: Stage
    service: str
    replica: int
    port: int
    after: tuple[str, ...] = ()
    metrics_port: int | None = None

    @property
    def name(self) -> str:
        return self.server.name


@dataclass(frozen=True, slots=True)
class Job:
    """A program that is run once, at the start, and must succeed. after: as of a process."""

    name: str
    argv: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    after: tuple[str, ...] = ()


class Endpoints(Protocol):
    """Whom the gateway sends requests to, kept up to date."""

    async def publish(self, service: str, ports: Sequence[int]) -> None:
        """Let the gateway use these ports of 127.0.0.1 for a service, and no others. Returns when it does so."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole fleet.

    url: where people reach it. replicas: how many processes of each service. service: describes one process of one, from its
    name, number and port. routed: the services that the gateway sends requests to. environment: what a
    command needs to work on this fleet.
    """

    url: str
    servers: Sequence[Planned]
    jobs: Sequence[Job]
    replicas: Mapping[str, int]
    service: Callable[[str, int, int], Planned]
    gateway: Planned
    endpoints: Endpoints
    routed: frozenset[str]
    environment: Mapping[str, str]
