"""The worker's loop over the twin: what becomes of a task that works, fails, hangs, or is no task at all."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry
from tests.support.eventually import soon

from banyan.infra.tasks import worker as worker_module
from banyan.infra.tasks.memory import MemoryTasks
from banyan.infra.tasks.metrics import TaskMetrics
from banyan.infra.tasks.task import Task, TaskUnreadable
from banyan.infra.tasks.worker import Hopeless, TaskKind, TaskWorker
from banyan.infra.telemetry.trace import current_traceparent

ADA = "01890a5d-ac96-774b-bcce-b302099a8057"
SECOND = timedelta(seconds=1)
Handle = Callable[[Task], Awaitable[None]]


class Doing:
    """A worker that runs, and what it has done. registry: its metrics."""

    def __init__(self, broker: MemoryTasks, kinds: Sequence[TaskKind], stop_timeout: timedelta) -> None:
        self.broker = broker
        self.registry = CollectorRegistry()
        self.worker = TaskWorker(
            broker, kinds, concurrency=4, stop_timeout=stop_timeout, metrics=TaskMetrics(self.registry)
        )
        self._stop = asyncio.Event()
        self._run = asyncio.create_task(self.worker.run(self._stop))

    async def stop(self) -> None:
        self._stop.set()
        await self._run

    async def dead(self) -> list[tuple[str | None, int, str]]:
        async def look() -> list[tuple[str | None, int, str]] | None:
            return [(one.kind, one.tries, one.error) for one in await self.broker.dead_tasks(10)] or None

        return await soon(look, "a dead task")

    def count(self, kind: str, outcome: str) -> float | None:
        return self.registry.get_sample_value("banyan_tasks_total", {"kind": kind, "outcome": outcome})


@asynccontextmanager
async def doing(
    *kinds: TaskKind, broker: MemoryTasks | None = None, stop_timeout: timedelta = SECOND
) -> AsyncIterator[Doing]:
    found = Doing(broker or MemoryTasks(), kinds, stop_timeout)
    try:
        yield found
    finally:
        await found.stop()


class Log:
    """A handler that notes what it was given."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self._changed = asyncio.Event()

    async def __call__(self, task: Task) -> None:
        self.seen.append(task.data["n"])
        self._changed.set()

    async def until(self, count: int) -> list[int]:
        async with asyncio.timeout(5):
            while len(self.seen) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.seen


def task(kind: str, n: int = 1, trace: str | None = None) -> Task:
    return Task(kind, ADA, {"n": n}, trace=trace)


async def test_each_task_is_done_and_forgotten():
    log = Log()
    async with doing(TaskKind("log", log)) as running:
        await running.broker.put([task("log", n) for n in range(10)])
        assert sorted(await log.until(10)) == list(range(10))
        await running.stop()
        assert running.count("log", "done") == 10
        assert [queue.waiting for queue in await running.broker.status()] == [0, 0, 0]


async def test_a_task_is_acknowledged_after_its_effect_and_not_before():
    began: asyncio.Queue[None] = asyncio.Queue()
    may_end = asyncio.Event()

    async def slow(_task: Task) -> None:
        began.put_nowait(None)
        await may_end.wait()

    broker = MemoryTasks()
    async with doing(TaskKind("slow", slow), broker=broker) as running:
        await broker.put([task("slow")])
        await began.get()
        await broker.close()  # the connection is lost while it is being done: it has to come again
        await asyncio.wait_for(began.get(), 5)
        may_end.set()
        await running.stop()
        assert [queue.waiting for queue in await broker.status()] == [0, 0, 0]


async def test_what_fails_is_tried_again_and_set_aside_in_the_end_while_others_go_on():
    tries = 0

    async def fails(_task: Task) -> None:
        nonlocal tries
        tries += 1
        raise ValueError("a secret that is nobody's business")

    log = Log()
    kinds = (TaskKind("fails", fails, pauses=(SECOND, SECOND)), TaskKind("log", log))
    async with doing(*kinds) as running:
        await running.broker.put([task("fails"), *(task("log", n) for n in range(20))])
        await log.until(20)
        assert tries == 1
        assert await running.dead() == [("fails", 3, "ValueError")]
        assert tries == 3
        assert (running.count("fails", "again"), running.count("fails", "dead")) == (2, 1)


async def test_what_is_hopeless_is_tried_once():
    async def hopeless(_task: Task) -> None:
        raise Hopeless(reason="MailRefused")

    async with doing(TaskKind("hopeless", hopeless)) as running:
        await running.broker.put([task("hopeless")])
        assert await running.dead() == [("hopeless", 1, "MailRefused")]


async def test_what_takes_too_long_is_broken_off_and_counts_as_a_try():
    async def hangs(_task: Task) -> None:
        await asyncio.Event().wait()

    kind = TaskKind("hangs", hangs, timeout=timedelta(milliseconds=20), pauses=())
    async with doing(kind) as running:
        await running.broker.put([task("hangs")])
        assert await running.dead() == [("hangs", 1, "TimeoutError")]


async def test_a_kind_that_nobody_knows_waits_for_whoever_may():
    async with doing() as running:
        await running.broker.put([task("from the future")])

        async def look() -> bool | None:
            return (await running.broker.status())[1].waiting == 1 or None

        await soon(look, "it waits to be tried again")
        assert running.count("unknown", "again") == 1


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[1]", b'{"format":2,"id":"a","kind":"log","user_id":"u","data":{}}']
)
async def test_what_is_no_task_is_set_aside(body: bytes, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(TaskUnreadable):
        Task.decode(body)
    monkeypatch.setattr(Task, "encode", lambda _self: body)
    async with doing() as running:
        await running.broker.put([task("log")])
        assert await running.dead() == [(None, 1, "TaskUnreadable")]


async def test_a_task_belongs_to_the_trace_that_brought_it_about():
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    seen: list[str | None] = []

    async def look(_task: Task) -> None:
        seen.append(current_traceparent())

    log = Log()
    async with doing(TaskKind("look", look), TaskKind("log", log)) as running:
        await running.broker.put([task("look", trace=trace), task("look"), task("log")])
        await log.until(1)
    assert sorted(seen, key=str) == [trace, None]


async def test_a_stop_lets_what_was_begun_end():
    began, ended = asyncio.Event(), asyncio.Event()

    async def slow(_task: Task) -> None:
        began.set()
        await asyncio.sleep(0.1)
        ended.set()

    async with doing(TaskKind("slow", slow), stop_timeout=timedelta(seconds=5)) as running:
        await running.broker.put([task("slow")])
        await began.wait()
        await running.broker.put([task("slow")] * 10)
        await running.stop()
        assert ended.is_set()
        assert running.count("slow", "done") is not None
        waiting = (await running.broker.status())[0].waiting
        assert waiting + int(running.count("slow", "done") or 0) == 11
        assert waiting >= 6, "only what was in hand is finished"


async def test_a_stop_gives_back_what_takes_too_long():
    began = asyncio.Event()

    async def hangs(_task: Task) -> None:
        began.set()
        await asyncio.Event().wait()

    async with doing(TaskKind("hangs", hangs), stop_timeout=timedelta(milliseconds=50)) as running:
        await running.broker.put([task("hangs")])
        await began.wait()
        await asyncio.wait_for(running.stop(), 2)
        assert (await running.broker.status())[0].waiting == 1


async def test_the_effect_comes_before_the_crash_point(monkeypatch: pytest.MonkeyPatch):
    log, passed = Log(), []
    monkeypatch.setattr(worker_module, "fault_point", lambda point: passed.append((point, len(log.seen))))
    async with doing(TaskKind("log", log)) as running:
        await running.broker.put([task("log")])
        await log.until(1)
    assert passed == [("before-ack", 1)]
