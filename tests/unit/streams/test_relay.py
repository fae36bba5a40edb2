"""The relay: every committed event reaches the bus, in order, whatever fails in between."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.support.databases import opened_shards

from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Transaction
from banyan.infra.loops import Loop, LoopRunner
from banyan.infra.streams import relay as relay_module
from banyan.infra.streams.log import EventLog
from banyan.infra.streams.relay import Relay
from banyan.kernel.clock import ManualClock
from banyan.kernel.errors import Unavailable
from banyan.kernel.events import Event, NewEvent

LOG = EventLog("todos", ManualClock())


class Bus:
    """Takes events, unless it is down; `reached` is set when it holds as many as asked for."""

    def __init__(self) -> None:
        self.taken: list[Event] = []
        self.down = False
        self.tries = 0
        self.tried = asyncio.Event()
        self.tried_twice = asyncio.Event()
        self.waiting_for = 0
        self.reached = asyncio.Event()

    async def prepare(self) -> None:
        pass

    async def publish(self, events: Sequence[Event]) -> None:
        self.tries += 1
        self.tried.set()
        if self.tries == 2:
            self.tried_twice.set()
        if self.down:
            raise Unavailable()
        self.taken.extend(events)
        if len(self.taken) >= self.waiting_for:
            self.reached.set()

    async def holds(self, count: int) -> None:
        self.waiting_for = count
        if len(self.taken) < count:
            self.reached.clear()
            await asyncio.wait_for(self.reached.wait(), 10)


@pytest.fixture
async def shards(tmp_path: Path) -> AsyncIterator[Shards]:
    async with opened_shards(tmp_path) as opened:
        yield opened


async def happen(shards: Shards, count: int, user: str = "ada") -> None:
    await shards.transact(
        user, LOG.append, user, [NewEvent("Happened", str(number)) for number in range(count)]
    )


async def test_events_go_out_once_and_in_order(shards: Shards, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(relay_module, "BATCH", 3)
    bus = Bus()
    relay = Relay(shards, bus)
    await happen(shards, 7)
    await happen(shards, 2, "bob")
    while await relay.publish_waiting():
        pass
    assert [event.sequence for event in bus.taken] == list(range(1, 10))
    assert await relay.lag() == 0
    assert await relay.publish_waiting() == 0
    assert await Relay(shards, bus).publish_waiting() == 0  # the bookmark outlives the process


async def test_a_bus_that_refuses_gets_the_same_events_again(shards: Shards):
    bus = Bus()
    bus.down = True
    relay = Relay(shards, bus)
    await happen(shards, 3)
    with pytest.raises(Unavailable):
        await relay.publish_waiting()
    assert await relay.lag() == 3
    bus.down = False
    assert await relay.publish_waiting() == 3
    assert [event.position for event in bus.taken] == [1, 2, 3]


async def test_a_crash_after_publishing_repeats_and_loses_nothing(
    shards: Shards, monkeypatch: pytest.MonkeyPatch
):
    bus = Bus()
    relay = Relay(shards, bus)
    await happen(shards, 3)

    def dies(point: str) -> None:
        if point == "after-publish":
            raise KeyboardInterrupt

    monkeypatch.setattr(relay_module, "fault_point", dies)
    with pytest.raises(KeyboardInterrupt):
        await relay.publish_waiting()
    monkeypatch.undo()
    await Relay(shards, bus).publish_waiting()
    assert [event.position for event in bus.taken] == [1, 2, 3, 1, 2, 3]


async def test_a_slower_relay_does_not_move_the_bookmark_of_a_faster_one(shards: Shards):
    relay = Relay(shards, Bus())
    await happen(shards, 5)
    await relay.publish_waiting()
    await shards.transact("ada", relay._move_bookmark, 0, 2)
    assert await relay.lag() == 0


class BetweenBatches(Bus):
    """While it publishes, another relay is quicker with the same events."""

    def __init__(self, other: Relay) -> None:
        super().__init__()
        self._other = other

    async def publish(self, events: Sequence[Event]) -> None:
        await self._other.publish_waiting()
        await super().publish(events)


async def test_of_two_relays_one_stands_by(shards: Shards):
    at_work_bus = Bus()
    at_work = Relay(shards, at_work_bus)
    bus = BetweenBatches(at_work)
    relay = Relay(shards, bus)
    await happen(shards, 3)
    assert await relay.publish_waiting() == 3, "it did not know better yet"
    for _ in range(3):
        await happen(shards, 1)
        assert await relay.publish_waiting() == 0
        assert await at_work.publish_waiting() == 1
    assert [event.position for event in at_work_bus.taken] == [1, 2, 3, 4, 5, 6]
    assert len(bus.taken) == 3


async def test_it_takes_over_when_the_other_one_stops(shards: Shards, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(relay_module, "STAND_BY_SECONDS", 0.0)
    monkeypatch.setattr(relay_module, "DOUBT_SECONDS", 0.0)
    at_work = Relay(shards, Bus())
    bus = BetweenBatches(at_work)
    relay = Relay(shards, bus)
    await happen(shards, 3)
    await relay.publish_waiting()
    bus.taken.clear()
    # It is at work: what waits at one look is gone at the next.
    for _ in range(3):
        await happen(shards, 1)
        assert await relay.publish_waiting() == 0
        await at_work.publish_waiting()
    # From now on it is not.
    await happen(shards, 2)
    while not bus.taken:
        assert await relay.publish_waiting() in (0, 2)
    assert [event.position for event in bus.taken] == [7, 8]


async def test_who_stands_by_is_not_woken_by_commits(shards: Shards, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(relay_module, "STAND_BY_SECONDS", 3600.0)
    monkeypatch.setattr(relay_module, "DOUBT_SECONDS", 3600.0)
    monkeypatch.setattr(relay_module, "LONGEST_BATCH_REST_SECONDS", 0.0)
    at_work = Relay(shards, Bus())
    bus = BetweenBatches(at_work)
    relay = Relay(shards, bus)
    looks = 0
    prepare = bus.prepare

    async def counted() -> None:
        nonlocal looks
        looks += 1
        await prepare()

    monkeypatch.setattr(bus, "prepare", counted)
    shards.on_commit(relay.wake)
    runner = LoopRunner([Loop("relay", relay.run)])
    runner.start()
    await happen(shards, 1)
    await bus.holds(1)
    for _ in range(20):
        await happen(shards, 1)
    await runner.stop()
    assert looks <= 3
    assert len(bus.taken) == 1


async def test_a_bookmark_that_was_put_back_meanwhile_stays_there(shards: Shards):
    """The bus lost what it had, and somebody put the bookmark back while this relay was publishing."""
    relay, bus = Relay(shards, Bus()), Bus()
    await happen(shards, 3)
    await relay.publish_waiting()

    async def put_back(tx: Transaction) -> None:
        await tx.run(text("UPDATE bookmarks SET sequence = 0"))

    class LosesEverything(Bus):
        async def publish(self, events: Sequence[Event]) -> None:
            await shards.transact("ada", put_back)

    await happen(shards, 2)
    await Relay(shards, LosesEverything()).publish_waiting()
    assert await relay.lag() == 5
    await Relay(shards, bus).publish_waiting()
    assert [event.position for event in bus.taken] == [1, 2, 3, 4, 5]


async def test_nothing_is_read_before_the_bus_is_ready_for_it(shards: Shards):
    class NotReady(Bus):
        async def prepare(self) -> None:
            raise Unavailable()

    bus = NotReady()
    await happen(shards, 3)
    with pytest.raises(Unavailable):
        await Relay(shards, bus).publish_waiting()
    assert bus.tries == 0


async def test_a_commit_wakes_it_and_a_stop_ends_it_at_once(shards: Shards, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(relay_module, "LOOK_SECONDS", 3600)
    bus = Bus()
    relay = Relay(shards, bus)
    shards.on_commit(relay.wake)
    runner = LoopRunner([Loop("relay", relay.run)])
    runner.start()
    for count in range(1, 6):
        await happen(shards, 1)
        await bus.holds(count)
    began = asyncio.get_running_loop().time()
    await runner.stop()
    assert asyncio.get_running_loop().time() - began < 1


async def test_it_goes_on_by_itself_when_the_bus_is_back(shards: Shards):
    bus = Bus()
    bus.down = True
    relay = Relay(shards, bus)
    shards.on_commit(relay.wake)
    runner = LoopRunner([Loop("relay", relay.run)])
    runner.start()
    await happen(shards, 3)
    await asyncio.wait_for(bus.tried_twice.wait(), 10)
    bus.down = False
    await bus.holds(3)
    await runner.stop()
    assert [event.position for event in bus.taken] == [1, 2, 3]
    assert bus.tries >= 3


async def test_a_bus_that_stays_away_is_not_asked_all_the_time(
    shards: Shards, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(relay_module, "FIRST_PAUSE_SECONDS", 3600)
    bus = Bus()
    bus.down = True
    relay = Relay(shards, bus)
    shards.on_commit(relay.wake)
    runner = LoopRunner([Loop("relay", relay.run)])
    runner.start()
    await happen(shards, 1)
    await asyncio.wait_for(bus.tried.wait(), 10)
    for _ in range(5):
        await happen(shards, 1)
    await runner.stop()
    assert bus.tries == 1
