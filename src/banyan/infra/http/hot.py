"""Hot routes: declared once, served twice.

The most used operations are written as lean handlers: bytes in, bytes out. Each is declared as a FastAPI path operation
whose signature gives OpenAPI its parameters, models and errors, and is served by the same lean handler from the router
and, without routing or middleware, from the edge (`edge.py`). See docs/decisions/0005-hot-routes.md.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple, Protocol, TypeVar

from starlette.routing import BaseRoute
from starlette.types import Message, Receive, Scope, Send

from banyan.infra.auth.principal import Principal
from banyan.infra.http.receive import read_body

Headers = list[tuple[bytes, bytes]]
Function = TypeVar("Function", bound=Callable[..., Any])

JSON = (b"content-type", b"application/json")


class Stream(Protocol):
    """A body that comes about as time goes by."""

    async def serve(self, head: Message, receive: Receive, send: Send) -> None:
        """Send the head of the answer, then the body, until it is over or the client has gone."""
        ...


class Answer(NamedTuple):
    """stream: what takes the place of the body."""

    status: int
    headers: Headers
    body: bytes = b""
    stream: Stream | None = None


class HotRequest:
    """What a lean handler may look at."""

    __slots__ = ("_receive", "principal", "scope")

    def __init__(self, scope: Scope, receive: Receive, principal: Principal) -> None:
        self.scope = scope
        self._receive = receive
        self.principal = principal

    @property
    def query(self) -> bytes:
        return self.scope["query_string"]

    def header(self, name: bytes) -> bytes | None:
        """The first header of that (lower-case) name."""
        for key, value in self.scope["headers"]:
            if key == name:
                return value
        return None

    async def body(self) -> bytes:
        """The whole body. Raises TooLarge."""
        return await read_body(self._receive)


LeanHandler = Callable[[HotRequest], Awaitable[Answer]]


def served_by(handler: LeanHandler) -> Callable[[Function], Function]:
    """Mark a path operation as the documentation of a lean handler, which serves it."""

    def mark(documented: Function) -> Function:
        documented.lean = handler  # type: ignore[attr-defined]
        return documented

    return mark


def lean_handler_of(endpoint: Callable[..., Any]) -> LeanHandler | None:
    return getattr(endpoint, "lean", None)


def hot_routes(routes: Iterable[BaseRoute]) -> dict[tuple[str, str], LeanHandler]:
    """(method, path) → handler, with and without the trailing slash."""
    found: dict[tuple[str, str], LeanHandler] = {}
    for route in routes:
        handler = lean_handler_of(getattr(route, "endpoint", lambda: None))
        if handler is not None:
            path = getattr(route, "path", "").rstrip("/")
            for method in getattr(route, "methods", ()):
                found[method, path] = found[method, path + "/"] = handler
    return found
