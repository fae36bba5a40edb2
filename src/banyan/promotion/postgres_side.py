"""The PostgreSQL side: the same triggers and the same record, in a database of Banyan's own.

    copying       it is being filled: nobody else may serve from it
    live          it is the true one, and changes are noted, so that the SQLite file can be brought up to date
    rolled_back   it was, and the SQLite file has taken over: every write is refused

Which of the two databases is the true one is decided by the SQLite file's record, not by this one, which follows it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal, NamedTuple

from sqlalchemy import text
from sqlalchemy.types import Integer

from banyan.infra.db.errors import UniqueViolation
from banyan.infra.db.postgres_pool import open_connection, translated
from banyan.promotion.moved_tables import Key, MovedTable, Row
from banyan.promotion.sides import Changes

State = Literal["copying", "live", "rolled_back"]

SESSION = {
    "application_name": "banyan promote",
    # Rows are always found by their keys. A table that was just filled has no statistics that would tell the planner.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}
MARK_LIVE = text("UPDATE promotion SET state = 'live'")
OLD_TRANSACTIONS_LOOK_SECONDS = 0.01
_OLDER_TRANSACTIONS = (
    "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
    " AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND xact_start <= $1)"
)
CATALOGUE_LOCK_TIMEOUT = "2s"


class Record(NamedTuple):
    id: str
    state: State


class PostgresSide:
    """One connection to the database, beside the pool of the server."""

    def __init__(self, url: str, tables: Mapping[str, MovedTable]) -> None:
        self._url = url
        self._tables = tables
        self._connection: Any = None

    async def open(self) -> None:
        """Raises Unavailable."""
        self._connection = await open_connection(self._url, SESSION)
        # What this session writes is not noted as a change, nor refused.
        await self._do("SET banyan.promotion = 'on'")

    async def close(self) -> None:
        if self._connection is not None and not self._connection.is_closed():
            await self._connection.close(timeout=2)

    # --- the record

    async def record(self) -> Record | None:
        if await self._value("SELECT to_regclass('promotion')") is None:
            return None
        row = (await self._all("SELECT id, state FROM promotion"))[0]
        return Record(row[0], row[1])

    async def claim(self, promotion_id: str) -> None:
        """Write into an empty database whom it belongs to, before anything else."""
        async with self.transaction():
            await self._do("CREATE TABLE promotion (id text NOT NULL, state text NOT NULL)")
            await self._do(
                "CREATE TABLE promotion_changes (seq bigserial PRIMARY KEY, name text NOT NULL, key text NOT NULL)"
            )
            await self._do("INSERT INTO promotion VALUES ($1, 'copying')", promotion_id)

    async def set_state(self, state: State) -> None:
        await self._do("UPDATE promotion SET state = $1", state)

    async def empty(self) -> None:
        """Delete what migrations have put there: the source has had it too, and may have changed it."""
        await self._do(f"TRUNCATE {', '.join(self._tables)}")

    async def note_changes(self) -> None:
        """Note every change that others make, and refuse them once the state is `rolled_back`."""
        async with self.transaction():
            for table in self._tables.values():
                await self._do(_capture_function(table))
                await self._do(
                    f"CREATE TRIGGER promotion_note AFTER INSERT OR UPDATE OR DELETE ON {table.name}"
                    f" FOR EACH ROW EXECUTE FUNCTION promotion_note_{table.name}()"
                )

    async def stop_noting(self) -> None:
        """Leave nothing behind that is not Banyan's; may be repeated."""
        await self._do(f"SET lock_timeout = '{CATALOGUE_LOCK_TIMEOUT}'")
        for name in self._tables:
            # One at a time: each takes its table for a moment, and two at once could meet somebody who has them both.
            await self._do(f"DROP FUNCTION IF EXISTS promotion_note_{name}() CASCADE")
        await self._do("DROP TABLE IF EXISTS promotion_changes, promotion")

    async def wipe(self) -> None:
        """Drop every table of Banyan's."""
        await self._do(f"SET lock_timeout = '{CATALOGUE_LOCK_TIMEOUT}'")
        names = ", ".join([*self._tables, "alembic_version"])
        async with self.transaction():
            await self._do(f"DROP TABLE IF EXISTS {names} CASCADE")
            for name in self._tables:
                await self._do(f"DROP FUNCTION IF EXISTS promotion_note_{name}() CASCADE")
            await self._do("DROP TABLE IF EXISTS promotion_changes, promotion")

    # --- what it can do

    async def facts(self) -> dict[str, Any]:
        """What must be so before anything is moved here; see checks.py."""
        row = await self._connection.fetchrow(
            "SELECT current_setting('server_version_num')::int AS version, current_setting('server_version') AS version_text,"
            " current_setting('server_encoding') AS encoding, pg_is_in_recovery() AS is_standby,"
            " current_setting('max_connections')::int AS max_connections, current_user AS role,"
            " current_schema() AS schema, coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create,"
            " EXISTS (SELECT 1 FROM pg_collation WHERE collname = 'und-x-icu') AS has_icu"
        )
        return dict(row)

    async def tables_there(self) -> list[str]:
        """What is in the schema, whoever made it."""
        found = await self._all(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
            " AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e') ORDER BY 1"
        )
        return [name for (name,) in found]

    async def others(self, ours: str) -> list[str]:
        """The names of other processes of Banyan's that are connected to this database. ours: the name of this one."""
        found = await self._all(
            "SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = current_database()"
            " AND (application_name = 'banyan' OR application_name LIKE 'banyan %') AND application_name NOT IN ($1, $2) ORDER BY 1",
            ours,
            SESSION["application_name"],
        )
        return [name for (name,) in found]

    # --- reading

    async def count(self, table: MovedTable) -> int:
        return await self._value(f"SELECT count(*) FROM {table.name}")

    async def count_changes(self) -> int:
        return await self._value("SELECT count(*) FROM promotion_changes")

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[None]:
        with translated():
            async with self._connection.transaction(isolation="repeatable_read", readonly=True):
                yield

    async def changes(self) -> Changes:
        keys: dict[str, dict[Key, None]] = {}
        numbers: list[int] = []
        for number, name, key in await self._all("SELECT seq, name, key FROM promotion_changes ORDER BY seq"):
            numbers.append(number)
            keys.setdefault(name, {})[tuple(json.loads(key))] = None
        return Changes({name: list(of_table) for name, of_table in keys.items()}, numbers, len(numbers))

    async def forget(self, changes: Changes) -> None:
        # By number, each of them: a transaction that took a lower number may commit later, and was not seen.
        await self._do("DELETE FROM promotion_changes WHERE seq = ANY ($1::bigint[])", changes.mark)

    async def rows(self, table: MovedTable, keys: Sequence[Key]) -> list[Row]:
        names = ", ".join(f't."{name}"' for name in table.names)
        sql = f"SELECT {names} FROM {table.name} t JOIN {_keys(table)} ON {_is_key(table)}"
        return [tuple(row) for row in await self._all(sql, *_columns_of(keys))]

    async def counters(self) -> dict[str, int]:
        found = {}
        for table in self._tables.values():
            if table.counter is not None:
                sequence = await self._sequence(table)
                found[table.name] = await self._value(
                    f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}"
                )
        return found

    # --- writing

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        with translated():
            async with self._connection.transaction():
                yield

    async def copy(self, table: MovedTable, rows: Sequence[Row]) -> None:
        """Add rows, quickly. One whose unique value another has already is left out: one of the two was changed while
        they were copied, so both are noted or will be, and come right when that is carried over."""
        try:
            with translated():
                await self._connection.copy_records_to_table(table.name, records=rows, columns=table.names)
        except UniqueViolation:
            names = ", ".join(f'"{name}"' for name in table.names)
            values = ", ".join(f"${number}" for number in range(1, len(table.names) + 1))
            sql = f"INSERT INTO {table.name} ({names}) VALUES ({values}) ON CONFLICT DO NOTHING"
            with translated():
                await self._connection.executemany(sql, rows)

    async def replace(self, table: MovedTable, keys: Sequence[Key], rows: Sequence[Row]) -> None:
        await self._do(
            f"DELETE FROM {table.name} t USING {_keys(table)} WHERE {_is_key(table)}", *_columns_of(keys)
        )
        if rows:
            with translated():
                await self._connection.copy_records_to_table(table.name, records=rows, columns=table.names)

    async def set_counters(self, counters: Mapping[str, int]) -> None:
        for name, number in counters.items():
            sequence = await self._sequence(self._tables[name])
            await self._value("SELECT setval($1::regclass, $2, $3)", sequence, max(number, 1), number > 0)

    async def analyze(self) -> None:
        """Tell the planner what is there now."""
        for name in self._tables:
            await self._do(f"ANALYZE {name}")

    async def wait_for_older_transactions(self) -> None:
        """Return when every transaction of this database that began before now has ended."""
        now = await self._value("SELECT clock_timestamp()")
        while await self._value(_OLDER_TRANSACTIONS, now):  # noqa: ASYNC110 - PostgreSQL gives no signal
            await asyncio.sleep(OLD_TRANSACTIONS_LOOK_SECONDS)

    # --- statements

    async def _sequence(self, table: MovedTable) -> str:
        return await self._value("SELECT pg_get_serial_sequence($1, $2)", table.name, table.counter)

    async def _do(self, sql: str, *values: Any) -> None:
        with translated():
            await self._connection.execute(sql, *values)

    async def _all(self, sql: str, *values: Any) -> list[Any]:
        with translated():
            return await self._connection.fetch(sql, *values)

    async def _value(self, sql: str, *values: Any) -> Any:
        with translated():
            return await self._connection.fetchval(sql, *values)


async def read_state(url: str) -> State | None:
    """What a database says of itself; None when no promotion has to do with it. Raises Unavailable."""
    side = PostgresSide(url, {})
    await side.open()
    try:
        record = await side.record()
        return record.state if record else None
    finally:
        await side.close()


def _capture_function(table: MovedTable) -> str:
    new, old = (", ".join(f'{row}."{column.name}"' for column in table.keys) for row in ("NEW", "OLD"))
    note = f"INSERT INTO promotion_changes (name, key) VALUES ('{table.name}', json_build_array("
    return f"""
        CREATE FUNCTION promotion_note_{table.name}() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF current_setting('banyan.promotion', true) = 'on' THEN
                RETURN NULL;
            END IF;
            IF (SELECT state FROM promotion) = 'rolled_back' THEN
                RAISE EXCEPTION 'the data has moved back to SQLite' USING ERRCODE = 'read_only_sql_transaction';
            END IF;
            IF TG_OP <> 'DELETE' THEN
                {note}{new})::text);
            END IF;
            IF TG_OP = 'DELETE' OR (TG_OP = 'UPDATE' AND ({old}) IS DISTINCT FROM ({new})) THEN
                {note}{old})::text);
            END IF;
            RETURN NULL;
        END $$"""


def _keys(table: MovedTable) -> str:
    """The keys of a call as a relation `k`, one parameter a column."""
    arrays = ", ".join(
        f"${number}::{'bigint' if isinstance(column.type, Integer) else 'text'}[]"
        for number, column in enumerate(table.keys, start=1)
    )
    names = ", ".join(f"k{number}" for number in range(len(table.keys)))
    return f"unnest({arrays}) AS k ({names})"


def _is_key(table: MovedTable) -> str:
    return " AND ".join(f't."{column.name}" = k.k{number}' for number, column in enumerate(table.keys))


def _columns_of(keys: Sequence[Key]) -> list[list[Any]]:
    return [list(column) for column in zip(*keys, strict=True)]
