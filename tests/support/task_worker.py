"""A worker process for fault tests: python task_worker.py URL FILE. Its tasks leave a line in a file, or do harm.

note     appends `id` to the file, once for each id however often it is done, and syncs it
slow     writes `began id` to the file, sleeps for data.seconds, then does what `note` does
kill     kills the process it runs in
fail     raises
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta

from prometheus_client import CollectorRegistry

from banyan.infra.tasks.metrics import TaskMetrics
from banyan.infra.tasks.protocol import TaskBroker
from banyan.infra.tasks.rabbitmq import RabbitTasks
from banyan.infra.tasks.task import Task
from banyan.infra.tasks.worker import TaskKind, TaskWorker
from banyan.infra.telemetry.log import configure_logging

SECOND = timedelta(seconds=1)


class Notes:
    """What is done, on disk. repeated: how often a task was found done already."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._path = path

    def add(self, line: str) -> None:
        os.write(self._file, f"{line}\n".encode())
        os.fsync(self._file)

    def has(self, line: str) -> bool:
        with open(self._path) as file:  # noqa: PTH123 - as short as it gets
            return any(found == f"{line}\n" for found in file)


def kinds(notes: Notes) -> list[TaskKind]:
    async def note(task: Task) -> None:
        if not task.data.get("check") or not notes.has(task.id):
            notes.add(task.id)

    async def slow(task: Task) -> None:
        notes.add(f"began {task.id}")
        await asyncio.sleep(task.data["seconds"])
        notes.add(task.id)

    async def kill(_task: Task) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    async def fail(_task: Task) -> None:
        raise ValueError

    return [
        TaskKind("note", note),
        TaskKind("slow", slow, timeout=timedelta(minutes=2)),
        TaskKind("kill", kill),
        TaskKind("fail", fail, pauses=(SECOND, SECOND)),
    ]


async def main(url: str, path: str, wrap: Callable[[TaskBroker], TaskBroker] = lambda broker: broker) -> None:
    configure_logging("INFO", as_json=True)
    broker = wrap(RabbitTasks(url, max_length=100_000))
    worker = TaskWorker(
        broker,
        kinds(Notes(path)),
        concurrency=8,
        stop_timeout=SECOND * 10,
        metrics=TaskMetrics(CollectorRegistry()),
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await worker.run(stop)
    await broker.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
