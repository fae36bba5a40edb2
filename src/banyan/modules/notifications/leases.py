"""Deliveries in the hands of a worker elsewhere: it begins one, sends it, and says what became of it."""

from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Transaction
from banyan.infra.telemetry.log import get_logger
from banyan.kernel.clock import Clock
from banyan.modules.notifications import ledger, store
from banyan.modules.notifications.contract import BegunDelivery, Outcome
from banyan.modules.notifications.model import Delivery, Notification, Status

log = get_logger(__name__)


class DeliveryLeases:
    """See contract.Deliveries. The attempt is the fence: each can be begun once, and settled once."""

    def __init__(self, shards: Shards, clock: Clock) -> None:
        self._shards = shards
        self._clock = clock

    async def begin(
        self, user_id: str, notification_id: str, delivery_id: str, attempt: int
    ) -> BegunDelivery | None:
        begun = await self._shards.transact(
            user_id, self._begin, user_id, notification_id, delivery_id, attempt
        )
        if begun is None:
            return None
        delivery, notification = begun
        return BegunDelivery(
            user_id, notification_id, delivery_id, delivery.channel, delivery.attempt, notification.as_view()
        )

    async def settle(
        self,
        user_id: str,
        notification_id: str,
        delivery_id: str,
        attempt: int,
        outcome: Outcome,
        error: str | None,
    ) -> bool:
        after = await self._shards.transact(
            user_id, self._settle, user_id, notification_id, delivery_id, attempt, outcome, error
        )
        if after is None:
            log.warning("delivery_settled_late", delivery_id=delivery_id)
        elif outcome != "delivered":
            log_refused(after)
        return after is not None

    async def _begin(
        self, tx: Transaction, user_id: str, notification_id: str, delivery_id: str, attempt: int
    ) -> tuple[Delivery, Notification] | None:
        before = await ledger.find_delivery(tx, user_id, notification_id, delivery_id)
        if before is None or before.attempt != attempt or before.status in (Status.DELIVERED, Status.FAILED):
            return None
        after = before.claimed(self._clock.now())
        notification = await store.find(tx, user_id, notification_id)
        if not await ledger.move(tx, before, after) or notification is None:
            return None
        return (after, notification) if after.status is Status.SENDING else None

    async def _settle(
        self,
        tx: Transaction,
        user_id: str,
        notification_id: str,
        delivery_id: str,
        attempt: int,
        outcome: Outcome,
        error: str | None,
    ) -> Delivery | None:
        before = await ledger.find_delivery(tx, user_id, notification_id, delivery_id)
        if before is None or before.attempt != attempt or before.status is not Status.SENDING:
            return None
        after = before.settled(self._clock.now(), outcome, error)
        return after if await ledger.move(tx, before, after) else None


def log_refused(after: Delivery) -> None:
    log.warning(
        "delivery_refused",
        delivery_id=after.id,
        channel=after.channel,
        status=after.status.value,
        attempt=after.attempt,
        error=after.error,
    )
