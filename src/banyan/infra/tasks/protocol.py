"""What producers and workers need of a task queue.

put ──▶ waiting ──▶ taken ──done──▶ (gone)
           ▲          │ ├─ again: after a pause ──▶ waiting
           │          │ ├─ dead: an operator's turn ──redrive──▶ waiting
           └──────────┘ └─ given back, or its worker is gone: at once, and after DELIVERY_LIMIT times dead
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from banyan.infra.tasks.task import Task
from banyan.kernel.errors import Unavailable

# A task may cost that many workers their lives before it is set aside. Failing in good order is counted by the worker.
DELIVERY_LIMIT = 5
# A pause is one of these steps: each is a queue of its own, in which what came first is due first.
PAUSES = tuple(timedelta(seconds=seconds) for seconds in (1, 10, 60, 300, 1800, 7200))


def step_for(pause: timedelta) -> timedelta:
    """The shortest step that is at least so long; the longest one for more."""
    return next((step for step in PAUSES if step >= pause), PAUSES[-1])


class QueueFull(Unavailable):
    """The queue holds as much as it may: whoever puts more has to wait until workers have caught up."""

    code = "task_queue_full"
    detail = "Too much work is waiting already; try again shortly."


class TaskQueue(Protocol):
    async def put(self, tasks: Sequence[Task]) -> None:
        """Put down work; when this returns, every task is durable and will be done at least once.

        Raises QueueFull, or Unavailable when it is not known whether they were taken. Some may have been, in both
        cases: put all of them again, with the same ids. Whoever does a task must bear that it comes twice.
        """
        ...


class TakenTask(Protocol):
    """A task in a worker's hands. Exactly one of its methods is called, once; when its queue cannot be reached any more
    they do nothing, and it is delivered again.

    body: as it was put; `Task.decode` reads it. tries: how often it was taken, this time included.
    """

    @property
    def body(self) -> bytes: ...

    @property
    def tries(self) -> int: ...

    async def done(self) -> None:
        """Its effect is durable: forget it."""
        ...

    async def again(self, pause: timedelta, error: str) -> None:
        """Deliver it again after `step_for(pause)`. error: a word for the reason, never what the task holds."""
        ...

    async def dead(self, error: str) -> None:
        """Set it aside for an operator."""
        ...

    async def give_back(self) -> None:
        """Deliver it to somebody else, at once."""
        ...


Take = Callable[[TakenTask], None]
"""Is given each task; returns at once, and has the work done beside."""


@dataclass(frozen=True, slots=True)
class DeadTask:
    """kind and user_id are None when the task cannot be read. error: what went wrong last."""

    id: str
    kind: str | None
    user_id: str | None
    tries: int
    error: str


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """One queue. waiting: what nobody has taken. consumers: who takes from it."""

    name: str
    waiting: int
    consumers: int


class TaskBroker(TaskQueue, Protocol):
    async def take(self, take: Take, *, at_once: int, stop: asyncio.Event) -> None:
        """Hand out tasks, at most `at_once` that are not settled, until `stop`; then return. What was handed out can be
        settled until `close`.

        It comes back by itself after its connection was lost. A task that is suspected to have killed a worker comes
        beside these, one at a time, so that its neighbours are not held responsible with it.
        """
        ...

    async def check(self) -> None:
        """Raises Unavailable while it is not connected."""
        ...

    async def status(self) -> list[QueueStatus]: ...

    async def dead_tasks(self, limit: int) -> list[DeadTask]:
        """What is set aside, the longest there first; it stays there."""
        ...

    async def redrive(self, task_ids: Sequence[str] | None = None) -> int:
        """Let dead tasks be done again, with all their tries; those of these ids, or all. Returns how many."""
        ...

    async def purge_dead(self) -> int:
        """Forget all dead tasks; returns how many."""
        ...

    async def close(self) -> None:
        """What was taken and is not settled is delivered to somebody else."""
        ...
