"""The worker's loop: takes tasks, does each within its time, and says what became of it.

A task is acknowledged after its effect. So a worker that dies in between lets it be done again, and what does a task has
to bear that: its effect is found to be there already, or is the same the second time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from banyan.infra.faults import fault_point
from banyan.infra.loops import Loop
from banyan.infra.tasks.metrics import TaskMetrics
from banyan.infra.tasks.protocol import PAUSES, TakenTask, TaskBroker
from banyan.infra.tasks.task import Task, TaskUnreadable
from banyan.infra.telemetry.log import get_logger
from banyan.infra.telemetry.trace import Span, Value, span_of
from banyan.kernel.errors import BanyanError

log = get_logger(__name__)

# Five tries, the last one about six minutes after the first.
USUAL_PAUSES = PAUSES[:4]


class Hopeless(BanyanError):
    """Trying again would be useless: the task is set aside at once."""

    code = "task_hopeless"
    detail = "This task cannot be done."


@dataclass(frozen=True, slots=True)
class TaskKind:
    """How one kind of task is done.

    handle: does it; when this returns, its effect is durable. Is cancelled after `timeout`. Raises Hopeless when trying
    again would be useless; after any other error it is tried again. May be called again for a task that it did before.
    pauses: between the tries; after the last of them the task is dead.
    """

    name: str
    handle: Callable[[Task], Awaitable[None]]
    timeout: timedelta = timedelta(seconds=30)
    pauses: Sequence[timedelta] = USUAL_PAUSES


class TaskWorker:
    def __init__(
        self,
        broker: TaskBroker,
        kinds: Sequence[TaskKind],
        *,
        concurrency: int,
        stop_timeout: timedelta,
        metrics: TaskMetrics,
    ) -> None:
        """concurrency: tasks done side by side. stop_timeout: what they get to finish when the worker stops."""
        self._broker = broker
        self._kinds = {kind.name: kind for kind in kinds}
        self._concurrency = concurrency
        self._stop_timeout = stop_timeout
        self._metrics = metrics
        self._running: set[asyncio.Task[None]] = set()
        self._returning = False

    @property
    def running(self) -> int:
        """How many tasks are being done now."""
        return len(self._running)

    def loop(self) -> Loop:
        return Loop("tasks", self.run)

    async def run(self, stop: asyncio.Event) -> None:
        """Do tasks until `stop`; then finish what was begun, and give back what does not get done in time."""
        self._returning = False
        try:
            # As many as are done side by side: whatever is delivered is begun at once, and nobody waits in our hands
            # while another worker has nothing to do.
            await self._broker.take(self._take, at_once=self._concurrency, stop=stop)
        finally:
            await self._finish()

    def _take(self, taken: TakenTask) -> None:
        running = asyncio.create_task(self._return(taken) if self._returning else self._do(taken))
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    async def _finish(self) -> None:
        if self._running:
            await asyncio.wait(list(self._running), timeout=self._stop_timeout.total_seconds())
        self._returning = True
        late = list(self._running)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        if late:
            log.warning("tasks_given_back", count=len(late))

    async def _return(self, taken: TakenTask) -> None:
        await taken.give_back()

    async def _do(self, taken: TakenTask) -> None:
        try:
            await self._try(taken)
        except asyncio.CancelledError:
            await taken.give_back()
            raise

    async def _try(self, taken: TakenTask) -> None:
        try:
            task = Task.decode(taken.body)
        except TaskUnreadable:
            log.error("task_unreadable", tries=taken.tries)
            await taken.dead("TaskUnreadable")
            self._metrics.count("unreadable", "dead")
            return
        with span_of(task.trace, "process tasks", "consumer", _facts(task)) as span:
            await self._try_readable(taken, task, span)

    async def _try_readable(self, taken: TakenTask, task: Task, span: Span | None) -> None:
        kind = self._kinds.get(task.kind)
        if kind is None:
            # A newer version may have put it there, and its workers may be on their way.
            unknown = TaskKind(task.kind, _unknown)
            await self._failed(taken, task, unknown, "UnknownKind")
            return
        try:
            with self._metrics.timed(task.kind):
                async with asyncio.timeout(kind.timeout.total_seconds()):
                    await kind.handle(task)
        except Hopeless as error:
            _note_failure(span, error)
            await self._failed(taken, task, kind, str(error.facts.get("reason") or "Hopeless"), for_good=True)
        except Exception as error:
            _note_failure(span, error)
            await self._failed(taken, task, kind, type(error).__name__)
        else:
            fault_point("before-ack")
            await taken.done()
            self._metrics.count(task.kind, "done")

    async def _failed(
        self, taken: TakenTask, task: Task, kind: TaskKind, error: str, *, for_good: bool = False
    ) -> None:
        gives_up = for_good or taken.tries > len(kind.pauses)
        log.warning(
            "task_dead" if gives_up else "task_failed",
            task_id=task.id,
            kind=task.kind,
            tries=taken.tries,
            error=error,
        )
        if gives_up:
            await taken.dead(error)
        else:
            await taken.again(kind.pauses[taken.tries - 1], error)
        known = task.kind if task.kind in self._kinds else "unknown"
        self._metrics.count(known, "dead" if gives_up else "again")


def _facts(task: Task) -> dict[str, Value]:
    """Source: OpenTelemetry semantic conventions, messaging spans."""
    return {
        "messaging.system": "rabbitmq",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": "tasks",
        "messaging.message.id": task.id,
        "banyan.task.kind": task.kind,
    }


def _note_failure(span: Span | None, error: Exception) -> None:
    if span is not None:
        span.failed(type(error).__name__)


async def _unknown(_task: Task) -> None:
    raise AssertionError("nobody does a task of an unknown kind")
