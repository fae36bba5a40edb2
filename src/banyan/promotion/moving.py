"""Moving: everything of a promotion that takes long, done by the command beside the server that goes on serving.

    copy ──▶ catch up until little is left ──▶ compare every row ──▶ catch up again ──▶ the server cuts over

The comparison is of one moment: the changes up to a snapshot of the source are carried over, and then every row of that
snapshot is looked up on the other side. From then on only rows that the triggers have noted can differ, and each of
these is compared when it is carried over, the last ones while the writes are held.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from banyan.infra.faults import fault_point
from banyan.promotion.errors import NeverCaughtUp
from banyan.promotion.moved_tables import Mismatch, MovedTable, checksum
from banyan.promotion.postgres_side import PostgresSide
from banyan.promotion.sides import Side, carry, catch_up
from banyan.promotion.sqlite_side import SqliteSide

PAGE = 2000
# So few changes are carried over in a fraction of the time that writes may be held.
FEW_CHANGES = 200
QUICK_SECONDS = 0.15
MAX_ROUNDS = 60


@dataclass(frozen=True, slots=True)
class Progress:
    """stage: copy, catch-up or compare. what: the table. total: 0 when it is not known."""

    stage: str
    what: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class ComparedTable:
    """checksum: of all rows in the order of their keys; the same on both sides, or there is none."""

    name: str
    rows: int
    checksum: str


Tell = Callable[[Progress], None]


@dataclass(frozen=True)
class Mover:
    """Both sides of one promotion, and whom to tell how far it is."""

    sqlite: SqliteSide
    postgres: PostgresSide
    tables: Mapping[str, MovedTable]
    tell: Tell

    async def copy(self) -> int:
        """Copy every table, page by page, each page from a snapshot of its own; returns how many rows that were.

        Raises Unstorable.
        """
        totals = {table.name: await self.sqlite.count(table) for table in self.tables.values()}
        copied = 0
        for table in self.tables.values():
            done = 0
            page = asyncio.create_task(self.sqlite.page(table, None, PAGE))
            while rows := await page:
                # The next page is read while this one is written.
                page = asyncio.create_task(self.sqlite.page(table, table.key_of(rows[-1]), PAGE))
                try:
                    table.check(rows)
                    await self.postgres.copy(table, rows)
                finally:
                    await asyncio.wait([page])
                done += len(rows)
                self.tell(Progress("copy", table.name, done, max(done, totals[table.name])))
                fault_point("promote-copying")
            copied += done
        await self.postgres.analyze()
        return copied

    async def catch_up(self, source: Side, target: Side) -> int:
        """Carry changes over until few are left; returns how many that were. Raises NeverCaughtUp."""
        carried = 0
        for _ in range(MAX_ROUNDS):
            began = time.monotonic()
            count = await catch_up(source, target, self.tables)
            carried += count
            self.tell(Progress("catch-up", "changes", carried, 0))
            if count <= FEW_CHANGES or time.monotonic() - began < QUICK_SECONDS:
                return carried
        raise NeverCaughtUp()

    async def compare(self, source: Side, target: Side) -> list[ComparedTable]:
        """Carry over what has changed up to a moment, then compare every row as it was then. Raises Mismatch."""
        async with source.snapshot():
            changes = await source.changes()
            async with target.transaction():
                await carry(changes, source, target, self.tables)
            compared = [await self._compare_table(table) for table in self.tables.values()]
        await source.forget(changes)
        return compared

    async def _compare_table(self, table: MovedTable) -> ComparedTable:
        count, after, total = 0, None, await self.sqlite.count(table)
        ours = theirs = ""
        while here := await self.sqlite.page(table, after, PAGE):
            keys = [table.key_of(row) for row in here]
            found = table.by_key(await self.postgres.rows(table, keys))
            there = [found[key] for key in keys if key in found]
            ours, theirs = checksum(here, ours), checksum(there, theirs)
            if ours != theirs:
                differs = next(key for key, row in zip(keys, here, strict=True) if found.get(key) != row)
                raise Mismatch(table.place(differs))
            after, count = keys[-1], count + len(here)
            self.tell(Progress("compare", table.name, count, max(count, total)))
        if await self.postgres.count(table) != count:
            raise Mismatch(f"{table.name}: the number of rows")
        return ComparedTable(table.name, count, ours)
