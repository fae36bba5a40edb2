"""Events from one process to another through Kafka: how many a second, and how late.

    .venv/bin/python benchmarks/kafka/run.py [--events 20000] [--postgresql]

A broker of its own, on this machine and in memory; a relay in one process, a consumer in another, both on one database.
The consumer does what each consumer does, inbox and all, and one INSERT for each event. Latency is from just before the
commit of an event to just after the consumer's commit.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sqlalchemy import text
from tests.support.databases import create_tables
from tests.support.kafka import running_broker
from tests.support.server import migrated_postgres_url

from banyan.infra.bus.kafka.broadcast import KafkaBroadcast
from banyan.infra.bus.kafka.bus import KafkaBus
from banyan.infra.bus.kafka.consumers import KafkaConsumers
from banyan.infra.db.postgres import PostgresDatabase
from banyan.infra.db.postgres_pool import PoolSettings
from banyan.infra.db.shards import Shards
from banyan.infra.db.sqlite import SqliteDatabase
from banyan.infra.loops import Loop, LoopRunner
from banyan.infra.streams.consumers import Consumer, ConsumerRunner
from banyan.infra.streams.log import Append, EventLog
from banyan.infra.streams.relay import Relay
from banyan.infra.telemetry.log import configure_logging
from banyan.kernel.clock import SystemClock
from banyan.kernel.events import NewEvent

ROOT = Path(__file__).resolve().parents[2]
CLOCK = SystemClock()
LOG = EventLog("todos", CLOCK)
USERS = 500
STREAMS = ("users", "todos", "notifications")
TODO = {
    "title": "Water the banyan",
    "completed": False,
    "notes": "Once a week",
    "labels": ["garden"],
    "order": 1,
}
EFFECT = text("INSERT INTO effects (id) VALUES (:id)")


def open_shards(place: str) -> Shards:
    if place.startswith("postgresql"):
        return Shards({"main": PostgresDatabase(place, PoolSettings(size=10))})
    return Shards({"main": SqliteDatabase(Path(place))})


async def consume(place: str, address: str, expected: int) -> None:
    """The other process: prints a line when it has its partitions, and one with what it saw when it has applied all."""
    shards = open_shards(place)
    await shards.start()
    late: list[float] = []
    applied, done = 0, asyncio.Event()

    async def handle(tx, event) -> None:
        await tx.run(EFFECT, {"id": event.id})

    consumer = Consumer("bench", frozenset({"todos"}), handle)
    runner = ConsumerRunner(consumer, shards, CLOCK)
    deliver = runner.deliver

    async def timed(events) -> None:
        nonlocal applied
        await deliver(events)
        now = time.time()
        applied += len(events)
        late.extend(now - event.data["sent"] for event in events)
        if applied >= expected:
            done.set()

    runner.deliver = timed
    consumers = KafkaConsumers([address], [runner], CLOCK)
    (group,) = consumers.groups
    assigned = group.on_partitions_assigned

    async def tell(partitions) -> None:
        await assigned(partitions)
        if partitions:
            print("joined", flush=True)

    group.on_partitions_assigned = tell
    loops = LoopRunner(consumers.loops())
    loops.start()
    await done.wait()
    print(json.dumps({"done": time.time(), "late": late}), flush=True)
    await loops.stop()
    await shards.close()


async def append(shards: Shards, count: int) -> None:
    for begin in range(0, count, USERS):
        appends = [
            Append(f"user-{number}", [NewEvent("TodoCreated", "s", {**TODO, "sent": time.time()})])
            for number in range(min(USERS, count - begin))
        ]
        await shards.transact("x", LOG.append_many, appends)


async def measure(place: str, address: str, count: int, *, paced: bool) -> dict[str, float]:
    shards = open_shards(place)
    await shards.start()
    bus = KafkaBus([address], shards, CLOCK, STREAMS)
    relay = Relay(shards, bus)
    await bus.open()
    loops = LoopRunner([bus.loop(), Loop("relay", relay.run)])
    argv = [sys.executable, __file__, "--consume", place, address, str(count)]
    other = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220
    joined = await asyncio.to_thread(other.stdout.readline)
    assert joined == "joined\n", joined
    told = asyncio.create_task(asyncio.to_thread(other.stdout.readline))
    heard: list[float] = []
    if paced:
        broadcast = KafkaBroadcast(
            [address], STREAMS, lambda events: heard.extend(time.time() - e.data["sent"] for e in events)
        )
        shards.on_commit(relay.wake)
        loops = LoopRunner([bus.loop(), Loop("relay", relay.run), broadcast.loop()])
        loops.start()
        await broadcast.reading.wait()
        for number in range(count):
            event = NewEvent("TodoCreated", "s", {**TODO, "sent": time.time()})
            await shards.transact("x", LOG.append, f"user-{number % USERS}", [event])
            await asyncio.sleep(0.01)
        began = 0.0
    else:
        await append(shards, count)
        began = time.time()
        loops.start()
        while await relay.lag() > 0:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    published = time.time()
    answer = json.loads(await told)
    await loops.stop()
    await shards.close()
    other.wait()
    if not paced:
        return {
            "relay_to_kafka_per_second": count / (published - began),
            "relay_to_consumer_per_second": count / (answer["done"] - began),
        }
    return {
        **{f"consumer_{name}": value for name, value in percentiles(answer["late"]).items()},
        **{f"broadcast_{name}": value for name, value in percentiles(heard).items()},
    }


def percentiles(seconds: list[float]) -> dict[str, float]:
    cut = statistics.quantiles(seconds, n=100)
    return {"p50_ms": cut[49] * 1000, "p99_ms": cut[98] * 1000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("--consume", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    configure_logging("warning", as_json=True)
    if chosen.consume:
        place, address, expected = chosen.consume
        asyncio.run(consume(place, address, int(expected)))
        return
    for paced, count in ((False, chosen.events), (True, 1000)):
        with tempfile.TemporaryDirectory() as folder, running_broker() as broker:
            place = migrated_postgres_url() if chosen.postgresql else str(Path(folder) / "bench.sqlite3")
            if not chosen.postgresql:
                create_tables(Path(place))
            asyncio.run(create_effects(place))
            for name, value in asyncio.run(measure(place, broker.address, count, paced=paced)).items():
                print(f"{name:32} {value:10.1f}")


async def create_effects(place: str) -> None:
    shards = open_shards(place)
    await shards.start()

    async def create(tx) -> None:
        await tx.run(text("CREATE TABLE effects (id VARCHAR(36))"))

    await shards.transact("x", create)
    await shards.close()


if __name__ == "__main__":
    main()
