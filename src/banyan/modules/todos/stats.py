"""Statistics of to-dos: a projection of the events, and the answer that is read from it."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import bindparam, case, delete, func, insert, select, update

from banyan.infra.db.shards import Shards
from banyan.infra.db.tables import batch, upsert
from banyan.infra.db.transaction import Transaction
from banyan.infra.module import Projection
from banyan.infra.streams.consumers import Consumer
from banyan.infra.streams.log import as_json
from banyan.infra.streams.tables import inbox
from banyan.kernel.clock import Clock, to_text
from banyan.kernel.events import Event
from banyan.modules.todos.contract import STREAM, TODO_CHANGED, TODO_CREATED, TODO_DELETED
from banyan.modules.todos.tables import stats_days, stats_items

CONSUMER = "todo-stats"
DAYS_SHOWN = 30

i, d = stats_items.c, stats_days.c
_this_item = (i.user_id == bindparam("of_user")) & (i.todo_id == bindparam("of_todo"))

_ADD = insert(stats_items).from_select(
    [column.name for column in stats_items.columns], batch("rows", *stats_items.columns)
)
_COMPLETED_ON = select(i.completed_on).where(_this_item)
_SET_DUE = update(stats_items).where(_this_item).values(due_at=bindparam("new_due_at"))
_SET_COMPLETED = (
    update(stats_items)
    .where(_this_item)
    .values(completed=bindparam("new_completed"), completed_on=bindparam("new_completed_on"))
)
_REMOVE = delete(stats_items).where(_this_item)
_count = upsert(stats_days).values(
    user_id=bindparam("user_id"), day=bindparam("day"), completed=bindparam("more")
)
_COUNT_DAY = _count.on_conflict_do_update(
    index_elements=["user_id", "day"], set_={"completed": d.completed + _count.excluded.completed}
)
_CLEAR_ITEMS = delete(stats_items).where(i.user_id == bindparam("user_id"))
_CLEAR_DAYS = delete(stats_days).where(d.user_id == bindparam("user_id"))
_TOTALS = select(
    func.count(case((i.completed.is_(False), 1))).label("open"),
    func.count(case(((i.completed.is_(False)) & (i.due_at < bindparam("now")), 1))).label("overdue"),
    func.count(case((i.completed.is_(True), 1))).label("completed"),
).where(i.user_id == bindparam("user_id"))
_DAYS = (
    select(d.day, d.completed)
    .where(d.user_id == bindparam("user_id"), d.day > bindparam("since"), d.completed > 0)
    .order_by(d.day)
)
_POSITION = select(inbox.c.position).where(
    inbox.c.user_id == bindparam("user_id"), inbox.c.stream == STREAM, inbox.c.consumer == CONSUMER
)


class Statistics:
    def __init__(self, shards: Shards, clock: Clock) -> None:
        self._shards = shards
        self._clock = clock

    async def of(self, user_id: str) -> dict[str, Any]:
        """The counts of a user's to-dos, and the position of the last event that is counted."""
        return await self._shards.read(user_id, self._read, user_id)

    async def _read(self, tx: Transaction, user_id: str) -> dict[str, Any]:
        now = self._clock.now()
        totals = await tx.one(_TOTALS, {"user_id": user_id, "now": to_text(now)})
        assert totals is not None  # an aggregate always has one row
        since = to_text(now - timedelta(days=DAYS_SHOWN))[:10]
        days = await tx.all(_DAYS, {"user_id": user_id, "since": since})
        return {
            "open": totals["open"],
            "overdue": totals["overdue"],
            "completed": totals["completed"],
            "completed_per_day": [{"date": row["day"], "count": row["completed"]} for row in days],
            "position": await tx.value(_POSITION, {"user_id": user_id}) or 0,
        }


async def apply_many(tx: Transaction, events: Sequence[Event]) -> None:
    """Count events in their order; new to-dos that follow each other, of whomever, by one statement."""
    for are_new, run in groupby(events, lambda event: event.type == TODO_CREATED):
        if are_new:
            await _add(tx, list(run))
        else:
            for event in run:
                await apply(tx, event)


async def apply(tx: Transaction, event: Event) -> None:
    """Count one event; those that count for nothing pass, so that the position follows the stream to its end."""
    user_id, todo_id, data = event.user_id, event.subject, event.data
    if event.type == TODO_CREATED:
        await _add(tx, [event])
    elif event.type == TODO_CHANGED:
        key = {"of_user": user_id, "of_todo": todo_id}
        if "due_at" in data:
            await tx.run(_SET_DUE, {**key, "new_due_at": data["due_at"]})
        if "completed" in data:
            before = await tx.value(_COMPLETED_ON, key)
            day = data["completed_at"][:10] if data["completed"] else None
            await tx.run(_SET_COMPLETED, {**key, "new_completed": data["completed"], "new_completed_on": day})
            # Taken back, a completion counts for nothing.
            if (day or before) is not None:
                await _count_day(tx, user_id, day or before, 1 if day else -1)
    elif event.type == TODO_DELETED:
        await tx.run(_REMOVE, {"of_user": user_id, "of_todo": todo_id})


async def _add(tx: Transaction, created: Sequence[Event]) -> None:
    rows: list[list[Any]] = []
    for event in created:
        data = event.data
        day = data["completed_at"][:10] if data["completed_at"] else None
        rows.append([event.user_id, event.subject, data["completed"], data["due_at"], day])
        if day is not None:
            await _count_day(tx, event.user_id, day, 1)
    await tx.run(_ADD, {"rows": as_json(rows)})


async def clear(tx: Transaction, user_id: str) -> None:
    await tx.run(_CLEAR_ITEMS, {"user_id": user_id})
    await tx.run(_CLEAR_DAYS, {"user_id": user_id})


async def _count_day(tx: Transaction, user_id: str, day: str, more: int) -> None:
    await tx.run(_COUNT_DAY, {"user_id": user_id, "day": day, "more": more})


PROJECTION = Projection(
    CONSUMER, Consumer(CONSUMER, frozenset({STREAM}), apply, handle_many=apply_many), clear
)
