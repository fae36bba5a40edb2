"""The delivery loop: claims what is due, sends it through its channel, and notes what became of it.

Claiming and noting are transactions of their own; between them, outside of any transaction, lies the sending. A crash
in between leaves a lease that runs out, and the delivery is claimed again.
"""

import asyncio
from collections.abc import Mapping

from banyan.infra.db.shards import Shards
from banyan.infra.loops import wait_for
from banyan.infra.telemetry.log import get_logger
from banyan.kernel.clock import Clock, from_text
from banyan.kernel.events import Event
from banyan.modules.notifications import ledger
from banyan.modules.notifications.channels import Channel, send_through
from banyan.modules.notifications.leases import log_refused
from banyan.modules.notifications.ledger import Claim

log = get_logger(__name__)

# All of a batch are sent side by side; the next batch is claimed when the slowest is settled.
BATCH = 32
# A commit of this process wakes the loop; this look without being woken is for other processes, and for retries.
LOOK_SECONDS = 1.0


class DeliveryLoop:
    def __init__(self, shards: Shards, clock: Clock, channels: Mapping[str, Channel]) -> None:
        self._shards = shards
        self._clock = clock
        self._channels = channels
        # With the inbox alone nothing is ever due, and commits need not wake anybody.
        self._has_senders = any(not channel.is_inbox for channel in channels.values())
        self._committed = asyncio.Event()

    def wake(self, _events: list[Event]) -> None:
        if self._has_senders:
            self._committed.set()

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._committed.clear()
            if await self.deliver_due() == 0:
                await wait_for(self._committed, await self._pause_seconds(), stop=stop)

    async def deliver_due(self) -> int:
        """Claim and send one batch of each shard; returns how many were sent or tried."""
        tried = 0
        for name in self._shards.names():
            claims = await self._shards.named(name).transact(ledger.claim_due, self._clock.now(), BATCH)
            results = await asyncio.gather(
                *(self._deliver(claim) for claim in claims), return_exceptions=True
            )
            for result in results:
                if isinstance(result, BaseException):  # raised when all are done: no sending is broken off
                    raise result
            tried += len(claims)
        return tried

    async def _deliver(self, claim: Claim) -> None:
        outcome, error = await send_through(self._channels, claim.delivery, claim.notification)
        after = claim.delivery.settled(self._clock.now(), outcome, error)
        if not await self._shards.transact(claim.delivery.user_id, ledger.move, claim.delivery, after):
            # Its lease ran out and it was claimed again, or its notification was deleted: this result counts no more.
            log.warning(
                "delivery_settled_late", delivery_id=claim.delivery.id, channel=claim.delivery.channel
            )
        elif outcome != "delivered":
            log_refused(after)

    async def _pause_seconds(self) -> float:
        """Until the next delivery is due, at most LOOK_SECONDS."""
        moments = [await self._shards.named(name).read(ledger.next_due) for name in self._shards.names()]
        waits = [
            (from_text(moment) - self._clock.now()).total_seconds()
            for moment in moments
            if moment is not None
        ]
        return min([LOOK_SECONDS, *(max(0.0, wait) for wait in waits)])
