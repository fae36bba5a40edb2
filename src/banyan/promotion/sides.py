"""The two sides of a promotion, and how changes are carried from one to the other.

Both sides note the key of every row that anybody changes (by triggers). Carrying over is: in one snapshot of the
source, take the keys noted so far and their rows as they are now; in one transaction of the target, delete these keys
and insert these rows. Then the target is what the source was in that snapshot: rows that were not noted are the same
already, and no unique key can be in the way, since the outcome is a state that the source had. Doing it twice does no
harm, so what was carried is forgotten by the source only after the target has committed.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from banyan.promotion.moved_tables import Key, Mismatch, MovedTable, Row, in_pages

T = TypeVar("T")

CARRY_PAGE = 2000


@dataclass(frozen=True, slots=True)
class Changes:
    """Keys that were noted. mark: what `forget` takes."""

    keys: Mapping[str, Sequence[Key]]
    mark: Any
    count: int


class Side(Protocol):
    """One database. Rows and keys have Python's own types on both sides."""

    def snapshot(self) -> AbstractAsyncContextManager[None]:
        """Inside, all reads see one moment."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[None]:
        """Inside, all is done together or not at all; what is written there is not noted as a change."""
        ...

    async def changes(self) -> Changes:
        """The rows that were changed and not yet forgotten."""
        ...

    async def forget(self, changes: Changes) -> None: ...

    async def rows(self, table: MovedTable, keys: Sequence[Key]) -> list[Row]:
        """Those of these rows that are there, in any order."""
        ...

    async def replace(self, table: MovedTable, keys: Sequence[Key], rows: Sequence[Row]) -> None:
        """Delete these keys, and insert these rows. Inside a transaction."""
        ...


async def catch_up(source: Side, target: Side, tables: Mapping[str, MovedTable]) -> int:
    """Carry over what has changed; returns how many changes that were. Raises Unstorable, Mismatch."""
    async with source.snapshot():
        changes = await source.changes()
        if changes.count:
            async with target.transaction():
                await carry(changes, source, target, tables)
    if changes.count:
        await source.forget(changes)
    return changes.count


async def carry(changes: Changes, source: Side, target: Side, tables: Mapping[str, MovedTable]) -> int:
    """Make the target's rows of these keys what the source's are, and compare; returns how many rows were compared.

    Inside a snapshot of the source and a transaction of the target.
    """
    compared = 0
    for name, keys in changes.keys.items():
        table = tables[name]
        # All keys of a table leave before the first row comes: until then some row may hold another's unique value.
        rows = [row for page in in_pages(keys, CARRY_PAGE) for row in await source.rows(table, page)]
        table.check(rows)
        await target.replace(table, keys, rows)
        wanted = table.by_key(rows)
        for page in in_pages(keys, CARRY_PAGE):
            found = table.by_key(await target.rows(table, page))
            for key in page:
                if found.get(key) != wanted.get(key):
                    raise Mismatch(table.place(key))
        compared += len(keys)
    return compared


async def on_thread(work: Callable[..., T], *arguments: Any) -> T:
    """Run blocking work on a thread. Cancelled, it still waits for the end: a connection serves one thread at a time."""
    running = asyncio.get_running_loop().run_in_executor(None, lambda: work(*arguments))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
