"""What a module brings: the pieces that `bootstrap` mounts, subscribes and runs."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter

from banyan.infra.db.transaction import Transaction
from banyan.infra.loops import Loop
from banyan.infra.streams.consumers import Consumer
from banyan.infra.streams.log import EventLog
from banyan.kernel.events import Event

State = dict[str, dict[str, Any]]
"""What a module's tables hold of one user: `kind/id` → fields."""


@dataclass(frozen=True, slots=True)
class Fold:
    """The module's state as its events tell it, and as its tables have it; `banyan events verify` compares them.

    apply: changes `state` by one event; pure otherwise. stored: the same picture read from the tables.
    """

    stream: str
    apply: Callable[[State, Event], None]
    stored: Callable[[Transaction, str], Awaitable[State]]


@dataclass(frozen=True, slots=True)
class Projection:
    """A read model that is made from events alone, and can be made again.

    consumer: keeps it up to date. clear: empties it for one user; it is then made again from that user's events.
    """

    name: str
    consumer: Consumer
    clear: Callable[[Transaction, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Module:
    """routers: what people may call. internal: what other services may call."""

    name: str
    contract: Any
    log: EventLog
    routers: Sequence[APIRouter]
    internal: Sequence[APIRouter] = ()
    consumers: Sequence[Consumer] = ()
    loops: Sequence[Loop] = ()
    folds: Sequence[Fold] = ()
    projections: Sequence[Projection] = ()
    start: Callable[[], Awaitable[None]] | None = None
    on_commit: Callable[[list[Event]], None] | None = None
    checks: Mapping[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
