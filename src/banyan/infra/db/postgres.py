"""PostgreSQL: a transaction for each unit of work, REPEATABLE READ, conflicts repeated.

REPEATABLE READ, not READ COMMITTED: a unit reads, decides and writes, and what it read must still hold when it writes.
Two units that write the same row (two changes of one stream always do) cannot both commit; the second is run again.
See docs/decisions/0011-postgresql-repeatable-read.md.

A unit that is one statement (`in_one_statement`) needs neither: what it writes depends on nothing that it has read before.

The connections are in postgres_pool.py, and how a unit is run on one in postgres_units.py.
"""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from types import CodeType
from typing import Any, ParamSpec, TypeVar, cast

from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect

from banyan.infra.db.errors import OutcomeUnknown, UniqueViolation
from banyan.infra.db.pool_use import PoolUse
from banyan.infra.db.postgres_pool import (
    CONFLICTS,
    NO_LONGER_OPEN,
    PASSING,
    Connection,
    PoolSettings,
    PostgresPool,
    may_be_repeated,
    milliseconds,
    open_connection,
    translate,
)
from banyan.infra.db.postgres_units import PostgresTransaction, TooManyCalls, drive, roll_back, run_bare
from banyan.infra.db.statements import StatementCache
from banyan.infra.db.transaction import Database, OnCommit, Work
from banyan.infra.faults import fault_point
from banyan.kernel.errors import Unavailable
from banyan.kernel.events import Event

P = ParamSpec("P")
T = TypeVar("T")

MAX_ATTEMPTS = 12
# Connections for units of one statement: few, because each of these holds what many callers want.
WRITERS = 2
FIRST_PAUSE_SECONDS = 0.002
LONGEST_PAUSE_SECONDS = 0.1
MORE_THAN_ONE = "a unit that was marked in_one_statement asked for a second one"
CUT_AT_COMMIT = "The connection to the database broke as this was being stored; look whether it is there, or send it again."
BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ WRITE"
BEGIN_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"

_DIALECT = asyncpg_dialect.dialect()


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
        self._pool = PostgresPool(url, self._settings)
        # On these a statement may write without a BEGIN that says so.
        self._writers = PostgresPool(url, replace(self._settings, size=WRITERS), writing=True)
        self._statements = StatementCache(_DIALECT)
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
                "statement_timeout": milliseconds(self._settings.statement_timeout),
                "synchronous_commit": "off",
            },
            timeout_seconds=math.ceil(self._settings.connect_timeout.total_seconds()),
        )

    @property
    def present(self) -> Database:
        return self

    @property
    def pool_use(self) -> PoolUse:
        return self._pool.use

    async def start(self, on_commit: OnCommit) -> None:
        """Raises Unavailable when the server cannot be reached."""
        self._on_commit = on_commit
        self._closing = False
        await self._pool.open()
        await self._writers.open()

    async def transact(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        one_statement = getattr(work, "one_statement", False)
        return await self._accept(
            self._transact(lambda tx: cast(Any, work)(tx, *args, **kwargs), one_statement=one_statement)
        )

    async def read(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._accept(self._read(work, lambda tx: cast(Any, work)(tx, *args, **kwargs)))

    async def warm(self) -> None:
        """Open every connection of the pool, so that a rush does not find it cold. Raises Unavailable."""
        await self._pool.warm()

    def connection(self, *, writing: bool = False) -> AbstractAsyncContextManager[Connection]:
        """See PostgresPool.connection. writing: one on which a statement alone may write."""
        return (self._writers if writing else self._pool).connection()

    async def drain(self) -> None:
        if self._units:
            await asyncio.wait(set(self._units))

    async def close(self) -> None:
        if not self._pool.is_open or self._closing:
            return
        self._closing = True
        await self.drain()
        await self._pool.close()
        await self._writers.close()

    async def _accept(self, unit: Coroutine[Any, Any, T]) -> T:
        if not self._pool.is_open or self._closing:
            unit.close()
            raise Unavailable(NO_LONGER_OPEN)
        task = asyncio.create_task(unit)
        self._units.add(task)
        task.add_done_callback(self._units.discard)
        # A caller that goes away does not undo what is already on its way, nor break a connection that others use next.
        return await asyncio.shield(task)

    async def _transact(
        self, make: Callable[[PostgresTransaction], Coroutine[Any, Any, T]], *, one_statement: bool
    ) -> T:
        attempt = _Attempt(self, make, one_statement=one_statement)
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
                    return await drive(make(PostgresTransaction(self._statements)), connection, most_calls=1)
            except TooManyCalls:
                # What one statement sees is a snapshot already. Whoever needs two is run again, and remembered.
                assert code is not None
                self._need_snapshot.add(code)
            except PASSING as error:
                lost += 1
                if lost > 1 or not may_be_repeated(error):
                    raise translate(error) from error

    @property
    def statements(self) -> StatementCache:
        return self._statements

    def committed(self, events: list[Event]) -> Awaitable[None] | None:
        return self._on_commit(events) if events else None


class _Again(Exception):
    """Nothing was committed, and another attempt may well succeed."""


class _Attempt:
    """A unit of work, as often as it takes: each run is a transaction of its own."""

    def __init__(
        self,
        database: PostgresDatabase,
        make: Callable[[PostgresTransaction], Coroutine[Any, Any, Any]],
        *,
        one_statement: bool,
    ) -> None:
        self._database = database
        self._make = make
        self._one_statement = one_statement
        self._committing = False
        self._lost = 0
        self._unique = 0

    async def once(self) -> tuple[Any, Awaitable[None] | None]:
        """Run and commit; the result, and what to await before it is acknowledged.

        Raises _Again when the unit should be run again, else what is to be told to the caller.
        """
        tx = PostgresTransaction(self._database.statements)
        self._committing = False
        try:
            async with self._database.connection(writing=self._one_statement) as connection:
                if self._one_statement:
                    self._committing = True
                    result = await drive(self._make(tx), connection, most_calls=1)
                else:
                    result = await self._in_transaction(tx, connection)
        except TooManyCalls:
            raise RuntimeError(MORE_THAN_ONE) from None
        except CONFLICTS as error:
            raise _Again() from error
        except UniqueViolation as error:
            # The key may have been taken after our snapshot: then the unit would have found it, had it begun later.
            self._unique += 1
            if self._unique > 1 or self._one_statement:
                raise
            raise _Again() from error
        except PASSING as error:
            self._lost += 1
            if not may_be_repeated(error):
                raise translate(error) from error
            if self._committing:
                raise OutcomeUnknown(CUT_AT_COMMIT) from error
            if self._lost > 1:
                raise translate(error) from error
            raise _Again() from error
        fault_point("after-commit")
        return result, self._database.committed(tx.appended)

    async def _in_transaction(self, tx: PostgresTransaction, connection: Connection) -> Any:
        await run_bare(connection, BEGIN)
        try:
            result = await drive(self._make(tx), connection)
        except BaseException:
            await roll_back(connection)
            raise
        self._committing = True
        await run_bare(connection, "COMMIT")
        return result


async def _snapshot(
    connection: Connection,
    make: Callable[[PostgresTransaction], Coroutine[Any, Any, T]],
    statements: StatementCache,
) -> T:
    await run_bare(connection, BEGIN_READING)
    try:
        return await drive(make(PostgresTransaction(statements)), connection)
    finally:
        await roll_back(connection)
