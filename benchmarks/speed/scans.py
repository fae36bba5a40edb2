"""Which tables were read from end to end, as PostgreSQL counts it: pg_stat_user_tables."""

from collections.abc import Mapping

from tests.support.postgres import PostgresServer


def sequential_scans(server: PostgresServer, database: str) -> dict[str, int]:
    """So far, by table."""
    # A backend reports what it did when it next has nothing to do, at most once a second; this makes the reader look anew.
    found = server.sql("SELECT relname || ' ' || seq_scan FROM pg_stat_user_tables", database)
    return {name: int(count) for name, count in (line.split() for line in found.splitlines())}


def scanned_since(
    before: Mapping[str, int], after: Mapping[str, int], tables: Mapping[str, int]
) -> list[str]:
    """Those of `tables` that were scanned meanwhile."""
    return sorted(name for name in tables if after[name] > before[name])


def large_tables(server: PostgresServer, database: str, rows: int) -> dict[str, int]:
    """The tables of at least so many rows, by what ANALYZE has found, with how many they have."""
    query = f"SELECT relname || ' ' || reltuples::bigint FROM pg_class WHERE relkind = 'r' AND reltuples >= {rows} AND relnamespace = 'public'::regnamespace"
    return {
        name: int(count)
        for name, count in (line.split() for line in server.sql(query, database).splitlines())
    }
