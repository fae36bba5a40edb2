"""Consumers: what a module does when something happened elsewhere, exactly once in effect.

An event reaches a consumer at least once. The inbox row, written in the transaction of the effect, says up to which
position of each stream the consumer has applied, and a repeat is skipped. An event that cannot be applied is set aside
(`failed_events`, with the event itself: its log may lie in another service's database) so that it delays nobody, tried
again with growing pauses, and parked in the end.

    delivered ──▶ applied
        └─ fails ─▶ retrying ─(MAX_ATTEMPTS)─▶ parked ──redrive──▶ retrying
                        └──────▶ applied

An event that ends the process is found by its note: suspects.py.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import bindparam, delete, literal_column, or_, select, update

from banyan.infra.db.shards import Shards
from banyan.infra.db.tables import batch, batch_of_keys, upsert
from banyan.infra.db.transaction import Database, Transaction
from banyan.infra.streams import suspects
from banyan.infra.streams.event_spans import processing, processing_many
from banyan.infra.streams.log import as_json, event_from_text, event_to_text
from banyan.infra.streams.tables import failed_events, inbox
from banyan.infra.telemetry.log import get_logger
from banyan.kernel.clock import Clock, now_text, to_text
from banyan.kernel.errors import RetryLater, StorageFull
from banyan.kernel.events import Event

log = get_logger(__name__)

# The database's trouble, not the event's: nothing is set aside, and the same events are delivered again.
PASSING = (RetryLater, StorageFull)
MAX_ATTEMPTS = 5
RETRY_PAUSES = (timedelta(seconds=0.2), timedelta(seconds=1), timedelta(seconds=5), timedelta(seconds=30))

Handle = Callable[[Transaction, Event], Awaitable[None]]
HandleMany = Callable[[Transaction, Sequence[Event]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Consumer:
    """handle: applies one event inside the transaction that also marks it as applied.

    Events of one stream come in order, except that those set aside come later than the ones behind them. The
    transaction is on the shard of the event's user. streams: whose events it wants; types: which, None for all.
    group: under which name its processes share the work between them on a broker; its own name, by default.
    handle_many: applies several in their order, by fewer statements than one by one; it appends no events.
    """

    name: str
    streams: frozenset[str]
    handle: Handle
    types: frozenset[str] | None = None
    group: str = ""
    handle_many: HandleMany | None = None

    def __post_init__(self) -> None:
        if not self.group:
            object.__setattr__(self, "group", f"{self.name}-group")

    def wants(self, event: Event) -> bool:
        return event.stream in self.streams and (self.types is None or event.type in self.types)

    async def apply(self, tx: Transaction, wanted: Sequence[Event]) -> None:
        """Apply events in their order; when one of them cannot be, it raises, and whichever it was is not told."""
        if self.handle_many is not None:
            with processing_many(wanted, self.name):
                await self.handle_many(tx, wanted)
            return
        for event in wanted:
            with processing(event, self.name):
                await self.handle(tx, event)


_wanted = batch_of_keys("wanted", inbox.c.user_id, inbox.c.stream)
_APPLIED = (
    select(inbox.c.user_id, inbox.c.stream, inbox.c.position)
    .join(_wanted, (inbox.c.user_id == _wanted.c.user_id) & (inbox.c.stream == _wanted.c.stream))
    .where(inbox.c.consumer == bindparam("consumer"))
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
_marks = upsert(inbox).from_select(
    ["user_id", "stream", "consumer", "position"],
    batch("rows", inbox.c.user_id, inbox.c.stream, inbox.c.consumer, inbox.c.position).where(
        literal_column("1") == literal_column("1")
    ),
)
_MARK_MANY = _marks.on_conflict_do_update(
    index_elements=["user_id", "stream", "consumer"],
    set_={"position": _marks.excluded.position},
    where=inbox.c.position < _marks.excluded.position,
)
_fail = upsert(failed_events).values(
    user_id=bindparam("user_id"),
    stream=bindparam("stream"),
    position=bindparam("position"),
    consumer=bindparam("consumer"),
    state=bindparam("state"),
    attempts=bindparam("attempts"),
    next_try_at=bindparam("next_try_at"),
    error=bindparam("error"),
    event=bindparam("event"),
)
_FAIL = _fail.on_conflict_do_update(
    index_elements=["user_id", "stream", "position", "consumer"],
    set_={name: _fail.excluded[name] for name in ("state", "attempts", "next_try_at", "error")},
)
_this_failure = (
    (failed_events.c.user_id == bindparam("of_user"))
    & (failed_events.c.stream == bindparam("of_stream"))
    & (failed_events.c.position == bindparam("at_position"))
    & (failed_events.c.consumer == bindparam("by_consumer"))
)
_FORGET = delete(failed_events).where(_this_failure)
_FORGET_BEFORE = delete(failed_events).where(
    failed_events.c.user_id == bindparam("of_user"),
    or_(
        failed_events.c.stream != bindparam("of_stream"), failed_events.c.position < bindparam("at_position")
    ),
)
_CLAIM = (
    update(failed_events)
    .where(_this_failure)
    .values(attempts=bindparam("attempts"), next_try_at=bindparam("next_try_at"))
)
_DUE = (
    select(failed_events.c.event, failed_events.c.attempts)
    .where(
        failed_events.c.state == "retrying",
        failed_events.c.consumer == bindparam("consumer"),
        failed_events.c.next_try_at <= bindparam("now"),
    )
    .order_by(failed_events.c.next_try_at)
    .limit(100)
)
# The note of an event that is being applied says nothing of it, unless a process has ended over it.
_is_failure = or_(failed_events.c.state != "trying", failed_events.c.attempts > 1)
_PARKED = select(failed_events).where(_is_failure).order_by(failed_events.c.next_try_at).limit(1000)
_REDRIVE = (
    update(failed_events)
    .where(failed_events.c.state == "parked")
    .values(state="retrying", attempts=0, next_try_at=bindparam("now"))
)


class ProcessEnded(Exception):
    """The process ended whenever the event was applied."""


class ConsumerRunner:
    """Delivers events to one consumer."""

    def __init__(self, consumer: Consumer, shards: Shards, clock: Clock) -> None:
        self.consumer = consumer
        self.shards = shards
        self._clock = clock
        self._trusted: set[str] = set()

    async def deliver(self, events_: Sequence[Event], *, taken_over: bool = False) -> None:
        """Apply each event that was not applied yet; when this returns, each is applied or set aside.

        taken_over: another process had these events before us, and may have died of one. What is delivered first of a
        shard is regarded so in any case.
        Raises Unavailable or StorageFull when the database cannot take them; then they must be delivered again.
        """
        by_shard: dict[str, list[Event]] = {}
        for event in events_:
            if self.consumer.wants(event):
                by_shard.setdefault(self.shards.of(event.user_id).name, []).append(event)
        for shard, wanted in by_shard.items():
            if taken_over or shard not in self._trusted:
                await self._apply_one_by_one(self.shards.named(shard), wanted)
                self._trusted.add(shard)
            else:
                await self._apply_or_split(self.shards.named(shard), wanted)

    async def retry_due(self) -> int:
        """Try what was set aside and is due; returns how many were tried."""
        tried = 0
        for name in self.shards.names():
            database = self.shards.named(name)
            for event, attempts in await database.read(self._due):
                tried += 1
                if attempts >= MAX_ATTEMPTS:
                    # Each try is counted before it is made, and none of them came to an end.
                    await self._set_aside(event, attempts, ProcessEnded())
                    continue
                await database.transact(self._claim, event, attempts + 1)
                try:
                    await database.transact(self._apply_set_aside, event)
                except PASSING:
                    with suppress(*PASSING):
                        await database.transact(self._claim, event, attempts)
                    raise
                except Exception as error:
                    await self._set_aside(event, attempts + 1, error)
        return tried

    async def pass_over(self, tx: Transaction, event: Event) -> bool:
        """Move the inbox past an event without applying it; False when it was past it before.

        Whoever keeps the event elsewhere in the same transaction may apply it later, and is the only one who may.
        """
        key = (event.user_id, event.stream)
        rows = await tx.all(_APPLIED, {"wanted": as_json([key]), "consumer": self.consumer.name})
        if rows and rows[0]["position"] >= event.position:
            return False
        await tx.run(_MARK, self._mark(*key, event.position))
        return True

    async def _apply_one_by_one(self, database: Database, wanted: list[Event]) -> None:
        """So that what ends the process is known by its note, and parked after some tries (suspects.py)."""
        waiting = await database.read(self._unapplied, wanted)
        if not waiting:
            return
        tries = await database.transact(self._note_first, waiting[0])
        for event, following in zip(waiting, [*waiting[1:], None], strict=True):
            try:
                if tries > MAX_ATTEMPTS:
                    raise ProcessEnded
                tries = await database.transact(self._apply_noted, event, following)
            except PASSING:
                raise
            except Exception as error:
                await self._set_aside(event, min(tries, MAX_ATTEMPTS), error)
                tries = await database.transact(self._note, following) if following else 0

    async def _apply_noted(self, tx: Transaction, event: Event, following: Event | None) -> int:
        await self._apply_all(tx, [event])
        await tx.run(_FORGET, self._failure(event))
        return await self._note(tx, following) if following else 0

    async def _note_first(self, tx: Transaction, event: Event) -> int:
        await suspects.forget_applied(tx, self.consumer.name)
        return await self._note(tx, event)

    async def _note(self, tx: Transaction, event: Event) -> int:
        return await suspects.note(tx, self.consumer.name, event, self._clock)

    async def _unapplied(self, tx: Transaction, wanted: list[Event]) -> list[Event]:
        reached = await self._reached(tx, wanted)
        return [event for event in wanted if event.position > reached.get((event.user_id, event.stream), 0)]

    async def _apply_or_split(self, database: Database, wanted: list[Event]) -> None:
        """Apply all in one transaction. When one of them is bad, halve until it is alone: it is set aside, and its
        neighbours wait for some ten transactions rather than for one each."""
        try:
            await database.transact(self._apply_all, wanted)
        except PASSING:
            raise
        except Exception as error:
            if len(wanted) == 1:
                await self._set_aside(wanted[0], 1, error)
                return
            middle = len(wanted) // 2
            await self._apply_or_split(database, wanted[:middle])
            await self._apply_or_split(database, wanted[middle:])

    async def _apply_all(self, tx: Transaction, wanted: list[Event]) -> None:
        reached = await self._reached(tx, wanted)
        moved: dict[tuple[str, str], int] = {}
        fresh: list[Event] = []
        for event in wanted:
            key = (event.user_id, event.stream)
            if event.position > (moved.get(key) or reached.get(key) or 0):
                moved[key] = event.position
                fresh.append(event)
        if not fresh:
            return
        await self.consumer.apply(tx, fresh)
        rows = [[*key, self.consumer.name, position] for key, position in sorted(moved.items())]
        await tx.run(_MARK_MANY, {"rows": as_json(rows)})

    async def _reached(self, tx: Transaction, wanted: list[Event]) -> dict[tuple[str, str], int]:
        """Up to where the streams of these events are applied; nothing for one of which nothing is."""
        keys = sorted({(event.user_id, event.stream) for event in wanted})
        rows = await tx.all(_APPLIED, {"wanted": as_json(keys), "consumer": self.consumer.name})
        return {(row["user_id"], row["stream"]): row["position"] for row in rows}

    async def _claim(self, tx: Transaction, event: Event, attempts: int) -> None:
        await tx.run(
            _CLAIM,
            {**self._failure(event), "attempts": attempts, "next_try_at": self._next_try(attempts)},
        )

    async def _apply_set_aside(self, tx: Transaction, event: Event) -> None:
        """The failure's row is the licence to apply an event below the inbox's position; whoever deletes it applies."""
        if await tx.run(_FORGET, self._failure(event)) == 1:
            with processing(event, self.consumer.name):
                await self.consumer.handle(tx, event)

    async def _set_aside(self, event: Event, attempts: int, error: Exception) -> None:
        parked = attempts >= MAX_ATTEMPTS
        facts = {
            "state": "parked" if parked else "retrying",
            "attempts": attempts,
            "next_try_at": self._next_try(attempts),
            # The type and not the text: an error's text may quote what the event holds.
            "error": type(error).__name__,
        }
        log.warning(
            "event_set_aside",
            consumer=self.consumer.name,
            event_id=event.id,
            type=event.type,
            place=_place(error),
            **facts,
        )
        await self.shards.transact(event.user_id, self._store_failure, event, facts)

    def _next_try(self, attempts: int) -> str:
        return to_text(self._clock.now() + RETRY_PAUSES[min(attempts, len(RETRY_PAUSES)) - 1])

    async def _store_failure(self, tx: Transaction, event: Event, facts: dict[str, object]) -> None:
        mark = self._mark(event.user_id, event.stream, event.position)
        await tx.run(_MARK, mark)
        await tx.run(_FAIL, {**mark, **facts, "event": event_to_text(event)})

    async def _due(self, tx: Transaction) -> list[tuple[Event, int]]:
        rows = await tx.all(_DUE, {"consumer": self.consumer.name, "now": now_text(self._clock)})
        return [(event_from_text(row["event"]), row["attempts"]) for row in rows]

    def _mark(self, user_id: str, stream: str, position: int) -> dict[str, object]:
        return {"user_id": user_id, "stream": stream, "consumer": self.consumer.name, "position": position}

    def _failure(self, event: Event) -> dict[str, object]:
        return {
            "of_user": event.user_id,
            "of_stream": event.stream,
            "at_position": event.position,
            "by_consumer": self.consumer.name,
        }


def _place(error: Exception) -> str:
    """Where it was raised, as `file:line`: the log gets this in place of a traceback, which ends with the error's text."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return "unknown" if last is None else f"{Path(last.tb_frame.f_code.co_filename).name}:{last.tb_lineno}"


@dataclass(frozen=True, slots=True)
class FailedEvent:
    event: Event
    consumer: str
    state: str
    attempts: int
    error: str


async def failed(tx: Transaction) -> list[FailedEvent]:
    """What is set aside on this shard, the longest waiting first; at most 1,000."""
    return [
        FailedEvent(
            event_from_text(row["event"]), row["consumer"], row["state"], row["attempts"], row["error"]
        )
        for row in await tx.all(_PARKED)
    ]


async def forget_set_aside(tx: Transaction, deleted: Event) -> None:
    """Forget what was set aside of a user whose account is deleted, up to the event that tells so."""
    facts = {"of_user": deleted.user_id, "of_stream": deleted.stream, "at_position": deleted.position}
    await tx.run(_FORGET_BEFORE, facts)


async def redrive(tx: Transaction, clock: Clock) -> int:
    """Let every parked event of this shard be tried again; returns how many."""
    return await tx.run(_REDRIVE, {"now": now_text(clock)})
