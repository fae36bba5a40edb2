"""Events: what has happened, in the past tense, at a position in a stream.

A stream belongs to one user and one module. Its positions are 1, 2, 3, … without a gap, and they commit in that order.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that has no position yet.

    type: what happened (`TodoCreated`). subject: the id of what it happened to. data: JSON; the whole object when it
    was created, the changed fields with their new values when it was changed. Never a secret.
    """

    type: str
    subject: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """An event that is stored. `sequence` orders the events of one shard for the relay; it means nothing to people."""

    id: str
    user_id: str
    stream: str
    position: int
    type: str
    subject: str
    data: dict[str, Any]
    actor: str | None
    at: str
    sequence: int = 0
    trace: str | None = None
