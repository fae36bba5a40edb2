"""SQLite: one writer thread with group commit, a few reader threads, WAL, `synchronous=FULL`.

The writer takes all units of work that wait, runs each inside a savepoint, and commits once for all of them: 64
requests in flight pay for one fsync. Each is acknowledged after the commit that holds it.

FULL, not NORMAL: in WAL mode NORMAL does not sync at commit, and a power cut loses what was acknowledged.
"""

import asyncio
import contextvars
import sqlite3
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar, cast

from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.sql import Executable

from banyan.infra.db.errors import UniqueViolation
from banyan.infra.db.statements import StatementCache
from banyan.infra.db.transaction import Database, OnCommit, Parameters, Row, Work
from banyan.infra.faults import fault_point
from banyan.infra.telemetry.counted import Sizes
from banyan.kernel.errors import BanyanError, StorageFull, Unavailable
from banyan.kernel.events import Event

P = ParamSpec("P")
T = TypeVar("T")

# More units a commit would make the first of them wait for the last; past this the fsync is well shared already.
MAX_UNITS_PER_COMMIT = 256
MAX_READS_PER_SNAPSHOT = 32
# Buckets of the metric: how well commits are shared.
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, MAX_UNITS_PER_COMMIT)
# How long another process (a command of the CLI, a backup) may hold the write lock before callers are told to come again.
BUSY_TIMEOUT_SECONDS = 1.0
# A checkpoint copies the WAL into the database file, each page once however often it was changed since the last, and syncs both.
# SQLite's own 1000 pages are a few dozen creations of many users; these are 16 MiB, which are read again after a crash.
CHECKPOINT_PAGES = 4000
NO_LONGER_OPEN = "The server is shutting down; try again shortly."
# Only a promotion makes triggers that refuse; see promotion/sqlite_side.py.
MOVED = "The data has just moved to PostgreSQL; try again."


class SqliteTransaction:
    """A unit's statements, run at once on the thread that owns the connection."""

    folds = False

    def __init__(self, connection: sqlite3.Connection, statements: StatementCache) -> None:
        self._connection = connection
        self._statements = statements
        self.appended: list[Event] = []

    async def all(self, statement: Executable, parameters: Parameters | None = None) -> list[Row]:
        return cast(list[Row], self._execute(statement, parameters).fetchall())

    async def one(self, statement: Executable, parameters: Parameters | None = None) -> Row | None:
        # All rows are fetched: a statement that RETURNs is only complete when it has been stepped to its end.
        rows = self._execute(statement, parameters).fetchall()
        return cast(Row, rows[0]) if rows else None

    async def value(self, statement: Executable, parameters: Parameters | None = None) -> Any:
        rows = self._execute(statement, parameters).fetchall()
        return rows[0][0] if rows else None

    async def run(self, statement: Executable, parameters: Parameters | None = None) -> int:
        return self._execute(statement, parameters).rowcount

    async def run_many(self, statement: Executable, parameters: Sequence[Parameters]) -> None:
        compiled = self._statements.compiled(statement)
        rows = [{**compiled.literals, **row} for row in parameters]
        try:
            self._connection.executemany(compiled.sql, rows)
        except sqlite3.Error as error:
            raise translate(error) from error

    def _execute(self, statement: Executable, parameters: Parameters | None) -> sqlite3.Cursor:
        sql, values = self._statements.bind(statement, parameters)
        try:
            return self._connection.execute(sql, values)
        except sqlite3.Error as error:
            raise translate(error) from error


class _Unit:
    """A unit of work on its way to a thread and back."""

    __slots__ = ("context", "error", "events", "future", "make", "result")

    def __init__(
        self, make: Callable[[SqliteTransaction], Coroutine[Any, Any, Any]], future: asyncio.Future[Any]
    ) -> None:
        self.make = make
        self.future = future
        self.context = contextvars.copy_context()
        self.result: Any = None
        self.error: BaseException | None = None
        self.events: list[Event] = []

    def run(self, tx: SqliteTransaction) -> None:
        self.error = None
        tx.appended = []
        try:
            self.result = self.context.run(_drive, self.make(tx))
            self.events = tx.appended
        except Exception as error:
            self.error = error
        except BaseException as error:
            # Whatever it is, it ends this unit; the thread goes on, for everybody else waits for it.
            self.error = RuntimeError(f"a unit of work raised {type(error).__name__}")
            self.error.__cause__ = error

    def settle(self, on_commit: OnCommit) -> None:
        """On the event loop: tell what was committed, then let the caller go on."""
        if self.error is None and self.events:
            on_commit(self.events)
        if self.future.done():  # its caller was cancelled; what was committed stands all the same
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class SqliteDatabase:
    """One SQLite file. Start it on the event loop that will use it.

    max_waiting: most units that may wait for the writer; one more is answered Unavailable at once.
    """

    # There is one writer.
    commits_in_order = True
    folds = False

    def __init__(
        self, path: Path, *, name: str = "main", readers: int = 2, max_waiting: int = 20_000
    ) -> None:
        self.name = name
        self.path = path
        self._readers = readers
        self._max_waiting = max_waiting
        self._writes: SimpleQueue[_Unit | None] = SimpleQueue()
        self._reads: SimpleQueue[_Unit | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._open = False
        self.batch_sizes = Sizes(BATCH_SIZES)
        self._loop: asyncio.AbstractEventLoop
        self._on_commit: OnCommit

    @property
    def present(self) -> Database:
        return self

    @property
    def pool_use(self) -> None:
        return None

    async def start(self, on_commit: OnCommit) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_commit = on_commit
        writer = connect(self.path)
        self._threads = [
            threading.Thread(target=self._write_loop, args=(writer,), name=f"{self.name}-writer", daemon=True)
        ]
        for number in range(self._readers):
            reader = connect(self.path, read_only=True)
            self._threads.append(
                threading.Thread(
                    target=self._read_loop, args=(reader,), name=f"{self.name}-reader-{number}", daemon=True
                )
            )
        self._open = True
        for thread in self._threads:
            thread.start()

    async def transact(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._submit(self._writes, work, *args, **kwargs)

    async def read(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._submit(self._reads, work, *args, **kwargs)

    async def drain(self) -> None:
        # There is one writer, and it takes what waits in order: when this is through, so is all that came before.
        await self.transact(_nothing)

    async def close(self) -> None:
        if not self._open:
            return
        self._open = False
        self._writes.put(None)
        for _ in range(self._readers):
            self._reads.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    async def _submit(self, queue: SimpleQueue[_Unit | None], work: Any, *args: Any, **kwargs: Any) -> Any:
        if not self._open:
            raise Unavailable(NO_LONGER_OPEN)
        if queue.qsize() >= self._max_waiting:
            raise Unavailable("Too much is waiting for the database; try again shortly.")
        unit = _Unit(lambda tx: work(tx, *args, **kwargs), self._loop.create_future())
        queue.put(unit)
        # A caller that goes away does not undo what is already on its way to the disk.
        return await unit.future

    def _write_loop(self, connection: sqlite3.Connection) -> None:
        tx = SqliteTransaction(connection, StatementCache(_DIALECT))
        for units in _batches(self._writes, MAX_UNITS_PER_COMMIT):
            self.batch_sizes.observe(len(units))
            try:
                self._commit_together(connection, tx, units)
            except BaseException as error:
                # Nothing that SQLite answers may end this thread: these units fail, the next ones are tried.
                _fail_all(connection, units, error)
            self._loop.call_soon_threadsafe(_settle_all, units, self._on_commit)
        connection.close()

    def _commit_together(
        self, connection: sqlite3.Connection, tx: SqliteTransaction, units: list[_Unit]
    ) -> None:
        """Run and commit the units as one transaction; if that fails as a whole, each as its own."""
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            # The database cannot be written to now: each alone would only wait as long as all together did.
            _fail_all(connection, units, error)
            return
        try:
            for number, unit in enumerate(units):
                # Nothing comes before the first, so it needs no savepoint, for which SQLite copies each page that changes.
                if number:
                    connection.execute("SAVEPOINT unit")
                unit.run(tx)
                if not connection.in_transaction:
                    # A full disk makes SQLite roll back everything, the neighbours' changes too.
                    raise _RolledBack()
                if number:
                    if unit.error is not None:
                        connection.execute("ROLLBACK TO unit")
                    connection.execute("RELEASE unit")
                elif unit.error is not None:
                    connection.execute("ROLLBACK")
                    connection.execute("BEGIN IMMEDIATE")
            connection.execute("COMMIT")
            fault_point("after-commit")
        except (sqlite3.Error, _RolledBack) as error:
            if len(units) == 1:
                _fail_all(connection, units, units[0].error or error)
                return
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            for unit in units:
                self._commit_together(connection, tx, [unit])

    def _read_loop(self, connection: sqlite3.Connection) -> None:
        tx = SqliteTransaction(connection, StatementCache(_DIALECT))
        for units in _batches(self._reads, MAX_READS_PER_SNAPSHOT):
            try:
                # The snapshot begins after all of these were asked for, so each sees every commit before its call.
                connection.execute("BEGIN")
                for unit in units:
                    unit.run(tx)
                if connection.in_transaction:
                    connection.execute("COMMIT")
            except BaseException as error:
                _fail_all(connection, units, error)
            self._loop.call_soon_threadsafe(_settle_all, units, _ignore)
        connection.close()


_DIALECT = sqlite_dialect.dialect(paramstyle="named")


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection with Banyan's settings. Raises Unavailable when the file cannot be opened."""
    try:
        connection = sqlite3.connect(
            path,
            timeout=BUSY_TIMEOUT_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=512,
        )
        connection.row_factory = sqlite3.Row
        # SQLite's own lower() knows ASCII only.
        connection.create_function("lower", 1, _lower, deterministic=True)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA cache_size=-32768")
        connection.execute("PRAGMA temp_store=MEMORY")
        if read_only:
            connection.execute("PRAGMA query_only=ON")
    except sqlite3.Error as error:
        raise translate(error) from error
    return connection


def _lower(text: str | None) -> str | None:
    return None if text is None else text.lower()


def translate(error: Exception) -> BanyanError:
    """Our error for SQLite's; what cannot be the world's fault is a bug and is passed on as it is."""
    name = getattr(error, "sqlite_errorname", "") or ""
    if name in ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"):
        return UniqueViolation(str(error).removeprefix("UNIQUE constraint failed: "))
    if name.startswith("SQLITE_FULL"):
        return StorageFull()
    if name.startswith(
        ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY")
    ):
        return Unavailable(f"The database cannot be used at the moment ({name}).")
    if name == "SQLITE_CONSTRAINT_TRIGGER":
        return Unavailable(MOVED)
    raise error


class _RolledBack(Exception):
    """SQLite has undone the whole transaction by itself."""


def _fail_all(connection: sqlite3.Connection, units: list[_Unit], error: BaseException) -> None:
    """Undo whatever is open, and let each of the units fail with this error."""
    if connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
    for unit in units:
        unit.error = _as_ours(error)


def _as_ours(error: BaseException) -> BaseException:
    if isinstance(error, _RolledBack):
        return Unavailable()
    try:
        return translate(error) if isinstance(error, sqlite3.Error) else error
    except sqlite3.Error as unknown:
        return unknown


def _drive(work: Coroutine[Any, Any, T]) -> T:
    """Run a unit of work to its end, on this thread, without an event loop."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    work.close()
    raise RuntimeError("a unit of work may only await its own transaction: move other waiting outside of it")


def _batches(queue: SimpleQueue[_Unit | None], most: int) -> Iterator[list[_Unit]]:
    """All that waits, at most `most` at a time; blocks while nothing does; ends at the closing mark."""
    closing = False
    while not closing:
        units: list[_Unit] = []
        try:
            unit = queue.get()
            while unit is not None:
                units.append(unit)
                if len(units) == most:
                    break
                unit = queue.get_nowait()
            else:
                closing = True
        except Empty:
            pass
        if units:
            yield units


def _settle_all(units: list[_Unit], on_commit: OnCommit) -> None:
    for unit in units:
        unit.settle(on_commit)


async def _nothing(_tx: object) -> None:
    pass


def _ignore(_events: list[Event]) -> None:
    """A read commits nothing."""
