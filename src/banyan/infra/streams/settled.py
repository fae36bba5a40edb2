"""Settled: how far a shard's events can be read by their sequence numbers without leaving one out.

PostgreSQL gives a transaction its sequence numbers before it commits, so a lower number may become visible after a
higher one. Whoever remembers only the highest number that it saw loses events. So a number is settled once every
transaction that could have taken a lower one has ended:

1. In one snapshot, read the highest visible number H; then take a transaction id N of our own. Whoever took a number
   below H had its own id by then (it had moved the stream's row before), so that id is below N.
2. When `pg_snapshot_xmin`, the oldest id still running, has reached N, all those have ended. H is settled.

A transaction that writes for long, of any database of the same server, holds this back. Nothing is lost then, only late.
"""

from typing import NamedTuple

from sqlalchemy import text

from banyan.infra.db.transaction import Database, Transaction
from banyan.infra.streams.log import last_sequence
from banyan.kernel.errors import Unavailable

_MARK = text(
    "SELECT (SELECT coalesce(max(sequence), 0) FROM events) AS sequence,"
    " pg_current_xact_id()::text::bigint AS transaction_id"
)
_OLDEST_RUNNING = text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")


class _Mark(NamedTuple):
    sequence: int
    transaction_id: int


class SettledSequence:
    """Follows one shard. For one reader, which calls it in turn."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._settled = 0
        self._mark: _Mark | None = None
        self._marked_in: Database | None = None

    @property
    def is_behind(self) -> bool:
        """Whether events are there that were not settled when it was last asked."""
        return self._mark is not None

    async def upto(self) -> int:
        """The highest number that is settled. It only grows, also when the database is exchanged for its copy."""
        database = self._database.present
        try:
            self._settled = max(self._settled, await self._upto(database))
        except Unavailable:
            if self._database.present is database:
                raise
            # It was exchanged, and closed, while we asked it; the next call asks the other one.
        return self._settled

    async def _upto(self, database: Database) -> int:
        if self._marked_in is not database:
            # Ids of transactions have no meaning in another database.
            self._marked_in, self._mark = database, None
        if database.commits_in_order:
            return await database.read(last_sequence)
        if self._mark is None and await database.read(last_sequence) > self._settled:
            # It takes an id, which a read may; there is nothing to be committed.
            self._mark = await database.read(_mark)
        if self._mark is not None and await database.read(_oldest_running) >= self._mark.transaction_id:
            settled, self._mark = self._mark.sequence, None
            return settled
        return self._settled


async def _mark(tx: Transaction) -> _Mark:
    row = await tx.one(_MARK)
    assert row is not None  # a SELECT without FROM has one row
    return _Mark(row["sequence"], row["transaction_id"])


async def _oldest_running(tx: Transaction) -> int:
    return await tx.value(_OLDEST_RUNNING)
