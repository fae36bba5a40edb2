"""The lane of requests that need a password hash: people come to it at the same moment, and few of them can be served in time.

    arrive ─▶ one by one, a turn of the event loop for each ─▶ door: could it be done in time? ─▶ the application
                                                                └── no ─▶ 503 with Retry-After

Without it 250 logins at once are 250 requests through routing, validation and two look-ups, most of them only to be refused by
the hashing threads at last, and whoever asks for anything else in that moment waits for all of them.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from starlette.routing import BaseRoute

Function = TypeVar("Function", bound=Callable[..., Any])


class Lane:
    """routes: (method, path) of those who take it. refuse: called with how many are inside before it lets one more in;
    raises what the request is answered with when that is too many. For one event loop."""

    def __init__(self, routes: frozenset[tuple[str, str]], refuse: Callable[[int], None]) -> None:
        self.routes = routes
        self._refuse = refuse
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_passing = False

    async def turn(self) -> None:
        """Return in a turn of the event loop in which nobody else passes; between two of them other requests have theirs."""
        loop = asyncio.get_running_loop()
        if not self._is_passing:
            self._is_passing = True
            loop.call_soon(self._next)
            return
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        await turn

    @contextmanager
    def inside(self) -> Iterator[None]:
        """For as long as the request is worked on. Raises what `refuse` raises."""
        self._refuse(self._inside)
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    def _next(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # its client may have left
                turn.set_result(None)
                asyncio.get_running_loop().call_soon(self._next)
                return
        self._is_passing = False


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
