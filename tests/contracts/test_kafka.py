"""What Kafka's adapters promise beyond the contract of a bus, on a real broker."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from tests.support.buses import STREAMS, Publisher, on_kafka, until
from tests.support.databases import opened_shards
from tests.support.kafka import Broker, running_broker

from banyan.infra.bus.kafka import bus as bus_module
from banyan.infra.bus.kafka import consumers as consumers_module
from banyan.infra.bus.kafka import session as session_module
from banyan.infra.bus.kafka.broadcast import KafkaBroadcast
from banyan.infra.bus.kafka.bus import KafkaBus
from banyan.infra.bus.kafka.consumers import GroupReader
from banyan.infra.bus.kafka.envelope import decode, encode
from banyan.infra.bus.kafka.session import BrokerSession, ensure_topics
from banyan.infra.bus.kafka.topics import PARTITIONS
from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Transaction
from banyan.infra.loops import Loop, LoopRunner
from banyan.infra.streams.consumers import Consumer, ConsumerRunner
from banyan.infra.streams.dead_letters import parked_letters, redrive_letters
from banyan.infra.streams.log import EventLog, read_past
from banyan.kernel.clock import SystemClock
from banyan.kernel.errors import Unavailable
from banyan.kernel.events import Event, NewEvent

CLOCK = SystemClock()
LOG = EventLog("todos", CLOCK)
TOPIC = "todo-events"


@pytest.fixture
async def shards(tmp_path: Path) -> AsyncIterator[Shards]:
    async with opened_shards(tmp_path) as opened:
        yield opened


@pytest.fixture
def broker() -> Iterator[Broker]:
    with running_broker() as running:
        yield running


class Recorder:
    """Remembers what was applied; `refuses` makes the database unreachable."""

    def __init__(self) -> None:
        self.got: list[tuple[str, int]] = []
        self.refuses = False
        self.refused = asyncio.Event()
        self.consumer = Consumer("recorder", frozenset({"todos"}), self._handle, frozenset({"Happened"}))

    async def _handle(self, tx: Transaction, event: Event) -> None:
        if self.refuses:
            self.refused.set()
            raise Unavailable()
        self.got.append((event.user_id, event.position))

    async def has(self, wanted: set[tuple[str, int]]) -> None:
        await until(lambda: wanted <= set(self.got), f"{len(wanted)} events")
        assert len(self.got) == len(set(self.got)), "something had two effects"
        for user in {user for user, _ in self.got}:
            positions = [position for who, position in self.got if who == user]
            assert positions == sorted(positions)


async def happen(shards: Shards, user: str, count: int, **data: str) -> list[Event]:
    before = await shards.read(user, LOG.position, user)
    await shards.transact(user, LOG.append, user, [NewEvent("Happened", "s", data)] * count)
    return await shards.read(user, LOG.read, user, after=before, limit=count)


def all_of(user: str, count: int) -> set[tuple[str, int]]:
    return {(user, position) for position in range(1, count + 1)}


async def send_raw(broker: Broker, *values: bytes, key: bytes = b"ada") -> None:
    producer = AIOKafkaProducer(bootstrap_servers=broker.address, acks="all")
    await producer.start()
    for value in values:
        await producer.send_and_wait(TOPIC, value, key=key)
    await producer.stop()


async def test_a_place_is_committed_after_the_database(shards: Shards, broker: Broker):
    """A process that ends while its database is away has not taken anything off the topic."""
    recorder = Recorder()
    recorder.refuses = True
    async with on_kafka(broker.address, shards, CLOCK, [recorder.consumer]) as publisher:
        await publisher.publish(await happen(shards, "ada", 5))
        await asyncio.wait_for(recorder.refused.wait(), 30)
    recorder.refuses = False
    async with on_kafka(broker.address, shards, CLOCK, [recorder.consumer]):
        await recorder.has(all_of("ada", 5))


async def test_a_place_that_was_committed_is_where_the_next_process_begins(
    shards: Shards, broker: Broker, monkeypatch: pytest.MonkeyPatch
):
    recorder = Recorder()
    async with on_kafka(broker.address, shards, CLOCK, [recorder.consumer]) as publisher:
        await publisher.publish(await happen(shards, "ada", 5))
        await recorder.has(all_of("ada", 5))
    delivered: list[Event] = []
    real = ConsumerRunner.deliver

    async def noting(self: ConsumerRunner, events: list[Event], **how: bool) -> None:
        delivered.extend(events)
        await real(self, events, **how)

    monkeypatch.setattr(ConsumerRunner, "deliver", noting)
    async with on_kafka(broker.address, shards, CLOCK, [recorder.consumer]) as publisher:
        await publisher.publish(await happen(shards, "ada", 1))
        await recorder.has(all_of("ada", 6))
    assert [event.position for event in delivered] == [6]


async def test_a_database_that_stays_away_costs_no_membership(
    shards: Shards, broker: Broker, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(consumers_module, "SESSION_SECONDS", 2.0)
    monkeypatch.setattr(consumers_module, "HEARTBEAT_SECONDS", 0.3)
    recorder = Recorder()
    revocations: list[int] = []

    async def noting(self: GroupReader, revoked: set[object]) -> None:
        revocations.append(len(revoked))

    monkeypatch.setattr(GroupReader, "on_partitions_revoked", noting)
    async with on_kafka(broker.address, shards, CLOCK, [recorder.consumer]) as publisher:
        await publisher.publish(await happen(shards, "ada", 1))
        await recorder.has(all_of("ada", 1))
        recorder.refuses = True
        await publisher.publish(await happen(shards, "ada", 4))
        await asyncio.wait_for(recorder.refused.wait(), 10)
        await asyncio.sleep(5)  # longer than the session lasts without a heartbeat
        recorder.refuses = False
        await recorder.has(all_of("ada", 5))
    assert sum(revocations) == 0


async def test_what_is_no_event_is_parked_and_delays_nobody(shards: Shards, broker: Broker):
    recorder = Recorder()
    async with on_kafka(broker.address, shards, CLOCK, [recorder.consumer]) as publisher:
        events = await happen(shards, "ada", 3)
        await publisher.publish(events[:1])
        await recorder.has(all_of("ada", 1))
        began = time.monotonic()
        await send_raw(broker, b"\x00garbage", b'{"specversion": "1.0"}', b"\x00garbage")
        await publisher.publish(events[1:])
        await recorder.has(all_of("ada", 3))
        assert time.monotonic() - began < 5
    letters = await shards.read("ada", parked_letters)
    assert [(letter.error, letter.value) for letter in letters] == [
        ("malformed", b"\x00garbage"),
        ("malformed id", b'{"specversion": "1.0"}'),
    ]
    assert {(letter.topic, letter.consumer) for letter in letters} == {(TOPIC, "recorder")}


def of_version_2(event: Event) -> bytes:
    envelope = json.loads(encode(event))
    return json.dumps({**envelope, "type": f"org.banyan.{event.type}.v2"}).encode()


async def test_an_unknown_version_is_parked_and_applied_once_when_it_is_known(
    shards: Shards, broker: Broker, monkeypatch: pytest.MonkeyPatch
):
    recorder = Recorder()
    events = await happen(shards, "ada", 5)
    other = replace(events[0], type="NobodyWantsThis")
    async with on_kafka(broker.address, shards, CLOCK, [recorder.consumer]) as publisher:
        # All in one batch: what comes before the unknown one is applied before the inbox moves past it.
        await send_raw(broker, *map(encode, events[:3]), of_version_2(events[3]), of_version_2(other))
        await still_parked(shards)
        # It comes again in a form that is understood; but only the letter may be applied now, and only once.
        await publisher.publish(events[3:])
        await recorder.has(all_of("ada", 3) | {("ada", 5)})
        assert ("ada", 4) not in recorder.got
        (letter,) = await shards.read("ada", parked_letters)
        assert (letter.error, letter.state) == ("unknown_version type", "parked")

        assert await shards.transact("ada", redrive_letters) == 1
        await still_parked(shards)

        monkeypatch.setattr(
            consumers_module, "decode", lambda value: decode(value.replace(b"Happened.v2", b"Happened.v1"))
        )
        assert await shards.transact("ada", redrive_letters) == 1
        await until(lambda: ("ada", 4) in recorder.got, "the redriven event")
        assert await shards.read("ada", parked_letters) == []
        await publisher.publish(events)
        await publisher.publish(await happen(shards, "ada", 1))
        await until(lambda: ("ada", 6) in recorder.got, "the last event")
    assert sorted(recorder.got) == sorted(all_of("ada", 6))


async def still_parked(shards: Shards) -> None:
    async with asyncio.timeout(10):
        while [one.state for one in await shards.read("ada", parked_letters)] != ["parked"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_repeats_change_nothing(shards: Shards, broker: Broker):
    """Every tenth batch falls back by some batches, as after crashes of the relay."""
    recorder = Recorder()
    users = [f"user-{number}" for number in range(7)]
    for _ in range(40):
        for user in users:
            await happen(shards, user, random.randint(1, 3))
    events = await shards.read("ada", read_past, 0, 10_000)
    async with on_kafka(broker.address, shards, CLOCK, [recorder.consumer]) as publisher:
        at = 0
        while at < len(events):
            await publisher.publish(events[at : at + 20])
            at = max(0, at - random.randint(0, 100)) if random.random() < 0.1 else at + 20
        await recorder.has({(event.user_id, event.position) for event in events})


async def test_events_that_fill_many_batches_stay_in_order(shards: Shards, broker: Broker):
    recorder = Recorder()
    async with on_kafka(broker.address, shards, CLOCK, [recorder.consumer]) as publisher:
        await publisher.publish(await happen(shards, "ada", 60, notes="x" * 40_000))
        await recorder.has(all_of("ada", 60))


async def test_topics_are_made_once_by_whoever_comes_first(broker: Broker):
    await asyncio.gather(*(ensure_topics([broker.address], [TOPIC, "user-events"]) for _ in range(5)))
    session = await BrokerSession.open([broker.address], [TOPIC, "user-events"])
    assert session.partitions == {TOPIC: PARTITIONS, "user-events": PARTITIONS}
    session.close()


async def test_the_first_broker_of_the_list_may_be_away(broker: Broker):
    session = await BrokerSession.open(["127.0.0.1:1", broker.address], [TOPIC])
    assert session.partitions == {TOPIC: PARTITIONS}
    session.close()


async def test_a_broker_that_stands_still_is_given_up_in_time(
    shards: Shards, broker: Broker, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(session_module, "REQUEST_TIMEOUT_SECONDS", 0.5)
    bus = KafkaBus([broker.address], shards, CLOCK, STREAMS)
    await bus.open()
    await bus.prepare()
    events = await happen(shards, "ada", 3)
    broker.pause()
    began = time.monotonic()
    with pytest.raises(Unavailable):
        await bus.publish(events)
    with pytest.raises(Unavailable):
        await bus.prepare()
    with pytest.raises(Unavailable):
        await bus.open()
    assert time.monotonic() - began < 3
    broker.go_on()
    await bus.open()
    await bus.prepare()
    await bus.publish(events)
    await bus.close()


async def test_a_log_that_was_found_lost_is_not_written_before_it_was_read_again(
    shards: Shards, broker: Broker
):
    """Events that were read before the bookmark went back are refused, though a session is open again."""
    bus = KafkaBus([broker.address], shards, CLOCK, STREAMS)
    await bus.open()
    await bus.prepare()
    first, second = await happen(shards, "ada", 1), await happen(shards, "ada", 1)
    await bus.publish(first)
    broker.kill9()
    broker.start()
    with pytest.raises(Unavailable, match="lost"):
        await opened_again(bus)
    await bus.open()
    with pytest.raises(Unavailable):
        await bus.publish(second)
    await bus.prepare()
    await bus.publish([*first, *second])
    await bus.close()


async def opened_again(bus: KafkaBus) -> None:
    """As the bus's loop does, once it has noticed that the connection ended."""
    session = await bus.open()
    await asyncio.wait_for(session.closed.wait(), 10)
    await bus.open()


async def test_the_end_of_a_connection_is_noticed_while_nothing_happens(
    shards: Shards, broker: Broker, monkeypatch: pytest.MonkeyPatch
):
    """Nothing is published any more, and still the new log is filled."""
    monkeypatch.setattr(bus_module, "LOOK_SECONDS", 3600)
    bus = KafkaBus([broker.address], shards, CLOCK, STREAMS)
    await bus.open()
    await bus.prepare()
    await bus.publish(await happen(shards, "ada", 3))
    loops = LoopRunner([bus.loop()])
    loops.start()
    broker.kill9()
    broker.start()

    async def marks() -> object:
        return await bus._guard.marks()

    async with asyncio.timeout(20):
        while await marks():  # noqa: ASYNC110 - going back forgets them
            await asyncio.sleep(0.05)
    await loops.stop()
    assert loops.failures == {}


async def test_every_process_hears_the_broadcast(shards: Shards, broker: Broker):
    heard: list[list[tuple[str, int]]] = [[], []]

    def listener(number: int) -> Callable[[list[Event]], None]:
        return lambda events: heard[number].extend((event.user_id, event.position) for event in events)

    broadcasts = [KafkaBroadcast([broker.address], STREAMS, listener(number)) for number in range(2)]
    bus = KafkaBus([broker.address], shards, CLOCK, STREAMS)
    loops = LoopRunner([bus.loop(), *(Loop(f"b{n}", one.run) for n, one in enumerate(broadcasts))])
    loops.start()
    publisher = Publisher(bus)
    await publisher.publish(await happen(shards, "ada", 1))
    for broadcast in broadcasts:
        await asyncio.wait_for(broadcast.reading.wait(), 20)
    await publisher.publish(await happen(shards, "ada", 5))
    await send_raw(broker, b"garbage")
    await publisher.publish(await happen(shards, "bob", 1))
    for of_one in heard:
        await until(lambda: {("ada", 6), ("bob", 1)} <= set(of_one), "the last events")  # noqa: B023
        assert [position for user, position in of_one if user == "ada" and position > 1] == [2, 3, 4, 5, 6]
    broker.kill9()
    broker.start()
    number = 7

    async def hears_again() -> None:
        nonlocal number
        while not all(("bob", number) in of_one for of_one in heard):
            number += 1
            await publisher.publish(
                [replace(event, position=number) for event in await happen(shards, "bob", 1)]
            )
            await asyncio.sleep(0.3)

    await asyncio.wait_for(hears_again(), 40)
    await loops.stop()
    assert loops.failures == {}
