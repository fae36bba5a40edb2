"""A session with Redis that knows which server it is with, and never takes another one for it.

What is known about positions holds for one server process: one that was restarted with an older copy of its data, or a
replica that took over, answers just as readily, with what is no longer true. A connection cannot outlive its server, so
each new connection asks for the server's `run_id`, and commands are meant for the server with that id or for none.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from banyan.infra.redis.connection import RedisUnavailable
from banyan.infra.telemetry.log import get_logger

log = get_logger(__name__)

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0

Command = tuple[str | bytes | int, ...]


class RedisSession:
    """One connection. Commands that are sent together share a round trip; callers take turns.

    timeout: for the whole of a call, with connecting and waiting for one's turn.
    """

    def __init__(
        self, url: str, timeout: timedelta, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._arguments = parse_url(url)
        self._timeout_seconds = timeout.total_seconds()
        self._monotonic = monotonic
        self._turn = asyncio.Lock()
        self._connection: AbstractConnection | None = None
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._next_try = 0.0
        self.server: str | None = None
        """The `run_id` of the server that it was last connected with."""

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    async def call(self, commands: Sequence[Command], *, server: str, connect: bool = False) -> list[Any]:
        """The answers to `commands`, in their order, from the server with this `run_id`.

        connect: make a connection when there is none; without it that is left to `keep_open`, so that a caller who has
        somewhere else to turn to is told at once.
        Raises RedisUnavailable, within the time-out. The commands may have been done then, or be done later.
        """
        if self._connection is None and not connect:
            raise RedisUnavailable()
        return await self._guarded(lambda: self._call(commands, server))

    async def identify(self) -> str:
        """The `run_id` of the server that answers now. Raises RedisUnavailable."""
        return await self._guarded(self._identify)

    async def keep_open(self) -> None:
        """Connect again, when the last attempt is long enough ago; never raises."""
        if self._connection is None and self._monotonic() >= self._next_try:
            try:
                await self.identify()
            except RedisUnavailable:
                return

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)

    async def _guarded(self, talk: Callable[[], Any]) -> Any:
        try:
            async with asyncio.timeout(self._timeout_seconds), self._turn:
                answer = await talk()
        except (RedisError, OSError, TimeoutError) as error:
            was_open = self._connection is not None
            await self.close()
            self._next_try = self._monotonic() + self._pause_seconds
            self._pause_seconds = min(self._pause_seconds * 2, LONGEST_PAUSE_SECONDS)
            if was_open:
                log.warning("redis_session_lost", error=type(error).__name__)
            raise RedisUnavailable() from error
        self._pause_seconds = FIRST_PAUSE_SECONDS
        return answer

    async def _call(self, commands: Sequence[Command], server: str) -> list[Any]:
        connection, is_new = await self._connected()
        if self.server != server:
            raise RedisUnavailable()
        try:
            return await _exchange(connection, commands)
        except ConnectionLost:
            # It was closed while nobody looked, perhaps for idleness. All that is sent here may be sent twice.
            if is_new:
                raise
        await self.close()
        connection, _ = await self._connected()
        if self.server != server:
            raise RedisUnavailable()
        return await _exchange(connection, commands)

    async def _identify(self) -> str:
        connection, is_new = await self._connected()
        if not is_new:
            try:
                await _exchange(connection, [("PING",)])
            except ConnectionLost:
                await self.close()
                await self._connected()
        assert self.server is not None  # a connection was made
        return self.server

    async def _connected(self) -> tuple[AbstractConnection, bool]:
        if self._connection is not None:
            return self._connection, False
        options: dict[str, Any] = {
            "retry": Retry(NoBackoff(), 0),
            "socket_timeout": None,
            "socket_connect_timeout": self._timeout_seconds,
            "driver_info": None,
            "protocol": 3,
            "maint_notifications_config": MaintNotificationsConfig(enabled=False),
            **self._arguments,
        }
        connection = options.pop("connection_class", Connection)(**options)
        try:
            await connection.connect()
            self.server = _server_of(
                *await _exchange(connection, [("INFO", "server"), ("INFO", "replication")])
            )
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._connection = connection
        return connection, True


async def _exchange(connection: AbstractConnection, commands: Sequence[Command]) -> list[Any]:
    """Raises the first error among the answers, once all of them are read."""
    # Not the client above the connection: it would cost three times as much processor time.
    await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
    answers: list[Any] = []
    refusal: ResponseError | None = None
    for _ in commands:
        try:
            answers.append(await connection.read_response())
        except ResponseError as error:
            refusal = refusal or error
    if refusal is not None:
        raise refusal
    return answers


def _server_of(*answers: bytes | str) -> str:
    """The `run_id` out of INFO's answers. Raises ConnectionLost for a server that others write for."""
    lines = [line for text in answers for line in _text(text).splitlines()]
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    if facts.get("role") != "master" or facts.get("redis_mode", "standalone") == "cluster":
        raise ConnectionLost("not a primary, or a cluster")
    return facts["run_id"]


def _text(answer: bytes | str) -> str:
    return answer.decode() if isinstance(answer, bytes) else answer
