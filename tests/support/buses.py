"""A bus with its consumers, of either kind, for tests that must not care which."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from banyan.infra.bus import Bus
from banyan.infra.bus.in_process import InProcessBus
from banyan.infra.bus.kafka.bus import KafkaBus
from banyan.infra.bus.kafka.consumers import KafkaConsumers
from banyan.infra.db.shards import Shards
from banyan.infra.loops import LoopRunner
from banyan.infra.streams.consumers import Consumer, ConsumerRunner
from banyan.kernel.clock import Clock
from banyan.kernel.errors import Unavailable
from banyan.kernel.events import Event

STREAMS = ("users", "todos", "notifications")
LOOK_SECONDS = 0.02


class Publisher:
    """Publishes as the relay does: until the bus has taken everything."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.refusals = 0

    async def publish(self, events: Sequence[Event]) -> None:
        while True:
            try:
                await self.bus.prepare()
                await self.bus.publish(events)
                return
            except Unavailable:
                self.refusals += 1
                await asyncio.sleep(LOOK_SECONDS)


@asynccontextmanager
async def in_process(shards: Shards, clock: Clock, consumers: Sequence[Consumer]) -> AsyncIterator[Publisher]:
    yield Publisher(InProcessBus([ConsumerRunner(consumer, shards, clock) for consumer in consumers]))


@asynccontextmanager
async def on_kafka(
    address: str, shards: Shards, clock: Clock, consumers: Sequence[Consumer]
) -> AsyncIterator[Publisher]:
    bus = KafkaBus([address], shards, clock, STREAMS)
    runners = [ConsumerRunner(consumer, shards, clock) for consumer in consumers]
    loops = LoopRunner([bus.loop(), *KafkaConsumers([address], runners, clock).loops()])
    loops.start()
    try:
        yield Publisher(bus)
    finally:
        await loops.stop()
        assert loops.failures == {}


async def until(holds: Callable[[], bool], what: str, *, within_seconds: float = 30.0) -> None:
    """Wait for what another task or process does and nobody signals. Raises AssertionError, naming `what`."""
    deadline = asyncio.get_running_loop().time() + within_seconds
    while not holds():
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"not within {within_seconds:g} s: {what}")
        await asyncio.sleep(LOOK_SECONDS)
