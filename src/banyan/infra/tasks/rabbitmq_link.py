"""One connection to RabbitMQ, made when it is needed and made anew when it is lost.

The library can reconnect by itself, but then nobody knows what became of what was under way. Here a lost connection is
an error of whoever uses it, at once, and the next use makes another one.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import aio_pika
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS

from banyan.infra.telemetry.log import get_logger
from banyan.kernel.errors import Unavailable

log = get_logger(__name__)

CONNECT_SECONDS = 2.0
CLOSE_SECONDS = 2.0
# After a failure the next attempt is refused for so long, doubled each time: a broker that starts is not run over, and
# callers are answered at once meanwhile.
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 3.0
# A dead peer is noticed after three of them.
HEARTBEAT_SECONDS = 5

# They say at ERROR what we turn into errors of our own, and log as facts.
for _library in ("aiormq", "aio_pika"):
    logging.getLogger(_library).setLevel(logging.CRITICAL)


@contextmanager
def unavailable_when_lost() -> Iterator[None]:
    """Turns everything that a lost, stuck or refused connection raises into Unavailable."""
    try:
        yield
    except (TimeoutError, *CONNECTION_EXCEPTIONS) as error:
        raise Unavailable(reason=type(error).__name__) from error
    except asyncio.CancelledError as error:
        # aiormq cancels what waits on a connection that it closes. Only a cancellation of ours goes on as such.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise Unavailable(reason="ConnectionClosed") from error


class Link:
    """name: shown by the broker. prepare: what to declare on each new connection."""

    def __init__(self, url: str, name: str, prepare: Callable[[AbstractConnection], Awaitable[None]]) -> None:
        query = urlsplit(url).query
        with_heartbeat = f"{url}{'&' if query else '?'}heartbeat={HEARTBEAT_SECONDS}"
        self._url = url if "heartbeat=" in query else with_heartbeat
        self._name = name
        self._prepare = prepare
        self._connection: AbstractConnection | None = None
        self._making = asyncio.Lock()
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._not_before = 0.0
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def is_open(self) -> bool:
        transport = None if self._connection is None else self._connection.transport
        return transport is not None and not transport.connection.is_closed

    async def connection(self) -> AbstractConnection:
        """The open connection. Raises Unavailable, at once for a while after an attempt has failed."""
        if self._connection is not None and self.is_open:
            return self._connection
        async with self._making:
            if self._connection is not None and self.is_open:
                return self._connection
            self.drop()
            if time.monotonic() < self._not_before:
                raise Unavailable(reason="PauseAfterFailure", retry_after_seconds=self._pause_seconds)
            try:
                self._connection = await self._connect()
            except Unavailable as error:
                pause = self._pause_seconds * random.uniform(0.75, 1.25)
                self._not_before = time.monotonic() + pause
                self._pause_seconds = min(self._pause_seconds * 2, LONGEST_PAUSE_SECONDS)
                log.warning("broker_unavailable", link=self._name, error=error.facts.get("reason"))
                raise
            self._pause_seconds = FIRST_PAUSE_SECONDS
            log.info("broker_connected", link=self._name)
            return self._connection

    def drop(self) -> None:
        """Give the connection up, because it is lost or does not answer; the next use makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            closing = asyncio.create_task(_close(connection))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        self.drop()
        await asyncio.gather(*self._closing)

    async def _connect(self) -> AbstractConnection:
        with unavailable_when_lost():
            async with asyncio.timeout(CONNECT_SECONDS):
                connection = await aio_pika.connect(
                    self._url, client_properties={"connection_name": self._name}, timeout=CONNECT_SECONDS
                )
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await self._prepare(connection)
            except BaseException:
                await _close(connection)
                raise
        return connection


def version_of(connection: AbstractConnection) -> tuple[str, str]:
    """What the broker calls itself, and its version."""
    transport = connection.transport
    said = {} if transport is None else transport.connection.server_properties
    return _text(said.get("product", "RabbitMQ")), _text(said.get("version", "unknown"))


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes | bytearray) else str(value)


async def _close(connection: AbstractConnection) -> None:
    # Whatever keeps it from being closed in good order: it is given up.
    with suppress(Exception):
        async with asyncio.timeout(CLOSE_SECONDS):
            await connection.close()
