"""Wakes: processes that share a PostgreSQL database tell each other at once that they have committed.

PostgreSQL's NOTIFY says only *that* something was committed; what it was is read from the log. So one that is lost
costs time and nothing else: those who listen look by themselves all the same, only less often
(streams/foreign_commits.py).

It is sent after the commit, on a connection of its own, one for many commits. Inside of the writing transactions it would
make their commits take turns: "The lock guarantees that notifications are queued in commit order" is one lock of the whole
server (PreCommit_Notify in PostgreSQL's async.c).

    committed ─► tell() ─► untold ─► pg_notify ─► the others' connections ─► when_heard ─► a look
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from banyan.infra.db.transaction import Database
from banyan.infra.loops import Loop, wait_for
from banyan.infra.telemetry.log import get_logger
from banyan.kernel.errors import Unavailable

if TYPE_CHECKING:
    from banyan.infra.db.postgres import PostgresDatabase

log = get_logger(__name__)

CHANNEL = "banyan_events"
# Between two that a process sends. The first after a rest goes at once; under load one is for all commits since the last.
TELL_PAUSE_SECONDS = 0.05
# A server that has vanished says nothing: so it is asked. This long after an exchange the other database is noticed, too.
BEAT_SECONDS = 5.0
ANSWER_SECONDS = 2.0
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0

_NOTIFY = f"SELECT pg_notify('{CHANNEL}', '')"
_STILL_THERE = "SELECT 1"


class PostgresWake:
    """Tells and hears for one database, on one connection, which is made anew when it is lost.

    The database may be exchanged while it serves. While it is one that no other process writes often (SQLite), this
    rests and nothing is told.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._when_heard: Callable[[], None] = lambda: None
        self._untold = False
        self._attention = asyncio.Event()
        self._listens = False

    @property
    def listens(self) -> bool:
        """Whether commits of other processes are heard of at present, as far as anybody can know."""
        return self._listens

    def when_heard(self, call: Callable[[], None]) -> None:
        """Call this when another process has committed, and when it may have: as listening begins, and as it ends."""
        self._when_heard = call

    def tell(self) -> None:
        """Let the others know, soon, that this process has committed. Returns at once and never fails."""
        self._untold = True
        self._attention.set()

    def loop(self) -> Loop:
        return Loop("commit-wakes", self.run)

    async def run(self, stop: asyncio.Event) -> None:
        """Listen and tell. A database that is away is tried again, at first soon, then every five seconds."""
        pause = FIRST_PAUSE_SECONDS
        while not stop.is_set():
            database = self._database.present
            if database.commits_in_order:
                self._untold = False
                await wait_for(stop, BEAT_SECONDS)
                continue
            began = asyncio.get_running_loop().time()
            try:
                await self._serve(cast("PostgresDatabase", database), stop)
            except Unavailable as error:
                log.warning("wakes_interrupted", detail=error.detail)
            if asyncio.get_running_loop().time() - began > LONGEST_PAUSE_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            await wait_for(stop, pause * random.uniform(0.5, 1.5))
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def close(self) -> None:
        """Tell what is untold, as a command is that ends with its commit; others find it a little later if that fails."""
        database = self._database.present
        if not self._untold or database.commits_in_order:
            return
        try:
            connection = await cast("PostgresDatabase", database).open_session()
            try:
                await self._tell(connection)
            finally:
                await _hang_up(connection)
        except Unavailable as error:
            log.warning("wakes_interrupted", detail=error.detail)

    async def _serve(self, database: "PostgresDatabase", stop: asyncio.Event) -> None:
        """Until it is to stop or the database is exchanged. Raises Unavailable when the connection is lost."""
        connection = await database.open_session()
        try:
            with _translated():
                connection.add_termination_listener(lambda _connection: self._attention.set())
                own = connection.get_server_pid()
                await connection.add_listener(
                    CHANNEL, lambda _connection, pid, _channel, _payload: self._hear(pid, own)
                )
            self._listens = True
            # What was committed before was told to nobody here.
            self._when_heard()
            while not stop.is_set() and self._database.present is database:
                await self._tell_or_wait(connection, stop)
        finally:
            self._listens = False
            self._when_heard()
            await _hang_up(connection)

    async def _tell_or_wait(self, connection: Any, stop: asyncio.Event) -> None:
        self._attention.clear()
        if connection.is_closed():
            raise Unavailable("The connection that listens for commits was lost.")
        if self._untold:
            await self._tell(connection)
            await wait_for(stop, TELL_PAUSE_SECONDS)
        elif not await wait_for(self._attention, BEAT_SECONDS, stop=stop):
            with _translated():
                await connection.execute(_STILL_THERE, timeout=ANSWER_SECONDS)

    async def _tell(self, connection: Any) -> None:
        self._untold = False
        try:
            with _translated():
                await connection.execute(_NOTIFY, timeout=ANSWER_SECONDS)
        except BaseException:
            self._untold = True
            raise

    def _hear(self, pid: int, own: int) -> None:
        if pid != own:  # the server sends us our own, too
            self._when_heard()


def _translated() -> Any:
    # Imported here: its driver is an extra, which is there once such a database is.
    from banyan.infra.db.postgres_pool import translated

    return translated()


async def _hang_up(connection: Any) -> None:
    with suppress(Unavailable), _translated():
        await connection.close(timeout=ANSWER_SECONDS)
