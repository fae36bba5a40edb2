"""What follows from an attempt: the ledger's next entry, and a channel whose receiver wants nothing any more."""

from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Transaction
from banyan.infra.streams.log import EventLog
from banyan.infra.telemetry.log import get_logger
from banyan.kernel.clock import Clock, now_text
from banyan.kernel.events import NewEvent
from banyan.modules.notifications import channel_store, ledger
from banyan.modules.notifications.channel_model import GONE
from banyan.modules.notifications.contract import CHANNEL_CHANGED, Outcome
from banyan.modules.notifications.model import Delivery

log = get_logger(__name__)


class Settling:
    def __init__(self, shards: Shards, log_: EventLog, clock: Clock) -> None:
        self._shards = shards
        self._log = log_
        self._clock = clock

    async def settle(self, before: Delivery, outcome: Outcome, error: str | None) -> bool:
        """Note what became of the attempt that `before` is.

        False when its lease ran out and it was claimed again, or its notification was deleted: it counts no more.
        """
        after = before.settled(self._clock.now(), outcome, error)
        settled = await self._shards.transact(before.user_id, self._settle, before, after, outcome)
        if not settled:
            log.warning("delivery_settled_late", delivery_id=before.id, channel=before.channel)
        elif outcome != "delivered":
            log.warning(
                "delivery_refused",
                delivery_id=after.id,
                channel=after.channel,
                status=after.status.value,
                attempt=after.attempt,
                error=after.error,
            )
        return settled

    async def _settle(self, tx: Transaction, before: Delivery, after: Delivery, outcome: Outcome) -> bool:
        if not await ledger.move(tx, before, after):
            return False
        if outcome == "gone" and before.channel_id is not None:
            await self._disable(tx, before.user_id, before.channel_id)
        return True

    async def _disable(self, tx: Transaction, user_id: str, channel_id: str) -> None:
        await self._log.hold(tx, user_id)
        channel = await channel_store.find(tx, user_id, channel_id)
        if channel is None or not channel.enabled:
            return
        after, changes = channel.changed(now_text(self._clock), enabled=False, disabled_reason=GONE)
        await channel_store.replace(tx, after)
        await self._log.append(tx, user_id, [NewEvent(CHANNEL_CHANGED, channel_id, changes)])
