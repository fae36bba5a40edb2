"""Reminders by way of the task queue: found here, told by a worker.

What is due is put into the queue, each user's to-dos in one task, and remembered for a while so that it is not put there
again at the next look. Nothing is written: a process that dies forgets it, another one puts the same, and the worker
tells what is still to be told.
"""

import asyncio
import time
from collections.abc import Sequence
from itertools import groupby

from banyan.infra.db.shards import Shards
from banyan.infra.loops import wait_for
from banyan.infra.tasks.backoff import Backoff
from banyan.infra.tasks.protocol import TaskQueue
from banyan.infra.tasks.task import Task
from banyan.infra.tasks.worker import TaskKind
from banyan.infra.telemetry.log import get_logger
from banyan.kernel.clock import Clock, from_text, now_text
from banyan.kernel.errors import Unavailable
from banyan.modules.todos import store
from banyan.modules.todos.contract import MOST_REMINDERS, Todos
from banyan.modules.todos.reminders import LONGEST_SLEEP_SECONDS, ReminderLoop
from banyan.modules.todos.store import DueReminder

log = get_logger(__name__)

KIND = "reminder"
PAGE = 500
# Far longer than a task waits in good weather; then it is put once more, in case the queue has lost it.
REMEMBERED_SECONDS = 300.0
# With so many in the queue its workers are far behind: more of them would not be told any sooner.
MOST_IN_QUEUE = 10_000


class ReminderHandover(ReminderLoop):
    def __init__(self, shards: Shards, clock: Clock, tasks: TaskQueue) -> None:
        super().__init__()
        self._shards = shards
        self._clock = clock
        self._tasks = tasks
        self._backoff = Backoff()
        self._handed_over: dict[DueReminder, float] = {}
        self._looked_at = ""

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self._backoff.wait(stop)
            self._changed.clear()
            await self.hand_over_due()
            if not self._backoff.seconds_left:
                await wait_for(self._changed, await self._pause_seconds(), stop=stop)

    async def hand_over_due(self) -> int:
        """Put what is due and not in the queue yet; returns how many that were."""
        now = self._looked_at = now_text(self._clock)
        count = 0
        still_due: set[DueReminder] = set()
        for name in self._shards.names():
            after: DueReminder | None = None
            while len(still_due) < MOST_IN_QUEUE:
                page = await self._shards.named(name).read(store.due_reminders_after, now, after, PAGE)
                still_due.update(page)
                count += await self._put([due for due in page if not self._is_handed_over(due)])
                if len(page) < PAGE or self._backoff.seconds_left:
                    break
                after = page[-1]
        if not self._backoff.seconds_left:
            self._handed_over = {due: when for due, when in self._handed_over.items() if due in still_due}
        return count

    async def _put(self, due: Sequence[DueReminder]) -> int:
        if not due:
            return 0
        try:
            await self._tasks.put(_tasks(due))
        except Unavailable as error:
            self._backoff.refused()
            log.warning("reminders_not_handed_over", count=len(due), error=error.code)
            return 0
        self._backoff.taken()
        self._handed_over.update(dict.fromkeys(due, time.monotonic()))
        return len(due)

    def _is_handed_over(self, due: DueReminder) -> bool:
        when = self._handed_over.get(due)
        return when is not None and time.monotonic() - when < REMEMBERED_SECONDS

    async def _pause_seconds(self) -> float:
        """Until the next reminder, at most the longest sleep. Those that were due at the last look are in the queue; what has
        become due since it is not, and is next."""
        seconds = LONGEST_SLEEP_SECONDS
        for name in self._shards.names():
            upcoming = await self._shards.named(name).read(store.next_reminder_after, self._looked_at)
            if upcoming is not None:
                seconds = min(seconds, (from_text(upcoming) - self._clock.now()).total_seconds())
        return max(seconds, 0.0)


def reminder_kind(todos: Todos) -> TaskKind:
    """How a worker does such a task."""

    async def handle(task: Task) -> None:
        await todos.tell_reminders(task.user_id, task.data["todo_ids"])

    return TaskKind(KIND, handle)


def _tasks(due: Sequence[DueReminder]) -> list[Task]:
    tasks: list[Task] = []
    for user_id, of_user in groupby(sorted(due, key=lambda one: one.user_id), key=lambda one: one.user_id):
        todo_ids = [one.todo_id for one in of_user]
        tasks += [
            Task(KIND, user_id, {"todo_ids": todo_ids[first : first + MOST_REMINDERS]})
            for first in range(0, len(todo_ids), MOST_REMINDERS)
        ]
    return tasks
