"""Reminders: a loop that tells, once each, when a to-do asks for attention.

That it was told and the event that tells it are one transaction, so a restart at any moment neither repeats nor skips
one, and of several processes that look at the same to-do only one finds it still waiting.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence

from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Row, Transaction
from banyan.infra.loops import Loop, wait_for
from banyan.infra.streams.log import Append, EventLog
from banyan.infra.telemetry.trace import is_tracing
from banyan.kernel.clock import Clock, from_text, now_text
from banyan.kernel.events import Event, NewEvent
from banyan.modules.todos import store
from banyan.modules.todos.contract import STREAM, TODO_CHANGED, TODO_CREATED, TODO_REMINDED
from banyan.modules.todos.model import reminder_after, reminder_kind

BATCH = 100
# A change wakes the loop; this is for clocks that were set, and for changes that another process made.
LONGEST_SLEEP_SECONDS = 5.0


class ReminderLoop(ABC):
    """What looks for due reminders, whoever tells them then."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def loop(self) -> Loop:
        return Loop("reminders", self.run)

    def observe(self, events: Sequence[Event]) -> None:
        """Look again when a commit may have set an earlier time."""
        if any(may_ring(event) for event in events):
            self._changed.set()

    @abstractmethod
    async def run(self, stop: asyncio.Event) -> None: ...


class Reminders(ReminderLoop):
    def __init__(self, shards: Shards, log: EventLog, clock: Clock) -> None:
        super().__init__()
        self._shards = shards
        self._log = log
        self._clock = clock

    def loop(self) -> Loop:
        return Loop("reminders", self.run, self.tell_due)

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._changed.clear()
            if await self.tell_due() == 0:
                await self._sleep(stop)

    async def tell_due(self) -> int:
        """Tell what is due; returns how many to-dos were looked at."""
        looked_at = 0
        for name in self._shards.names():
            database = self._shards.named(name)
            due = await database.read(store.due_reminders, now_text(self._clock), BATCH)
            if due:
                await database.transact(self._tell, due)
                looked_at += len(due)
        return looked_at

    async def tell_reminders(self, user_id: str, todo_ids: Sequence[str]) -> int:
        """See contract.Todos."""
        return await self._shards.transact(user_id, self._tell, [(user_id, todo_id) for todo_id in todo_ids])

    async def _tell(self, tx: Transaction, due: Sequence[tuple[str, str]]) -> int:
        """Tell those that are still to be told; returns how many."""
        now = now_text(self._clock)
        told = 0
        for user_id, todo_id in due:
            row = await store.find(tx, user_id, todo_id)
            if row is None or row["next_reminder_at"] is None or row["next_reminder_at"] > now:
                continue  # changed, or told by another process, since it was looked for
            time, todo = row["next_reminder_at"], store.todo_of(row)
            await store.set_reminder(tx, user_id, todo_id, reminder_after(todo, time))
            facts = {"title": todo["title"], "due_at": todo["due_at"], "remind_at": todo["remind_at"]}
            event = NewEvent(TODO_REMINDED, todo_id, {"kind": reminder_kind(todo, time), **facts})
            told_in = await self._trace_of(tx, user_id, row)
            await self._log.append_many(tx, [Append(user_id, [event], trace=told_in)])
            told += 1
        return told

    async def _trace_of(self, tx: Transaction, user_id: str, row: Row) -> str | None:
        """The trace of the change that set the time; not that of the reminder before, or a recurring to-do would have one for
        ever. None where no traces are recorded, and nothing is read."""
        if not is_tracing():
            return None
        events = await self._log.of_subject(tx, user_id, row["id"], after=row["created_position"] - 1)
        causes = [event.trace for event in events if event.type != TODO_REMINDED and may_ring(event)]
        return causes[-1] if causes else None

    async def _sleep(self, stop: asyncio.Event) -> None:
        """Until the next time, a change, or the longest sleep."""
        seconds = LONGEST_SLEEP_SECONDS
        for name in self._shards.names():
            earliest = await self._shards.named(name).read(store.next_reminder_at)
            if earliest is not None:
                seconds = min(seconds, (from_text(earliest) - self._clock.now()).total_seconds())
        woken = asyncio.create_task(self._changed.wait())
        try:
            stopping = asyncio.create_task(wait_for(stop, max(seconds, 0.0)))
            await asyncio.wait({woken, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
        finally:
            woken.cancel()


def may_ring(event: Event) -> bool:
    """Whether an event may have set a time at which to tell something: after the reminder comes the due time."""
    if event.stream != STREAM or event.type not in (TODO_CREATED, TODO_CHANGED, TODO_REMINDED):
        return False
    reopened = event.type == TODO_CHANGED and event.data.get("completed") is False
    return reopened or any(event.data.get(name) for name in ("due_at", "remind_at"))
