"""Deliveries by way of the task queue: handed over by whoever has the ledger, sent by a worker.

    due ──▶ leased for a moment ──▶ put as a task ──▶ left alone for 15 minutes ──▶ (due again: put again)
                                        │
                worker: begin (attempt + 1, lease 60 s) ──▶ send ──▶ settle

A delivery may be in the queue twice (its process died before it noted that the queue has it, or the queue is slow): each
task names the attempt that it is about, and only the first that begins the next one sends.
"""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import timedelta

from banyan.infra.auth.secret_box import SealedDataUnreadable, SecretBox
from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Database, Transaction
from banyan.infra.loops import Loop, wait_for
from banyan.infra.streams.log import EventLog
from banyan.infra.tasks.backoff import Backoff
from banyan.infra.tasks.protocol import TaskQueue
from banyan.infra.tasks.task import Task
from banyan.infra.tasks.worker import TaskKind
from banyan.infra.telemetry.log import get_logger
from banyan.kernel.clock import Clock, from_text
from banyan.kernel.errors import Unavailable
from banyan.kernel.events import Event
from banyan.modules.notifications import ledger
from banyan.modules.notifications.channels import Channel, send_through
from banyan.modules.notifications.contract import NOTIFICATION_CREATED, BegunDelivery, Deliveries
from banyan.modules.notifications.model import (
    HANDED_OVER_FOR,
    HANDING_OVER_FOR,
    MAX_ATTEMPTS,
    SEND_TIMEOUT,
    Delivery,
    Notification,
    Status,
)
from banyan.modules.notifications.targets import opened_target

log = get_logger(__name__)

KIND = "delivery"
BATCH = 100
# A commit of this process wakes the loop; this look is for those of others, and for retries.
LOOK_SECONDS = 1.0


class DeliveryHandover:
    """Puts what is due into the task queue. A queue that is full or away leaves it in the ledger, due."""

    def __init__(self, shards: Shards, clock: Clock, tasks: TaskQueue, log: EventLog) -> None:
        self._shards = shards
        self._clock = clock
        self._tasks = tasks
        self._log = log
        self._committed = asyncio.Event()
        self._backoff = Backoff()

    def loop(self) -> Loop:
        return Loop("deliveries", self.run)

    def wake(self, events: list[Event]) -> None:
        if any(event.type == NOTIFICATION_CREATED for event in events):
            self._committed.set()

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self._backoff.wait(stop)
            self._committed.clear()
            if await self.hand_over_due() == 0:
                await wait_for(self._committed, await self._pause_seconds(), stop=stop)

    async def hand_over_due(self) -> int:
        """Put one batch of each shard; returns how many were due."""
        count = 0
        for name in self._shards.names():
            database = self._shards.named(name)
            # A look that finds nothing, which most do, writes nothing.
            if await database.read(ledger.due, self._clock.now(), 1):
                count += await self._hand_over(database)
        return count

    async def _hand_over(self, database: Database) -> int:
        # Each with its trace.
        leased = dict(await database.transact(self._lease))
        try:
            await self._tasks.put([_task(delivery, trace) for delivery, trace in leased.items()])
        except Unavailable as error:
            # Perhaps some were put; they are put again, and the second task of an attempt finds it begun.
            self._backoff.refused()
            log.warning("deliveries_not_handed_over", count=len(leased), error=error.code)
            await database.transact(self._look_again, leased, timedelta(0))
        else:
            self._backoff.taken()
            await database.transact(self._look_again, leased, HANDED_OVER_FOR)
        return len(leased)

    async def _lease(self, tx: Transaction) -> list[tuple[Delivery, str | None]]:
        now = self._clock.now()
        leased: list[tuple[Delivery, str | None]] = []
        for before in await ledger.due(tx, now, BATCH):
            if before.attempt >= MAX_ATTEMPTS:
                await ledger.move(tx, before, before.claimed(now))
            elif await ledger.move(tx, before, before.handed_over(now + HANDING_OVER_FOR)):
                leased.append((before, await ledger.trace_of(tx, self._log, before)))
        return leased

    async def _look_again(self, tx: Transaction, leased: Iterable[Delivery], after: timedelta) -> None:
        # Whatever a worker has begun meanwhile is no longer in this state and attempt, and is left alone.
        for before in leased:
            await ledger.move(tx, before, before.handed_over(self._clock.now() + after))

    async def _pause_seconds(self) -> float:
        moments = [await self._shards.named(name).read(ledger.next_due) for name in self._shards.names()]
        waits = [
            (from_text(moment) - self._clock.now()).total_seconds()
            for moment in moments
            if moment is not None
        ]
        return min([LOOK_SECONDS, *(max(0.0, wait) for wait in waits)])


def delivery_kind(deliveries: Deliveries, channels: Mapping[str, Channel], box: SecretBox) -> TaskKind:
    """How a worker does such a task. box: opens what was sealed for workers."""

    async def handle(task: Task) -> None:
        names = (task.user_id, task.data["notification_id"], task.data["delivery_id"])
        begun = await deliveries.begin_delivery(*names, attempt=task.data["attempt"])
        if begun is None:
            return
        delivery, notification = _as_models(begun)
        try:
            target = opened_target(box, delivery.id, begun.target)
        except SealedDataUnreadable as unreadable:
            outcome, error = "refused", type(unreadable).__name__
        else:
            outcome, error = await send_through(channels, delivery, notification, target)
        await deliveries.settle_delivery(*names, attempt=begun.attempt, outcome=outcome, error=error)

    # Longer than a sending may take, so that it is the ledger that learns of it.
    return TaskKind(KIND, handle, timeout=SEND_TIMEOUT * 2)


def _task(delivery: Delivery, trace: str | None) -> Task:
    data = {
        "notification_id": delivery.notification_id,
        "delivery_id": delivery.id,
        "attempt": delivery.attempt,
    }
    return Task(KIND, delivery.user_id, data, f"{delivery.id}/{delivery.attempt}", trace)


def _as_models(begun: BegunDelivery) -> tuple[Delivery, Notification]:
    shown = begun.notification
    notification = Notification(
        user_id=begun.user_id,
        id=begun.notification_id,
        kind=shown["kind"],
        title=shown["title"],
        message=shown["message"],
        data=shown["data"],
        created_at=shown["created_at"],
        read_at=shown["read_at"],
    )
    delivery = Delivery(
        user_id=begun.user_id,
        notification_id=begun.notification_id,
        id=begun.id,
        channel=begun.channel,
        status=Status.SENDING,
        attempt=begun.attempt,
        at=shown["created_at"],
        due_at=None,
    )
    return delivery, notification
