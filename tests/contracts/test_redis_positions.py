"""What RedisPositions adds to the contract of Positions: two processes over one database and one Valkey.

Each "process" here has its own databases, sessions and lease, as a real one has; only the loops are turned by hand, so
that every interleaving can be had. With real processes and load: tests/faults/test_redis_positions.py.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from tests.support.running import Running
from tests.support.server import migrated_postgres_url
from tests.support.tcp_proxy import TcpProxy
from tests.support.valkey import new_valkey, port_of, url_of

from banyan.infra.db.postgres import PostgresDatabase
from banyan.infra.db.postgres_pool import PoolSettings
from banyan.infra.db.shards import Shards
from banyan.infra.redis import positions as module
from banyan.infra.redis.positions import RedisPositions, SharedPositions
from banyan.infra.redis.session import RedisSession
from banyan.infra.redis.trust import LEASE_SECONDS, QUIET_SECONDS, CacheTrust
from banyan.infra.streams.foreign_commits import ForeignCommits
from banyan.infra.streams.log import EventLog
from banyan.kernel.clock import ManualClock
from banyan.kernel.events import Event, NewEvent

LOG = EventLog("todos", ManualClock())
ONE = [NewEvent("Happened", "s")]
KEY = ("ada", "todos")
TIMEOUT = timedelta(milliseconds=500)


@dataclass
class Process:
    """One process: what it writes through and what it reads through."""

    shards: Shards
    positions: RedisPositions
    trust: CacheTrust
    shared: SharedPositions

    async def write(self) -> None:
        """Return when it is acknowledged."""
        await self.shards.transact("ada", LOG.append, "ada", ONE)

    async def read(self) -> int:
        return await self.positions.current(*KEY)

    async def told(self) -> int | None:
        """What is called back; None when it has to be asked for."""
        said: asyncio.Queue[int | None] = asyncio.Queue()
        return await said.get() if self.positions.tell(*KEY, said.put_nowait) else None

    async def written(self) -> int:
        """What the database says."""
        return (await module.load_positions(self.shards, [KEY])).get(KEY, 0)


@asynccontextmanager
async def process(database_url: str, redis_url: str) -> AsyncIterator[Process]:
    pool = PoolSettings(size=4)
    shards = Shards({"main": PostgresDatabase(database_url, pool)})
    ask, tell = RedisSession(redis_url, TIMEOUT), RedisSession(redis_url, TIMEOUT)
    trust = CacheTrust(PostgresDatabase(database_url, pool), tell.identify)
    positions = RedisPositions(shards, {"main": trust}, ask=ask, tell=tell)
    shards.settle_with(positions)
    shards.on_commit(positions.observe)
    await shards.start()
    try:
        yield Process(shards, positions, trust, positions._shared["main"])
    finally:
        await shards.close()


class Stale(AssertionError):
    """A reader was behind."""


@dataclass
class Pair:
    """writer: reaches Valkey through `way`. reader: directly."""

    writer: Process
    reader: Process
    way: TcpProxy
    valkey: Running

    async def trusted(self) -> None:
        """Wait until both believe Redis."""
        while self.writer.trust.lease() is None or self.reader.trust.lease() is None:
            await self.tick()
            await asyncio.sleep(0.02)

    async def nothing_stale(self) -> None:
        """Raises Stale."""
        told, read = await self.reader.told(), await self.reader.read()
        written = await self.reader.written()
        if told not in (None, written):
            raise Stale(f"{told} was told, {written} is written")
        if read != written:
            raise Stale(f"{read} was read, {written} is written")

    async def tick(self) -> None:
        for one in (self.writer, self.reader):
            await one.trust.tick()
            await one.shared.upkeep()

    @asynccontextmanager
    async def ticking(self) -> AsyncIterator[None]:
        async def go_on() -> None:
            while True:
                await self.tick()
                await asyncio.sleep(0.05)

        task = asyncio.create_task(go_on())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory):
    with new_valkey(tmp_path_factory.mktemp("valkey")) as running:
        yield running


@pytest.fixture
def database_url() -> str:
    return migrated_postgres_url()


@pytest.fixture
async def pair(valkey: Running, database_url: str) -> AsyncIterator[Pair]:
    with TcpProxy(port_of(valkey)) as way:
        async with (
            process(database_url, f"redis://127.0.0.1:{way.port}/0") as writer,
            process(database_url, url_of(valkey)) as reader,
        ):
            made = Pair(writer, reader, way, valkey)
            await made.trusted()
            yield made


# Scenarios: each raises Stale when something stale was read.


async def a_write_is_read_elsewhere_at_once(pair: Pair) -> None:
    await pair.nothing_stale()
    for _ in range(20):
        await pair.writer.write()
        await pair.nothing_stale()


async def a_load_that_a_write_overtakes_is_not_kept(pair: Pair) -> None:
    """The reader has loaded and not yet filled when the writer comes by."""
    shared: Any = pair.reader.shared
    original = shared._fill

    async def late(*arguments: Any) -> None:
        shared._fill = original
        await pair.writer.write()
        await original(*arguments)

    shared._fill = late
    await pair.reader.read()
    await pair.nothing_stale()


async def a_load_before_a_flush_and_a_write_is_not_kept(pair: Pair) -> None:
    shared: Any = pair.reader.shared
    original = shared._fill

    async def late(*arguments: Any) -> None:
        shared._fill = original
        await flush(pair)
        await pair.writer.write()
        await original(*arguments)

    shared._fill = late
    await pair.reader.read()
    await pair.nothing_stale()


async def a_telling_that_comes_late_does_not_undo_a_later_one(pair: Pair) -> None:
    """Commits 1 and 2 of one stream; 2 is told and acknowledged, all is flushed, then 1 is told."""
    await pair.reader.read()
    shared: Any = pair.writer.shared
    original = shared._told
    first = asyncio.Event()

    async def wait(*arguments: Any) -> bool:
        shared._told = original
        await first.wait()
        return await original(*arguments)

    shared._told = wait
    slow = asyncio.create_task(pair.writer.write())
    await until(lambda: pair.reader.written())
    await pair.reader.write()
    await flush(pair)
    first.set()
    await slow
    await pair.nothing_stale()


async def a_writer_that_is_cut_off_lets_nobody_read_on(pair: Pair) -> None:
    async with pair.ticking():
        await pair.nothing_stale()
        pair.way.set("refuse")
        for _ in range(3):
            await pair.writer.write()
            await pair.nothing_stale()


async def what_was_known_before_an_outage_is_not_believed_after_it(pair: Pair) -> None:
    await pair.nothing_stale()
    await pair.nothing_stale()
    async with pair.ticking():
        pair.way.set("refuse")
        await pair.writer.write()
        pair.way.set("pass")
        await until(lambda: leased(pair.reader))
        await pair.nothing_stale()


async def a_server_that_came_back_with_older_data_is_not_believed(pair: Pair) -> None:
    """The reader's session is lost and made again while its lease holds; the other server has its old number."""
    await pair.reader.read()
    await pair.reader.read()
    held = await answer(pair, "KEYS", "banyan:position:*")
    assert held
    old = {key: await answer(pair, "GET", key) for key in held}
    await pair.writer.write()
    pair.valkey.kill9()
    pair.valkey.start()
    for key, value in old.items():
        await answer(pair, "SET", key, value)
    await pair.reader.trust.tick()
    await pair.reader.shared._ask.close()
    await pair.reader.shared._ask.keep_open()
    assert pair.reader.trust.lease() is not None
    await pair.nothing_stale()


async def what_is_told_live_can_be_read_at_once(pair: Pair) -> None:
    """The writer is cut off and waits; the reader's process finds its commit, and tells a subscriber, who reads."""
    await pair.reader.read()
    told = asyncio.Event()
    pair.reader.shards.on_commit(lambda _events: told.set())
    foreign = ForeignCommits(pair.reader.shards)
    await foreign.look()
    pair.way.set("refuse")
    async with pair.ticking():
        writing = asyncio.create_task(pair.writer.write())
        while not told.is_set():
            await foreign.look()
        await pair.nothing_stale()
        await writing


async def a_writer_that_died_before_it_told_is_told_by_another(pair: Pair) -> None:
    await pair.reader.read()
    events: list[Event] = []
    pair.writer.shards.settle_with(Dead())
    pair.writer.shards.on_commit(events.extend)
    await pair.writer.write()
    assert await pair.reader.read() < await pair.reader.written(), "there would be nothing to mend"
    await pair.reader.shards.hear(events)  # as ForeignCommits does
    await pair.nothing_stale()


class Dead:
    """The barrier of a process that is killed after its commit."""

    async def start(self) -> None: ...

    async def settle(self, events: object) -> None: ...

    async def hear(self, events: object) -> None: ...

    async def close(self) -> None: ...


SCENARIOS: list[Callable[[Pair], Awaitable[None]]] = [
    a_write_is_read_elsewhere_at_once,
    a_load_that_a_write_overtakes_is_not_kept,
    a_load_before_a_flush_and_a_write_is_not_kept,
    a_telling_that_comes_late_does_not_undo_a_later_one,
    a_writer_that_is_cut_off_lets_nobody_read_on,
    what_was_known_before_an_outage_is_not_believed_after_it,
    a_server_that_came_back_with_older_data_is_not_believed,
    what_is_told_live_can_be_read_at_once,
    a_writer_that_died_before_it_told_is_told_by_another,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_nobody_reads_what_is_stale(pair: Pair, scenario: Callable[[Pair], Awaitable[None]]) -> None:
    await scenario(pair)


def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(self: SharedPositions, moved: object, quiet_at: object) -> None: ...

    monkeypatch.setattr(SharedPositions, "_settle_late", at_once)


def no_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_name", lambda _epoch, key: f"banyan:position:{key}")


def no_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    script = "for i, key in ipairs(KEYS) do redis.call('SET', key, ARGV[2 * i + 1], 'PX', ARGV[1]) end"
    monkeypatch.setattr(module, "_FILL", script)


def telling_makes_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    script = "for i, key in ipairs(KEYS) do redis.call('SET', key, ARGV[i + 1], 'PX', ARGV[1]) end"
    monkeypatch.setattr(module, "_TELL", script)


def tells_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async def told(self: SharedPositions, epoch: object, moved: object) -> bool:
        return True

    monkeypatch.setattr(SharedPositions, "_told", told)


def any_server(monkeypatch: pytest.MonkeyPatch) -> None:
    original = RedisSession.call

    async def call(self: RedisSession, commands, *, server: str, connect: bool = False):
        return await original(self, commands, server=self.server or server, connect=connect)

    monkeypatch.setattr(RedisSession, "call", call)


def announced_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hear(self: Shards, events: object) -> None: ...

    monkeypatch.setattr(Shards, "hear", hear)


PLANTED = [
    (announced_at_once, what_is_told_live_can_be_read_at_once),
    (announced_at_once, a_writer_that_died_before_it_told_is_told_by_another),
    (no_wait, a_writer_that_is_cut_off_lets_nobody_read_on),
    (no_epoch, what_was_known_before_an_outage_is_not_believed_after_it),
    (no_comparison, a_load_that_a_write_overtakes_is_not_kept),
    (no_comparison, a_load_before_a_flush_and_a_write_is_not_kept),
    (telling_makes_keys, a_telling_that_comes_late_does_not_undo_a_later_one),
    (tells_nobody, a_write_is_read_elsewhere_at_once),
    (any_server, a_server_that_came_back_with_older_data_is_not_believed),
]


@pytest.mark.parametrize(("bug", "scenario"), PLANTED, ids=lambda part: part.__name__)
async def test_a_planted_bug_is_seen(
    pair: Pair,
    monkeypatch: pytest.MonkeyPatch,
    bug: Callable[[pytest.MonkeyPatch], None],
    scenario: Callable[[Pair], Awaitable[None]],
) -> None:
    bug(monkeypatch)
    with pytest.raises(Stale):
        await scenario(pair)


async def test_reads_of_one_moment_are_one_question_and_answered_without_the_database(pair: Pair) -> None:
    for _ in range(2):
        await pair.reader.read()
    before = int(await statistic(pair, "total_commands_processed"))
    calls = await database_calls(
        pair.reader, lambda: asyncio.gather(*(pair.reader.read() for _ in range(100)))
    )
    after = int(await statistic(pair, "total_commands_processed"))
    assert calls == 0
    # The first asks alone, the others together; INFO itself and its connection are counted too.
    assert after - before < 10


async def test_without_redis_reads_go_to_the_database_at_once(pair: Pair) -> None:
    pair.valkey.pause()
    try:
        await pair.reader.read()  # costs the time-out, once
        began = asyncio.get_running_loop().time()
        for _ in range(5):
            assert await pair.reader.read() == 0
        assert asyncio.get_running_loop().time() - began < TIMEOUT.total_seconds()
    finally:
        pair.valkey.go_on()


async def test_a_write_during_an_outage_waits_until_every_lease_is_over(pair: Pair) -> None:
    loop = asyncio.get_running_loop()
    await pair.reader.read()
    pair.way.set("refuse")
    began = loop.time()
    await pair.writer.write()
    assert loop.time() - began >= LEASE_SECONDS
    assert pair.reader.trust.lease() is None  # it did not tick: its lease is over by itself
    await asyncio.sleep(QUIET_SECONDS)
    began = loop.time()
    await pair.writer.write()
    assert loop.time() - began < LEASE_SECONDS  # known to be off for long: no wait


async def until(look: Callable[[], Awaitable[object]]) -> None:
    """Wait until what is looked at is there."""
    while not await look():  # noqa: ASYNC110 - another process's doing, which has no signal here
        await asyncio.sleep(0.01)


async def leased(one: Process) -> bool:
    return one.trust.lease() is not None


async def flush(pair: Pair) -> None:
    await answer(pair, "FLUSHALL")


async def answer(pair: Pair, *command: str | bytes):
    """Past the processes: a client of the test's own."""
    session = RedisSession(url_of(pair.valkey), TIMEOUT)
    server = await session.identify()
    (value,) = await session.call([command], server=server)
    await session.close()
    return value


async def statistic(pair: Pair, name: str) -> str:
    text = await answer(pair, "INFO", "stats")
    lines = (text.decode() if isinstance(text, bytes) else text).splitlines()
    return next(line.partition(":")[2] for line in lines if line.startswith(name))


async def database_calls(one: Process, work: Callable[[], Awaitable[object]]) -> int:
    database = one.shards.named("main")
    assert isinstance(database, PostgresDatabase)
    original, calls = database.read, 0

    async def counted(*arguments, **keywords):
        nonlocal calls
        calls += 1
        return await original(*arguments, **keywords)

    database.read = counted
    try:
        await work()
    finally:
        database.read = original
    return calls


def test_the_wait_is_longer_than_the_lease() -> None:
    assert QUIET_SECONDS > LEASE_SECONDS


async def test_who_is_called_back_is_told_what_redis_says(pair: Pair) -> None:
    assert await pair.reader.told() is None
    await pair.reader.read()
    assert await pair.reader.told() == 0
    await pair.writer.write()
    await pair.reader.read()
    assert await pair.reader.told() == 1
