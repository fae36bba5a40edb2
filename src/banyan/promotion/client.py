"""The command's end of the control channel, and what stands in for it where no server runs."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol

from banyan.infra.db.data_lock import DataDirBusy, DataLock
from banyan.infra.db.postgres_pool import process_name
from banyan.kernel.errors import BanyanError
from banyan.promotion import cut_over
from banyan.promotion.control import LOCK_NAME, abandon_what_was_left, socket_path
from banyan.promotion.cut_over import CutOver, NoGate
from banyan.promotion.errors import HeldTooLong, PromotionError, Refused, ServerGone
from banyan.promotion.postgres_side import PostgresSide
from banyan.promotion.sqlite_side import SqliteSide
from banyan.settings import Settings


class Serving(Protocol):
    """Whoever cuts over. name: of its connections to PostgreSQL; pid: None where no server runs.

    Both raise HeldTooLong when it may be asked again, another PromotionError when not.
    """

    name: str
    pid: int | None

    async def promote(self, sqlite: SqliteSide, postgres: PostgresSide, url: str) -> CutOver: ...

    async def roll_back(self, sqlite: SqliteSide, postgres: PostgresSide) -> CutOver: ...


class RunningServer:
    """The server, asked over its control channel."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.name = ""
        self.pid: int | None = None

    async def greet(self) -> None:
        answer = await self._ask({"do": "hello"})
        self.pid = answer["pid"]
        self.name = process_name(answer["pid"])

    async def promote(self, sqlite: SqliteSide, postgres: PostgresSide, url: str) -> CutOver:
        return CutOver(**await self._ask({"do": "promote", "url": url}))

    async def roll_back(self, sqlite: SqliteSide, postgres: PostgresSide) -> CutOver:
        return CutOver(**await self._ask({"do": "roll back"}))

    async def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        try:
            self._writer.write(json.dumps(question).encode() + b"\n")
            await self._writer.drain()
            line = await self._reader.readline()
        except ConnectionError:
            line = b""
        if not line:
            raise ServerGone()
        answer = json.loads(line)
        if "error" not in answer:
            return answer
        if answer.get("again"):
            raise HeldTooLong(answer["error"])
        raise PromotionError(answer["error"], answer.get("next_step"))


class Nobody:
    """Where no server runs: nobody writes, so nothing need be held."""

    def __init__(self) -> None:
        self.name = process_name(0)
        self.pid: int | None = None

    async def promote(self, sqlite: SqliteSide, postgres: PostgresSide, url: str) -> CutOver:
        return await cut_over.promote(sqlite, postgres, sqlite.tables, NoGate())

    async def roll_back(self, sqlite: SqliteSide, postgres: PostgresSide) -> CutOver:
        async def lift() -> None:
            # When it does not come through, the next server that starts does it.
            with suppress(BanyanError):
                await postgres.set_state("live")

        return await cut_over.roll_back(sqlite, postgres, sqlite.tables, NoGate(), ours=self.name, lift=lift)


@asynccontextmanager
async def whoever_serves(settings: Settings) -> AsyncIterator[Serving]:
    """The server of this data folder, or its place, taken so that none can start meanwhile. Raises Refused."""
    lock = DataLock(settings.data_dir)
    try:
        lock.acquire()
    except DataDirBusy as error:
        async with _connected(settings, error) as server:
            yield server
        return
    try:
        yield Nobody()
    finally:
        lock.release()


@asynccontextmanager
async def alone(settings: Settings) -> AsyncIterator[None]:
    """No other command promotes, rolls back or confirms meanwhile, and nothing is left of one that ended early.

    Raises Refused.
    """
    lock = DataLock(settings.data_dir, LOCK_NAME)
    await abandon_what_was_left(settings)
    try:
        lock.acquire()
    except DataDirBusy as error:
        who = f" by process {error.holder.pid}" if error.holder else ""
        raise Refused(
            f"another promotion of this data folder is under way{who}.", "Wait for its end."
        ) from error
    try:
        yield
    finally:
        lock.release()


@asynccontextmanager
async def _connected(settings: Settings, busy: DataDirBusy) -> AsyncIterator[RunningServer]:
    try:
        with socket_path(settings.data_dir) as path:
            reader, writer = await asyncio.open_unix_connection(path)
    except OSError as error:
        who = f"process {busy.holder.pid}" if busy.holder else "a process"
        raise Refused(
            f"{who} serves this data folder and does not answer on its control channel.",
            "Is it of an older version, or does it serve another database? Restart it, or stop it and promote without it.",
        ) from error
    try:
        server = RunningServer(reader, writer)
        await server.greet()
        yield server
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
