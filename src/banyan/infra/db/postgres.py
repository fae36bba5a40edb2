"""PostgreSQL: a pool of connections, a transaction for each unit of work, REPEATABLE READ, conflicts repeated.

The driver of a unit is here, not in the event loop: what a unit awaits comes to `_drive`, which runs the statements of
its own transaction and refuses everything else. So a unit cannot keep a connection for longer than its statements take,
nor forget to give it back: there is no such thing as a leaked connection.

REPEATABLE READ, not READ COMMITTED: a unit reads, decides and writes, and what it read must still hold when it writes.
Two units that write the same row (two changes of one stream always do) cannot both commit; the second is run again.
See docs/decisions/0011-postgresql-repeatable-read.md.
"""

import asyncio
import math
import os
import random
import socket
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import CodeType
from typing import Any, ParamSpec, TypeVar, cast

import asyncpg
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect
from sqlalchemy.sql import Executable

from banyan.infra.db.errors import UniqueViolation
from banyan.infra.db.pool_use import PoolUse
from banyan.infra.db.statements import StatementCache
from banyan.infra.db.transaction import Database, OnCommit, Parameters, Row, Work
from banyan.infra.faults import fault_point
from banyan.infra.telemetry.log import get_logger
from banyan.kernel.errors import BanyanError, InvalidInput, StorageFull, Unavailable
from banyan.kernel.events import Event

log = get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

MAX_ATTEMPTS = 12
FIRST_PAUSE_SECONDS = 0.002
LONGEST_PAUSE_SECONDS = 0.1
# The server gives up first, and says why; this is for a server that says nothing any more.
ANSWER_GRACE_SECONDS = 1.0
BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ WRITE"
BEGIN_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
NO_LONGER_OPEN = "The server is shutting down; try again shortly."
FOREIGN_AWAIT = "a unit of work may only await its own transaction: move other waiting outside of it"
AFTER_A_FAILURE = "a unit of work cannot go on after a statement that failed"
ALL_BUSY = "All connections to the database are in use; try again shortly."

_CONFLICTS = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
# What the unit itself has asked for cannot be; it hears of it.
_REFUSALS = (
    asyncpg.UniqueViolationError,
    asyncpg.CharacterNotInRepertoireError,
    asyncpg.UntranslatableCharacterError,
)
# The connection is gone, or of no more use.
_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InternalClientError,
    OSError,  # a time-out too
)
_PASSING = (
    *_LOST,
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


class _Call:
    """A statement that a unit awaits; `_drive` runs it on the unit's connection."""

    __slots__ = ("run",)

    def __init__(self, run: Callable[[Connection], Awaitable[Any]]) -> None:
        self.run = run

    def __await__(self) -> Generator["_Call", Any, Any]:
        return (yield self)


class PostgresTransaction:
    """A unit's statements. Its methods reach the database through whoever drives the unit."""

    folds = True

    def __init__(self, statements: StatementCache) -> None:
        self._statements = statements
        self.appended: list[Event] = []

    async def all(self, statement: Executable, parameters: Parameters | None = None) -> list[Row]:
        sql, values = self._statements.bind_in_order(statement, parameters)
        return cast(list[Row], await _Call(lambda connection: connection.fetch(sql, *values)))

    async def one(self, statement: Executable, parameters: Parameters | None = None) -> Row | None:
        rows = await self.all(statement, parameters)
        return rows[0] if rows else None

    async def value(self, statement: Executable, parameters: Parameters | None = None) -> Any:
        rows = cast(list[Any], await self.all(statement, parameters))
        return rows[0][0] if rows else None

    async def run(self, statement: Executable, parameters: Parameters | None = None) -> int:
        sql, values = self._statements.bind_in_order(statement, parameters)
        # asyncpg answers a call without values by the simple protocol, with the status of the last of its statements.
        status: str = await _Call(lambda connection: connection.execute(sql, *values))
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else -1

    async def run_many(self, statement: Executable, parameters: Sequence[Parameters]) -> None:
        if parameters:
            bound = [self._statements.bind_in_order(statement, row) for row in parameters]
            await _Call(
                lambda connection: connection.executemany(bound[0][0], [values for _, values in bound])
            )


class PostgresDatabase:
    """One PostgreSQL database as a shard.

    url: `postgresql://user:password@host:port/database`, as libpq and asyncpg understand it.
    """

    # Transactions take their sequence numbers before they commit, and commit in another order.
    commits_in_order = False
    folds = True

    def __init__(self, url: str, pool: PoolSettings | None = None, *, name: str = "main") -> None:
        self.name = name
        self._url = url
        self._settings = pool or PoolSettings()
        self._slots = asyncio.Semaphore(self._settings.size)
        self._pool_use = PoolUse(self._settings.size)
        self._statements = StatementCache(_DIALECT)
        self._pool: Any = None
        self._closing = False
        self._on_commit: OnCommit = lambda _events: None
        self._units: set[asyncio.Task[Any]] = set()
        # Units that met a conflict go one by one: each then meets at most those that are new, and all come through.
        self._conflicted = asyncio.Lock()
        # Reads that were seen to need more than one statement, and so a snapshot.
        self._need_snapshot: set[CodeType] = set()

    def beside(self, *, size: int) -> "PostgresDatabase":
        """The same database through a pool of its own, for what must not wait behind requests."""
        return PostgresDatabase(self._url, replace(self._settings, size=size), name=self.name)

    async def open_session(self) -> Connection:
        """A connection outside of the pool, which the caller closes: to listen on. Raises Unavailable.

        It must not be used for what is to last: a commit on it does not wait for the disk.
        """
        return await open_connection(
            self._url,
            {
                "application_name": self._settings.application_name,
                "statement_timeout": _milliseconds(self._settings.statement_timeout),
                "synchronous_commit": "off",
            },
            timeout_seconds=math.ceil(self._settings.connect_timeout.total_seconds()),
        )

    @property
    def present(self) -> Database:
        return self

    @property
    def pool_use(self) -> PoolUse:
        return self._pool_use

    async def start(self, on_commit: OnCommit) -> None:
        """Raises Unavailable when the server cannot be reached."""
        self._on_commit = on_commit
        self._closing = False
        try:
            self._pool = await open_pool(self._url, self._settings)
        except _PASSING as error:
            raise translate(error) from error

    async def transact(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._accept(self._transact(lambda tx: cast(Any, work)(tx, *args, **kwargs)))

    async def read(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._accept(self._read(work, lambda tx: cast(Any, work)(tx, *args, **kwargs)))

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
        except* (BanyanError, *_PASSING) as errors:
            first = errors.exceptions[0]
            raise first if isinstance(first, BanyanError) else translate(first) from None

    async def drain(self) -> None:
        if self._units:
            await asyncio.wait(set(self._units))

    async def close(self) -> None:
        if self._pool is None or self._closing:
            return
        self._closing = True
        await self.drain()
        pool, self._pool = self._pool, None
        await pool.close()

    async def _accept(self, unit: Coroutine[Any, Any, T]) -> T:
        if self._pool is None or self._closing:
            unit.close()
            raise Unavailable(NO_LONGER_OPEN)
        task = asyncio.create_task(unit)
        self._units.add(task)
        task.add_done_callback(self._units.discard)
        # A caller that goes away does not undo what is already on its way, nor break a connection that others use next.
        return await asyncio.shield(task)

    async def _transact(self, make: Callable[[PostgresTransaction], Coroutine[Any, Any, T]]) -> T:
        attempt = _Attempt(self, make)
        try:
            result, settled = await attempt.once()
        except _Again:
            async with self._conflicted:
                result, settled = await self._try_again(attempt)
        # The connection is given back: whoever waits here is in nobody's way.
        if settled is not None:
            await settled
        return result

    async def _try_again(self, attempt: "_Attempt") -> tuple[Any, Awaitable[None] | None]:
        for number in range(MAX_ATTEMPTS):
            longest = min(FIRST_PAUSE_SECONDS * 2**number, LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(random.uniform(0, longest))
            with suppress(_Again):
                return await attempt.once()
        raise Unavailable("Too many changes of the same thing at once; try again shortly.")

    async def _read(self, work: Any, make: Callable[[PostgresTransaction], Coroutine[Any, Any, T]]) -> T:
        code = getattr(getattr(work, "__func__", work), "__code__", None)
        lost = 0
        while True:
            try:
                async with self.connection() as connection:
                    if code is None or code in self._need_snapshot:
                        return await _snapshot(connection, make, self._statements)
                    return await _drive(make(PostgresTransaction(self._statements)), connection, most_calls=1)
            except _TooManyCalls:
                # What one statement sees is a snapshot already. Whoever needs two is run again, and remembered.
                assert code is not None
                self._need_snapshot.add(code)
            except _PASSING as error:
                lost += 1
                if lost > 1 or not _may_be_repeated(error):
                    raise translate(error) from error

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for this block. Raises Unavailable when none is free within the pool's wait, or none can be made."""
        use = self._pool_use
        if self._slots.locked():
            try:
                with use.waiting():
                    async with asyncio.timeout(self._settings.pool_wait.total_seconds()):
                        await self._slots.acquire()
            except TimeoutError:
                raise Unavailable(ALL_BUSY) from None
        else:
            await self._slots.acquire()
        use.in_use += 1
        try:
            if self._pool is None:
                raise Unavailable(NO_LONGER_OPEN)
            # A slot is a free place in the pool; what may take longer is only to connect anew.
            connection = await self._pool.acquire(timeout=self._settings.connect_timeout.total_seconds())
            pool = self._pool
            try:
                yield connection
            except _LOST:
                # It may still be in the middle of something, and what cut it has cut the others too.
                if not _is_gone(connection):
                    connection.terminate()
                await pool.expire_connections()
                raise
            finally:
                with suppress(*_LOST):
                    await pool.release(connection)
        finally:
            use.in_use -= 1
            self._slots.release()

    @property
    def statements(self) -> StatementCache:
        return self._statements

    def committed(self, events: list[Event]) -> Awaitable[None] | None:
        return self._on_commit(events) if events else None


class _Again(Exception):
    """Nothing was committed, and another attempt may well succeed."""


class _TooManyCalls(Exception):
    """A unit that was driven without a transaction asked for a second statement."""


class _Attempt:
    """A unit of work, as often as it takes: each run is a transaction of its own."""

    def __init__(
        self,
        database: PostgresDatabase,
        make: Callable[[PostgresTransaction], Coroutine[Any, Any, Any]],
    ) -> None:
        self._database = database
        self._make = make
        self._lost = 0
        self._unique = 0

    async def once(self) -> tuple[Any, Awaitable[None] | None]:
        """Run and commit; the result, and what to await before it is acknowledged.

        Raises _Again when the unit should be run again, else what is to be told to the caller.
        """
        committing = False
        tx = PostgresTransaction(self._database.statements)
        try:
            async with self._database.connection() as connection:
                await _do(connection, BEGIN)
                try:
                    result = await _drive(self._make(tx), connection)
                except BaseException:
                    await _roll_back(connection)
                    raise
                committing = True
                await _do(connection, "COMMIT")
        except _CONFLICTS as error:
            raise _Again() from error
        except UniqueViolation as error:
            # The key may have been taken after our snapshot: then the unit would have found it, had it begun later.
            self._unique += 1
            if self._unique > 1:
                raise
            raise _Again() from error
        except _PASSING as error:
            self._lost += 1
            # Lost while committing, it may be done or not: only who asked can find out.
            if committing or self._lost > 1 or not _may_be_repeated(error):
                raise translate(error) from error
            raise _Again() from error
        fault_point("after-commit")
        return result, self._database.committed(tx.appended)


async def _snapshot(
    connection: Connection,
    make: Callable[[PostgresTransaction], Coroutine[Any, Any, T]],
    statements: StatementCache,
) -> T:
    await _do(connection, BEGIN_READING)
    try:
        return await _drive(make(PostgresTransaction(statements)), connection)
    finally:
        await _roll_back(connection)


async def _do(connection: Connection, sql: str) -> None:
    await _answer(connection, lambda connection: connection.execute(sql))


async def _roll_back(connection: Connection) -> None:
    """End a transaction that failed; without a connection it is over already."""
    if not _is_gone(connection):
        with suppress(*_LOST):
            await _do(connection, "ROLLBACK")


def _is_gone(connection: Connection) -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        return True  # the pool has taken it back, because it was closed


def _may_be_repeated(error: BaseException) -> bool:
    """Whether a new connection may do better, and at once: whoever has waited for a time-out has waited enough."""
    return isinstance(error, _LOST) and not isinstance(error, TimeoutError)


async def _drive(work: Coroutine[Any, Any, T], connection: Connection, *, most_calls: int | None = None) -> T:
    """Run a unit of work to its end, its statements on this connection.

    Errors of the database that are no fault of the unit (a conflict, a lost connection) end it, and come out here.
    Raises RuntimeError when it awaits something else than its own transaction, or goes on after a failed statement.
    """
    calls = 0
    answer: Any = None
    failure: BanyanError | None = None
    try:
        while True:
            call = _step(work, answer, failure)
            if failure is not None:
                raise RuntimeError(AFTER_A_FAILURE) from failure
            if not isinstance(call, _Call):
                raise RuntimeError(FOREIGN_AWAIT)
            calls += 1
            if most_calls is not None and calls > most_calls:
                raise _TooManyCalls()
            try:
                answer = await _answer(connection, call.run)
            except _REFUSALS as error:
                failure = translate(error)
    except StopAsyncIteration as done:
        if failure is not None:
            raise RuntimeError(AFTER_A_FAILURE) from failure
        return done.args[0]
    finally:
        work.close()


def _step(work: Coroutine[Any, Any, Any], answer: Any, failure: BanyanError | None) -> Any:
    """What the unit awaits next. Raises StopAsyncIteration with its result at its end."""
    try:
        return work.send(answer) if failure is None else work.throw(failure)
    except StopIteration as done:
        raise StopAsyncIteration(done.value) from None
    except Exception:
        raise
    except BaseException as error:
        # As on SQLite: whatever it is, it ends this unit and nothing else.
        raise RuntimeError(f"a unit of work raised {type(error).__name__}") from error


async def _answer(connection: Connection, run: Callable[[Connection], Awaitable[T]]) -> T:
    """Run one statement. Raises ConnectionError where asyncpg only says that its own object is of no more use."""
    try:
        return await run(connection)
    except asyncpg.InterfaceError as error:
        if _is_gone(connection):
            raise ConnectionError("the connection is closed") from error
        raise


_DIALECT = asyncpg_dialect.dialect()


async def open_pool(url: str, settings: PoolSettings) -> Any:
    milliseconds = _milliseconds(settings.statement_timeout)
    return await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=settings.size,
        max_inactive_connection_lifetime=settings.idle_timeout.total_seconds(),
        timeout=settings.connect_timeout.total_seconds(),
        command_timeout=settings.statement_timeout.total_seconds() + ANSWER_GRACE_SECONDS,
        # A transaction leaves nothing behind in its session, so there is nothing to reset, nor a round trip to pay.
        reset=_nothing_to_reset,
        server_settings={
            "application_name": settings.application_name,
            "default_transaction_read_only": "on",
            "statement_timeout": milliseconds,
            "lock_timeout": milliseconds,
            "idle_in_transaction_session_timeout": milliseconds,
            "synchronous_commit": "on",
            "jit": "off",
        },
    )


def _milliseconds(time: timedelta) -> str:
    return str(int(time.total_seconds() * 1000))


async def _nothing_to_reset(_connection: Connection) -> None:
    pass


async def open_connection(url: str, settings: Mapping[str, str], *, timeout_seconds: int = 5) -> Connection:
    """A connection outside of any pool, with these settings of its session. Raises Unavailable."""
    try:
        return await asyncpg.connect(url, timeout=timeout_seconds, server_settings=dict(settings))
    except (*_PASSING, ValueError) as error:
        raise translate(error) if isinstance(error, _PASSING) else Unavailable(str(error)) from error


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
    if isinstance(error, _REFUSALS):
        return InvalidInput("A text holds the character U+0000, which cannot be stored or looked for.")
    if isinstance(error, asyncpg.DiskFullError):
        return StorageFull()
    if isinstance(error, _PASSING):
        return Unavailable(f"The database cannot be used at the moment ({type(error).__name__}).")
    raise error
