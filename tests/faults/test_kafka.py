"""Kafka under faults: nothing lost, one effect each, every user's in order.

Events are written to a database, its relay publishes them, and members of one group, each a process of its own, note
their effects in the same database. `effects` is read in the order in which the effects were committed.
"""

import asyncio
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, suppress
from pathlib import Path

import pytest
from tests.support.buses import STREAMS, until
from tests.support.databases import opened_shards
from tests.support.eventually import eventually
from tests.support.kafka import Broker, running_broker
from tests.support.kafka_member import CREATE_EFFECTS, Member

from banyan.infra.bus.kafka.bus import KafkaBus
from banyan.infra.bus.kafka.log_guard import LogGuard, lost
from banyan.infra.bus.kafka.session import TROUBLE
from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Transaction
from banyan.infra.loops import Loop, LoopRunner
from banyan.infra.streams.log import EventLog, read_past
from banyan.infra.streams.relay import Relay
from banyan.kernel.clock import SystemClock
from banyan.kernel.errors import Unavailable
from banyan.kernel.events import NewEvent

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(180)]

CLOCK = SystemClock()
LOG = EventLog("todos", CLOCK)
USERS = [f"user-{number}" for number in range(40)]


class World:
    """The database, its relay, and members that can be started at any time."""

    def __init__(self, folder: Path, shards: Shards, broker: Broker, stack: ExitStack) -> None:
        self.shards = shards
        self.broker = broker
        self.bus = KafkaBus([broker.address], shards, CLOCK, STREAMS)
        self.relay = Relay(shards, self.bus)
        self.loops = LoopRunner([self.bus.loop(), Loop("relay", self.relay.run)])
        self.written: dict[str, int] = {}
        self._folder = folder
        self._stack = stack
        self._members = 0

    def member(self) -> Member:
        self._members += 1
        log = self._folder / f"member-{self._members}.log"
        return self._stack.enter_context(Member(self._folder / "test.sqlite3", self.broker.address, log))

    async def write(self, user: str, count: int = 1) -> None:
        """Until it is taken: on a slow disk several processes may keep one SQLite file busy for longer than it waits."""
        events = [NewEvent("Happened", "s")] * count
        async with asyncio.timeout(60):
            while True:
                with suppress(Unavailable):
                    await self.shards.transact(user, LOG.append, user, events)
                    break
        self.written[user] = self.written.get(user, 0) + count

    async def until_published(self) -> None:
        async with asyncio.timeout(30):
            while await self.relay.lag() > 0:  # noqa: ASYNC110 - the bookmark tells nobody
                await asyncio.sleep(0.02)

    def effects(self) -> dict[str, list[int]]:
        """The positions of each user's events, in the order of their effects."""
        found: dict[str, list[int]] = {}
        with closing(sqlite3.connect(self._folder / "test.sqlite3")) as database:
            for user, position in database.execute(
                "SELECT user_id, position FROM effects ORDER BY number"
            ).fetchall():
                found.setdefault(user, []).append(position)
        return found

    async def until_all_took_effect(self, *, within_seconds: float = 60.0) -> None:
        """And each once, and in order."""

        def enough() -> bool:
            return sum(map(len, self.effects().values())) >= sum(self.written.values())

        await until(enough, "an effect of every event", within_seconds=within_seconds)
        wanted = {user: list(range(1, count + 1)) for user, count in self.written.items()}
        assert self.effects() == wanted


@pytest.fixture
def broker() -> Iterator[Broker]:
    with running_broker() as running:
        yield running


@pytest.fixture
async def world(tmp_path: Path, broker: Broker) -> AsyncIterator[World]:
    async def create(tx: Transaction) -> None:
        await tx.run(CREATE_EFFECTS)

    with ExitStack() as stack:
        async with opened_shards(tmp_path) as shards:
            await shards.transact("ada", create)
            world = World(tmp_path, shards, broker, stack)
            shards.on_commit(world.relay.wake)
            world.loops.start()
            try:
                yield world
            finally:
                await world.loops.stop()


@asynccontextmanager
async def events_flowing(world: World, *, per_second: int = 200) -> AsyncIterator[None]:
    """Every user's events, one after the other, until the block ends."""
    stop = asyncio.Event()

    async def write() -> None:
        number = 0
        while not stop.is_set():
            await world.write(USERS[number % len(USERS)])
            number += 1
            await asyncio.sleep(1 / per_second)

    writing = asyncio.create_task(write())
    try:
        yield
    finally:
        stop.set()
        await writing


async def more_effects(world: World, count: int = 100) -> None:
    """Wait until events go on having effects."""
    now = sum(map(len, world.effects().values()))
    await until(lambda: sum(map(len, world.effects().values())) >= now + count, f"{count} more effects")


async def test_members_come_and_go_and_die_while_events_flow(world: World):
    async with events_flowing(world):
        first = world.member()
        await first.until_it_says('"banyan.count": 6')
        await more_effects(world)
        second, third = world.member(), world.member()
        for member in (second, third):
            await member.until_it_says("kafka_partitions")
        await more_effects(world)
        first.signal(signal.SIGKILL)
        await more_effects(world)
        fourth = world.member()
        await fourth.until_it_says("kafka_partitions")
        await more_effects(world)
        assert second.end() == 0
        await more_effects(world)
    await world.until_all_took_effect()


async def test_a_member_that_was_thought_dead_comes_back(world: World):
    async with events_flowing(world):
        first, second = world.member(), world.member()
        for member in (first, second):
            await member.until_it_says("kafka_partitions")
        await more_effects(world)
        first.freeze()
        await second.until_it_says('"banyan.count": 6', within_seconds=40)
        await more_effects(world)
        first.signal(signal.SIGCONT)
        await more_effects(world, 400)
    await world.until_all_took_effect()


async def test_what_a_killed_broker_had_acknowledged_is_published_again(world: World):
    for user in USERS:
        await world.write(user, 5)
    await world.until_published()
    world.broker.kill9()
    world.broker.start()
    world.member()
    await world.until_all_took_effect()


async def test_a_broker_is_killed_again_and_again_while_events_flow(world: World):
    member = world.member()
    await member.until_it_says("kafka_partitions")
    async with events_flowing(world):
        for _ in range(3):
            await more_effects(world)
            world.broker.kill9()
            await asyncio.sleep(0.5)  # an outage has a length
            world.broker.start()
        await more_effects(world)
    await world.until_all_took_effect()


async def test_a_place_in_the_lost_log_is_not_taken_for_one_in_the_new(world: World):
    """The old log held more messages than there are events: what the member has not seen lies before its place in the new."""
    member = world.member()
    await world.write("ada", 100)
    await world.until_published()
    await world.bus.prepare()
    await world.bus.publish(await world.shards.read("ada", read_past, 0, 100))
    await world.until_all_took_effect()
    await member.until_it_says("kafka_partitions")
    await world.write("ada")  # the repeats are read when this has its effect
    await world.until_all_took_effect()
    member.freeze()
    await world.write("ada", 150)
    await world.until_published()
    world.broker.kill9()
    world.broker.start()
    await until_published_again(world)
    member.signal(signal.SIGCONT)
    await world.until_all_took_effect()


async def until_published_again(world: World) -> None:
    """The relay has found the log lost, and has filled the new one."""
    guard = LogGuard(world.shards, CLOCK)
    async with asyncio.timeout(30):
        while True:
            with suppress(Unavailable, *TROUBLE):
                ends, marks = await (await world.bus.open()).ends(), await guard.marks()
                if marks and not lost(marks, ends) and await world.relay.lag() == 0:
                    return
            await asyncio.sleep(0.05)


async def test_a_broker_that_stands_still_is_waited_for(world: World):
    member = world.member()
    await member.until_it_says("kafka_partitions")
    async with events_flowing(world, per_second=50):
        await more_effects(world)
        world.broker.pause()
        began = asyncio.get_running_loop().time()
        await world.write("ada", 3)
        await asyncio.sleep(12)  # longer than every time-out of the relay and of the group
        assert asyncio.get_running_loop().time() - began < 14, "writers do not wait for the broker"
        world.broker.go_on()
        await more_effects(world)
    await world.until_all_took_effect()


def test_a_broker_that_is_away_keeps_nobody_from_starting_and_working(make_server, new_user, tmp_path: Path):
    broker = Broker(tmp_path / "kafka")
    server = make_server({"BANYAN_KAFKA_SERVERS": broker.address})
    user = new_user(server=server)
    todos = [{"op": "create", "todo": {"title": f"number {number}"}} for number in range(500)]
    for _ in range(4):
        user.client.post("/todos/batch", json={"operations": todos}).raise_for_status()
    assert user.client.get("/todos/stats").json()["open"] == 0
    processor = server.processor_seconds()
    time.sleep(5)  # an outage has a length
    if processor is not None:
        assert server.processor_seconds() - processor < 1, "it is busy waiting"
    with broker:
        back = time.monotonic()
        eventually(
            lambda: user.client.get("/todos/stats").json()["open"] == 2000 or None,
            "the backlog is drained",
            within_seconds=30,
        )
        assert time.monotonic() - back < 30
        eventually(
            lambda: [one["kind"] for one in user.client.get("/notifications").json()] == ["welcome"] or None,
            "the notification of the registration",
        )
    assert server.log_text().count("kafka_unavailable") == 1
    assert user.client.post("/todos", json={"title": "it is away again"}).status_code == 201
