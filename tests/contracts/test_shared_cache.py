"""What every SharedCache promises. Each harness gives two of them over one store, as in two processes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from tests.support.running import Running
from tests.support.valkey import new_valkey, url_of

from banyan.infra.cache.shared import Made, MemorySharedCache, SharedCache
from banyan.infra.redis.cache import RedisSharedCache
from banyan.infra.redis.connection import RedisConnection
from banyan.kernel.errors import NotFound

MINUTE = timedelta(minutes=1)


@dataclass
class Harness:
    """settled: returns when what was made is kept."""

    one: SharedCache
    other: SharedCache
    settled: Callable[[], Awaitable[None]]


class Source:
    """What is cached, and how often it was made."""

    def __init__(self, position: int = 7, value: bytes = b"\x00value\r\n\xff") -> None:
        self.made = Made(position, value)
        self.times = 0
        self.hold: asyncio.Event | None = None
        self.making = asyncio.Event()

    async def make(self) -> Made:
        self.times += 1
        self.making.set()
        if self.hold is not None:
            await self.hold.wait()
        return self.made


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with new_valkey(tmp_path_factory.mktemp("cache")) as running:
        yield running


@pytest.fixture(params=["in_memory", "redis"])
async def harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    if request.param == "in_memory":
        store = MemorySharedCache.Store()
        yield Harness(MemorySharedCache(store), MemorySharedCache(store), lambda: asyncio.sleep(0))
        return
    url = url_of(request.getfixturevalue("valkey"))
    connections = [RedisConnection(url, timedelta(seconds=1)) for _ in range(2)]
    await connections[0].do(lambda client: client.flushall())
    one, other = (RedisSharedCache(connection) for connection in connections)

    async def settled() -> None:
        await one.close()
        await other.close()

    yield Harness(one, other, settled)
    await settled()
    for connection in connections:
        await connection.close()


async def test_what_one_made_the_other_need_not_make(harness: Harness) -> None:
    source = Source()
    assert await harness.one.through("a", 7, MINUTE, source.make) == source.made
    await harness.settled()
    assert await harness.other.through("a", 7, MINUTE, source.make) == source.made
    assert source.times == 1


async def test_another_position_is_another_value(harness: Harness) -> None:
    old, new = Source(7, b"old"), Source(8, b"new")
    await harness.one.through("a", 7, MINUTE, old.make)
    await harness.settled()
    assert await harness.other.through("a", 8, MINUTE, new.make) == new.made
    await harness.settled()
    assert await harness.one.through("a", 8, MINUTE, new.make) == new.made
    assert (old.times, new.times) == (1, 1)


async def test_an_older_value_never_takes_the_place_of_a_newer_one(harness: Harness) -> None:
    slow, new = Source(9, b"9"), Source(10, b"10")
    slow.hold = asyncio.Event()
    late = asyncio.create_task(harness.one.through("a", 9, MINUTE, slow.make))
    await slow.making.wait()
    await harness.other.through("a", 10, MINUTE, new.make)
    await harness.settled()
    slow.hold.set()
    assert await late == slow.made
    await harness.settled()
    assert await harness.other.through("a", 10, MINUTE, new.make) == new.made
    assert new.times == 1


async def test_a_value_from_a_newer_snapshot_is_found_at_its_own_position(harness: Harness) -> None:
    """A write came between the question and the load."""
    newer = Source(8, b"8")
    assert await harness.one.through("a", 7, MINUTE, newer.make) == newer.made
    await harness.settled()
    assert await harness.other.through("a", 8, MINUTE, Source(8).make) == newer.made
    asked_at_7 = Source(8, b"made again")
    assert await harness.other.through("a", 7, MINUTE, asked_at_7.make) == asked_at_7.made


async def test_keys_do_not_touch_each_other(harness: Harness) -> None:
    ada, bob = Source(value=b"ada's"), Source(value=b"bob's")
    await harness.one.through("user:ada", 7, MINUTE, ada.make)
    await harness.settled()
    assert (await harness.other.through("user:bob", 7, MINUTE, bob.make)).value == b"bob's"


async def test_of_many_in_two_processes_one_makes_it(harness: Harness) -> None:
    source = Source()
    source.hold = asyncio.Event()
    first = asyncio.create_task(harness.one.through("a", 7, MINUTE, source.make))
    await source.making.wait()
    others = [
        asyncio.create_task(cache.through("a", 7, MINUTE, source.make))
        for cache in (harness.one, harness.other) * 20
    ]
    await asyncio.sleep(0.005)
    source.hold.set()
    assert set(await asyncio.gather(first, *others)) == {source.made}
    assert source.times == 1


async def test_nobody_waits_long_for_another_who_makes_it(harness: Harness) -> None:
    stuck, own = Source(), Source()
    stuck.hold = asyncio.Event()
    first = asyncio.create_task(harness.one.through("a", 7, MINUTE, stuck.make))
    await stuck.making.wait()
    async with asyncio.timeout(0.4):
        assert await harness.other.through("a", 7, MINUTE, own.make) == own.made
    assert own.times == 1
    stuck.hold.set()
    await first


async def test_a_failure_is_the_callers_and_leaves_nothing_behind(harness: Harness) -> None:
    async def missing() -> Made:
        raise NotFound()

    source = Source()
    with pytest.raises(NotFound):
        await harness.one.through("a", 7, MINUTE, missing)
    await harness.settled()
    async with asyncio.timeout(0.04):  # nothing is claimed any more
        assert await harness.other.through("a", 7, MINUTE, source.make) == source.made


async def test_a_value_ends_with_its_time(harness: Harness) -> None:
    source = Source()
    await harness.one.through("a", 7, timedelta(milliseconds=50), source.make)
    await harness.settled()
    await asyncio.sleep(0.08)
    await harness.other.through("a", 7, MINUTE, source.make)
    assert source.times == 2


async def test_a_value_that_takes_long_is_made_anew_before_it_ends(harness: Harness) -> None:
    """Made in 0.1 s and kept for 0.2 s: who asks is the one to renew it with a chance of e^-2 and more."""
    times = 0

    async def slow() -> Made:
        nonlocal times
        times += 1
        await asyncio.sleep(0.1)
        return Made(7, b"slow")

    await harness.one.through("a", 7, timedelta(seconds=0.2), slow)
    await harness.settled()
    for _ in range(60):
        if times > 1:
            break
        await harness.one.through("a", 7, timedelta(seconds=0.2), slow)
    assert times == 2


async def test_a_large_value_is_handed_on_all_the_same(harness: Harness) -> None:
    source = Source(value=b"x" * 3_000_000)
    assert await harness.one.through("a", 7, MINUTE, source.make) == source.made
    await harness.settled()
    assert await harness.other.through("a", 7, MINUTE, source.make) == source.made


async def test_a_cache_that_is_gone_is_no_error(valkey: Running) -> None:
    connection = RedisConnection("redis://127.0.0.1:1/0", timedelta(milliseconds=50))
    cache, source = RedisSharedCache(connection), Source()
    for _ in range(20):
        assert await cache.through("a", 7, MINUTE, source.make) == source.made
    assert source.times == 20
    await cache.close()
    await connection.close()
