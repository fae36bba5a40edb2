"""The shared cache in Redis: one round trip to look, and one in the background to keep what was made.

A value is kept with the position and the time that it took to make: `0000000000000042 0.001830 …`. Who looks and
finds nothing for their position claims the making in the same step. The claim ends by itself soon, so that a process that
died while making holds nobody up for long. What Redis has no room for, it drops by age (`maxmemory`, `allkeys-lru`).
"""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from contextvars import Context
from datetime import timedelta
from typing import Any, NamedTuple

from banyan import __version__
from banyan.infra.cache.early_refresh import is_due
from banyan.infra.cache.shared import WAITS_SECONDS, Made, Make
from banyan.infra.db.coalescer import Coalescer
from banyan.infra.redis.connection import RedisConnection, RedisUnavailable
from banyan.infra.redis.scripts import Script
from banyan.infra.telemetry.counted import CacheUse
from banyan.kernel.errors import Unavailable

# Another version may write its answers in another way: each has keys of its own.
PREFIX = f"banyan:cache:{__version__}:"
# Longer than a load takes, a slow one excepted, which is then made twice.
CLAIM_MS = 500
MOST_BYTES = 1024 * 1024
# What waits to be kept while Redis is slow; more is not kept.
MOST_KEEPING = 1000

# Digits compare in the order of their numbers, in whatever language the server runs.
_POSITION_DIGITS = 16
_TOOK_DIGITS = 10

_LOOK = Script("""
local found = redis.call('GET', KEYS[1])
if found and string.sub(found, 1, 16) == ARGV[1] then
  return {found, redis.call('PTTL', KEYS[1]), 0}
end
return {false, 0, redis.call('SET', KEYS[2], '', 'NX', 'PX', ARGV[2]) and 1 or 0}
""")
_KEEP = Script("""
local there = redis.call('GETRANGE', KEYS[1], 0, 15)
if there <= string.sub(ARGV[1], 1, 16) then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
redis.call('DEL', KEYS[2])
return 1
""")
_RELEASE = Script("return redis.call('DEL', KEYS[1])")


class _Look(NamedTuple):
    key: str
    position: int


class _Seen(NamedTuple):
    """found: None when it has to be made; `claimed` says whether by us."""

    found: Made | None
    claimed: bool


class _Keep(NamedTuple):
    key: str
    asked_at: int
    value: bytes
    ttl_ms: int


class RedisSharedCache:
    """SharedCache of all processes that use the same Redis."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self._looks: Coalescer[_Look, _Seen] = Coalescer(self._look_all)
        self._keeps: Coalescer[_Keep, None] = Coalescer(self._keep_all, max_waiting=MOST_KEEPING)
        self._keeping: set[asyncio.Task[None]] = set()
        self.use = CacheUse()

    async def through(self, key: str, position: int, ttl: timedelta, make: Make) -> Made:
        claimed = False
        if not self._connection.is_down():
            try:
                found, claimed = await self._look(_Look(key, position))
            except Unavailable:
                found = None
            if found is not None:
                self.use.hits += 1
                return found
        self.use.misses += 1
        started = time.perf_counter()
        try:
            made = await make()
        except BaseException:
            if claimed:
                self._in_background(self._release(key, position))
            raise
        took = time.perf_counter() - started
        value = b"%016d %09.6f " % (made.position, min(took, 99.0)) + made.value
        if len(value) <= MOST_BYTES and not self._connection.is_down():
            self._in_background(self._keep(_Keep(key, position, value, ttl // timedelta(milliseconds=1))))
        elif claimed:
            self._in_background(self._release(key, position))
        return made

    async def close(self) -> None:
        if self._keeping:
            await asyncio.wait(self._keeping, timeout=1.0)

    async def _look(self, look: _Look) -> _Seen:
        for pause in WAITS_SECONDS:
            seen = await self._looks.submit(look)
            if seen.found is not None or seen.claimed:
                return seen
            # Nobody signals across processes. Somebody who makes it is done within a few milliseconds, mostly.
            await asyncio.sleep(pause)
        return await self._looks.submit(look)

    async def _look_all(self, looks: Sequence[_Look]) -> list[_Seen | BaseException]:
        calls = [
            (2, PREFIX + look.key, _claim(look.key, look.position), b"%016d" % look.position, CLAIM_MS)
            for look in looks
        ]
        return [_seen(result) for result in await _LOOK.run(self._connection, calls)]

    async def _keep(self, keep: _Keep) -> None:
        await self._keeps.submit(keep)

    async def _keep_all(self, keeps: Sequence[_Keep]) -> list[BaseException | None]:
        calls = [
            (2, PREFIX + keep.key, _claim(keep.key, keep.asked_at), keep.value, keep.ttl_ms) for keep in keeps
        ]
        results = await _KEEP.run(self._connection, calls)
        return [_refusal(result) if isinstance(result, Exception) else None for result in results]

    async def _release(self, key: str, position: int) -> None:
        await _RELEASE.run(self._connection, [(1, _claim(key, position))])

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(_quietly(work), context=Context())
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)


def _claim(key: str, position: int) -> str:
    return f"{PREFIX}{key}:making:{position}"


def _seen(result: object) -> _Seen | BaseException:
    if isinstance(result, Exception):
        return _refusal(result)
    assert isinstance(result, list)
    value, left_ms, claimed = result
    if not value:
        return _Seen(None, bool(claimed))
    start = _POSITION_DIGITS + 1
    took = float(value[start : start + _TOOK_DIGITS])
    if is_due(left_ms / 1000, took):
        return _Seen(None, claimed=True)
    return _Seen(Made(int(value[:_POSITION_DIGITS]), value[start + _TOOK_DIGITS :]), claimed=False)


def _refusal(error: Exception) -> RedisUnavailable:
    """Redis refuses the command, as when it is full: as good as no answer."""
    unavailable = RedisUnavailable()
    unavailable.__cause__ = error
    return unavailable


async def _quietly(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Unavailable:
        return  # it is made again by who needs it next
