"""Reminders by way of the task queue: found once, told once, and found again when the queue has lost them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.support.databases import opened_shards
from tests.support.handed_tasks import Handed

from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Transaction
from banyan.infra.streams.log import EventLog
from banyan.kernel.clock import ManualClock, to_text
from banyan.kernel.ids import new_id
from banyan.modules.todos import store
from banyan.modules.todos import tasks as tasks_module
from banyan.modules.todos.contract import MOST_REMINDERS, STREAM, TODO_REMINDED
from banyan.modules.todos.model import new_todo
from banyan.modules.todos.reminders import Reminders
from banyan.modules.todos.tasks import ReminderHandover, reminder_kind

ADA = "01890a5d-ac96-774b-bcce-b302099a8057"
BOB = "01890a5d-ac96-774b-bcce-b302099a8058"
SOON = timedelta(minutes=5)


@dataclass
class Both:
    """Who finds what is due, and the worker."""

    shards: Shards
    clock: ManualClock
    queue: Handed
    log: EventLog
    finder: ReminderHandover
    reminders: Reminders

    async def remind(self, user_id: str, at: datetime, count: int = 1) -> list[str]:
        """To-dos with a reminder; their ids."""
        ids = [new_id() for _ in range(count)]
        moment, now = to_text(at), to_text(self.clock.now())

        async def insert(tx: Transaction) -> None:
            rows = [
                (user_id, number + 1, moment, new_todo(todo_id, {"title": "Water", "remind_at": moment}, now))
                for number, todo_id in enumerate(ids)
            ]
            await store.insert_many(tx, rows)

        await self.shards.transact(user_id, insert)
        return ids

    async def work(self) -> int:
        do = reminder_kind(self.reminders).handle
        taken = self.queue.take_all()
        for task in taken:
            await do(task)
        return len(taken)

    async def told(self, user_id: str = ADA) -> list[str]:
        events = await self.shards.read(user_id, self.log.read, user_id, after=0, limit=10_000)
        return [event.subject for event in events if event.type == TODO_REMINDED]


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[Both]:
    clock = ManualClock()
    async with opened_shards(tmp_path) as shards:
        log, queue = EventLog(STREAM, clock), Handed()
        yield Both(
            shards, clock, queue, log, ReminderHandover(shards, clock, queue), Reminders(shards, log, clock)
        )


async def test_what_is_due_is_put_once_and_told_once(both: Both):
    (todo,) = await both.remind(ADA, both.clock.now() + SOON)
    assert await both.finder.hand_over_due() == 0
    both.clock.advance(SOON)
    assert await both.finder.hand_over_due() == 1
    assert await both.finder.hand_over_due() == 0
    (task,) = both.queue.tasks
    assert await both.work() == 1
    await reminder_kind(both.reminders).handle(task)
    assert await both.told() == [todo]
    assert await both.finder.hand_over_due() == 0


async def test_what_becomes_due_right_after_a_look_is_not_slept_over(both: Both):
    await both.remind(ADA, both.clock.now() + SOON)
    assert await both.finder.hand_over_due() == 0
    both.clock.advance(SOON)
    assert await both.finder._pause_seconds() == 0


async def test_two_finders_and_two_workers_tell_it_once(both: Both):
    (todo,) = await both.remind(ADA, both.clock.now())
    other = ReminderHandover(both.shards, both.clock, both.queue)
    assert await both.finder.hand_over_due() == await other.hand_over_due() == 1
    assert await both.work() == 2
    assert await both.told() == [todo]


async def test_each_users_todos_are_one_task_of_bounded_size(both: Both):
    of_ada = await both.remind(ADA, both.clock.now(), count=MOST_REMINDERS + 1)
    of_bob = await both.remind(BOB, both.clock.now())
    assert await both.finder.hand_over_due() == MOST_REMINDERS + 2
    assert sorted((task.user_id, len(task.data["todo_ids"])) for task in both.queue.tasks) == [
        (ADA, 1),
        (ADA, MOST_REMINDERS),
        (BOB, 1),
    ]
    await both.work()
    assert sorted(await both.told()) == sorted(of_ada)
    assert await both.told(BOB) == of_bob


async def test_more_than_a_page_is_found_whole(both: Both, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tasks_module, "PAGE", 7)
    ids = await both.remind(ADA, both.clock.now(), count=20) + await both.remind(
        BOB, both.clock.now() - SOON, count=15
    )
    assert await both.finder.hand_over_due() == len(ids)
    put = [todo for task in both.queue.tasks for todo in task.data["todo_ids"]]
    assert sorted(put) == sorted(ids)


async def test_a_queue_that_takes_nothing_leaves_it_due(both: Both):
    (todo,) = await both.remind(ADA, both.clock.now())
    both.queue.unavailable = True
    assert await both.finder.hand_over_due() == 0
    both.queue.unavailable = False
    assert await both.finder.hand_over_due() == 1
    await both.work()
    assert await both.told() == [todo]


async def test_what_the_queue_has_lost_is_put_again(both: Both, monkeypatch: pytest.MonkeyPatch):
    (todo,) = await both.remind(ADA, both.clock.now())
    await both.finder.hand_over_due()
    both.queue.take_all()
    monkeypatch.setattr(tasks_module, "REMEMBERED_SECONDS", 0.0)
    assert await both.finder.hand_over_due() == 1
    await both.work()
    assert await both.told() == [todo]


async def test_with_workers_far_behind_no_more_is_put(both: Both, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tasks_module, "PAGE", 5)
    monkeypatch.setattr(tasks_module, "MOST_IN_QUEUE", 10)
    ids = await both.remind(ADA, both.clock.now(), count=23)
    assert [await both.finder.hand_over_due() for _ in range(2)] == [10, 0]
    await both.work()
    assert await both.finder.hand_over_due() == 10
    await both.work()
    assert await both.finder.hand_over_due() == 3
    await both.work()
    assert sorted(await both.told()) == sorted(ids)
