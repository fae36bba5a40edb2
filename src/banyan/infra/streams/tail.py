"""Tail: the newest events of a shard, for people who watch."""

from sqlalchemy import bindparam, or_, select

from banyan.infra.db.transaction import Transaction
from banyan.infra.streams.log import from_row
from banyan.infra.streams.tables import events
from banyan.kernel.events import Event

# Typed: PostgreSQL cannot tell the type of a parameter that is only compared with NULL.
_user_id = bindparam("user_id", type_=events.c.user_id.type)
_stream = bindparam("stream", type_=events.c.stream.type)
_wanted = or_(_user_id.is_(None), events.c.user_id == _user_id) & or_(
    _stream.is_(None), events.c.stream == _stream
)
_NEWEST = select(events).where(_wanted).order_by(events.c.sequence.desc()).limit(bindparam("limit"))
_PAST = (
    select(events)
    .where(_wanted, events.c.sequence > bindparam("after"))
    .order_by(events.c.sequence)
    .limit(bindparam("limit"))
)


async def newest(
    tx: Transaction, limit: int, user_id: str | None = None, stream: str | None = None
) -> list[Event]:
    """The last `limit` events of the shard, oldest first; of one user or one stream when asked."""
    rows = await tx.all(_NEWEST, {"limit": limit, "user_id": user_id, "stream": stream})
    return [from_row(row) for row in reversed(rows)]


async def past(
    tx: Transaction, sequence: int, limit: int, user_id: str | None = None, stream: str | None = None
) -> list[Event]:
    """Events past a sequence number, oldest first, with the same choice as `newest`."""
    rows = await tx.all(_PAST, {"after": sequence, "limit": limit, "user_id": user_id, "stream": stream})
    return [from_row(row) for row in rows]
