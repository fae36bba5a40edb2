"""Sweeping: what has run out leaves the tables."""

import asyncio

from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Transaction
from banyan.infra.loops import Loop, wait_for
from banyan.kernel.clock import Clock, now_text, to_text
from banyan.modules.users.service.endings import SessionEndings
from banyan.modules.users.service.mail_queue import KEPT, MailQueue
from banyan.modules.users.store import sessions, tokens

SWEEP_SECONDS = 300.0
BATCH = 200


class Sweeper:
    """Ends sessions that nobody used for too long, and forgets expired tokens, old mails and old revocations."""

    def __init__(self, shards: Shards, clock: Clock, endings: SessionEndings, queue: MailQueue) -> None:
        self._shards = shards
        self._clock = clock
        self._endings = endings
        self._queue = queue

    def loop(self) -> Loop:
        async def run(stop: asyncio.Event) -> None:
            while not await wait_for(stop, SWEEP_SECONDS):
                await self.sweep()

        async def turn() -> int:
            await self.sweep()
            return 0

        return Loop("users-sweep", run, turn)

    async def sweep(self) -> None:
        for name in self._shards.names():
            database = self._shards.named(name)
            # A batch at a time: others wait for the writer meanwhile.
            while await database.transact(self._endings.end_expired, BATCH) == BATCH:
                pass
            await database.transact(self._forget)

    async def _forget(self, tx: Transaction) -> None:
        await tokens.forget_expired(tx, now_text(self._clock))
        await self._queue.forget_old(tx)
        # Needed for as long as an access token lives (a day at most); a month is easy to remember and costs nothing.
        await sessions.forget_revocations(tx, to_text(self._clock.now() - KEPT))
