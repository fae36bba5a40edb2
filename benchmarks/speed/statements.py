"""How often PostgreSQL ran which statement: pg_stat_statements."""

import re
from collections import Counter
from collections.abc import Callable

from tests.support.postgres import PostgresServer

SETTINGS = {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.max": "10000"}
# BEGIN, COMMIT and the like: a transaction's own.
_FRAME = re.compile(r"BEGIN|COMMIT|ROLLBACK|START TRANSACTION|SET|SHOW|RESET|LISTEN", re.IGNORECASE)


def count_in(server: PostgresServer, database: str) -> Callable[[], Counter[str]]:
    """Begin to count in a database of a server that has SETTINGS; what it returns tells how often each statement was run so far.

    Constants in statements are shown as $1.
    """
    server.sql("CREATE EXTENSION IF NOT EXISTS pg_stat_statements", database)
    query = (
        "SELECT sum(calls) || ' ' || regexp_replace(query, '\\s+', ' ', 'g') FROM pg_stat_statements"
        f" WHERE dbid = (SELECT oid FROM pg_database WHERE datname = '{database}') GROUP BY query"
    )

    def so_far() -> Counter[str]:
        lines = (line.split(" ", 1) for line in server.sql(query, database).splitlines())
        return Counter({statement: int(calls) for calls, statement in lines})

    return so_far


def is_frame(statement: str) -> bool:
    return _FRAME.match(statement) is not None
