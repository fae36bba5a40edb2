"""The control channel: how the command `banyan promote` asks the running server to cut over.

A Unix socket in the data folder, for its owner alone; a line of JSON is a question, a line of JSON the answer. The
command keeps its connection as long as it works. When it goes away before the cut-over, whatever its end was, the
server sees to it that changes are no longer noted for it.
"""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from banyan.bootstrap import Application
from banyan.infra.db.data_lock import DataDirBusy, DataLock
from banyan.infra.db.promotion_record import read_address, read_record
from banyan.infra.db.switchable import SwitchableDatabase
from banyan.infra.telemetry.log import get_logger
from banyan.kernel.errors import BanyanError
from banyan.promotion.errors import HeldTooLong, PromotionError, Refused
from banyan.promotion.moved_tables import Mismatch, Unstorable, moved_tables
from banyan.promotion.sqlite_side import SqliteSide
from banyan.settings import Settings
from banyan.targets import MODULES

if TYPE_CHECKING:
    from banyan.promotion.server_side import ServerSide

log = get_logger(__name__)

SOCKET_NAME = "banyan.control"
LOCK_NAME = "promotion.lock"
# What every kernel takes as the path of a socket, without its end mark.
MAX_SOCKET_PATH_BYTES = 103
# What several processes have in common.
COMPANY = ("redis_url", "kafka_servers", "amqp_url")
CLEAN_UP_LOOKS = 50
CLEAN_UP_LOOK_SECONDS = 0.1


@contextmanager
def socket_path(data_dir: Path) -> Iterator[str]:
    """A path of the folder's socket that is short enough for the kernel, good for as long as this lasts."""
    path = str(data_dir / SOCKET_NAME)
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        yield path
        return
    folder = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET_NAME}"
    finally:
        os.close(folder)


def listen(data_dir: Path) -> socket.socket:
    """The folder's socket, for its owner alone."""
    # Left behind by a server that was killed; the data lock is ours, so nobody listens there.
    with suppress(FileNotFoundError):
        (data_dir / SOCKET_NAME).unlink()
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with socket_path(data_dir) as path:
        mask = os.umask(0o177)
        try:
            made.bind(path)
        finally:
            os.umask(mask)
    return made


class ControlChannel:
    """The server's end. Open it while the application runs."""

    def __init__(self, application: Application) -> None:
        self._settings = application.infra.settings
        self._switch = application.infra.shards.named("main")
        self._turn = asyncio.Lock()
        self._connections: set[asyncio.Task[None]] = set()
        self._closing = False

    @cached_property
    def _server_side(self) -> "ServerSide":
        # Imported here: its driver is an extra.
        from banyan.promotion.server_side import ServerSide

        assert isinstance(self._switch, SwitchableDatabase)
        return ServerSide(self._settings, self._switch)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        if not can_be_promoted(self._settings):
            yield
            return
        data_dir = self._settings.data_dir
        server = await asyncio.start_unix_server(self._serve, sock=listen(data_dir))
        try:
            yield
        finally:
            self._closing = True
            server.close()
            with suppress(FileNotFoundError):
                (data_dir / SOCKET_NAME).unlink()
            async with self._turn:  # a cut-over that is under way ends first
                if "_server_side" in self.__dict__:
                    self._server_side.stop()
            for connection in self._connections:
                connection.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(json.loads(line))).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            pass
        finally:
            writer.close()
            self._connections.discard(connection)
            if not self._closing:  # otherwise the next start does it
                await self._clean_up()

    async def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        try:
            self._refuse_company()
            async with self._turn:
                match question.get("do"):
                    case "hello":
                        return {"pid": os.getpid()}
                    case "promote":
                        return asdict(await self._server_side.promote(question["url"]))
                    case "roll back":
                        return asdict(await self._server_side.roll_back())
            return {"error": "this server does not know that; is it of another version?"}
        except HeldTooLong as error:
            return {"error": error.message, "again": True}
        except PromotionError as error:
            return {"error": error.message, "next_step": error.next_step}
        except BanyanError as error:
            return {"error": error.detail, "again": True}
        except (Unstorable, Mismatch) as error:
            return {"error": f"{error}."}
        except Exception as error:
            log.exception("cut_over_failed")
            return {"error": f"the cut-over failed: {type(error).__name__}; the server's log says more."}

    def _refuse_company(self) -> None:
        """Raises Refused where other processes work with this one, which would not change over with it."""
        for name in COMPANY:
            if getattr(self._settings, name):
                raise Refused(
                    f"this server works together with other processes (BANYAN_{name.upper()}), which would not change over.",
                    f"Stop them, restart the server without BANYAN_{name.upper()}, and try again.",
                )

    async def _clean_up(self) -> None:
        """Stop noting changes for a command that is gone."""
        for _ in range(CLEAN_UP_LOOKS):
            async with self._turn:
                if await abandon_what_was_left(self._settings):
                    log.info("promotion_abandoned")
                    return
            record = read_record(self._settings.database_path)
            if record is None or record.has_moved:
                return
            # Its connection is closed already, and its lock not yet.
            await asyncio.sleep(CLEAN_UP_LOOK_SECONDS)


def can_be_promoted(settings: Settings) -> bool:
    """Whether a server with these settings serves a SQLite file, or the database to which that file was promoted."""
    places = settings.databases(MODULES)
    if places == [settings.database_path]:
        return True
    address = read_address(settings.data_dir)
    return address is not None and places == [address.url]


async def abandon_what_was_left(settings: Settings) -> bool:
    """End a promotion that was not cut over and whose command is gone; returns whether there was one."""
    if not settings.database_path.exists():
        return False
    lock = DataLock(settings.data_dir, LOCK_NAME)
    try:
        lock.acquire()
    except DataDirBusy:
        return False
    tables = {table.name: table for table in moved_tables()}
    sqlite = SqliteSide(settings.database_path, tables)
    try:
        record = sqlite.record()
        if record is None or record.phase != "copying":
            return False
        await sqlite.open()
        return await sqlite.abandon()
    finally:
        await sqlite.close()
        lock.release()
