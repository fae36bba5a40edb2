"""A broken twin of the server: it acknowledges before it commits. The crash test must find it out.

Run it like `python -m banyan`.
"""

import sqlite3
import time

from banyan.cli import main
from banyan.infra.db import sqlite
from banyan.infra.db.sqlite import SqliteDatabase, SqliteTransaction

# A commit that is put off for as long as this loses whatever was acknowledged meanwhile.
PUT_OFF_SECONDS = 0.05


def commit_later(
    self: SqliteDatabase, connection: sqlite3.Connection, tx: SqliteTransaction, units: list
) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for unit in units:
        connection.execute("SAVEPOINT unit")
        unit.run(tx)
        if unit.error is not None:
            connection.execute("ROLLBACK TO unit")
        connection.execute("RELEASE unit")
    self._loop.call_soon_threadsafe(sqlite._settle_all, units, self._on_commit)
    time.sleep(PUT_OFF_SECONDS)
    connection.execute("COMMIT")


if __name__ == "__main__":
    SqliteDatabase._commit_together = commit_later
    main()
