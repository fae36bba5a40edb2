"""TaskBroker on RabbitMQ: quorum queues, mandatory publishing with confirms, dead letters, delivery limits."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import DeliveryError, PublishError

from banyan.infra.loops import wait_for
from banyan.infra.tasks.protocol import DeadTask, QueueFull, QueueStatus, Take, step_for
from banyan.infra.tasks.rabbitmq_link import Link, unavailable_when_lost
from banyan.infra.tasks.task import Task
from banyan.infra.tasks.topology import Topology, dead_task, losses, message_of, tries_before
from banyan.infra.telemetry.log import get_logger
from banyan.kernel.errors import Unavailable

log = get_logger(__name__)

# A broker that confirms nothing for so long is stuck, or out of memory or disk and holding publishers back.
CONFIRM_SECONDS = 5.0
ASK_SECONDS = 5.0
RECONNECT_LOOK_SECONDS = 0.2
LONG_SECONDS = 3600.0
# What could neither be done nor put elsewhere is held for so long before it goes back, so that it does not spin.
HOLD_SECONDS = 1.0
RETURN_SECONDS = 1.0
RETURN_LOOK_SECONDS = 0.02


class RabbitTasks:
    """Producers and a worker's acknowledgements have a connection each: a broker that holds publishers back must go on
    taking acknowledgements, or nothing ever gets emptier."""

    def __init__(self, url: str, *, max_length: int, name: str = "tasks") -> None:
        """url: `amqp://USER:PASSWORD@HOST:PORT/`. Connects when it is first used."""
        self._topology = Topology(name, max_length)
        self._producing = Link(url, f"banyan {name} producer", self._topology.declare)
        self._taking = Link(url, f"banyan {name} worker", self._topology.declare)
        self._publisher: AbstractChannel | None = None
        self._opening = asyncio.Lock()

    async def put(self, tasks: Sequence[Task]) -> None:
        results = await asyncio.gather(
            *(self.publish(self._topology.name, message_of(task.id, task.encode())) for task in tasks),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(
                result, BaseException
            ):  # raised when all are settled: nothing goes on behind the caller
                raise result

    async def take(self, take: Take, *, at_once: int, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self._take_until_lost(take, at_once, stop)
            except Unavailable:
                await wait_for(stop, RECONNECT_LOOK_SECONDS)

    async def check(self) -> None:
        if not self._taking.is_open:
            raise Unavailable("RabbitMQ is not connected.")

    async def status(self) -> list[QueueStatus]:
        async with self._asking() as channel:
            found = []
            for name in self._topology.queues():
                declared = (await channel.declare_queue(name, passive=True)).declaration_result
                found.append(QueueStatus(name, declared.message_count or 0, declared.consumer_count or 0))
            return sorted(found, key=lambda queue: queue.name)

    async def dead_tasks(self, limit: int) -> list[DeadTask]:
        found: list[DeadTask] = []
        # What is got and not acknowledged goes back when the channel closes.
        async with self._asking() as channel:
            queue = await channel.get_queue(self._topology.dead, ensure=False)
            while len(found) < limit and (message := await queue.get(fail=False)) is not None:
                found.append(dead_task(message))
        await self._returned(len(found))
        return found

    async def redrive(self, task_ids: Sequence[str] | None = None) -> int:
        count = left = 0
        async with self._asking() as channel:
            queue = await channel.get_queue(self._topology.dead)
            # No more than are there now: one that dies again at once would be let go round and round.
            for _ in range(queue.declaration_result.message_count or 0):
                message = await queue.get(fail=False)
                if message is None:
                    break
                task = dead_task(message)
                if task_ids is None or task.id in task_ids:
                    await self.publish(self._topology.name, message_of(task.id, message.body))
                    await message.ack()
                    count += 1
                else:
                    left += 1
        await self._returned(left)
        return count

    async def purge_dead(self) -> int:
        async with self._asking() as channel:
            queue = await channel.get_queue(self._topology.dead, ensure=False)
            return (await queue.purge()).message_count or 0

    async def close(self) -> None:
        await asyncio.gather(self._taking.close(), self._producing.close())

    # For its taken tasks

    async def publish(self, queue: str, message: Message) -> None:
        """Return when the broker has it on disk. Raises QueueFull, Unavailable."""
        channel = await self._publisher_channel()
        try:
            with unavailable_when_lost():
                try:
                    await channel.default_exchange.publish(
                        message, routing_key=queue, mandatory=True, timeout=CONFIRM_SECONDS
                    )
                except PublishError:
                    raise  # no such queue: it was deleted, and is made anew with the next connection
                except DeliveryError as error:
                    raise QueueFull() from error
        except QueueFull:
            raise
        except Unavailable:
            if self._publisher is channel:
                self._publisher = None
                self._producing.drop()
            raise

    @property
    def topology(self) -> Topology:
        return self._topology

    async def _returned(self, count: int) -> None:
        """Wait until the dead tasks that were only looked at are back: the broker puts them back in its own time, and
        whoever asks next would not find them. After a second it is left to the broker."""
        if not count:
            return
        async with self._asking() as channel:
            for _ in range(int(RETURN_SECONDS / RETURN_LOOK_SECONDS)):
                queue = await channel.get_queue(self._topology.dead)
                if (queue.declaration_result.message_count or 0) >= count:
                    return
                await asyncio.sleep(RETURN_LOOK_SECONDS)

    async def _publisher_channel(self) -> AbstractChannel:
        channel = self._publisher
        if channel is not None and not channel.is_closed:
            return channel
        async with self._opening:
            if self._publisher is not None and not self._publisher.is_closed:
                return self._publisher
            connection = await self._producing.connection()
            with unavailable_when_lost():
                async with asyncio.timeout(CONFIRM_SECONDS):
                    self._publisher = await connection.channel(publisher_confirms=True, on_return_raises=True)
            return self._publisher

    async def _take_until_lost(self, take: Take, at_once: int, stop: asyncio.Event) -> None:
        connection = await self._taking.connection()
        lost = asyncio.Event()
        with unavailable_when_lost():
            async with asyncio.timeout(ASK_SECONDS):
                usual = await self._consume(
                    connection, self._topology.name, at_once, partial(self._on_usual, take), lost
                )
                alone = await self._consume(
                    connection, self._topology.alone, 1, partial(self._on_alone, take), lost
                )
        log.info("taking_tasks", at_once=at_once)
        while not await wait_for(lost, LONG_SECONDS, stop=stop):
            pass
        if lost.is_set():
            log.warning("tasks_connection_lost")
            self._taking.drop()
            return
        for channel, tag in (usual, alone):
            with unavailable_when_lost():
                async with asyncio.timeout(ASK_SECONDS):
                    await (await channel.get_underlay_channel()).basic_cancel(tag)

    async def _consume(
        self,
        connection: AbstractConnection,
        queue_name: str,
        prefetch: int,
        on_message: Callable[[AbstractIncomingMessage], Awaitable[None]],
        lost: asyncio.Event,
    ) -> tuple[AbstractChannel, str]:
        channel = await connection.channel(publisher_confirms=False)
        channel.close_callbacks.add(lambda *_: lost.set())
        # The broker ends a consumer when its queue is deleted or has lost its leader.
        (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(lambda _: lost.set())
        await channel.set_qos(prefetch_count=prefetch)
        queue = await channel.get_queue(queue_name, ensure=False)
        return channel, await queue.consume(on_message)

    async def _on_usual(self, take: Take, message: AbstractIncomingMessage) -> None:
        if losses(message) == 0:
            take(_Taken(self, message))
            return
        # Its worker was lost while it had this and perhaps others in hand, and any of them may have been the reason.
        # Each is tried once more where nobody else is lost with it.
        suspect = message_of(_id_of(message), message.body, tries=tries_before(message), error="WorkerLost")
        try:
            await self.publish(self._topology.alone, suspect)
            await _settle(message.ack())
        except Unavailable:
            await asyncio.sleep(HOLD_SECONDS)
            await _settle(message.nack(requeue=True))

    async def _on_alone(self, take: Take, message: AbstractIncomingMessage) -> None:
        take(_Taken(self, message))

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[AbstractChannel]:
        """A channel of its own for an operator's question, closed at the end."""
        connection = await self._producing.connection()
        with unavailable_when_lost():
            async with asyncio.timeout(ASK_SECONDS):
                channel = await connection.channel(publisher_confirms=False)
            try:
                yield channel
            finally:
                await channel.close()


class _Taken:
    def __init__(self, tasks: RabbitTasks, message: AbstractIncomingMessage) -> None:
        self._tasks = tasks
        self._message = message

    @property
    def body(self) -> bytes:
        return self._message.body

    @property
    def tries(self) -> int:
        return tries_before(self._message) + 1

    async def done(self) -> None:
        await _settle(self._message.ack())

    async def again(self, pause: timedelta, error: str) -> None:
        await self._move(self._tasks.topology.retry(step_for(pause)), error)

    async def dead(self, error: str) -> None:
        await self._move(self._tasks.topology.dead, error)

    async def give_back(self) -> None:
        await _settle(self._message.nack(requeue=True))

    async def _move(self, queue: str, error: str) -> None:
        moved = message_of(_id_of(self._message), self.body, tries=self.tries, error=error)
        try:
            await self._tasks.publish(queue, moved)
        except Unavailable:
            # It stays in our hands a moment, then goes back; a broker that is gone has taken it back already.
            await asyncio.sleep(HOLD_SECONDS)
            await self.give_back()
            return
        await self.done()


def _id_of(message: AbstractIncomingMessage) -> str:
    return message.message_id or ""


async def _settle(settling: Awaitable[None]) -> None:
    """Acknowledge or give back. On a lost connection there is nothing to say: the broker delivers it again."""
    try:
        with unavailable_when_lost():
            await settling
    except Unavailable:
        log.warning("task_settled_too_late")
