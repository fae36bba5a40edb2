"""An event that ends the process which handles it is parked, and what comes before and behind it has its effect once."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.support.databases import opened_shards
from tests.support.killed_by_event import CREATE_EFFECTS

from banyan.infra.db.transaction import Transaction
from banyan.infra.streams.consumers import MAX_ATTEMPTS, failed
from banyan.infra.streams.log import EventLog
from banyan.kernel.clock import SystemClock
from banyan.kernel.events import NewEvent

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.faults


def run(folder: Path) -> int:
    words = [sys.executable, "-m", "tests.support.killed_by_event", str(folder)]
    return subprocess.run(words, cwd=ROOT, timeout=60, capture_output=True, check=False).returncode


async def test_an_event_that_kills_its_process_is_parked_after_five_starts(tmp_path: Path) -> None:
    subjects = ["before", "killer", "behind", "last"]
    async with opened_shards(tmp_path) as shards:

        async def create(tx: Transaction) -> None:
            await tx.run(CREATE_EFFECTS)

        await shards.transact("ada", create)
        events = EventLog("todos", SystemClock())
        await shards.transact("ada", events.append, "ada", [NewEvent("Happened", one) for one in subjects])

    ends = [run(tmp_path) for _ in range(MAX_ATTEMPTS + 1)]

    assert ends == [-signal.SIGKILL] * MAX_ATTEMPTS + [0]
    async with opened_shards(tmp_path) as shards:

        async def effects(tx: Transaction) -> list[str]:
            return [row["subject"] for row in await tx.all(text("SELECT subject FROM effects"))]

        assert await shards.read("ada", effects) == ["before", "behind", "last"]
        (parked,) = await shards.read("ada", failed)
        assert (parked.event.subject, parked.state, parked.error) == ("killer", "parked", "ProcessEnded")
