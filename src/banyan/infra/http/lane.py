"""The lane of requests that need a password hash: people come to it at the same moment, and few of them can be served in time.

    arrive ─▶ the door (door.py), one by one ─▶ could it be done in time? ─▶ wait for a place ─▶ the application
                                                   └── no ─▶ 503 with Retry-After ◀── too long ──┘

Without it 250 logins at once are 250 requests through routing, validation and two look-ups, most of them only to be refused by
the hashing threads at last, and whoever asks for anything else in that moment waits for all of them. Those who are let in wait here,
where it costs nothing: not one behind the other for the hashing threads with all the work before the hash done at once.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from starlette.routing import BaseRoute

Function = TypeVar("Function", bound=Callable[..., Any])


class Lane:
    """For one event loop.

    routes: (method, path) of those who take it. refuse: called with how many are before a request, inside or waiting; raises what the
    request is answered with when that is too many. places: for how many who are worked on at the same time.
    patience_seconds: longest wait for a place, whatever `refuse` expected. late: makes what is raised then.
    """

    def __init__(
        self,
        routes: frozenset[tuple[str, str]],
        refuse: Callable[[int], None],
        *,
        places: int,
        patience_seconds: float,
        late: Callable[[], Exception],
    ) -> None:
        self.routes = routes
        self._refuse = refuse
        self._places = places
        self._patience_seconds = patience_seconds
        self._late = late
        self._inside = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._expected = 0

    def expect_one(self) -> None:
        """One more is about to come: in the event loop's next turn, or not at all. Raises what `refuse` raises."""
        self._refuse(self._inside + len(self._queue) + self._expected)
        if self._expected == 0:
            asyncio.get_running_loop().call_soon(self._have_come)
        self._expected += 1

    @asynccontextmanager
    async def inside(self) -> AsyncIterator[None]:
        """For as long as the request is worked on; first come, first served. Raises what `refuse` raises and `late` makes."""
        self._refuse(self._inside + len(self._queue))
        await self._enter()
        try:
            yield
        finally:
            self._leave()

    async def _enter(self) -> None:
        if self._inside < self._places:
            self._inside += 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(place)
        try:
            async with asyncio.timeout(self._patience_seconds):
                await place
        except BaseException as error:
            if place.done() and not place.cancelled():
                self._leave()  # the place came in the very moment of giving up
            else:
                with suppress(ValueError):
                    self._queue.remove(place)
            if isinstance(error, TimeoutError):
                raise self._late() from error
            raise

    def _leave(self) -> None:
        while self._queue:
            place = self._queue.popleft()
            if not place.done():
                place.set_result(None)  # ours is theirs now
                return
        self._inside -= 1

    def _have_come(self) -> None:
        self._expected = 0  # each of them is counted inside or in the queue now, or came no further


def needs_a_hash(endpoint: Function) -> Function:
    """Mark a path operation whose every request needs a password hash."""
    endpoint.needs_a_hash = True  # type: ignore[attr-defined]
    return endpoint


def lane_routes(routes: Iterable[BaseRoute]) -> frozenset[tuple[str, str]]:
    """(method, path) of the marked ones, with and without the trailing slash."""
    found: set[tuple[str, str]] = set()
    for route in routes:
        if getattr(getattr(route, "endpoint", None), "needs_a_hash", False):
            path = getattr(route, "path", "").rstrip("/")
            for method in getattr(route, "methods", ()):
                found |= {(method, path), (method, path + "/")}
    return frozenset(found)
