"""Housekeeping: what must be tried again, and what need not be kept."""

import asyncio
from collections.abc import Sequence

from banyan.infra.db.idempotency import forget_old
from banyan.infra.db.shards import Shards
from banyan.infra.loops import Loop, wait_for
from banyan.infra.streams.consumers import ConsumerRunner
from banyan.kernel.clock import Clock

RETRY_LOOK_SECONDS = 0.2
HOUSEKEEPING_SECONDS = 3600.0


def retry_loop(runners: Sequence[ConsumerRunner]) -> Loop:
    """Tries again the events that consumers set aside, when they are due."""

    async def run(stop: asyncio.Event) -> None:
        while not stop.is_set():
            tried = await turn()
            await wait_for(stop, RETRY_LOOK_SECONDS if tried else RETRY_LOOK_SECONDS * 5)

    async def turn() -> int:
        return sum([await runner.retry_due() for runner in runners])

    return Loop("retries", run, turn)


def housekeeping_loop(shards: Shards, clock: Clock) -> Loop:
    """Forgets idempotency keys that are older than their promise."""

    async def run(stop: asyncio.Event) -> None:
        while not stop.is_set():
            await turn()
            await wait_for(stop, HOUSEKEEPING_SECONDS)

    async def turn() -> int:
        for name in shards.names():
            await shards.named(name).transact(forget_old, clock)
        return 0

    return Loop("housekeeping", run, turn)
