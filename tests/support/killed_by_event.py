"""A process that relays what waits and ends; an event about `killer` ends it before, as the kernel would.

`python -m tests.support.killed_by_event FOLDER` exits with 0 when nothing is left to relay.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from sqlalchemy import text
from tests.support.databases import opened_shards

from banyan.infra.bus.in_process import InProcessBus
from banyan.infra.db.transaction import Transaction
from banyan.infra.streams.consumers import Consumer, ConsumerRunner
from banyan.infra.streams.relay import Relay
from banyan.kernel.clock import SystemClock
from banyan.kernel.events import Event

CREATE_EFFECTS = text("CREATE TABLE effects (subject VARCHAR)")
_EFFECT = text("INSERT INTO effects (subject) VALUES (:subject)")


async def _apply(tx: Transaction, event: Event) -> None:
    await tx.run(_EFFECT, {"subject": event.subject})
    if event.subject == "killer":
        os.kill(os.getpid(), signal.SIGKILL)


async def main(folder: Path) -> None:
    async with opened_shards(folder) as shards:
        runner = ConsumerRunner(Consumer("tester", frozenset({"todos"}), _apply), shards, SystemClock())
        relay = Relay(shards, InProcessBus([runner]))
        while await relay.publish_waiting():
            pass


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
