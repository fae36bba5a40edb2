"""What is particular to the limiter over Redis: what it costs, and what it does when Redis is gone, flushed or back."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.running import Running
from tests.support.valkey import new_valkey, url_of

from banyan.infra.redis.connection import RedisConnection
from banyan.infra.redis.rate_limit import RedisRateLimiter
from banyan.infra.resilience.breaker import Breaker
from banyan.infra.resilience.rate_limit import MemoryRateLimiter, Rate

# Nothing comes back during a test.
FEW = Rate(10, timedelta(hours=1))
MANY = Rate(10_000, timedelta(hours=10))


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Running]:
    with new_valkey(tmp_path) as running:
        yield running


class Process:
    """A limiter as one process has it."""

    def __init__(self, valkey: Running) -> None:
        breaker = Breaker("Redis", shortest_pause=0.05, longest_pause=0.1)
        self.connection = RedisConnection(url_of(valkey), timedelta(milliseconds=200), breaker=breaker)
        self.limiter = RedisRateLimiter(self.connection, MemoryRateLimiter())

    async def takes(self, key: str, rate: Rate, times: int) -> int:
        """How many of so many are allowed."""
        return sum([(await self.limiter.take(key, rate)).allowed for _ in range(times)])

    async def lose(self) -> None:
        """Notice that Redis is gone."""
        while not self.connection.is_down():
            await self.limiter.take("noticing", FEW, cost=0)

    async def find(self) -> None:
        """Notice that Redis is back."""
        while self.connection.is_down():  # noqa: ASYNC110 - asking is what sends the probe
            await asyncio.sleep(0.01)


@pytest.fixture
async def new_process(valkey: Running) -> AsyncIterator[Callable[[], Process]]:
    made: list[Process] = []

    def make() -> Process:
        made.append(Process(valkey))
        return made[-1]

    yield make
    for process in made:
        await process.connection.close()


async def commands(process: Process) -> int:
    """How many scripts Redis has run."""
    stats = await process.connection.do(lambda client: client.info("commandstats"))
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "eval"))


async def test_generous_limits_hardly_ask_redis(new_process: Callable[[], Process]):
    process = new_process()
    before = await commands(process)
    assert await process.takes("a", MANY, 2000) == 2000
    await process.limiter.close()
    # 100 is the slack, so about one payment for each 50.
    assert 20 <= await commands(process) - before <= 60


async def test_what_redis_decides_exactly_is_never_taken_at_once(new_process: Callable[[], Process]):
    limiter = new_process().limiter
    assert not limiter.take_at_once("a", Rate(999, timedelta(hours=1)))
    assert limiter.take_at_once("b", Rate(1000, timedelta(hours=1)))


async def test_few_requests_of_many_users_ask_nothing(new_process: Callable[[], Process]):
    process = new_process()
    before = await commands(process)
    for number in range(1000):
        assert await process.takes(f"user:{number}", MANY, 3) == 3
    assert await commands(process) == before


async def test_debts_are_bounded_and_paid_by_the_oldest(valkey: Running, new_process: Callable[[], Process]):
    process, other = new_process(), new_process()
    process.limiter = RedisRateLimiter(process.connection, MemoryRateLimiter(), max_debts=10)
    for number in range(30):
        await process.takes(f"user:{number}", MANY, 30)
    await asyncio.sleep(0)
    await process.limiter.take("exact", FEW)  # behind all payments
    assert process.limiter.owed("user:0") == 0
    assert (await other.limiter.take("user:0", MANY, cost=9000)).remaining == 10_000 - 9000 - 30


async def test_a_flood_of_keys_stays_bounded_without_redis(
    valkey: Running, new_process: Callable[[], Process]
):
    process = new_process()
    process.limiter = RedisRateLimiter(process.connection, MemoryRateLimiter(), max_debts=10)
    valkey.kill9()
    await process.lose()
    for number in range(100):
        await process.takes(f"user:{number}", MANY, 1)
    assert sum(process.limiter.owed(f"user:{number}") for number in range(100)) <= 11


async def test_without_redis_each_process_goes_on_from_what_it_knew(
    valkey: Running, new_process: Callable[[], Process]
):
    one, other = new_process(), new_process()
    assert await one.takes("a", FEW, 8) == 8
    assert await other.takes("a", FEW, 1) == 1
    valkey.kill9()
    # One more is left, and both know it: one heard so last when there were two.
    assert await other.takes("a", FEW, 5) == 1
    assert await one.takes("a", FEW, 5) == 2


async def test_who_was_refused_stays_refused_when_redis_is_lost_and_when_it_comes_back_empty(
    valkey: Running, new_process: Callable[[], Process]
):
    one, other = new_process(), new_process()
    assert await one.takes("a", FEW, 11) == 10
    assert await other.takes("a", FEW, 1) == 0
    valkey.kill9()
    assert await one.takes("a", FEW, 5) == 0
    assert await other.takes("a", FEW, 5) == 0
    valkey.start()
    await one.find()
    assert await one.takes("a", FEW, 5) == 0
    assert await new_process().takes("a", FEW, 5) == 0


async def test_a_flush_gives_nothing_back(new_process: Callable[[], Process]):
    one, other = new_process(), new_process()
    assert await one.takes("a", FEW, 10) == 10
    await one.connection.do(lambda client: client.flushall())
    assert await one.takes("a", FEW, 1) == 0
    assert await other.takes("a", FEW, 1) == 0


async def test_what_was_allowed_meanwhile_is_charged_when_redis_is_back(
    valkey: Running, new_process: Callable[[], Process]
):
    process = new_process()
    assert await process.takes("a", FEW, 1) == 1
    assert await process.takes("many", MANY, 200) == 200
    valkey.pause()
    await process.lose()
    assert await process.takes("a", FEW, 5) == 5
    assert await process.takes("many", MANY, 3000) == 3000
    valkey.go_on()
    await process.find()
    assert (await process.limiter.take("a", FEW)).remaining == 3
    await process.limiter.take("many", MANY, cost=101)
    fresh = await new_process().limiter.take("many", MANY, cost=500)
    assert fresh.remaining == 10_000 - 200 - 3000 - 101 - 500


async def test_a_key_forgotten_meanwhile_is_forgotten_when_redis_is_back(
    valkey: Running, new_process: Callable[[], Process]
):
    process = new_process()
    assert await process.takes("a", FEW, 10) == 10
    valkey.pause()
    await process.lose()
    await process.limiter.forget("a")
    assert await process.takes("a", FEW, 1) == 1
    valkey.go_on()
    await process.find()
    assert (await process.limiter.take("a", FEW)).remaining == 9
    assert await new_process().takes("a", FEW, 20) == 9


async def test_what_was_forgotten_is_not_put_back_by_who_still_knew_it(new_process: Callable[[], Process]):
    one, other = new_process(), new_process()
    assert await one.takes("a", FEW, 10) == 10
    assert await other.takes("a", FEW, 1) == 0
    await one.limiter.forget("a")
    assert await other.takes("a", FEW, 10) == 10


async def test_forgetting_outlives_what_others_knew(new_process: Callable[[], Process]):
    two_seconds = Rate(10, timedelta(seconds=2))
    one, other = new_process(), new_process()
    assert await one.takes("a", two_seconds, 10) == 10
    assert await other.takes("a", two_seconds, 1) == 0
    await one.limiter.forget("a")
    assert await one.takes("a", two_seconds, 1) == 1
    await asyncio.sleep(0.3)  # that one is back by now, and the other still remembers nine
    assert (await other.limiter.take("a", two_seconds)).remaining == 9


async def test_forgetting_what_redis_has_lost_holds_too(new_process: Callable[[], Process]):
    one, other = new_process(), new_process()
    assert await one.takes("a", FEW, 10) == 10
    assert await other.takes("a", FEW, 1) == 0
    await one.connection.do(lambda client: client.flushall())
    await one.limiter.forget("a")
    await asyncio.sleep(0.05)
    assert (await other.limiter.take("a", FEW)).remaining == 9


async def test_what_came_back_during_an_outage_need_not_be_paid(
    valkey: Running, new_process: Callable[[], Process]
):
    rate = Rate(100_000, timedelta(seconds=1), burst=2000)  # whole again after 20 ms
    process = new_process()
    assert await process.takes("a", rate, 1) == 1
    valkey.pause()
    await process.lose()
    assert await process.takes("a", rate, 1000) == 1000
    valkey.go_on()
    await asyncio.sleep(0.05)
    await process.find()
    assert (await process.limiter.take("a", rate, cost=21)).remaining > 1900


async def test_a_long_outage_is_not_punished_for_longer_than_two_bursts(
    valkey: Running, new_process: Callable[[], Process]
):
    processes = [new_process() for _ in range(4)]
    for process in processes:
        assert await process.takes("a", FEW, 1) == 1
    valkey.pause()
    for process in processes:
        await process.lose()
        await process.takes("a", FEW, 10)
    valkey.go_on()
    for process in processes:
        await process.find()
        await process.limiter.take("a", FEW)
    refused = await processes[0].limiter.take("a", FEW)
    assert 0 < refused.retry_after_seconds <= (10 + 1) * 360
