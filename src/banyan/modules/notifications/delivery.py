"""The delivery loop: claims what is due, sends it through its channel, and notes what became of it.

Claiming and noting are transactions of their own; between them, outside of any transaction, lies the sending. A crash
in between leaves a lease that runs out, and the delivery is claimed again.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Transaction
from banyan.infra.loops import wait_for
from banyan.infra.streams.log import EventLog
from banyan.infra.telemetry.trace import continue_trace
from banyan.kernel.clock import Clock, from_text
from banyan.kernel.events import Event
from banyan.modules.notifications import ledger
from banyan.modules.notifications.channels import Channel, Undeliverable, send_through
from banyan.modules.notifications.contract import NOTIFICATION_CREATED, Outcome
from banyan.modules.notifications.ledger import Claim, trace_of
from banyan.modules.notifications.settling import Settling
from banyan.modules.notifications.targets import Targets

# Sent side by side. One that hangs has its place until its time-out; the others go on in the places that are left.
MOST_AT_ONCE = 64
# A commit of this process wakes the loop; this look without being woken is for other processes, and for retries.
LOOK_SECONDS = 1.0


class DeliveryLoop:
    def __init__(
        self,
        shards: Shards,
        clock: Clock,
        channels: Mapping[str, Channel],
        targets: Targets,
        settling: Settling,
        log: EventLog,
    ) -> None:
        self._shards = shards
        self._clock = clock
        self._channels = channels
        self._targets = targets
        self._settling = settling
        self._log = log
        # Something may be due, or a place has become free.
        self._woken = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None

    def wake(self, events: list[Event]) -> None:
        if any(event.type == NOTIFICATION_CREATED for event in events):
            self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        try:
            while not stop.is_set():
                self._woken.clear()
                begun = await self._begin_due()
                self._raise_failure()
                if begun == 0:
                    await wait_for(self._woken, await self._pause_seconds(), stop=stop)
            await self._finish()
        finally:
            for sending in self._sending:
                sending.cancel()

    async def deliver_due(self) -> int:
        """Send what is due, as much as there are places for; returns how much that was, when all of it is settled."""
        begun = await self._begin_due()
        await self._finish()
        return begun

    async def _begin_due(self) -> int:
        """Claim what is due, and begin to send it; returns how much that was."""
        begun = 0
        for name in self._shards.names():
            free = MOST_AT_ONCE - len(self._sending)
            database = self._shards.named(name)
            # A look that finds nothing, which most do, writes nothing.
            if free == 0 or not await database.read(ledger.due, self._clock.now(), 1):
                continue
            for claim in await database.transact(self._claim, free):
                sending = asyncio.create_task(self._deliver(claim))
                self._sending.add(sending)
                sending.add_done_callback(self._sent)
                begun += 1
        return begun

    async def _claim(self, tx: Transaction, free: int) -> list[Claim]:
        claims = await ledger.claim_due(tx, self._clock.now(), free)
        return [replace(claim, trace=await trace_of(tx, self._log, claim.delivery)) for claim in claims]

    def _sent(self, sending: asyncio.Task[None]) -> None:
        self._sending.discard(sending)
        if not sending.cancelled() and sending.exception() is not None:
            self._failure = sending.exception()
        self._woken.set()

    async def _finish(self) -> None:
        if self._sending:
            await asyncio.wait(list(self._sending))
        self._raise_failure()

    def _raise_failure(self) -> None:
        """What could not be settled comes again when its lease runs out; the loop's keeper gives the database time."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    async def _deliver(self, claim: Claim) -> None:
        await self._settling.settle(claim.delivery, *await self._try(claim))

    async def _try(self, claim: Claim) -> tuple[Outcome, str | None]:
        continue_trace(claim.trace)
        try:
            target = await self._targets.of(claim.delivery)
        except Undeliverable as reason:
            return "undeliverable", str(reason)
        except Exception as error:
            return "refused", type(error).__name__
        return await send_through(self._channels, claim.delivery, claim.notification, target)

    async def _pause_seconds(self) -> float:
        """Until the next delivery is due, at most LOOK_SECONDS."""
        if len(self._sending) >= MOST_AT_ONCE:
            return LOOK_SECONDS
        moments = [await self._shards.named(name).read(ledger.next_due) for name in self._shards.names()]
        waits = [
            (from_text(moment) - self._clock.now()).total_seconds()
            for moment in moments
            if moment is not None
        ]
        return min([LOOK_SECONDS, *(max(0.0, wait) for wait in waits)])
