"""Folded: events are appended, and what they tell of is inserted, by one statement. For databases whose statements fold.

Positions are known only within that statement, so what it is given counts them from the new end of its user's stream:
0 for the last event of the statement, 1 for the one before.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import CTE, Column, Insert, Select, Table, and_, insert, select

from banyan.infra.db.errors import OutcomeUnknown, UniqueViolation
from banyan.infra.db.tables import batch, batch_of_keys
from banyan.infra.db.transaction import Database, Transaction
from banyan.infra.streams.log import ADVANCE, COLUMNS, Append, EventLog, as_json, values_of
from banyan.infra.streams.tables import events
from banyan.infra.telemetry.log import get_logger
from banyan.kernel.events import Event

A = TypeVar("A")
T = TypeVar("T")

_log = get_logger(__name__)

# By user and subject, for which there is an index.
_wanted = batch_of_keys("wanted", events.c.user_id, events.c.subject, events.c.id)
_STORED = select(events.c.id, events.c.position).join(
    _wanted,
    and_(
        events.c.user_id == _wanted.c.user_id,
        events.c.subject == _wanted.c.subject,
        events.c.id == _wanted.c.id,
    ),
)

Also = Callable[[CTE], Insert]
"""What else is inserted. It is given the streams' new ends: `user_id` and `position`."""


def at_positions(
    table: Table, name: str, position: Column[Any], ends: CTE, columns: Sequence[Column[Any]]
) -> Insert:
    """Insert the rows of a `batch` with their positions, for which they hold how far they are from their stream's end."""
    new = batch(name, *columns).subquery(f"new_{name}")
    values = [
        (ends.c.position - new.c[column.name]).label(column.name)
        if column is position
        else new.c[column.name]
        for column in columns
    ]
    # In this order they take their sequence numbers: events of one user leave in the order of their positions.
    rows = (
        select(*values)
        .select_from(new.join(ends, ends.c.user_id == new.c.user_id))
        .order_by(new.c.user_id, new.c[position.name].desc())
    )
    return insert(table).from_select([column.name for column in columns], rows)


def folded(*also: Also) -> Select:
    """The statement for `append_folded`."""
    ends = ADVANCE.cte("ends")
    inserts = [at_positions(events, "events", events.c.position, ends, COLUMNS), *(one(ends) for one in also)]
    statement = select(ends.c.user_id, ends.c.position)
    return statement.add_cte(*(one.cte(f"inserted_{number}") for number, one in enumerate(inserts)))


def places_from_end(user_ids: Sequence[str]) -> list[int]:
    """For each entry how many of the same user follow it."""
    seen: dict[str, int] = {}
    places: list[int] = []
    for user_id in reversed(user_ids):
        places.append(seen.get(user_id, 0))
        seen[user_id] = places[-1] + 1
    places.reverse()
    return places


def prepared(log: EventLog, appends: Sequence[Append]) -> list[Event]:
    """The events of the entries, in order, with how far each is from the end in place of its position.

    They are made before the statement, so that it can be repeated, and looked for, by their ids.
    """
    return log.events_at(appends, places_from_end([entry.user_id for entry in appends for _ in entry.events]))


async def append_folded(tx: Transaction, statement: Select, new: Sequence[Event], **batches: str) -> None:
    """Append `prepared` events and insert the batches of `also`, in one statement.

    Raises UniqueViolation when any of the rows is there already; nothing is done then.
    """
    counts = Counter((event.user_id, event.stream) for event in new)
    # Sorted, so that two batches lock the same streams in the same order and cannot deadlock.
    wanted = [[user_id, stream, counts[user_id, stream]] for user_id, stream in sorted(counts)]
    values = {"wanted": as_json(wanted), "events": as_json([values_of(event) for event in new]), **batches}
    ends = {row["user_id"]: row["position"] for row in await tx.all(statement, values)}
    tx.appended.extend(_at(event, ends[event.user_id] - event.position) for event in new)


async def commit_folded(
    database: Database, unit: Callable[[Transaction, A], Awaitable[T]], given: A, new: Sequence[Event]
) -> T | None:
    """Run `unit(tx, given)`, which appends these `prepared` events in one statement; None when it is done but said no more.

    A connection that breaks meanwhile leaves that open. Then the log is asked for the events, and only when they are not there the
    unit is run again: at most once for all of its connections. Whoever waits for it need not know.

        run ──(broken)──▶ are they there? ──yes──▶ done
                               └──no──▶ run again ──(a row is there already)──▶ are they there? ──yes──▶ done

    Raises UniqueViolation when a row of others is there already, OutcomeUnknown when it broke again.
    """
    try:
        return await database.transact(unit, given)
    except OutcomeUnknown:
        if await database.transact(_are_stored, new):
            return None
    _log.info("folded_unit_repeated", events=len(new))
    try:
        return await database.transact(unit, given)
    except UniqueViolation:
        # The server may have gone on without us, and been done after it was asked.
        if await database.transact(_are_stored, new):
            return None
        raise


async def _are_stored(tx: Transaction, new: Sequence[Event]) -> bool:
    """Whether these events are in the log: all of them, or none. Those that are, are told as if this unit had appended them."""
    rows = await tx.all(
        _STORED, {"wanted": as_json([[event.user_id, event.subject, event.id] for event in new])}
    )
    positions = {row["id"]: row["position"] for row in rows}
    tx.appended.extend(_at(event, positions[event.id]) for event in new if event.id in positions)
    return bool(rows)


def _at(event: Event, position: int) -> Event:
    """The event at this position. `dataclasses.replace` takes twice as long, for each event of each to-do."""
    return Event(
        event.id,
        event.user_id,
        event.stream,
        position,
        event.type,
        event.subject,
        event.data,
        event.actor,
        event.at,
        event.sequence,
        event.trace,
    )
