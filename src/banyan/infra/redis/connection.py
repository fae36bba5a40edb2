"""The connection to Redis: every command goes through one door, answers quickly or fails quickly.

What redis-py (8) does by itself, and we do here instead:
- It retries, up to ten times with pauses. Here nothing is retried: whoever asks has the database to turn to.
- It bounds connecting, writing and reading one by one, each write in a task of its own. Here one time-out spans the whole
  command, waiting for a free connection included.
- Over RESP3 it asks for maintenance notices, and then takes connections from the pool without looking whether an answer
  is left in them. Here these notices are off, so that it looks.
A command that is cancelled while it waits closes its socket (`AbstractConnection.read_response`), so no answer can stay
behind for the next one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from datetime import timedelta
from typing import Any, TypeVar

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from banyan.infra.resilience.breaker import Breaker, CircuitOpen
from banyan.infra.telemetry.log import get_logger
from banyan.kernel.errors import Unavailable

log = get_logger(__name__)

Value = TypeVar("Value")

# Answers that are no mistake of the command: the server is loading, full, read-only or has lost its master. redis-py has
# classes for some of them, and all of them begin with these words.
_ILL = (
    "LOADING",
    "OOM",
    "READONLY",
    "MASTERDOWN",
    "BUSY",
    "TRYAGAIN",
    "CLUSTERDOWN",
    "MISCONF",
    "NOREPLICAS",
)


class RedisUnavailable(Unavailable):
    """Redis did not answer, or not in time, or was not even asked. The answer can be had from the database."""

    detail = "The cache does not answer at the moment; try again shortly."


class RedisConnection:
    """A bounded pool of connections with a breaker in front. Opens nothing before the first command.

    url: `redis://`, `rediss://` or `unix://`. timeout: for one command, from waiting for a connection to its answer.
    most_connections: callers of one moment are mostly gathered into one command, so few are enough.
    """

    def __init__(
        self,
        url: str,
        timeout: timedelta,
        *,
        most_connections: int = 16,
        breaker: Breaker | None = None,
    ) -> None:
        self._timeout_seconds = timeout.total_seconds()
        self.breaker = breaker or Breaker("Redis")
        pool = redis.ConnectionPool.from_url(
            url,
            max_connections=most_connections,
            protocol=3,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=None,
            socket_connect_timeout=self._timeout_seconds,
            driver_info=None,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        self._client = redis.Redis(connection_pool=pool)
        # The pool raises when it is empty; here one waits.
        self._free = asyncio.Semaphore(most_connections)
        self._probe: asyncio.Task[None] | None = None

    async def do(self, command: Callable[[redis.Redis], Awaitable[Value]]) -> Value:
        """What `command` returns: `await connection.do(lambda client: client.mget(keys))`.

        command: one command or one pipeline. It may have been carried out although this raises.
        Raises RedisUnavailable within the time-out, and at once while the breaker is open. Raises redis-py's
        ResponseError when the command itself is wrong, such as a script that is not loaded.
        """
        if self.is_down():
            self.breaker.refused += 1
            raise RedisUnavailable()
        ticket = self.breaker.admit()
        try:
            value = await self._ask(command)
        except asyncio.CancelledError:
            self.breaker.abandoned(ticket)
            raise
        except RedisUnavailable as error:
            before = self.breaker.times_opened
            self.breaker.failed(ticket)
            if self.breaker.times_opened != before:
                log.warning("redis_lost", error=type(error.__cause__).__name__)
            raise
        except BaseException:
            self.breaker.succeeded(ticket)
            raise
        self.breaker.succeeded(ticket)
        return value

    def is_down(self) -> bool:
        """Whether `do` would refuse. When a probe is due it is sent beside: no request has to wait for it."""
        state = self.breaker.state
        if state == "half_open" and (self._probe is None or self._probe.done()):
            self._probe = asyncio.create_task(self._knock(), context=Context())
        return state != "closed"

    async def check(self) -> None:
        """For /health: raises RedisUnavailable when it does not answer now. No reason to be unready."""
        await self.do(_ping)

    async def close(self) -> None:
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.gather(self._probe, return_exceptions=True)
        # A time-out for closing has nothing to say to anybody.
        await asyncio.gather(self._client.aclose(close_connection_pool=True), return_exceptions=True)

    async def _ask(self, command: Callable[[redis.Redis], Awaitable[Value]]) -> Value:
        try:
            async with asyncio.timeout(self._timeout_seconds), self._free:
                return await command(self._client)
        except ResponseError as error:
            if str(error).startswith(_ILL):
                raise RedisUnavailable() from error
            raise
        except (RedisError, OSError, TimeoutError) as error:
            raise RedisUnavailable() from error

    async def _knock(self) -> None:
        try:
            await self.breaker.run(lambda: self._ask(_ping))
        except (RedisUnavailable, CircuitOpen):
            return
        log.info("redis_back")


async def _ping(client: redis.Redis) -> Any:
    return await client.execute_command("PING")
