"""The contract of Positions: never behind an acknowledged write."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.databases import opened_shards
from tests.support.server import migrated_postgres_url
from tests.support.valkey import new_valkey, url_of

from banyan.infra.db.postgres import PostgresDatabase
from banyan.infra.db.postgres_pool import PoolSettings
from banyan.infra.db.shards import Shards
from banyan.infra.loops import LoopRunner
from banyan.infra.redis.positions import RedisPositions
from banyan.infra.streams.log import EventLog
from banyan.infra.streams.positions import DatabasePositions, Positions, ProcessPositions
from banyan.kernel.clock import ManualClock
from banyan.kernel.events import Event, NewEvent

LOG = EventLog("todos", ManualClock())
ONE = [NewEvent("Happened", "s")]
# On a busy machine many wait for twenty connections; that the wait is bounded is another contract.
PATIENT = PoolSettings(pool_wait=timedelta(seconds=20))


@dataclass
class Store:
    """Where positions are kept. opened: databases of one more process, and its positions, hearing of its commits."""

    opened: Callable[[], AbstractAsyncContextManager[tuple[Shards, Positions]]]


@pytest.fixture(params=["process", "database", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "process":
        return in_a_file(tmp_path)
    url = migrated_postgres_url()
    redis_url = request.getfixturevalue("redis_url") if request.param == "redis" else None
    return Store(lambda: on_postgresql(url, redis_url))


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with new_valkey(tmp_path_factory.mktemp("valkey")) as running:
        yield url_of(running)


def in_a_file(folder: Path) -> Store:
    @asynccontextmanager
    async def opened() -> AsyncIterator[tuple[Shards, Positions]]:
        async with opened_shards(folder) as shards:
            positions = ProcessPositions(shards)
            shards.on_commit(positions.observe)
            yield shards, positions

    return Store(opened)


@asynccontextmanager
async def on_postgresql(url: str, redis_url: str | None = None) -> AsyncIterator[tuple[Shards, Positions]]:
    shards = Shards({"main": PostgresDatabase(url, PATIENT)})
    if redis_url is None:
        positions = DatabasePositions(shards)
    else:
        aside = {"main": PostgresDatabase(url).beside(size=2)}
        positions = RedisPositions.over(shards, aside, redis_url, timedelta(milliseconds=500))
        shards.settle_with(positions)
    shards.on_commit(positions.observe)
    await shards.start()
    runner = LoopRunner(positions.loops())
    runner.start()
    try:
        yield shards, positions
    finally:
        await runner.stop()
        await shards.close()


@pytest.fixture
async def opened(store: Store) -> AsyncIterator[tuple[Shards, Positions]]:
    async with store.opened() as pair:
        yield pair


@pytest.fixture
def shards(opened: tuple[Shards, Positions]) -> Shards:
    return opened[0]


@pytest.fixture
def positions(opened: tuple[Shards, Positions]) -> Positions:
    return opened[1]


def event_at(position: int) -> Event:
    return Event("e", "ada", "todos", position, "Happened", "s", {}, None, "2030-01-01T00:00:00.000000Z")


async def test_an_untouched_stream_is_at_0(positions: Positions):
    assert await positions.current("ada", "todos") == 0
    assert positions.known("ada", "todos") in (0, None)


async def test_each_acknowledged_write_is_known_when_its_caller_goes_on(shards: Shards, positions: Positions):
    for expected in range(1, 20):
        await shards.transact("ada", LOG.append, "ada", ONE)
        assert positions.known("ada", "todos") in (expected, None)
        assert await positions.current("ada", "todos") == expected


async def test_what_was_written_before_this_process_is_loaded(store: Store):
    async with store.opened() as (before, _):
        await before.transact("bob", LOG.append, "bob", ONE * 7)
    async with store.opened() as (_, positions):
        positions.observe([event_at(1)])
        assert positions.known("bob", "todos") is None
        assert await positions.current("bob", "todos") == 7


async def test_a_repeat_or_a_reordering_never_moves_it_back(shards: Shards, positions: Positions):
    events: list[Event] = []
    shards.on_commit(events.extend)
    for _ in range(5):
        await shards.transact("ada", LOG.append, "ada", ONE)
    assert await positions.current("ada", "todos") == 5
    positions.observe(events[2:4])
    positions.observe(events[:1])
    assert await positions.current("ada", "todos") == 5


async def test_loads_beside_writes_are_never_behind_them(shards: Shards, positions: Positions):
    async def write_then_ask(user_id: str) -> None:
        for expected in range(1, 11):
            await shards.transact(user_id, LOG.append, user_id, ONE)
            assert await positions.current(user_id, "todos") >= expected

    async def only_ask(user_id: str) -> None:
        last = 0
        for _ in range(20):
            present = await positions.current(user_id, "todos")
            assert present >= last
            last = present

    users = [f"user-{number}" for number in range(20)]
    await asyncio.gather(*(write_then_ask(user) for user in users), *(only_ask(user) for user in users))


async def test_a_process_forgets_what_moved_longest_ago_and_loads_it_again(tmp_path: Path):
    async with opened_shards(tmp_path) as shards:
        small = ProcessPositions(shards, max_streams=2)
        shards.on_commit(small.observe)
        await forget_and_load(shards, small)


async def forget_and_load(shards: Shards, small: ProcessPositions):
    for user in ("ada", "bob", "ada", "eve"):
        await shards.transact(user, LOG.append, user, ONE)
    assert small.known("bob", "todos") is None
    assert small.known("ada", "todos") == 2
    assert await small.current("bob", "todos") == 1
