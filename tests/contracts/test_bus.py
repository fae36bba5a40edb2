"""The contract of a bus: published events reach every consumer, each user's in order, and one effect each."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from tests.support.buses import Publisher, in_process, on_kafka, until
from tests.support.databases import opened_shards
from tests.support.kafka import running_broker

from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Transaction
from banyan.infra.streams.consumers import Consumer
from banyan.infra.streams.log import EventLog, read_past
from banyan.kernel.clock import ManualClock
from banyan.kernel.errors import Unavailable
from banyan.kernel.events import Event, NewEvent

CLOCK = ManualClock()
LOG = EventLog("todos", CLOCK)
OpenBus = Callable[[Sequence[Consumer]], AbstractAsyncContextManager[Publisher]]


@pytest.fixture
async def shards(tmp_path: Path) -> AsyncIterator[Shards]:
    async with opened_shards(tmp_path) as opened:
        yield opened


@pytest.fixture(params=["in process", "kafka"])
def open_bus(request: pytest.FixtureRequest, shards: Shards) -> Iterator[OpenBus]:
    """Opens the bus with these consumers, whose loops run inside."""
    if request.param == "in process":
        yield lambda consumers: in_process(shards, CLOCK, consumers)
    else:
        with running_broker() as broker:
            yield lambda consumers: on_kafka(broker.address, shards, CLOCK, consumers)


class Recorder:
    """A consumer that remembers what it was given; `refuses` makes its database unreachable."""

    def __init__(self, name: str) -> None:
        self.got: list[tuple[str, int]] = []
        self.refuses = False
        self.refused = asyncio.Event()
        self.consumer = Consumer(name, frozenset({"todos"}), self._handle)

    async def _handle(self, tx: Transaction, event: Event) -> None:
        if self.refuses:
            self.refused.set()
            raise Unavailable()
        self.got.append((event.user_id, event.position))

    async def has(self, count: int) -> None:
        await until(lambda: len(self.got) >= count, f"{count} events")


async def some_events(shards: Shards) -> list[Event]:
    for user in ("ada", "bob", "ada", "eve", "bob"):
        await shards.transact(user, LOG.append, user, [NewEvent("Happened", "s")] * 2)
    return await shards.read("ada", read_past, 0, 100)


EXPECTED = [
    (user, position) for user, last in (("ada", 4), ("bob", 4), ("eve", 2)) for position in range(1, last + 1)
]


async def test_every_consumer_gets_every_event_with_each_users_in_order(shards: Shards, open_bus: OpenBus):
    recorders = [Recorder("one"), Recorder("two")]
    async with open_bus([recorder.consumer for recorder in recorders]) as bus:
        await bus.publish(await some_events(shards))
        for recorder in recorders:
            await recorder.has(len(EXPECTED))
            assert sorted(recorder.got) == EXPECTED
            for user in ("ada", "bob", "eve"):
                positions = [position for who, position in recorder.got if who == user]
                assert positions == sorted(positions)


async def test_events_that_are_published_again_have_no_second_effect(shards: Shards, open_bus: OpenBus):
    recorder = Recorder("one")
    async with open_bus([recorder.consumer]) as bus:
        events = await some_events(shards)
        await bus.publish(events)
        await bus.publish(events)
        await bus.publish(events[3:])
        # Each user's events are in order: when the last has come, so has every repeat before it.
        for user in ("ada", "bob", "eve"):
            await shards.transact(user, LOG.append, user, [NewEvent("Happened", "last")])
        await bus.publish(await shards.read("ada", read_past, events[-1].sequence, 100))
        lasts = {("ada", 5), ("bob", 5), ("eve", 3)}
        await until(lambda: lasts <= set(recorder.got), "the last event of each user")
    assert sorted(recorder.got) == sorted([*EXPECTED, *lasts])


async def test_a_consumer_that_cannot_be_reached_does_not_cost_the_others_theirs(
    shards: Shards, open_bus: OpenBus
):
    down, up = Recorder("down"), Recorder("up")
    down.refuses = True
    async with open_bus([down.consumer, up.consumer]) as bus:
        publishing = asyncio.create_task(bus.publish(await some_events(shards)))
        await up.has(len(EXPECTED))
        await asyncio.wait_for(down.refused.wait(), 30)
        assert down.got == []
        down.refuses = False
        await down.has(len(EXPECTED))
        await publishing
    assert sorted(down.got) == sorted(up.got) == EXPECTED


async def test_a_bad_event_does_not_hold_up_the_bus(shards: Shards, open_bus: OpenBus):
    got: set[tuple[str, int]] = set()

    async def handle(tx: Transaction, event: Event) -> None:
        if event.user_id == "bob" and event.position == 1:
            raise ValueError
        got.add((event.user_id, event.position))

    async with open_bus([Consumer("picky", frozenset({"todos"}), handle)]) as bus:
        await bus.publish(await some_events(shards))
        await until(lambda: len(got) >= len(EXPECTED) - 1, "all events but one")
    assert got == set(EXPECTED) - {("bob", 1)}
