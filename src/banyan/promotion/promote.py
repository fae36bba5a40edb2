"""The four things that can be done, each from its checks to its end: promote, roll back, confirm, and ask how it stands.

no promotion ──promote──▶ promoted ──confirm──▶ moved
     ▲                       │
     └──────rollback─────────┘
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from banyan.infra.db.migrate import status, upgrade
from banyan.infra.db.promotion_record import (
    Address,
    PromotionRecord,
    read_address,
    read_record,
    write_address,
)
from banyan.kernel.errors import BanyanError
from banyan.kernel.ids import new_id
from banyan.promotion import checks
from banyan.promotion.client import alone, whoever_serves
from banyan.promotion.cut_over import CutOver, others_connected
from banyan.promotion.errors import HeldTooLong, PromotionError, Refused, ServerGone
from banyan.promotion.moved_tables import Mismatch, Unstorable, moved_tables
from banyan.promotion.moving import ComparedTable, Mover, Progress, Tell
from banyan.promotion.postgres_side import PostgresSide
from banyan.promotion.sides import Side
from banyan.promotion.sqlite_side import SqliteSide
from banyan.settings import Settings, database_label

MAX_CUT_OVERS = 10


@dataclass(frozen=True, slots=True)
class Moved:
    """What came of it. compared: every table, as it was compared before the cut-over. copied: rows, 0 in a rollback.

    pid: of the server that serves from it now; None where none runs.
    """

    target: str
    copied: int
    compared: Sequence[ComparedTable]
    cut_over: CutOver
    pid: int | None


@dataclass(frozen=True, slots=True)
class Standing:
    """record: None when nothing was promoted. changes: noted on PostgreSQL since the cut-over; None when it is final."""

    record: PromotionRecord | None
    changes: int | None


async def promote(settings: Settings, url: str, tell: Tell) -> Moved:
    """Move the installation to PostgreSQL. Raises PromotionError, Unavailable; SQLite goes on then as if nothing were."""
    checks.installation(settings)
    label = database_label(url)
    async with (
        alone(settings),
        whoever_serves(settings) as server,
        _sides(settings, url) as (sqlite, postgres),
    ):
        await checks.connect(postgres, label)
        tell(Progress("check", "rows", 0, 0))
        must_wipe = await checks.target(postgres, settings, label)
        await checks.source(sqlite, sqlite.tables)
        record = PromotionRecord(new_id(), "copying", label)
        if must_wipe:
            await postgres.wipe()
        # On the disk before anything could make it the truth.
        write_address(settings.data_dir, Address(record.id, url))
        await postgres.claim(record.id)
        tell(Progress("prepare", label, 0, 0))
        await asyncio.to_thread(upgrade, url)
        await postgres.empty()
        await postgres.note_changes()
        await sqlite.begin(record)
        mover = Mover(sqlite, postgres, sqlite.tables, tell)
        try:
            copied = await mover.copy()
            await mover.catch_up(sqlite, postgres)
            compared = await mover.compare(sqlite, postgres)
            done = await _cut_over(
                mover, sqlite, postgres, lambda: server.promote(sqlite, postgres, url), "PostgreSQL"
            )
        except (Unstorable, Mismatch) as error:
            raise PromotionError(f"{error}.") from error
        finally:
            # Nothing to do when it has come to its cut-over, whatever we were told of it. Where it cannot be done now,
            # the server does it when we are gone.
            with suppress(BanyanError):
                await asyncio.shield(sqlite.abandon())
    return Moved(label, copied, compared, done, server.pid)


async def roll_back(settings: Settings, tell: Tell) -> Moved:
    """Move back to the SQLite file. Raises PromotionError, Unavailable; PostgreSQL goes on then."""
    address, record = _promoted(settings)
    async with (
        alone(settings),
        whoever_serves(settings) as server,
        _sides(settings, address.url) as (sqlite, postgres),
    ):
        await checks.connect(postgres, record.target)
        here, there = status(settings.database_path), await asyncio.to_thread(status, address.url)
        if here.current != there.current:
            raise Refused(
                f"the SQLite file is at migration {here.current} and PostgreSQL at {there.current}:"
                " it was migrated since the promotion, and cannot be rolled back."
            )
        if others := await postgres.others(server.name):
            raise others_connected(others)
        mover = Mover(sqlite, postgres, sqlite.tables, tell)
        try:
            await mover.catch_up(postgres, sqlite)
            compared = await mover.compare(postgres, sqlite)
            done = await _cut_over(
                mover, postgres, sqlite, lambda: server.roll_back(sqlite, postgres), "the SQLite file"
            )
        except Mismatch as error:
            raise PromotionError(f"{error}.") from error
    return Moved(str(settings.database_path), 0, compared, done, server.pid)


async def confirm(settings: Settings) -> str:
    """Make it final: nothing is noted any more, and there is no way back; returns the target. May be repeated.

    Raises PromotionError, Unavailable.
    """
    address, record = _promoted(settings, or_moved=True)
    async with alone(settings), _sides(settings, address.url) as (sqlite, postgres):
        await checks.connect(postgres, record.target)
        # In this order: without what PostgreSQL notes there must be no way back.
        await sqlite.moved_for_good()
        await postgres.stop_noting()
    return record.target


async def standing(settings: Settings) -> Standing:
    """How it stands, without changing anything. Raises Unavailable."""
    record = read_record(settings.database_path)
    address = read_address(settings.data_dir)
    if record is None or record.phase != "promoted" or address is None:
        return Standing(record, None)
    async with _sides(settings, address.url) as (_, postgres):
        await checks.connect(postgres, record.target)
        return Standing(record, await postgres.count_changes())


async def _cut_over(
    mover: Mover, source: Side, target: Side, ask: Callable[[], Awaitable[CutOver]], where_it_is: str
) -> CutOver:
    """Catch up and ask for the cut-over, again when the last changes were too many. where_it_is: after it."""
    for attempt in range(1, MAX_CUT_OVERS + 1):
        await mover.catch_up(source, target)
        mover.tell(Progress("cut-over", "writes are held", attempt, 0))
        try:
            return await _to_its_end(ask())
        except HeldTooLong:
            if attempt == MAX_CUT_OVERS:
                raise
        except ServerGone:
            record = mover.sqlite.record()
            if (record is not None and record.has_moved) != (target is mover.postgres):
                raise
            raise PromotionError(
                f"the server ended in the cut-over, which was complete: the data is in {where_it_is}.",
                "Start the server again: it serves from there.",
            ) from None
    raise AssertionError("the last attempt returns or raises")


async def _to_its_end(asked: Awaitable[CutOver]) -> CutOver:
    """Wait for the answer, also when we are told to stop meanwhile: by then it is the server that decides."""
    answer = asyncio.ensure_future(asked)
    try:
        return await asyncio.shield(answer)
    except asyncio.CancelledError:
        await asyncio.wait([answer])
        raise


def _promoted(settings: Settings, *, or_moved: bool = False) -> tuple[Address, PromotionRecord]:
    record = read_record(settings.database_path)
    if record is None or record.phase == "copying":
        raise Refused(
            "this installation was not promoted.", "`banyan promote --to postgresql://…` does that."
        )
    if record.phase == "moved" and not or_moved:
        raise Refused("the promotion was confirmed, which is final.")
    address = read_address(settings.data_dir)
    if address is None or address.id != record.id:
        raise Refused(f"the address of {record.target} is not in {settings.data_dir.resolve()} any more.")
    return address, record


@asynccontextmanager
async def _sides(settings: Settings, url: str) -> AsyncIterator[tuple[SqliteSide, PostgresSide]]:
    """The SQLite side open, the other one to be opened."""
    tables = {table.name: table for table in moved_tables()}
    sqlite, postgres = SqliteSide(settings.database_path, tables), PostgresSide(url, tables)
    await sqlite.open()
    try:
        yield sqlite, postgres
    finally:
        await sqlite.close()
        await postgres.close()
