"""The shared cache: what one process has loaded, the others need not load again.

It is read through: who asks says how to make what is missing. A value is used only for the position that it was made at
(see response_cache.py), so that it can be lost, late or left over from another version of the data, and never wrong.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import NamedTuple, Protocol

from banyan.infra.cache.early_refresh import is_due

# Who finds that another process is making it already looks again after these pauses, and then makes it too.
WAITS_SECONDS = (0.002, 0.004, 0.008, 0.016, 0.032)


class Made(NamedTuple):
    """position: of the snapshot that the value was made from."""

    position: int
    value: bytes


Make = Callable[[], Awaitable[Made]]


class SharedCache(Protocol):
    async def through(self, key: str, position: int, ttl: timedelta, make: Make) -> Made:
        """The value that was made at `position`, or else what `make` returns now, which is kept for others.

        Of many who miss it at the same moment, in whatever process, one makes it and the others wait a little for that. Near
        the end of its time a value is made anew by one of those who ask, so that it never runs out for all at once.
        What was made at an earlier position never takes the place of something newer.
        Raises what `make` raises; a cache that does not answer is no error.
        """
        ...


class MemorySharedCache:
    """SharedCache inside one process: the twin for tests, several of which share one `store`."""

    class Store:
        def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
            self.monotonic = monotonic
            self.values: dict[str, tuple[Made, float, float]] = {}
            self.claims: set[tuple[str, int]] = set()

    def __init__(self, store: Store | None = None) -> None:
        self._store = store or self.Store()

    async def through(self, key: str, position: int, ttl: timedelta, make: Make) -> Made:
        store, claim = self._store, (key, position)
        for pause in (*WAITS_SECONDS, None):
            found = self._get(key, position)
            if found is not None:
                return found
            if claim not in store.claims or pause is None:
                break
            await asyncio.sleep(pause)
        store.claims.add(claim)
        try:
            started = store.monotonic()
            made = await make()
        finally:
            store.claims.discard(claim)
        there = store.values.get(key)
        if there is None or there[0].position <= made.position:
            now = store.monotonic()
            store.values[key] = (made, now + ttl.total_seconds(), now - started)
        return made

    def _get(self, key: str, position: int) -> Made | None:
        found = self._store.values.get(key)
        if found is None:
            return None
        made, ends, took = found
        left = ends - self._store.monotonic()
        if made.position != position or left <= 0 or is_due(left, took):
            return None
        return made
