"""Deliveries in the hands of a worker elsewhere: it begins one, sends it, and says what became of it."""

from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Transaction
from banyan.infra.telemetry.log import get_logger
from banyan.kernel.clock import Clock
from banyan.modules.notifications import ledger, store
from banyan.modules.notifications.channels import Undeliverable
from banyan.modules.notifications.contract import BegunDelivery, Outcome
from banyan.modules.notifications.model import Delivery, Notification, Status
from banyan.modules.notifications.settling import Settling
from banyan.modules.notifications.targets import Targets

log = get_logger(__name__)


class DeliveryLeases:
    """See contract.Deliveries. The attempt is the fence: each can be begun once, and settled once."""

    def __init__(self, shards: Shards, clock: Clock, targets: Targets, settling: Settling) -> None:
        self._shards = shards
        self._clock = clock
        self._targets = targets
        self._settling = settling

    async def begin(
        self, user_id: str, notification_id: str, delivery_id: str, attempt: int
    ) -> BegunDelivery | None:
        begun = await self._shards.transact(
            user_id, self._begin, user_id, notification_id, delivery_id, attempt
        )
        if begun is None:
            return None
        delivery, notification = begun
        try:
            target = await self._targets.of(delivery)
        except Undeliverable as reason:
            await self._settling.settle(delivery, "undeliverable", str(reason))
            return None
        except Exception as error:
            await self._settling.settle(delivery, "refused", type(error).__name__)
            return None
        return BegunDelivery(
            user_id,
            notification_id,
            delivery_id,
            delivery.channel,
            delivery.attempt,
            notification.as_view(),
            self._targets.sealed(delivery, target),
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
        begun = await self._shards.read(user_id, ledger.find_delivery, user_id, notification_id, delivery_id)
        if begun is None or begun.attempt != attempt or begun.status is not Status.SENDING:
            log.warning("delivery_settled_late", delivery_id=delivery_id)
            return False
        return await self._settling.settle(begun, outcome, error)

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
