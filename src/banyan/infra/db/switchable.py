"""Switchable: a database that can be exchanged for another while it serves.

Whoever holds this object need not know. Writes can be held for a moment, while the last of them are carried over; reads
go on. Held writes are not refused: they wait, and go to whichever database is there when they are let through.
"""

import asyncio
from typing import ParamSpec, TypeVar

from banyan.infra.db.pool_use import PoolUse
from banyan.infra.db.transaction import Database, OnCommit, Work
from banyan.kernel.errors import Unavailable

P = ParamSpec("P")
T = TypeVar("T")

MAX_HELD = 20_000
# What has waited comes out in turns: all of it at once would find a pool of connections full, and be refused.
HELD_AT_ONCE = 8


class SwitchableDatabase:
    """Stands for `present`, which `exchange` replaces."""

    def __init__(self, database: Database) -> None:
        self._present = database
        self._on_commit: OnCommit | None = None
        self._let_through: asyncio.Event | None = None
        self._held = 0
        self._turns = asyncio.Semaphore(HELD_AT_ONCE)

    @property
    def name(self) -> str:
        return self._present.name

    @property
    def commits_in_order(self) -> bool:
        return self._present.commits_in_order

    @property
    def folds(self) -> bool:
        return self._present.folds

    @property
    def present(self) -> Database:
        return self._present.present

    @property
    def pool_use(self) -> PoolUse | None:
        return self._present.pool_use

    @property
    def held(self) -> int:
        """How many writes wait."""
        return self._held

    async def start(self, on_commit: OnCommit) -> None:
        self._on_commit = on_commit
        await self._present.start(on_commit)

    async def transact(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._let_through is not None:
            return await self._wait_and_transact(work, *args, **kwargs)
        return await self._present.transact(work, *args, **kwargs)

    async def read(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._present.read(work, *args, **kwargs)

    async def drain(self) -> None:
        await self._present.drain()

    async def close(self) -> None:
        self.release()
        await self._present.close()

    async def prepare(self, database: Database) -> None:
        """Start a database that is to take the place; raises what its start raises."""
        assert self._on_commit is not None, "prepare() comes after start()"
        await database.start(self._on_commit)

    async def hold(self) -> None:
        """Let writes wait from now on; returns when those that were under way have ended. Undone by `release`."""
        assert self._let_through is None, "the writes are held already"
        self._let_through = asyncio.Event()
        await self._present.drain()

    def exchange(self, database: Database) -> Database:
        """Put a prepared database in place, while the writes are held; returns the former one, still open."""
        assert self._let_through is not None, "exchange() comes between hold() and release()"
        former, self._present = self._present, database
        return former

    def release(self) -> None:
        """Let the writes through; safe to repeat."""
        if self._let_through is not None:
            self._let_through.set()
            self._let_through = None

    async def _wait_and_transact(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._held >= MAX_HELD:
            raise Unavailable("Too much is waiting for the database; try again shortly.")
        self._held += 1
        try:
            async with self._turns:
                while self._let_through is not None:
                    await self._let_through.wait()
                return await self._present.transact(work, *args, **kwargs)
        finally:
            self._held -= 1
