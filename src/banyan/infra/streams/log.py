"""The event log: append in the writer's transaction, read by position."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json
from sqlalchemy import bindparam, delete, func, insert, literal_column, select

from banyan.infra.db.tables import batch, upsert
from banyan.infra.db.transaction import Row, Transaction
from banyan.infra.streams.tables import events, failed_events, streams
from banyan.infra.telemetry.trace import current_traceparent
from banyan.kernel.clock import Clock, now_text
from banyan.kernel.events import Event, NewEvent
from banyan.kernel.ids import new_id

_wanted = batch("wanted", streams.c.user_id, streams.c.stream, streams.c.position).where(
    literal_column("1") == literal_column("1")
)
_advance = upsert(streams).from_select(["user_id", "stream", "position"], _wanted)
ADVANCE = _advance.on_conflict_do_update(
    index_elements=["user_id", "stream"], set_={"position": streams.c.position + _advance.excluded.position}
).returning(streams.c.user_id, streams.c.position)

COLUMNS = tuple(column for column in events.columns if column is not events.c.sequence)
_INSERT = insert(events).from_select(list(COLUMNS), batch("rows", *COLUMNS))

_POSITION = select(streams.c.position).where(
    streams.c.user_id == bindparam("user_id"), streams.c.stream == bindparam("stream")
)
# For a statement of others that has the parameters `user_id` and `stream`: what it finds is as of this position.
AT_POSITION = _POSITION.scalar_subquery().label("at_position")
_READ = (
    select(events)
    .where(
        events.c.user_id == bindparam("user_id"),
        events.c.stream == bindparam("stream"),
        events.c.position > bindparam("after"),
    )
    .order_by(events.c.position)
    .limit(bindparam("limit"))
)
_OF_SUBJECT = (
    select(events)
    .where(
        events.c.user_id == bindparam("user_id"),
        events.c.subject == bindparam("subject"),
        events.c.stream == bindparam("stream"),
        events.c.position > bindparam("after"),
    )
    .order_by(events.c.position)
    .limit(bindparam("limit"))
)
_PAST_SEQUENCE = (
    select(events)
    .where(events.c.sequence > bindparam("after"), events.c.sequence <= bindparam("upto"))
    .order_by(events.c.sequence)
    .limit(bindparam("limit"))
)
_chosen = batch("sequences", events.c.sequence).subquery()
_CHOSEN = select(events).join(_chosen, events.c.sequence == _chosen.c.sequence).order_by(events.c.sequence)
_LAST_SEQUENCE = select(func.coalesce(func.max(events.c.sequence), 0))
_ERASE = delete(events).where(
    events.c.user_id == bindparam("user_id"),
    events.c.stream == bindparam("stream"),
    events.c.position < bindparam("before"),
)

_FORGET_SET_ASIDE = delete(failed_events).where(
    failed_events.c.user_id == bindparam("user_id"),
    failed_events.c.stream == bindparam("stream"),
    failed_events.c.position < bindparam("before"),
)

NO_END = 2**62
"""A sequence number that comes after every other."""


class Append(NamedTuple):
    """Events of one user, to be appended together. actor: the session or the part of Banyan that did it.

    trace: the request that they belong to, when that is not the present one: a batch holds those of many requests.
    """

    user_id: str
    events: Sequence[NewEvent]
    actor: str | None = None
    trace: str | None = None


class EventLog:
    """The streams of one module, for all users."""

    def __init__(self, stream: str, clock: Clock) -> None:
        self.stream = stream
        self._clock = clock

    async def append(
        self, tx: Transaction, user_id: str, new: Sequence[NewEvent], *, actor: str | None = None
    ) -> int:
        """Append the events of one user at the next positions; returns the last position.

        They become visible when `tx` commits, together with the change that they tell of.
        """
        return (await self.append_many(tx, [Append(user_id, new, actor)]))[0]

    async def append_many(self, tx: Transaction, appends: Sequence[Append]) -> list[int]:
        """Append for many users in two statements; returns the last position of each entry, in order.

        The stream's row is locked by the first of them until `tx` ends: that is what makes positions gapless and
        ordered by commit.
        """
        counts: dict[str, int] = {}
        for entry in appends:
            counts[entry.user_id] = counts.get(entry.user_id, 0) + len(entry.events)
        # Sorted, so that two batches lock the same streams in the same order and cannot deadlock.
        wanted = [[user_id, self.stream, counts[user_id]] for user_id in sorted(counts)]
        ends = {row["user_id"]: row["position"] for row in await tx.all(ADVANCE, {"wanted": as_json(wanted)})}
        following = {user_id: ends[user_id] - counts[user_id] for user_id in counts}
        positions: list[int] = []
        last_positions: list[int] = []
        for entry in appends:
            for _ in entry.events:
                following[entry.user_id] += 1
                positions.append(following[entry.user_id])
            last_positions.append(following[entry.user_id])
        stored = self.events_at(appends, positions)
        await tx.run(_INSERT, {"rows": as_json([values_of(event) for event in stored])})
        tx.appended.extend(stored)
        return last_positions

    def events_at(self, appends: Sequence[Append], positions: Sequence[int]) -> list[Event]:
        """All the events of the entries, in order, with a position for each."""
        at = now_text(self._clock)
        trace = current_traceparent()
        new = [(entry, event) for entry in appends for event in entry.events]
        return [
            Event(
                id=new_id(),
                user_id=entry.user_id,
                stream=self.stream,
                position=position,
                type=event.type,
                subject=event.subject,
                data=event.data,
                actor=entry.actor,
                at=at,
                trace=entry.trace or trace,
            )
            for (entry, event), position in zip(new, positions, strict=True)
        ]

    async def position(self, tx: Transaction, user_id: str) -> int:
        """The last position of a user's stream; 0 when nothing has happened yet."""
        return await tx.value(_POSITION, {"user_id": user_id, "stream": self.stream}) or 0

    async def read(self, tx: Transaction, user_id: str, *, after: int, limit: int = 500) -> list[Event]:
        """The events past `after`, oldest first."""
        rows = await tx.all(
            _READ, {"user_id": user_id, "stream": self.stream, "after": after, "limit": limit}
        )
        return [from_row(row) for row in rows]

    async def of_subject(
        self, tx: Transaction, user_id: str, subject: str, *, after: int = 0, limit: int = 500
    ) -> list[Event]:
        """What happened to one thing, oldest first, past a position."""
        values = {
            "user_id": user_id,
            "stream": self.stream,
            "subject": subject,
            "after": after,
            "limit": limit,
        }
        return [from_row(row) for row in await tx.all(_OF_SUBJECT, values)]

    async def hold(self, tx: Transaction, user_id: str) -> None:
        """Take the stream's row as an append does: of two units that take it, one sees all that the other has done."""
        await tx.run(ADVANCE, {"wanted": as_json([[user_id, self.stream, 0]])})

    async def erase(self, tx: Transaction, user_id: str, *, before: int) -> int:
        """Forget a user's events below a position, for good; returns how many. The stream's position stays."""
        await self.hold(tx, user_id)
        which = {"user_id": user_id, "stream": self.stream, "before": before}
        await tx.run(_FORGET_SET_ASIDE, which)
        return await tx.run(_ERASE, which)


async def read_past(tx: Transaction, sequence: int, limit: int, *, upto: int = NO_END) -> list[Event]:
    """Events of the whole shard past a sequence number, all streams, in the order in which the relay publishes.

    upto: no further than this; past what is settled (streams/settled.py) an event may still come in between.
    """
    rows = await tx.all(_PAST_SEQUENCE, {"after": sequence, "upto": upto, "limit": limit})
    return [from_row(row) for row in rows]


async def read_chosen(tx: Transaction, sequences: Sequence[int]) -> list[Event]:
    """Events of the whole shard by their sequence numbers, in that order; those that were erased are left out."""
    rows = await tx.all(_CHOSEN, {"sequences": as_json([[sequence] for sequence in sequences])})
    return [from_row(row) for row in rows]


async def last_sequence(tx: Transaction) -> int:
    return await tx.value(_LAST_SEQUENCE)


def from_row(row: Row) -> Event:
    return Event(
        id=row["id"],
        user_id=row["user_id"],
        stream=row["stream"],
        position=row["position"],
        type=row["type"],
        subject=row["subject"],
        data=from_json(row["data"]),
        actor=row["actor"],
        at=row["at"],
        sequence=row["sequence"],
        trace=row["trace"],
    )


def event_to_text(event: Event) -> str:
    """The whole event as JSON, for where it is kept outside of its log."""
    return as_json(asdict(event))


def event_from_text(text: str) -> Event:
    return Event(**from_json(text))


def as_json(value: Any) -> str:
    return to_json(value).decode()


def values_of(event: Event) -> list[Any]:
    return [
        event.id,
        event.user_id,
        event.stream,
        event.position,
        event.type,
        event.subject,
        as_json(event.data),
        event.actor,
        event.at,
        event.trace,
    ]
