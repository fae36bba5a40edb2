"""What every RateLimiter promises. An adapter joins by one more fixture parameter.

Time is asked for through the harness: an adapter with a clock of its own (a server's) advances by waiting, so the rates
here are short and the comparisons one-sided where time goes on by itself.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from tests.support.running import Running
from tests.support.valkey import new_valkey, url_of

from banyan.infra.redis.connection import RedisConnection
from banyan.infra.redis.rate_limit import RedisRateLimiter
from banyan.infra.resilience.rate_limit import MemoryRateLimiter, Rate, RateLimiter

# Slow enough that nothing comes back during a test that does not advance.
SLOW = Rate(5, timedelta(hours=1))
# 20 ms for one: quick enough to wait for.
QUICK = Rate(50, timedelta(seconds=1), burst=2)


@dataclass
class Harness:
    """limiters: two of them over the same store, as in two processes (the same one where the store is the process)."""

    limiters: tuple[RateLimiter, RateLimiter]
    advance: Callable[[float], Awaitable[None]]

    @property
    def limiter(self) -> RateLimiter:
        return self.limiters[0]


def in_memory() -> Harness:
    now = 1_000_000_000

    async def advance(seconds: float) -> None:
        nonlocal now
        now += round(seconds * 1_000_000_000)

    limiter = MemoryRateLimiter(monotonic_ns=lambda: now)
    return Harness((limiter, limiter), advance)


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with new_valkey(tmp_path_factory.mktemp("limits")) as running:
        yield running


@pytest.fixture(params=["in_memory", "redis"])
async def harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    if request.param == "in_memory":
        yield in_memory()
        return
    url = url_of(request.getfixturevalue("valkey"))
    connections = [RedisConnection(url, timedelta(seconds=1)) for _ in range(2)]
    await connections[0].do(lambda client: client.flushall())
    first, second = (RedisRateLimiter(connection, MemoryRateLimiter()) for connection in connections)
    yield Harness((first, second), asyncio.sleep)
    for connection in connections:
        await connection.close()


async def test_the_burst_is_allowed_and_then_no_more(harness: Harness) -> None:
    decisions = [await harness.limiter.take("a", SLOW) for _ in range(7)]
    assert [decision.allowed for decision in decisions] == [True] * 5 + [False] * 2
    assert [decision.remaining for decision in decisions] == [4, 3, 2, 1, 0, 0, 0]


async def test_a_refusal_tells_when_to_come_back(harness: Harness) -> None:
    while (decision := await harness.limiter.take("a", QUICK)).allowed:
        assert decision.retry_after_seconds == 0
    assert 0 < decision.retry_after_seconds <= 0.02
    assert decision.retry_after_seconds <= decision.reset_after_seconds <= 0.04
    await harness.advance(decision.retry_after_seconds + 0.001)
    assert (await harness.limiter.take("a", QUICK)).allowed


async def test_a_refusal_takes_nothing(harness: Harness) -> None:
    await harness.limiter.take("a", SLOW, cost=4)
    for _ in range(3):
        assert not (await harness.limiter.take("a", SLOW, cost=2)).allowed
    assert (await harness.limiter.take("a", SLOW, cost=1)).allowed


async def test_keys_do_not_touch_each_other(harness: Harness) -> None:
    await harness.limiter.take("a", SLOW, cost=5)
    decision = await harness.limiter.take("b", SLOW)
    assert decision.allowed
    assert decision.remaining == 4


async def test_the_whole_burst_is_back_after_the_time_that_was_told(harness: Harness) -> None:
    decision = await harness.limiter.take("a", QUICK, cost=2)
    await harness.advance(decision.reset_after_seconds + 0.001)
    assert (await harness.limiter.take("a", QUICK, cost=2)).allowed


async def test_looking_costs_nothing(harness: Harness) -> None:
    for _ in range(10):
        look = await harness.limiter.take("a", SLOW, cost=0)
        assert (look.allowed, look.remaining) == (True, 5)
    await harness.limiter.take("a", SLOW, cost=5)
    look = await harness.limiter.take("a", SLOW, cost=0)
    assert (look.allowed, look.remaining) == (True, 0)


async def test_a_forgotten_key_has_its_burst_again(harness: Harness) -> None:
    await harness.limiter.take("a", SLOW, cost=5)
    await harness.limiter.forget("a")
    await harness.limiter.forget("never seen")
    assert (await harness.limiter.take("a", SLOW, cost=5)).allowed
    assert not (await harness.limiter.take("a", SLOW)).allowed


async def test_what_one_forgets_is_forgotten_by_all(harness: Harness) -> None:
    one, other = harness.limiters
    for limiter in (one, other):
        await limiter.take("a", SLOW, cost=2)
    assert not (await one.take("a", SLOW, cost=2)).allowed
    await other.forget("a")
    assert (await one.take("a", SLOW, cost=5)).allowed
    assert not (await other.take("a", SLOW)).allowed


async def test_a_large_burst_is_allowed_and_hardly_more(harness: Harness) -> None:
    rate = Rate(2000, timedelta(hours=10))
    allowed = 0
    for _ in range(30):
        decisions = await asyncio.gather(*(limiter.take("a", rate) for limiter in harness.limiters * 50))
        allowed += sum(decision.allowed for decision in decisions)
    # A slack of 1 % for each of two processes, in both directions.
    assert 1960 <= allowed <= 2040
    assert not (await harness.limiter.take("a", rate, cost=100)).allowed


@pytest.mark.parametrize("cost", [-1, 6])
async def test_a_cost_that_could_never_be_allowed_is_an_error(harness: Harness, cost: int) -> None:
    with pytest.raises(ValueError, match="cost"):
        await harness.limiter.take("a", SLOW, cost=cost)


async def test_many_takers_at_once_get_no_more_than_the_burst(harness: Harness) -> None:
    decisions = await asyncio.gather(*(harness.limiters[index % 2].take("a", SLOW) for index in range(50)))
    assert sum(decision.allowed for decision in decisions) == 5


@pytest.mark.parametrize("key", ["", "é\x00\n", "k" * 500, "{curly}:colon"], ids=repr)
async def test_a_key_is_any_text(harness: Harness, key: str) -> None:
    await harness.limiter.take(key, SLOW, cost=5)
    assert not (await harness.limiter.take(key, SLOW)).allowed
    assert (await harness.limiter.take(key + "x", SLOW)).allowed


async def test_what_is_taken_at_once_counts_like_any_other_and_a_refusal_takes_nothing(
    harness: Harness,
) -> None:
    generous = Rate(2000, timedelta(hours=1))
    before = (await harness.limiter.take("b", generous, cost=0)).remaining
    taken = sum(harness.limiter.take_at_once("b", generous) for _ in range(100))
    assert taken >= 5
    # Room for one comes back every 1.8 s.
    assert (
        before - taken <= (await harness.limiter.take("b", generous, cost=0)).remaining <= before - taken + 3
    )

    at_once = sum(harness.limiter.take_at_once("a", SLOW) for _ in range(7))
    waited = sum([(await harness.limiter.take("a", SLOW)).allowed for _ in range(7)])
    assert at_once + waited == 5
    assert not harness.limiter.take_at_once("a", SLOW)
