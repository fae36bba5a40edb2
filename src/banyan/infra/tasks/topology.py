"""The queues of the tasks in RabbitMQ, and how a message is written.

    tasks            what waits; a quorum queue, bounded: past its length the broker refuses what is put
    tasks-alone      what came back because its worker was lost: taken one at a time
    tasks-retry-1s … what failed: each holds its messages for one step of PAUSES and hands them back to `tasks`
    tasks-dead       what was given up, for an operator

Every queue is replicated (quorum) and hands a message on at least once: the broker keeps it until the next queue has
confirmed it, which is only done where a full queue refuses.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aio_pika import DeliveryMode, ExchangeType, Message
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import ChannelPreconditionFailed

from banyan.infra.tasks.protocol import DELIVERY_LIMIT, PAUSES, DeadTask
from banyan.infra.tasks.task import Task, TaskUnreadable
from banyan.infra.telemetry.log import get_logger

log = get_logger(__name__)

TRIES = "banyan-tries"
ERROR = "banyan-error"
# A loss in `tasks` moves a message to `tasks-alone`, where the limit is "more than so many losses": 1 + 3 + 1 in all.
ALONE_LIMIT = DELIVERY_LIMIT - 2


@dataclass(frozen=True, slots=True)
class Topology:
    """name: of the main queue; the others begin with it. max_length: how many tasks `tasks` holds."""

    name: str
    max_length: int

    @property
    def alone(self) -> str:
        return f"{self.name}-alone"

    @property
    def dead(self) -> str:
        return f"{self.name}-dead"

    def retry(self, pause: timedelta) -> str:
        return f"{self.name}-retry-{int(pause.total_seconds())}s"

    def queues(self) -> dict[str, dict[str, Any]]:
        """Every queue, with its arguments."""
        quorum = {"x-queue-type": "quorum", "x-overflow": "reject-publish"}
        at_least_once = {"x-dead-letter-strategy": "at-least-once"}
        to_dead = at_least_once | {
            "x-dead-letter-exchange": self.dead,
            "x-dead-letter-routing-key": self.dead,
        }
        back = at_least_once | {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": self.name}
        queues = {
            self.dead: quorum,
            self.name: quorum
            | to_dead
            | {"x-max-length": self.max_length, "x-delivery-limit": DELIVERY_LIMIT},
            self.alone: quorum | to_dead | {"x-delivery-limit": ALONE_LIMIT},
        }
        for pause in PAUSES:
            queues[self.retry(pause)] = quorum | back | {"x-message-ttl": int(pause.total_seconds() * 1000)}
        return queues

    async def declare(self, connection: AbstractConnection) -> None:
        """Make what is not there. A queue that was made with other arguments is used as it is."""
        channel = await connection.channel()
        exchange = await channel.declare_exchange(self.dead, ExchangeType.DIRECT, durable=True)
        for name, arguments in self.queues().items():
            try:
                queue = await channel.declare_queue(name, durable=True, arguments=arguments)
            except ChannelPreconditionFailed:
                # The broker has closed the channel over it. Queues keep the arguments that they were made with; to give
                # one others it is emptied and deleted.
                log.warning("queue_has_other_arguments", queue=name)
                channel = await connection.channel()
                continue
            if name == self.dead:
                await queue.bind(exchange, routing_key=self.dead)
        await channel.close()


def message_of(task_id: str, body: bytes, *, tries: int = 0, error: str = "") -> Message:
    """What goes into a queue. tries: how often it was taken before."""
    headers: dict[str, Any] = {TRIES: tries, ERROR: error} if tries else {}
    return Message(
        body,
        message_id=task_id,
        content_type="application/json",
        delivery_mode=DeliveryMode.PERSISTENT,
        headers=headers,
    )


def losses(message: AbstractIncomingMessage) -> int:
    """How often this message came back from a worker in its present queue."""
    return _number(message.headers, "x-delivery-count")


def tries_before(message: AbstractIncomingMessage) -> int:
    """How often it was taken before this time."""
    return _number(message.headers, TRIES) + losses(message)


def dead_task(message: AbstractIncomingMessage) -> DeadTask:
    tries, error = _number(message.headers, TRIES), str(message.headers.get(ERROR) or "")
    reason = message.headers.get("x-first-death-reason")
    if str(reason) == "delivery_limit":  # the broker's doing: its workers were lost
        error = "WorkerLost"
        tries += ALONE_LIMIT + 1
    try:
        task = Task.decode(message.body)
    except TaskUnreadable:
        return DeadTask(message.message_id or "", None, None, tries, error)
    return DeadTask(task.id, task.kind, task.user_id, tries, error)


def _number(headers: Mapping[str, Any], name: str) -> int:
    value = headers.get(name)
    return value if isinstance(value, int) else 0
