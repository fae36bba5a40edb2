"""Clients of the live endpoints, for tests."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx
from httpx_sse import ServerSentEvent, connect_sse
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin


@dataclass(frozen=True, slots=True)
class Told:
    """One message of either endpoint. data: all that it says besides."""

    name: str
    cursor: str
    data: dict[str, Any]


class EventStream:
    """An open `GET /events`. Reading waits for the next message; 10 s without one is an error."""

    def __init__(self, response: httpx.Response, messages: Iterator[ServerSentEvent]) -> None:
        self.response = response
        self._messages = messages

    def next(self) -> Told:
        message = next(self._messages)
        while not message.data:  # a heartbeat, which browsers do not dispatch either
            message = next(self._messages)
        return Told(message.event, message.id, json.loads(message.data))

    def take(self, count: int) -> list[Told]:
        return [self.next() for _ in range(count)]

    def until(self, name: str) -> Told:
        """The next message of that name; those before it are passed over."""
        while True:
            message = self.next()
            if message.name == name:
                return message

    def is_over(self) -> bool:
        """Whether the server ended it; waits for that."""
        return next(self._messages, None) is None


@contextmanager
def event_stream(
    client: httpx.Client, since: str | None = None, *, header: bool = True
) -> Iterator[EventStream]:
    """Open `GET /events`. header: send the cursor as `Last-Event-ID`, as browsers do, and not as `since`."""
    headers = {"last-event-id": since} if since is not None and header else {}
    params = {"since": since} if since is not None and not header else {}
    timeout = httpx.Timeout(10)
    with connect_sse(client, "GET", "/events", headers=headers, params=params, timeout=timeout) as source:
        assert source.response.status_code == 200, source.response.read()
        yield EventStream(source.response, source.iter_sse())


class Socket:
    """An open `WS /ws`."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def next(self) -> Told:
        content = json.loads(self.connection.recv(timeout=10))
        return Told(content.pop("event"), content.pop("cursor"), content)

    def take(self, count: int) -> list[Told]:
        return [self.next() for _ in range(count)]

    def close_code(self) -> int | None:
        """The code with which the server closes it; waits for that, and passes over what comes before."""
        with suppress(ConnectionClosed):
            while True:
                self.connection.recv(timeout=10)
        return self.connection.close_code


@contextmanager
def socket(
    url: str,
    *,
    token: str | None = None,
    ticket: str | None = None,
    since: str | None = None,
    origin: str | None = None,
) -> Iterator[Socket]:
    """Open `WS /ws` of the server at `url`. Raises websockets.exceptions.InvalidStatus when it is refused."""
    query = httpx.QueryParams({k: v for k, v in (("ticket", ticket), ("since", since)) if v is not None})
    headers = {"authorization": f"Bearer {token}"} if token else {}
    address = str(httpx.URL(url).copy_with(scheme="ws", path="/ws", params=query))
    site = None if origin is None else Origin(origin)
    with connect(address, additional_headers=headers, origin=site, proxy=None, close_timeout=2) as connection:
        yield Socket(connection)
