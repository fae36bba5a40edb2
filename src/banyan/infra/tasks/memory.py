"""TaskBroker within one process: the twin for tests. What it holds is gone with the process."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from banyan.infra.loops import wait_for
from banyan.infra.tasks.protocol import (
    DELIVERY_LIMIT,
    DeadTask,
    QueueFull,
    QueueStatus,
    Take,
    step_for,
)
from banyan.infra.tasks.task import Task, TaskUnreadable
from banyan.kernel.errors import Unavailable


@dataclass(frozen=True, slots=True)
class _Waiting:
    """lost: how often a worker died with it in hand."""

    id: str
    body: bytes
    tries: int = 0
    lost: int = 0
    error: str = ""


class MemoryTasks:
    """max_waiting: more are refused. unavailable: makes it refuse everything, as a broker does that is gone."""

    def __init__(self, *, max_waiting: int = 1000) -> None:
        self._max_waiting = max_waiting
        self._waiting: deque[_Waiting] = deque()
        self._pausing = 0
        self._dead: list[_Waiting] = []
        self._taken: set[_Taken] = set()
        self._consumers = 0
        self._changed = asyncio.Event()
        self.unavailable = False

    async def put(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            self._refuse_when_unavailable()
            if len(self._waiting) >= self._max_waiting:
                raise QueueFull()
            self.wait(_Waiting(task.id, task.encode()))

    async def take(self, take: Take, *, at_once: int, stop: asyncio.Event) -> None:
        self._consumers += 1
        try:
            while not stop.is_set():
                self._changed.clear()
                while self._waiting and len(self._taken) < at_once and not self.unavailable:
                    taken = _Taken(self, self._waiting.popleft())
                    self._taken.add(taken)
                    take(taken)
                await wait_for(self._changed, 1.0, stop=stop)
        finally:
            self._consumers -= 1

    async def check(self) -> None:
        self._refuse_when_unavailable()

    async def status(self) -> list[QueueStatus]:
        self._refuse_when_unavailable()
        return [
            QueueStatus("tasks", len(self._waiting), self._consumers),
            QueueStatus("tasks-retry", self._pausing, 0),
            QueueStatus("tasks-dead", len(self._dead), 0),
        ]

    async def dead_tasks(self, limit: int) -> list[DeadTask]:
        return [_shown(dead) for dead in self._dead[:limit]]

    async def redrive(self, task_ids: Sequence[str] | None = None) -> int:
        chosen = [dead for dead in self._dead if task_ids is None or dead.id in task_ids]
        self._dead = [dead for dead in self._dead if dead not in chosen]
        for dead in chosen:
            self.wait(_Waiting(dead.id, dead.body))
        return len(chosen)

    async def purge_dead(self) -> int:
        count = len(self._dead)
        self._dead.clear()
        return count

    async def close(self) -> None:
        for taken in list(self._taken):
            await taken.give_back()

    # For its taken tasks

    def wait(self, waiting: _Waiting, *, first: bool = False) -> None:
        if first:
            self._waiting.appendleft(waiting)
        else:
            self._waiting.append(waiting)
        self._changed.set()

    def wait_later(self, waiting: _Waiting, pause: timedelta) -> None:
        self._pausing += 1

        def due() -> None:
            self._pausing -= 1
            self.wait(waiting)

        asyncio.get_running_loop().call_later(step_for(pause).total_seconds(), due)

    def set_aside(self, dead: _Waiting) -> None:
        self._dead.append(dead)

    def settle(self, taken: "_Taken") -> bool:
        """False when it was settled, or given back, before."""
        if taken not in self._taken:
            return False
        self._taken.remove(taken)
        self._changed.set()
        return True

    def _refuse_when_unavailable(self) -> None:
        if self.unavailable:
            raise Unavailable()


class _Taken:
    def __init__(self, queue: MemoryTasks, held: _Waiting) -> None:
        self._queue = queue
        self._held = held

    @property
    def body(self) -> bytes:
        return self._held.body

    @property
    def tries(self) -> int:
        return self._held.tries + self._held.lost + 1

    async def done(self) -> None:
        self._queue.settle(self)

    async def again(self, pause: timedelta, error: str) -> None:
        if self._queue.settle(self):
            self._queue.wait_later(_Waiting(self._held.id, self._held.body, self.tries, error=error), pause)

    async def dead(self, error: str) -> None:
        if self._queue.settle(self):
            self._queue.set_aside(_Waiting(self._held.id, self._held.body, self.tries, error=error))

    async def give_back(self) -> None:
        if not self._queue.settle(self):
            return
        lost = replace(self._held, lost=self._held.lost + 1)
        if lost.lost >= DELIVERY_LIMIT:
            self._queue.set_aside(replace(lost, tries=self.tries, lost=0, error="delivery_limit"))
        else:
            self._queue.wait(lost, first=True)


def _shown(dead: _Waiting) -> DeadTask:
    try:
        task = Task.decode(dead.body)
    except TaskUnreadable:
        return DeadTask(dead.id, None, None, dead.tries, dead.error)
    return DeadTask(task.id, task.kind, task.user_id, dead.tries, dead.error)
