"""The unit of work: what a service may do inside one transaction.

A transaction is a function, not a context manager, for three reasons: it can be repeated after a deadlock, many can
share one commit, and on SQLite it can be driven to its end on the writer's thread without a thread switch for each
statement. See docs/decisions/0003-units-of-work.md.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy.sql import Executable

from banyan.infra.db.pool_use import PoolUse
from banyan.kernel.events import Event

P = ParamSpec("P")
T = TypeVar("T")

Parameters = Mapping[str, Any]


class Row(Protocol):
    """One row; columns by name."""

    def __getitem__(self, column: str, /) -> Any: ...

    def keys(self) -> Any: ...


class Transaction(Protocol):
    """Statements of one unit of work.

    Statements are SQLAlchemy Core constructs; one that is a module's constant is compiled once. Values go in and come
    out as the driver's own: ids, instants and JSON as text, booleans as 0/1 where the database has none.

    Each method raises UniqueViolation, StorageFull or Unavailable as the database answers. A unit may put an error of
    its own in place of one of these, but not go on: PostgreSQL refuses every later statement.
    """

    @property
    def folds(self) -> bool:
        """Whether one statement may hold several changes (in WITH) and look for many things at once (LATERAL)."""
        ...

    appended: list[Event]
    """Events that this unit appended; told to the process after the commit."""

    async def all(self, statement: Executable, parameters: Parameters | None = None) -> list[Row]: ...

    async def one(self, statement: Executable, parameters: Parameters | None = None) -> Row | None: ...

    async def value(self, statement: Executable, parameters: Parameters | None = None) -> Any:
        """The first column of the first row; None when there is no row."""
        ...

    async def run(self, statement: Executable, parameters: Parameters | None = None) -> int:
        """Do it, and return the number of rows that it touched."""
        ...

    async def run_many(self, statement: Executable, parameters: Sequence[Parameters]) -> None: ...


Unit = TypeVar("Unit", bound=Callable[..., Any])


def in_one_statement(work: Unit) -> Unit:
    """Mark a unit of work that runs a single statement where statements fold: that needs no BEGIN and no COMMIT.

    It sees what is committed when the statement begins, and rows that it changes as they are then. It is not repeated
    when a row was there already: its UniqueViolation comes out. Where statements do not fold it may run many.

    The end of the statement is its commit, so a connection that breaks meanwhile is always OutcomeUnknown.
    """
    work.one_statement = True  # type: ignore[attr-defined]
    return work


Work = Callable[Concatenate[Transaction, P], Awaitable[T]]
"""A unit of work. It may await its own transaction and nothing else (no network inside a transaction), and it may run
more than once: only the run that is committed counts, so it changes nothing outside the transaction."""

OnCommit = Callable[[list[Event]], Awaitable[None] | None]
"""Hears the events of a commit. What it returns, if anything, is awaited before the commit is acknowledged."""


class Database(Protocol):
    """One shard."""

    @property
    def name(self) -> str: ...

    @property
    def commits_in_order(self) -> bool:
        """Whether rows become visible in the order of their sequence numbers; see streams/settled.py."""
        ...

    @property
    def folds(self) -> bool:
        """Whether statements are round trips, which are worth folding into one; see Transaction.folds."""
        ...

    @property
    def present(self) -> "Database":
        """The database itself, behind what may exchange it while it serves (switchable.py); otherwise this very one.

        For those who ask what has a meaning in one database only. It may be closed when another has taken its place.
        """
        ...

    @property
    def pool_use(self) -> PoolUse | None:
        """How full its pool of connections is; None where there is no such pool."""
        ...

    async def start(self, on_commit: OnCommit) -> None:
        """Open it. on_commit hears the events of each committed unit, on the event loop, before its caller goes on.

        What it returns is awaited, outside of the transaction, where other processes may write too; on SQLite it must
        be None.
        """
        ...

    async def transact(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work(tx, …)`; when this returns, its changes are on disk.

        When `work` raises, its changes alone are undone and the error comes out here.
        Raises Unavailable when the queue is full or the database does not answer, StorageFull when the disk is; also
        when it is committed and nobody can make sure that other processes know (see Shards.settle_with). Of these,
        OutcomeUnknown when a connection broke during the commit.
        """
        ...

    async def read(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work(tx, …)` on a snapshot that holds every commit acknowledged before the call."""
        ...

    async def drain(self) -> None:
        """Return when every transaction that was accepted before the call has ended."""
        ...

    async def close(self) -> None:
        """Finish what was accepted, then close. Later calls raise Unavailable."""
        ...
