"""What one request pays for the limiter and the shared cache: CPU of this process, in microseconds.

python -m benchmarks.redis.cost
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

from tests.support.valkey import new_valkey, url_of

from banyan.infra.cache.shared import Made
from banyan.infra.redis.cache import RedisSharedCache
from banyan.infra.redis.connection import RedisConnection
from banyan.infra.redis.rate_limit import RedisRateLimiter
from banyan.infra.resilience.rate_limit import MemoryRateLimiter, Rate

USER_RATE, LOGIN_RATE = Rate.parse("300000/minute"), Rate.parse("900/minute")
MINUTE = timedelta(minutes=1)
BODY = b"x" * 8000


async def main(url: str) -> None:
    connection = RedisConnection(url, timedelta(seconds=1))
    local, limiter = MemoryRateLimiter(), RedisRateLimiter(connection, MemoryRateLimiter())
    cache = RedisSharedCache(connection)

    async def made() -> Made:
        return Made(1, BODY)

    for number in range(100):
        await cache.through(f"a{number}", 1, MINUTE, made)
    await cache.close()
    rows: list[tuple[str, Callable[[int], Awaitable[object]]]] = [
        ("limit, in the process alone", lambda n: local.take(f"user:{n % 50}", USER_RATE)),
        ("limit, generous", lambda n: limiter.take(f"user:{n % 50}", USER_RATE)),
        ("limit, exact", lambda n: limiter.take(f"login:{n}", LOGIN_RATE)),
        ("shared cache, found", lambda n: cache.through(f"a{n % 100}", 1, MINUTE, made)),
        ("shared cache, made and kept", lambda n: cache.through(f"b{n}", 1, MINUTE, made)),
    ]
    print(f"{'':32}{'alone':>10}{'32 at once':>12}   µs CPU each")
    for name, call in rows:
        print(f"{name:32}{await cost(call, 1):10.1f}{await cost(call, 32):12.1f}")
    await connection.close()


async def cost(call: Callable[[int], Awaitable[object]], at_once: int, times: int = 6400) -> float:
    async def worker(numbers: range) -> None:
        for number in numbers:
            await call(number)

    best = float("inf")
    for turn in range(3):
        first = (turn * 2 + (at_once > 1)) * times
        started = time.process_time()
        await asyncio.gather(
            *(worker(range(first + index, first + times, at_once)) for index in range(at_once))
        )
        best = min(best, (time.process_time() - started) / times * 1e6)
    return best


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="banyan-cost-") as folder, new_valkey(Path(folder)) as server:
        asyncio.run(main(url_of(server)))
