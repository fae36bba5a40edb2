"""Backlog: what waits in a shard's tables, for the relay and for a person."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import bindparam, func, select

from banyan.infra.db.transaction import Transaction
from banyan.infra.streams.log import last_sequence
from banyan.infra.streams.tables import bookmarks, dead_letters, events, failed_events
from banyan.kernel.clock import Clock

_BOOKMARK = select(bookmarks.c.sequence).where(bookmarks.c.reader == "relay")
_NEXT_AT = (
    select(events.c.at).where(events.c.sequence > bindparam("after")).order_by(events.c.sequence).limit(1)
)
_PARKED = select(func.count()).select_from(failed_events).where(failed_events.c.state == "parked")
_DEAD = select(func.count()).select_from(dead_letters).where(dead_letters.c.state == "parked")


class Backlog(NamedTuple):
    """events, seconds: how far the relay is behind the newest event, and for how long the next one has waited."""

    events: int
    seconds: float
    parked: int
    dead_letters: int


async def backlog(tx: Transaction, clock: Clock) -> Backlog:
    bookmark = await tx.value(_BOOKMARK) or 0
    behind = await last_sequence(tx) - bookmark
    since = await tx.value(_NEXT_AT, {"after": bookmark}) if behind > 0 else None
    seconds = (clock.now() - datetime.fromisoformat(since)).total_seconds() if since else 0.0
    return Backlog(behind, max(0.0, seconds), await tx.value(_PARKED), await tx.value(_DEAD))
