"""Connections to PostgreSQL: a pool of them, and what may go wrong on one.

A connection is lent for a block, and is given back however that ends. One that broke has most often broken with all others.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import asyncpg

from banyan.infra.db.errors import UniqueViolation
from banyan.infra.db.pool_use import PoolUse
from banyan.kernel.errors import BanyanError, InvalidInput, StorageFull, Unavailable

# The server gives up first, and says why; this is for a server that says nothing any more.
ANSWER_GRACE_SECONDS = 1.0
NO_LONGER_OPEN = "The server is shutting down; try again shortly."
ALL_BUSY = "All connections to the database are in use; try again shortly."

CONFLICTS = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
# What the unit itself has asked for cannot be; it hears of it.
REFUSALS = (
    asyncpg.UniqueViolationError,
    asyncpg.CharacterNotInRepertoireError,
    asyncpg.UntranslatableCharacterError,
)
# The connection is gone, or of no more use.
LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InternalClientError,
    OSError,  # a time-out too
)
PASSING = (
    *LOST,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)

Connection = Any
"""asyncpg's connection out of the pool: a proxy without useful types."""


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """pool_wait must stay well under the time in which a caller wants to hear that we are busy.

    application_name: what the server's list of connections calls ours.
    """

    size: int = 20
    idle_timeout: timedelta = timedelta(seconds=30)
    connect_timeout: timedelta = timedelta(seconds=2)
    pool_wait: timedelta = timedelta(milliseconds=100)
    statement_timeout: timedelta = timedelta(seconds=5)
    application_name: str = field(default_factory=lambda: process_name(os.getpid()))


def process_name(pid: int) -> str:
    """What a process of this machine calls its connections in PostgreSQL's list of them, which has 63 bytes for it."""
    return f"banyan {pid}@{socket.gethostname()}"[:63]


class PostgresPool:
    """Connections to one database, made when they are needed, closed when they have been idle for long.

    writing: whether a statement may write without a transaction that was begun for that. Such a pool opens none at first.
    """

    def __init__(self, url: str, settings: PoolSettings, *, writing: bool = False) -> None:
        self._url = url
        self._settings = settings
        self._writing = writing
        self._slots = asyncio.Semaphore(settings.size)
        self._pool: Any = None
        self.use = PoolUse(settings.size)

    @property
    def is_open(self) -> bool:
        return self._pool is not None

    async def open(self) -> None:
        """Raises Unavailable when the server cannot be reached."""
        try:
            self._pool = await _open_pool(self._url, self._settings, writing=self._writing)
        except PASSING as error:
            raise translate(error) from error

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        await pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for this block. Raises Unavailable when none is free within the pool's wait, or none can be made."""
        if self._slots.locked():
            try:
                with self.use.waiting():
                    async with asyncio.timeout(self._settings.pool_wait.total_seconds()):
                        await self._slots.acquire()
            except TimeoutError:
                raise Unavailable(ALL_BUSY) from None
        else:
            await self._slots.acquire()
        self.use.in_use += 1
        try:
            if self._pool is None:
                raise Unavailable(NO_LONGER_OPEN)
            # A slot is a free place in the pool; what may take longer is only to connect anew.
            connection = await self._pool.acquire(timeout=self._settings.connect_timeout.total_seconds())
            pool = self._pool
            try:
                yield connection
            except LOST:
                # It may still be in the middle of something, and what cut it has cut the others too.
                if not is_gone(connection):
                    connection.terminate()
                await pool.expire_connections()
                raise
            finally:
                with suppress(*LOST):
                    await pool.release(connection)
        finally:
            self.use.in_use -= 1
            self._slots.release()

    async def warm(self) -> None:
        """Open every connection of the pool, so that a rush does not find it cold. Raises Unavailable."""
        everyone = asyncio.Barrier(self._settings.size)

        async def open_one() -> None:
            async with self.connection():
                await everyone.wait()

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._settings.size):
                    group.create_task(open_one())
        except* (BanyanError, *PASSING) as errors:
            first = errors.exceptions[0]
            raise first if isinstance(first, BanyanError) else translate(first) from None


def is_gone(connection: Connection) -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        return True  # the pool has taken it back, because it was closed


def may_be_repeated(error: BaseException) -> bool:
    """Whether a new connection may do better, and at once: whoever has waited for a time-out has waited enough."""
    return isinstance(error, LOST) and not isinstance(error, TimeoutError)


async def _open_pool(url: str, settings: PoolSettings, *, writing: bool) -> Any:
    time = milliseconds(settings.statement_timeout)
    return await asyncpg.create_pool(
        url,
        min_size=0 if writing else 1,
        max_size=settings.size,
        max_inactive_connection_lifetime=settings.idle_timeout.total_seconds(),
        timeout=settings.connect_timeout.total_seconds(),
        command_timeout=settings.statement_timeout.total_seconds() + ANSWER_GRACE_SECONDS,
        # A transaction leaves nothing behind in its session, so there is nothing to reset, nor a round trip to pay.
        reset=_nothing_to_reset,
        server_settings={
            "application_name": settings.application_name,
            "default_transaction_read_only": "off" if writing else "on",
            "statement_timeout": time,
            "lock_timeout": time,
            "idle_in_transaction_session_timeout": time,
            "synchronous_commit": "on",
            "jit": "off",
        },
    )


def milliseconds(time: timedelta) -> str:
    return str(int(time.total_seconds() * 1000))


async def _nothing_to_reset(_connection: Connection) -> None:
    pass


async def open_connection(url: str, settings: Mapping[str, str], *, timeout_seconds: int = 5) -> Connection:
    """A connection outside of any pool, with these settings of its session. Raises Unavailable."""
    try:
        return await asyncpg.connect(url, timeout=timeout_seconds, server_settings=dict(settings))
    except (*PASSING, ValueError) as error:
        raise translate(error) if isinstance(error, PASSING) else Unavailable(str(error)) from error


@contextmanager
def translated() -> Iterator[None]:
    """Raise our errors for those of statements on an `open_connection`."""
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        if isinstance(error, asyncpg.InterfaceError):
            raise Unavailable("The connection to PostgreSQL was lost.") from error
        raise translate(error) from error


def translate(error: BaseException) -> BanyanError:
    """Our error for PostgreSQL's; what cannot be the world's fault is a bug and is passed on as it is."""
    if isinstance(error, asyncpg.UniqueViolationError):
        return UniqueViolation(getattr(error, "constraint_name", None) or "")
    if isinstance(error, REFUSALS):
        return InvalidInput("A text holds the character U+0000, which cannot be stored or looked for.")
    if isinstance(error, asyncpg.DiskFullError):
        return StorageFull()
    if isinstance(error, PASSING):
        return Unavailable(f"The database cannot be used at the moment ({type(error).__name__}).")
    raise error
