"""The contract of a bus: published events reach every consumer, each user's in order, and one effect each."""

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from tests.support.databases import opened_shards

from banyan.infra.bus import Bus
from banyan.infra.bus.in_process import InProcessBus
from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Transaction
from banyan.infra.streams.consumers import Consumer, ConsumerRunner
from banyan.infra.streams.log import EventLog, read_past
from banyan.kernel.clock import ManualClock
from banyan.kernel.errors import Unavailable
from banyan.kernel.events import Event, NewEvent

CLOCK = ManualClock()
LOG = EventLog("todos", CLOCK)
MakeBus = Callable[[Sequence[Consumer]], Bus]


@pytest.fixture
async def shards(tmp_path: Path) -> AsyncIterator[Shards]:
    async with opened_shards(tmp_path) as opened:
        yield opened


@pytest.fixture(params=["in process"])
def make_bus(request: pytest.FixtureRequest, shards: Shards) -> MakeBus:
    def in_process(consumers: Sequence[Consumer]) -> Bus:
        return InProcessBus([ConsumerRunner(consumer, shards, CLOCK) for consumer in consumers])

    return {"in process": in_process}[request.param]


class Recorder:
    """A consumer that remembers what it was given; `refuses` makes its database unreachable."""

    def __init__(self, name: str) -> None:
        self.got: list[tuple[str, int]] = []
        self.refuses = False
        self.consumer = Consumer(name, frozenset({"todos"}), self._handle)

    async def _handle(self, tx: Transaction, event: Event) -> None:
        if self.refuses:
            raise Unavailable()
        self.got.append((event.user_id, event.position))


async def some_events(shards: Shards) -> list[Event]:
    for user in ("ada", "bob", "ada", "eve", "bob"):
        await shards.transact(user, LOG.append, user, [NewEvent("Happened", "s")] * 2)
    return await shards.read("ada", read_past, 0, 100)


EXPECTED = [("ada", 1), ("ada", 2), ("bob", 1), ("bob", 2), ("ada", 3), ("ada", 4), ("eve", 1), ("eve", 2)]


async def test_every_consumer_gets_every_event_with_each_users_in_order(shards: Shards, make_bus: MakeBus):
    recorders = [Recorder("one"), Recorder("two")]
    await make_bus([recorder.consumer for recorder in recorders]).publish(await some_events(shards))
    for recorder in recorders:
        assert sorted(recorder.got) == sorted([*EXPECTED, ("bob", 3), ("bob", 4)])
        for user in ("ada", "bob", "eve"):
            positions = [position for who, position in recorder.got if who == user]
            assert positions == sorted(positions)


async def test_events_that_are_published_again_have_no_second_effect(shards: Shards, make_bus: MakeBus):
    recorder = Recorder("one")
    bus = make_bus([recorder.consumer])
    events = await some_events(shards)
    await bus.publish(events)
    await bus.publish(events)
    assert len(recorder.got) == len(events)


async def test_a_consumer_that_cannot_be_reached_does_not_cost_the_others_theirs(
    shards: Shards, make_bus: MakeBus
):
    down, up = Recorder("down"), Recorder("up")
    down.refuses = True
    bus = make_bus([down.consumer, up.consumer])
    events = await some_events(shards)
    with pytest.raises(Unavailable):
        await bus.publish(events)
    assert len(up.got) == len(events)
    down.refuses = False
    await bus.publish(events)
    assert len(down.got) == len(up.got) == len(events)


async def test_a_bad_event_does_not_hold_up_the_bus(shards: Shards, make_bus: MakeBus):
    got: list[int] = []

    async def handle(tx: Transaction, event: Event) -> None:
        if event.user_id == "bob" and event.position == 1:
            raise ValueError
        got.append(event.sequence)

    events = await some_events(shards)
    await make_bus([Consumer("picky", frozenset({"todos"}), handle)]).publish(events)
    assert set(got) == {event.sequence for event in events} - {3}
