"""The RabbitMQ of the test run: started when it is first needed, gone when the run ends."""

import asyncio
import atexit
import functools
import shutil
import tempfile
from pathlib import Path

import aio_pika
from tests.support.programs import missing
from tests.support.running import Running

from banyan.fleet.ports import free_port
from banyan.fleet.servers import rabbitmq
from banyan.fleet.servers.server import MissingProgram
from banyan.infra.tasks.rabbitmq import RabbitTasks
from banyan.infra.tasks.task import Task
from banyan.infra.tasks.topology import Topology


class RunningRabbitMQ(Running):
    """A broker that runs. url: as `BANYAN_AMQP_URL` takes it."""

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="banyan-rabbitmq-"))
        self.url = rabbitmq.url(self.port)
        try:
            super().__init__(rabbitmq.describe(self.folder, self.port))
        except MissingProgram as error:
            missing(str(error))

    def stop(self) -> None:
        super().stop()
        shutil.rmtree(self.folder, ignore_errors=True)


@functools.cache
def shared_rabbitmq() -> RunningRabbitMQ:
    """The broker that tests share which neither stop it nor fill it up."""
    running = RunningRabbitMQ()
    atexit.register(running.stop)
    running.start()
    return running


def emptied_rabbitmq() -> RunningRabbitMQ:
    """The shared broker without any task: for servers and workers, whose queues have fixed names."""
    running = shared_rabbitmq()
    asyncio.run(_delete_queues(running.url))
    return running


def waiting_in(url: str) -> dict[str, int]:
    """How many messages wait in each queue."""
    return asyncio.run(_waiting(url))


async def _waiting(url: str) -> dict[str, int]:
    broker = RabbitTasks(url, max_length=100_000)
    try:
        return {queue.name: queue.waiting for queue in await broker.status()}
    finally:
        await broker.close()


def put_task(url: str, task: Task) -> None:
    """Put a task into the queue of servers and workers."""

    async def put() -> None:
        broker = RabbitTasks(url, max_length=100_000)
        try:
            await broker.put([task])
        finally:
            await broker.close()

    asyncio.run(put())


async def _delete_queues(url: str) -> None:
    connection = await aio_pika.connect(url)
    async with connection, connection.channel() as channel:
        for name in Topology("tasks", max_length=1).queues():
            await channel.queue_delete(name)
