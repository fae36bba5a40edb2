"""Driving units of work on PostgreSQL: what a unit awaits comes here, not to the event loop.

`drive` runs the statements of the unit's own transaction and refuses everything else. So a unit cannot keep a connection for
longer than its statements take, nor forget to give it back: there is no such thing as a leaked connection.
"""

from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

import asyncpg
from sqlalchemy.sql import Executable

from banyan.infra.db.postgres_pool import LOST, REFUSALS, Connection, is_gone, translate
from banyan.infra.db.statements import StatementCache
from banyan.infra.db.transaction import Parameters, Row
from banyan.kernel.errors import BanyanError
from banyan.kernel.events import Event

T = TypeVar("T")

FOREIGN_AWAIT = "a unit of work may only await its own transaction: move other waiting outside of it"
AFTER_A_FAILURE = "a unit of work cannot go on after a statement that failed"


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


class TooManyCalls(Exception):
    """A unit that was driven without a transaction asked for a second statement."""


async def drive(work: Coroutine[Any, Any, T], connection: Connection, *, most_calls: int | None = None) -> T:
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
                raise TooManyCalls()
            try:
                answer = await _answer(connection, call.run)
            except REFUSALS as error:
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
        if is_gone(connection):
            raise ConnectionError("the connection is closed") from error
        raise


async def run_bare(connection: Connection, sql: str) -> None:
    await _answer(connection, lambda connection: connection.execute(sql))


async def roll_back(connection: Connection) -> None:
    """End a transaction that failed; without a connection it is over already."""
    if not is_gone(connection):
        with suppress(*LOST):
            await run_bare(connection, "ROLLBACK")
