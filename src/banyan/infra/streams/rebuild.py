"""Rebuild: make a projection again from the events.

For when a projection's code was wrong: mend the code, then rebuild. Each user is done in one transaction, which takes
turns with the relay's deliveries: an event is either in the replay or delivered after it, never both, because replay
and delivery move the same inbox row.
"""

from sqlalchemy import bindparam, select

from banyan.infra.db.shards import Shards
from banyan.infra.db.tables import batch_of_keys, upsert
from banyan.infra.db.transaction import Transaction
from banyan.infra.module import Projection
from banyan.infra.streams.log import as_json, from_row
from banyan.infra.streams.tables import events, failed_events, inbox

READ_BATCH = 500

_wanted = batch_of_keys("streams", events.c.stream)
_EVENTS = (
    select(events)
    .join(_wanted, events.c.stream == _wanted.c.stream)
    .where(events.c.user_id == bindparam("user_id"), events.c.sequence > bindparam("after"))
    .order_by(events.c.sequence)
    .limit(bindparam("limit"))
)
# A suspect (`trying`) is not set aside: it is delivered like any other, or was applied by somebody else.
_SET_ASIDE = select(failed_events.c.stream, failed_events.c.position).where(
    failed_events.c.user_id == bindparam("user_id"),
    failed_events.c.consumer == bindparam("consumer"),
    failed_events.c.state != "trying",
)
_mark = upsert(inbox).values(
    user_id=bindparam("user_id"),
    stream=bindparam("stream"),
    consumer=bindparam("consumer"),
    position=bindparam("position"),
)
_MARK = _mark.on_conflict_do_update(
    index_elements=["user_id", "stream", "consumer"],
    set_={"position": _mark.excluded.position},
    where=inbox.c.position < _mark.excluded.position,
)


async def rebuild_user(shards: Shards, projection: Projection, user_id: str) -> int:
    """Make one user's part of a projection again; returns how many events were applied. Safe while a server runs.

    Events that are set aside stay set aside: their row is the licence to apply them later, so they are left out here.
    Raises what the projection's consumer raises; that user's part is then as it was.
    """
    return await shards.transact(user_id, _rebuild, projection, user_id)


async def _rebuild(tx: Transaction, projection: Projection, user_id: str) -> int:
    consumer = projection.consumer
    await projection.clear(tx, user_id)
    rows = await tx.all(_SET_ASIDE, {"user_id": user_id, "consumer": consumer.name})
    set_aside = {(row["stream"], row["position"]) for row in rows}
    streams = as_json([[stream] for stream in sorted(consumer.streams)])
    ends: dict[str, int] = {}
    applied, after = 0, 0
    while True:
        page = await tx.all(
            _EVENTS, {"user_id": user_id, "streams": streams, "after": after, "limit": READ_BATCH}
        )
        events = [from_row(row) for row in page]
        for event in events:
            after, ends[event.stream] = event.sequence, event.position
        wanted = [
            event
            for event in events
            if consumer.wants(event) and (event.stream, event.position) not in set_aside
        ]
        await consumer.apply(tx, wanted)
        applied += len(wanted)
        if len(page) < READ_BATCH:
            break
    for stream, position in ends.items():
        await tx.run(
            _MARK, {"user_id": user_id, "stream": stream, "consumer": consumer.name, "position": position}
        )
    return applied
