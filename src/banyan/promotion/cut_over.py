"""The cut-over: writes are held, the last changes are carried over, and the other database takes the place.

The commit of one transaction on the SQLite file decides, in both directions. Whatever ends this process, and when, the
file says which database is the true one (infra/db/promotion_record.py).

    promote     hold · lock the file · carry · commit PostgreSQL · COMMIT THE FILE · exchange · let through
    roll back   hold · PostgreSQL refuses writes · lock the file · carry · COMMIT THE FILE · exchange · let through

What takes longer than HOLD_SECONDS up to that commit is undone, and the writes go on where they were.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from banyan.infra.faults import fault_point
from banyan.promotion.errors import HeldTooLong, Refused
from banyan.promotion.moved_tables import MovedTable
from banyan.promotion.postgres_side import PostgresSide
from banyan.promotion.sides import carry
from banyan.promotion.sqlite_side import SqliteSide

HOLD_SECONDS = 0.8


class Gate(Protocol):
    """What stands between the writers and the database.

    exchange: puts the other database, which is ready, in place; called at most once, with the writes held.
    """

    async def hold(self) -> None: ...

    def exchange(self) -> None: ...

    def release(self) -> None: ...

    @property
    def held(self) -> int:
        """How many writes wait."""
        ...


class NoGate:
    """Where no server runs, so that nobody writes."""

    held = 0

    async def hold(self) -> None:
        pass

    def exchange(self) -> None:
        pass

    def release(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class CutOver:
    """held_seconds: how long writes waited. changes: carried over meanwhile. waited: how many writes waited at its end."""

    held_seconds: float
    changes: int
    waited: int


async def promote(
    sqlite: SqliteSide, postgres: PostgresSide, tables: Mapping[str, MovedTable], gate: Gate
) -> CutOver:
    """PostgreSQL takes over. Raises HeldTooLong, Refused, Unstorable, Mismatch; SQLite goes on then."""

    async def carry_the_last(limit: asyncio.Timeout) -> int:
        fault_point("promote-held")
        async with sqlite.cutting_over():
            async with postgres.transaction():
                changes = await sqlite.changes()
                await carry(changes, sqlite, postgres, tables)
                if await postgres.count_changes():
                    raise Refused(
                        "somebody else has written into the PostgreSQL database meanwhile.",
                        "End whatever else uses it, and promote again.",
                    )
                await postgres.set_counters(await sqlite.counters())
            fault_point("promote-carried")
            # From here on it is only the disk that can take long, and whether it has done it must be known.
            limit.reschedule(None)
            await sqlite.moved_away()
        fault_point("promote-committed")
        return changes.count

    def has_moved() -> bool:
        record = sqlite.record()
        return record is not None and record.has_moved

    done = await _held(gate, carry_the_last, has_moved)
    await postgres.set_state("live")
    return done


async def roll_back(
    sqlite: SqliteSide,
    postgres: PostgresSide,
    tables: Mapping[str, MovedTable],
    gate: Gate,
    *,
    ours: str,
    lift: Callable[[], Awaitable[None]],
) -> CutOver:
    """SQLite takes over again. ours: the name of this process's connections. lift: lets PostgreSQL take writes again
    when nothing came of it; never raises.

    Raises HeldTooLong, Refused, Unavailable; PostgreSQL goes on then.
    """

    async def carry_the_last(limit: asyncio.Timeout) -> int:
        if others := await postgres.others(ours):
            raise others_connected(others)
        # Nobody else is there; whoever comes now finds out at the first write.
        await postgres.set_state("rolled_back")
        fault_point("rollback-fenced")
        await postgres.wait_for_older_transactions()
        async with postgres.snapshot(), sqlite.cutting_over():
            await sqlite.allow_writing()
            changes = await postgres.changes()
            await carry(changes, postgres, sqlite, tables)
            await sqlite.set_counters(await postgres.counters())
            fault_point("rollback-carried")
            limit.reschedule(None)
            await sqlite.moved_back()
        fault_point("rollback-committed")
        return changes.count

    def is_back() -> bool:
        return sqlite.record() is None

    return await _held(gate, carry_the_last, is_back, lift)


def others_connected(names: list[str]) -> Refused:
    return Refused(
        f"other processes use the PostgreSQL database too: {', '.join(names)}.",
        "Stop them first: after the cut-over they would still write there.",
    )


async def _held(
    gate: Gate,
    carry_the_last: Callable[[asyncio.Timeout], Awaitable[int]],
    is_done: Callable[[], bool],
    undo: Callable[[], Awaitable[None]] | None = None,
) -> CutOver:
    began = time.monotonic()
    done = False
    try:
        async with asyncio.timeout(HOLD_SECONDS) as limit:
            await gate.hold()
            count = await carry_the_last(limit)
        done = True
    except TimeoutError:
        raise HeldTooLong() from None
    finally:
        # Also when a commit has ended in an error: what the file says is what counts.
        done = done or is_done()
        if done:
            gate.exchange()
        elif undo is not None:
            await undo()
        waited = gate.held
        gate.release()
    return CutOver(time.monotonic() - began, count, waited)
