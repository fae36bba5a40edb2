"""Single flight: what many want at the same moment is fetched once."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class SingleFlight(Generic[Value]):
    """Without it, a write to a popular list lets every client that waits load the same page (a cache stampede)."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, asyncio.Task[Value]] = {}

    async def do(self, key: Hashable, fetch: Callable[[], Awaitable[Value]]) -> Value:
        """What `fetch` returns or raises; callers that come with the same key while it is under way share it.

        A caller that goes away does not take the others' answer with it.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.ensure_future(_run(fetch))
            flight.add_done_callback(lambda _done: self._flights.pop(key, None))
        return await asyncio.shield(flight)


async def _run(fetch: Callable[[], Awaitable[Value]]) -> Value:
    return await fetch()
