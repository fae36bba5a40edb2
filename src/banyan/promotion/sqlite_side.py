"""The SQLite side: triggers that note changes, triggers that refuse writes once the data has moved, and the record."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from banyan.infra.db.promotion_record import Phase, PromotionRecord, read_record
from banyan.infra.db.sqlite import connect, translate
from banyan.promotion.moved_tables import Key, MovedTable, Row, Unstorable
from banyan.promotion.sides import Changes, on_thread

# A command of the CLI may be writing at this moment; in the cut-over there is no time to wait long.
BUSY_MILLISECONDS = 400
FORGET_AT_ONCE = 5000
# What is neither a table of Banyan's nor one of ours.
OTHER_TABLES = ("alembic_version", "promotion", "promotion_changes")

T = TypeVar("T")

_EVENTS = ("INSERT", "UPDATE", "DELETE")


class SqliteSide:
    """One connection to the file, beside the server's own."""

    def __init__(self, path: Path, tables: Mapping[str, MovedTable]) -> None:
        self._path = path
        self.tables = tables
        self._connection: Any = None

    async def open(self) -> None:
        self._connection = await on_thread(connect, self._path)
        self._connection.row_factory = None
        await self._do(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")

    async def close(self) -> None:
        if self._connection is not None:
            await on_thread(self._connection.close)

    # --- the record

    def record(self) -> PromotionRecord | None:
        return read_record(self._path)

    async def begin(self, record: PromotionRecord) -> None:
        """Note every change from here on, and write down that a copy is being made."""
        async with self._writing():
            await self._run(self._note_changes, record)

    async def abandon(self) -> bool:
        """Forget a promotion that did not come to its cut-over, whoever began it; returns whether there was one."""
        async with self._writing():
            record = self.record()
            if record is None or record.phase != "copying":
                return False
            await self._run(self._stop_noting)
            await self._do("DROP TABLE promotion")
        return True

    async def moved_away(self) -> None:
        """End `cutting_over` with the data moved away: refuse every write to this file. This commit is the cut-over."""
        await self._run(self._stop_noting)
        await self._run(self._refuse_writes)
        await self._set_phase("promoted")

    async def moved_back(self) -> None:
        """End `cutting_over` with the data here again. This commit is the cut-over."""
        for table in self.tables:
            for event in _EVENTS:
                await self._do(f"DROP TRIGGER promotion_fence_{table}_{event.lower()}")
        await self._do("DROP TABLE promotion")

    async def moved_for_good(self) -> None:
        async with self._writing():
            await self._set_phase("moved")

    # --- reading

    async def unknown_tables(self) -> list[str]:
        found = await self._all(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
        return sorted(name for (name,) in found if name not in self.tables and name not in OTHER_TABLES)

    async def count(self, table: MovedTable) -> int:
        return (await self._all(f'SELECT count(*) FROM "{table.name}"'))[0][0]

    async def unstorable(self, table: MovedTable) -> Unstorable | None:
        """The first value that PostgreSQL could not hold, found by a look at each row."""
        conditions = []
        for column in table.columns:
            if column.type.python_type is not str:
                continue
            name = f'"{column.name}"'
            conditions += [f"instr({name}, char(0)) > 0", f"instr({name}, '\\u0000') > 0"]
            length = getattr(column.type, "length", None)
            conditions += [f"length({name}) > {length}"] if length else []
        for row in await self._all(f"{_select(table)} WHERE {' OR '.join(conditions)}"):
            try:
                table.check(table.from_sqlite([row]))
            except Unstorable as found:
                return found
        return None

    async def page(self, table: MovedTable, after: Key | None, size: int) -> list[Row]:
        """The next rows in the order of their keys."""
        names = ", ".join(f'"{column.name}"' for column in table.keys)
        where = "" if after is None else f"WHERE ({names}) > ({', '.join('?' * len(table.keys))})"
        sql = f"{_select(table)} {where} ORDER BY {names} LIMIT {size}"
        return table.from_sqlite(await self._all(sql, after or ()))

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[None]:
        await self._do("BEGIN")
        try:
            yield
        finally:
            await self._roll_back()

    async def changes(self) -> Changes:
        return await self._run(self._read_changes)

    async def forget(self, changes: Changes) -> None:
        # A few at a time: the server's writer waits meanwhile.
        for first in range(changes.mark - changes.count, changes.mark, FORGET_AT_ONCE):
            upto = min(first + FORGET_AT_ONCE, changes.mark)
            async with self._writing():
                await self._do("DELETE FROM promotion_changes WHERE seq <= ?", (upto,))

    async def rows(self, table: MovedTable, keys: Sequence[Key]) -> list[Row]:
        return await self._run(self._read_rows, table, keys)

    async def counters(self) -> dict[str, int]:
        """For each table whose rows the database numbers: the highest number that it has ever given."""
        return dict(
            await self._all("SELECT name, seq FROM sqlite_sequence WHERE name <> 'promotion_changes'")
        )

    # --- writing

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """For a file whose data has moved away: inside, its own refusal of writes is lifted, for nobody else."""
        async with self._writing():
            record = self.record()
            assert record is not None, "only a file that says where its data is may be written to"
            await self._set_phase("applying")
            yield
            await self._set_phase(record.phase)

    @asynccontextmanager
    async def cutting_over(self) -> AsyncIterator[None]:
        """Nobody else writes to the file until `moved_away`, `moved_back` or the end of this, which commits."""
        async with self._writing():
            yield

    async def replace(self, table: MovedTable, keys: Sequence[Key], rows: Sequence[Row]) -> None:
        await self._run(self._replace, table, keys, rows)

    async def allow_writing(self) -> None:
        """In `cutting_over`: let this transaction write to a file whose data has moved away."""
        await self._set_phase("applying")

    async def set_counters(self, counters: Mapping[str, int]) -> None:
        for name, number in counters.items():
            await self._do("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (number, name))
            await self._do(
                "INSERT INTO sqlite_sequence (name, seq) SELECT ?, ? WHERE NOT EXISTS"
                " (SELECT 1 FROM sqlite_sequence WHERE name = ?)",
                (name, number, name),
            )

    # --- on a thread

    def _note_changes(self, record: PromotionRecord) -> None:
        run = self._connection.execute
        run("CREATE TABLE promotion (id TEXT NOT NULL, phase TEXT NOT NULL, target TEXT NOT NULL)")
        run("INSERT INTO promotion VALUES (?, ?, ?)", (record.id, record.phase, record.target))
        run(
            "CREATE TABLE promotion_changes (seq INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, key TEXT NOT NULL)"
        )
        for table in self.tables.values():
            new, old = (_key_of(table, row) for row in ("NEW", "OLD"))
            note = f"INSERT INTO promotion_changes (name, key) SELECT '{table.name}',"
            also_old = f"{note} {old} WHERE {old} <> {new};"
            for event, body in zip(
                _EVENTS, (f"{note} {new};", f"{note} {new}; {also_old}", f"{note} {old};"), strict=True
            ):
                run(
                    f"CREATE TRIGGER promotion_note_{table.name}_{event.lower()}"
                    f' AFTER {event} ON "{table.name}" BEGIN {body} END'
                )

    def _stop_noting(self) -> None:
        for table in self.tables:
            for event in _EVENTS:
                self._connection.execute(f"DROP TRIGGER IF EXISTS promotion_note_{table}_{event.lower()}")
        self._connection.execute("DROP TABLE promotion_changes")

    def _refuse_writes(self) -> None:
        for table in self.tables:
            for event in _EVENTS:
                self._connection.execute(
                    f'CREATE TRIGGER promotion_fence_{table}_{event.lower()} BEFORE {event} ON "{table}"'
                    " WHEN (SELECT phase FROM promotion) <> 'applying'"
                    " BEGIN SELECT RAISE(ABORT, 'the data has moved to PostgreSQL'); END"
                )

    def _read_changes(self) -> Changes:
        keys: dict[str, dict[Key, None]] = {}
        noted = self._connection.execute(
            "SELECT seq, name, key FROM promotion_changes ORDER BY seq"
        ).fetchall()
        for _, name, key in noted:
            values = tuple(json.loads(key))
            if "\\u0000" in key:
                raise Unstorable(self.tables[name].place(values), "has the character U+0000 in its key")
            keys.setdefault(name, {})[values] = None
        mark = noted[-1][0] if noted else 0
        return Changes({name: list(of_table) for name, of_table in keys.items()}, mark, len(noted))

    def _read_rows(self, table: MovedTable, keys: Sequence[Key]) -> list[Row]:
        sql = f"{_select(table)} WHERE {_is_key(table)}"
        found = (self._connection.execute(sql, key).fetchone() for key in keys)
        return table.from_sqlite(row for row in found if row is not None)

    def _replace(self, table: MovedTable, keys: Sequence[Key], rows: Sequence[Row]) -> None:
        self._connection.executemany(f'DELETE FROM "{table.name}" WHERE {_is_key(table)}', keys)
        names = ", ".join(f'"{name}"' for name in table.names)
        values = ", ".join("?" * len(table.names))
        self._connection.executemany(f'INSERT INTO "{table.name}" ({names}) VALUES ({values})', rows)

    # --- statements

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[None]:
        await self._do("BEGIN IMMEDIATE")
        try:
            yield
            await self._do("COMMIT")
        finally:
            await self._roll_back()

    async def _roll_back(self) -> None:
        if self._connection.in_transaction:
            await self._do("ROLLBACK")

    async def _run(self, work: Callable[..., T], *arguments: Any) -> T:
        """On a thread. Raises Unavailable when somebody else has the file for too long, StorageFull."""
        try:
            return await on_thread(work, *arguments)
        except Exception as error:
            raise translate(error) from error

    async def _set_phase(self, phase: Phase | str) -> None:
        await self._do("UPDATE promotion SET phase = ?", (phase,))

    async def _do(self, sql: str, values: Sequence[Any] = ()) -> None:
        await self._run(self._connection.execute, sql, values)

    async def _all(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return await self._run(lambda: self._connection.execute(sql, values).fetchall())


def _select(table: MovedTable) -> str:
    names = ", ".join(f'"{name}"' for name in table.names)
    return f'SELECT {names} FROM "{table.name}"'


def _is_key(table: MovedTable) -> str:
    return " AND ".join(f'"{column.name}" = ?' for column in table.keys)


def _key_of(table: MovedTable, row: str) -> str:
    names = ", ".join(f'{row}."{column.name}"' for column in table.keys)
    return f"json_array({names})"
