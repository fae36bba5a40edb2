"""A process with one member of the group `effects-group`: `python -m tests.support.kafka_member DATABASE BROKER`.

It notes each event's effect in the table `effects`, and tells on standard error what it does.
"""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import text

from banyan.infra.bus.kafka.consumers import KafkaConsumers
from banyan.infra.db.shards import Shards
from banyan.infra.db.sqlite import SqliteDatabase
from banyan.infra.db.transaction import Transaction
from banyan.infra.loops import LoopRunner
from banyan.infra.streams.consumers import Consumer, ConsumerRunner
from banyan.infra.telemetry.log import configure_logging
from banyan.kernel.clock import SystemClock
from banyan.kernel.events import Event

ROOT = Path(__file__).resolve().parents[2]
CREATE_EFFECTS = text("CREATE TABLE effects (number INTEGER PRIMARY KEY, user_id TEXT, position INTEGER)")
_EFFECT = text("INSERT INTO effects (user_id, position) VALUES (:user_id, :position)")


async def _note(tx: Transaction, event: Event) -> None:
    await tx.run(_EFFECT, {"user_id": event.user_id, "position": event.position})


EFFECTS = Consumer("effects", frozenset({"todos"}), _note)


class Member:
    """The process. A context manager: it runs inside and is gone outside."""

    def __init__(self, database: Path, address: str, log: Path) -> None:
        self._database = database
        self._log = log
        self._argv = [sys.executable, "-m", "tests.support.kafka_member", str(database), address]
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGKILL)
        self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def freeze(self) -> None:
        """SIGSTOP, at a moment when it writes nothing: inside a transaction it would keep the whole SQLite file to itself,
        which no database server lets a client do."""
        with closing(sqlite3.connect(self._database, timeout=30, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            self.signal(signal.SIGSTOP)
            assert self.process is not None
            os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)
            database.execute("ROLLBACK")

    def end(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self.process is not None
        self.signal(signal.SIGTERM)
        return self.process.wait(15)

    def log_text(self) -> str:
        return self._log.read_text()

    async def until_it_says(self, words: str, *, times: int = 1, within_seconds: float = 40.0) -> None:
        deadline = time.monotonic() + within_seconds
        while self.log_text().count(words) < times:
            assert self.process is not None
            assert self.process.poll() is None, f"it ended\n{self.log_text()}"
            assert time.monotonic() < deadline, f"it does not say {words!r} {times} times\n{self.log_text()}"
            await asyncio.sleep(0.05)


async def main(database: str, address: str) -> None:
    configure_logging("info", as_json=True)
    shards = Shards({"main": SqliteDatabase(Path(database))})
    await shards.start()
    clock = SystemClock()
    loops = LoopRunner(KafkaConsumers([address], [ConsumerRunner(EFFECTS, shards, clock)], clock).loops())
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    loops.start()
    await stop.wait()
    await loops.stop()
    await shards.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
