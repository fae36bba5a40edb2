"""What a running server does of a promotion: the cut-over, with its own database held and exchanged."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict

from banyan.bootstrap import open_database
from banyan.infra.db.postgres import PostgresDatabase
from banyan.infra.db.postgres_pool import process_name
from banyan.infra.db.promotion_record import read_address
from banyan.infra.db.switchable import SwitchableDatabase
from banyan.infra.db.transaction import Database, Transaction
from banyan.infra.telemetry.log import get_logger
from banyan.kernel.errors import BanyanError
from banyan.promotion import cut_over
from banyan.promotion.errors import PromotionError
from banyan.promotion.moved_tables import moved_tables
from banyan.promotion.postgres_side import MARK_LIVE, PostgresSide
from banyan.promotion.sqlite_side import SqliteSide
from banyan.settings import Settings

log = get_logger(__name__)

LIFT_AGAIN_SECONDS = 0.5


class ServerSide:
    """switch: the database that everything in this process uses."""

    def __init__(self, settings: Settings, switch: SwitchableDatabase) -> None:
        self._settings = settings
        self._switch = switch
        self._lifting: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        for task in self._lifting:
            task.cancel()

    async def promote(self, url: str) -> cut_over.CutOver:
        async with self._sides(url) as (sqlite, postgres):
            database = open_database(self._settings, url)
            gate = await self._gate(database)
            try:
                assert isinstance(database, PostgresDatabase)
                await database.warm()
                done = await cut_over.promote(sqlite, postgres, sqlite.tables, gate)
            finally:
                await gate.close_the_other()
        log.info("promoted", **asdict(done))
        return done

    async def roll_back(self) -> cut_over.CutOver:
        address = read_address(self._settings.data_dir)
        if address is None:
            raise PromotionError("there is nothing to roll back.")
        async with self._sides(address.url) as (sqlite, postgres):
            gate = await self._gate(open_database(self._settings, self._settings.database_path))
            try:
                done = await cut_over.roll_back(
                    sqlite, postgres, sqlite.tables, gate, ours=process_name(os.getpid()), lift=self._lift
                )
            finally:
                await gate.close_the_other()
        log.info("rolled_back", **asdict(done))
        return done

    @asynccontextmanager
    async def _sides(self, url: str) -> AsyncIterator[tuple[SqliteSide, PostgresSide]]:
        tables = {table.name: table for table in moved_tables()}
        sqlite, postgres = SqliteSide(self._settings.database_path, tables), PostgresSide(url, tables)
        try:
            await sqlite.open()
            await postgres.open()
            yield sqlite, postgres
        finally:
            await sqlite.close()
            await postgres.close()

    async def _gate(self, database: Database) -> "_SwitchGate":
        await self._switch.prepare(database)
        return _SwitchGate(self._switch, database)

    async def _lift(self) -> None:
        """Let PostgreSQL take writes again: now, or, when it does not answer, as soon as it does."""
        database = self._switch.present
        try:
            await database.transact(_mark_live)
        except BanyanError:
            task = asyncio.create_task(_lift_later(database))
            self._lifting.add(task)
            task.add_done_callback(self._lifting.discard)


class _SwitchGate:
    """The gate of a server: its writes are held by the database that it serves from, and that can be exchanged."""

    def __init__(self, switch: SwitchableDatabase, database: Database) -> None:
        self._switch = switch
        self._other = database

    @property
    def held(self) -> int:
        return self._switch.held

    async def hold(self) -> None:
        await self._switch.hold()

    def exchange(self) -> None:
        self._other = self._switch.exchange(self._other)

    def release(self) -> None:
        self._switch.release()

    async def close_the_other(self) -> None:
        """Close the database that does not serve: the former one, or the new one when nothing came of it."""
        await self._other.close()


async def _mark_live(tx: Transaction) -> None:
    await tx.run(MARK_LIVE)


async def _lift_later(database: Database) -> None:
    while True:
        log.error(
            "promotion_fence_stays", detail="PostgreSQL does not answer; until it does, it takes no writes."
        )
        await asyncio.sleep(LIFT_AGAIN_SECONDS)
        with suppress(BanyanError):
            await database.transact(_mark_live)
            return
