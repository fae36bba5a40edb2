"""One moment for several PostgreSQL databases, so that none of them is ahead of another.

No transaction spans databases, and a consumer's inbox must not know of events that its producer's database does not hold:
after a restore the positions of those events are given out again, and what takes them would be skipped as a repeat. So for
some milliseconds nobody may add an event or move an inbox, in any of the databases; meanwhile each exports a snapshot, which
pg_dump then reads at leisure.

    lock events and inbox in each ─▶ a snapshot of each ─▶ unlock ─▶ pg_dump --snapshot, one after the other
         └ not in time: unlock all, and again with more patience
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from banyan.backup.errors import BackupError
from banyan.infra.db.postgres_pool import Connection, open_connection, translated
from banyan.kernel.errors import Unavailable

# How long a lock may be waited for, while writers wait behind it. All but the last are below PostgreSQL's deadlock_timeout
# (1 s): we give way before a writer is ended for our sake. The last outlasts it, so that an autovacuum gives way to us.
PATIENCE_MILLISECONDS = (50, 100, 200, 400, 800, 3000)
_LOCK = "LOCK TABLE public.inbox, public.events IN SHARE MODE"
_APPLICATION = {"application_name": "backup", "idle_in_transaction_session_timeout": "0"}


@asynccontextmanager
async def one_moment(urls: Sequence[str]) -> AsyncIterator[dict[str, str]]:
    """url → the snapshot of that database for `pg_dump --snapshot`, good inside.

    Raises Unavailable when a server does not answer, BackupError when writers leave no moment free.
    """
    async with AsyncExitStack() as stack:
        locking = [await _connected(stack, url) for url in urls]
        holding = [await _connected(stack, url) for url in urls]
        for patience in PATIENCE_MILLISECONDS:
            try:
                await _pause_writers(locking, patience)
                snapshots = [await _export(connection) for connection in holding]
            except Unavailable:
                if any(connection.is_closed() for connection in (*locking, *holding)):
                    raise
                await _let_go(holding)
                continue
            finally:
                await _let_go(locking)
            break
        else:
            raise BackupError(
                "no moment could be found at which nobody wrote to any of the databases.",
                "Take the backup when there is less to do, or while nothing long is running.",
            )
        yield dict(zip(urls, snapshots, strict=True))


async def _connected(stack: AsyncExitStack, url: str) -> Connection:
    connection = await open_connection(url, _APPLICATION)
    stack.push_async_callback(connection.close)
    return connection


async def _pause_writers(connections: Sequence[Connection], patience_milliseconds: int) -> None:
    for connection in connections:
        with translated():
            await connection.execute("BEGIN")
            await connection.execute(f"SET LOCAL lock_timeout = {patience_milliseconds}")
            await connection.execute(_LOCK)


async def _export(connection: Connection) -> str:
    with translated():
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return await connection.fetchval("SELECT pg_export_snapshot()")


async def _let_go(connections: Sequence[Connection]) -> None:
    for connection in connections:
        if not connection.is_closed():
            with translated():
                await connection.execute("ROLLBACK")
