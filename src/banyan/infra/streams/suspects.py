"""Suspects: events that may have ended the process that handled them.

A process that is killed leaves no word of what it was doing. So the first events that a consumer is given, after a start
or when it takes over from another process, are applied one by one, and the one that is next is noted beforehand:

    noted (`trying`) ──▶ applied, the note is deleted, the next event is noted: one transaction
         └─ the process ends ──▶ the note is found: one more try ──(MAX_ATTEMPTS)──▶ parked

Of two processes that are given the same events one may apply what the other has noted. Such a note says nothing any more.
"""

from sqlalchemy import bindparam, delete, exists, select

from banyan.infra.db.tables import upsert
from banyan.infra.db.transaction import Transaction
from banyan.infra.streams.log import event_to_text
from banyan.infra.streams.tables import failed_events, inbox
from banyan.kernel.clock import Clock, now_text
from banyan.kernel.events import Event
from banyan.kernel.ids import new_id

# What tells one run of the program from another: tries are counted by runs, not by repeats in one.
_RUN = f"ProcessEnded {new_id()}"

_this = (
    (failed_events.c.user_id == bindparam("of_user"))
    & (failed_events.c.stream == bindparam("of_stream"))
    & (failed_events.c.position == bindparam("at_position"))
    & (failed_events.c.consumer == bindparam("by_consumer"))
)
_NOTED = select(failed_events.c.attempts, failed_events.c.error).where(_this)
_is_applied = exists().where(
    inbox.c.user_id == failed_events.c.user_id,
    inbox.c.stream == failed_events.c.stream,
    inbox.c.consumer == failed_events.c.consumer,
    inbox.c.position >= failed_events.c.position,
)
_FORGET_APPLIED = delete(failed_events).where(
    failed_events.c.consumer == bindparam("by_consumer"), failed_events.c.state == "trying", _is_applied
)
_note = upsert(failed_events).values(
    {column.name: bindparam(column.name) for column in failed_events.columns},
)
_NOTE = _note.on_conflict_do_update(
    index_elements=["user_id", "stream", "position", "consumer"],
    set_={name: _note.excluded[name] for name in ("state", "attempts", "next_try_at", "error")},
)


async def note(tx: Transaction, consumer: str, event: Event, clock: Clock) -> int:
    """Note that the event is about to be applied; returns which try this is, counted by runs of the program."""
    rows = await tx.all(
        _NOTED,
        {
            "of_user": event.user_id,
            "of_stream": event.stream,
            "at_position": event.position,
            "by_consumer": consumer,
        },
    )
    before = rows[0] if rows else None
    if before is not None and before["error"] == _RUN:
        return before["attempts"]
    tries = 1 if before is None else before["attempts"] + 1
    await tx.run(
        _NOTE,
        {
            "user_id": event.user_id,
            "stream": event.stream,
            "position": event.position,
            "consumer": consumer,
            "state": "trying",
            "attempts": tries,
            "next_try_at": now_text(clock),
            "error": _RUN,
            "event": event_to_text(event),
        },
    )
    return tries


async def forget_applied(tx: Transaction, consumer: str) -> None:
    """Forget the notes of events that have been applied since, by another process."""
    await tx.run(_FORGET_APPLIED, {"by_consumer": consumer})
