"""The lease on Redis, with a clock that is turned by hand: two processes over one row."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from tests.support.databases import create_tables

from banyan.infra.db.sqlite import SqliteDatabase, connect
from banyan.infra.redis.trust import (
    BEAT_SECONDS,
    FIRST_PATIENCE_SECONDS,
    LEASE_SECONDS,
    POLL_SECONDS,
    QUIET_SECONDS,
    SILENT_SECONDS,
    CacheTrust,
    Epoch,
)
from banyan.kernel.errors import Unavailable


class World:
    """Time, and a Redis of which each process knows whether it answers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 1000.0
        self.server = "redis-1"

    @asynccontextmanager
    async def process(self) -> AsyncIterator["Process"]:
        made = Process(self)
        await made.trust.start()
        try:
            yield made
        finally:
            await made.trust.close()


class Process:
    def __init__(self, world: World) -> None:
        self.reaches_redis = True
        self.probes = 0
        self.world = world
        database = SqliteDatabase(world.path)
        self.database = database
        self.trust = CacheTrust(database, self._probe, monotonic=lambda: world.now)

    async def _probe(self) -> str:
        self.probes += 1
        if not self.reaches_redis:
            raise Unavailable()
        return self.world.server


@pytest.fixture
def world(tmp_path: Path) -> World:
    path = tmp_path / "test.sqlite3"
    create_tables(path)
    with closing(connect(path)) as connection:
        connection.execute("INSERT INTO cache_trust VALUES (1, 'none', 0, '', '', 0)")
    return World(path)


async def pass_time(world: World, seconds: float, *processes: Process) -> None:
    """Let time go by, with the ticks of these processes."""
    end = world.now + seconds
    while world.now < end:
        world.now = min(end, world.now + POLL_SECONDS)
        for process in processes:
            await process.trust.tick()


async def leased(process: Process) -> Epoch:
    """The present epoch, once the process believes in one."""
    for _ in range(200):
        epoch = process.trust.lease()
        if epoch is not None:
            return epoch
        await pass_time(process.world, POLL_SECONDS, process)
    raise AssertionError("trust was never restored")


async def test_at_first_nobody_believes_redis_and_then_everybody(world: World) -> None:
    async with world.process() as one, world.process() as other:
        assert one.trust.lease() is None
        await pass_time(world, QUIET_SECONDS + 2 * POLL_SECONDS, one, other)
        assert one.trust.lease() == other.trust.lease() == await leased(one)
        assert (await leased(one)).server == "redis-1"


async def test_a_lease_lapses_without_a_reading(world: World) -> None:
    async with world.process() as one:
        await leased(one)
        await one.trust.tick()
        world.now += LEASE_SECONDS - 0.001
        assert one.trust.lease() is not None
        world.now += 0.001
        assert one.trust.lease() is None
        await one.trust.tick()
        assert one.trust.lease() is not None


async def test_a_lease_counts_from_before_the_reading(world: World) -> None:
    async with world.process() as one:
        await leased(one)
        original = one.database.read

        async def slow(*arguments, **keywords):
            row = await original(*arguments, **keywords)
            world.now += LEASE_SECONDS
            return row

        one.database.read = slow
        await one.trust.tick()
        assert one.trust.lease() is None


async def test_when_a_revocation_is_over_no_lease_is_left(world: World) -> None:
    async with world.process() as one, world.process() as other:
        epoch = await leased(one)
        await other.trust.tick()  # just before
        quiet_at = await one.trust.revoke(epoch)
        assert one.trust.lease() is None
        assert other.trust.lease() == epoch
        world.now = quiet_at
        assert other.trust.lease() is None


async def test_a_revocation_of_the_past_changes_nothing(world: World) -> None:
    async with world.process() as one, world.process() as other:
        old = await leased(one)
        await one.trust.revoke(old)
        new = await leased(one)
        assert new.name != old.name
        await other.trust.revoke(old)
        await one.trust.tick()
        assert one.trust.lease() == new


async def test_an_answer_that_was_read_before_a_revocation_brings_no_lease_back(world: World) -> None:
    async with world.process() as one:
        epoch = await leased(one)
        original = one.database.read

        async def late(*arguments, **keywords):
            row = await original(*arguments, **keywords)
            await one.trust.revoke(epoch)
            return row

        one.database.read = late
        await one.trust.tick()
        assert one.trust.lease() is None


async def test_while_trust_is_off_a_writer_waits_once(world: World) -> None:
    async with world.process() as one, world.process() as other:
        epoch = await leased(one)
        one.reaches_redis = False
        await one.trust.revoke(epoch)
        first = await other.trust.epoch()
        assert isinstance(first, float)
        assert first == world.now + QUIET_SECONDS
        world.now = first
        assert await other.trust.epoch() == first


async def test_a_reading_on_demand_begins_after_the_demand(world: World) -> None:
    async with world.process() as one, world.process() as other:
        epoch = await leased(one)
        await one.trust.tick()
        await other.trust.revoke(epoch)
        assert one.trust.lease() == epoch
        assert isinstance(await one.trust.epoch(), float)
        assert one.trust.lease() is None


async def test_a_new_epoch_begins_no_sooner_than_the_old_one_is_over(world: World) -> None:
    async with world.process() as one, world.process() as other:
        epoch = await leased(one)
        await other.trust.tick()
        await one.trust.revoke(epoch)
        assert other.trust.lease() == epoch
        assert (await leased(one)).name != epoch.name
        assert other.trust.lease() is None


async def test_whoever_turned_trust_off_and_is_still_cut_off_keeps_it_off(world: World) -> None:
    async with world.process() as one, world.process() as other:
        epoch = await leased(one)
        one.reaches_redis = False
        await one.trust.revoke(epoch)
        await pass_time(world, 10 * SILENT_SECONDS, one, other)
        assert other.trust.lease() is None
        assert other.probes <= 1
        one.reaches_redis = True
        await pass_time(world, 3 * BEAT_SECONDS, one, other)
        assert other.trust.lease() is not None


async def test_when_whoever_turned_trust_off_is_gone_another_one_restores_it(world: World) -> None:
    async with world.process() as other:
        async with world.process() as one:
            one.reaches_redis = False
            epoch = await leased(other)
            await one.trust.revoke(epoch)
            await pass_time(world, POLL_SECONDS, one, other)
        await pass_time(world, SILENT_SECONDS - 0.5, other)
        assert other.trust.lease() is None
        await pass_time(world, 1.5, other)
        assert other.trust.lease() is not None


async def test_redis_is_asked_rarely_while_it_is_gone(world: World) -> None:
    async with world.process() as one:
        one.reaches_redis = False
        await pass_time(world, 60, one)
        assert 20 < one.probes < 45


async def test_trust_that_does_not_last_is_restored_more_slowly(world: World) -> None:
    async with world.process() as one:
        waits = []
        for _ in range(4):
            epoch = await leased(one)
            await one.trust.revoke(epoch)
            began = world.now
            await leased(one)
            waits.append(world.now - began)
        assert waits[0] >= FIRST_PATIENCE_SECONDS
        assert waits[3] > 2 * waits[1]
        await pass_time(world, 60, one)
        await one.trust.revoke(await leased(one))
        began = world.now
        await leased(one)
        assert world.now - began < FIRST_PATIENCE_SECONDS


async def test_without_its_row_the_table_says_so(world: World) -> None:
    with closing(connect(world.path)) as connection:
        connection.execute("DELETE FROM cache_trust")
    async with world.process() as one:
        assert one.trust.lease() is None
        with pytest.raises(Unavailable, match="cache_trust"):
            await one.trust.epoch()
