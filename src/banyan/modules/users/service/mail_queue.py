"""Mails on their way out: written in the transaction of what they tell of, sent by a loop.

             ┌──── nobody took it: later, each time a longer pause ────┐
             ▼                                                         │
    queued ──┴─ leased by one process (`next_try_at` in the future) ───┤
                                                                       ├──▶ sent
                                       refused, or tried too often ────┴──▶ failed

With a task queue behind the transport, `sent` means that a worker is responsible for it. A queue that takes nothing is
no failure of the mail: it is due again at once, and the loop leaves the queue alone for a growing while.

A mail is sent at least once: a crash between sending and writing it down sends it again, with the same Message-ID.
What a mail said is wiped once it is sent or given up; the rest of the row goes after 30 days, or with the account.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Database, Transaction
from banyan.infra.loops import Loop, wait_for
from banyan.infra.mail.mail import Mail, MailQueueBusy, MailRefused, MailTransport
from banyan.infra.tasks.backoff import Backoff
from banyan.infra.telemetry.kept_traces import KeptTraces
from banyan.infra.telemetry.log import get_logger
from banyan.infra.telemetry.trace import continue_trace
from banyan.kernel.clock import Clock, from_text, now_text, to_text
from banyan.kernel.errors import BanyanError
from banyan.modules.users.store import mails
from banyan.modules.users.store.mails import QueuedMail

log = get_logger(__name__)

BATCH = 20
# Longer than any transport takes for a mail (30 s), so that no two processes send the same one.
LEASE = timedelta(seconds=90)
PAUSES = tuple(timedelta(seconds=s) for s in (1, 10, 60, 300, 1800, 7200, 7200, 7200, 7200))
KEPT = timedelta(days=30)
# A commit of this process wakes the loop; this look is for mails that another process wrote.
LOOK_SECONDS = 10.0


class MailQueue:
    def __init__(self, shards: Shards, clock: Clock, transport: MailTransport) -> None:
        self._shards = shards
        self._clock = clock
        self._transport = transport
        self._wake = asyncio.Event()
        self._backoff = Backoff()
        self._traces = KeptTraces()

    async def put(self, tx: Transaction, user_id: str, mail: Mail) -> None:
        """Let `mail` be sent once `tx` has committed; then call `wake`."""
        await mails.enqueue(tx, user_id, mail, now_text(self._clock))
        self._traces.keep(mail.id)

    def wake(self) -> None:
        self._wake.set()

    def loop(self) -> Loop:
        async def run(stop: asyncio.Event) -> None:
            while not stop.is_set():
                await self._backoff.wait(stop)
                self._wake.clear()
                if await self.send_due() == 0:
                    await wait_for(self._wake, await self._pause(), stop=stop)

        return Loop("mail", run, self.send_due)

    async def send_due(self) -> int:
        """Try a batch of the mails that are due; returns how many were tried."""
        tried = 0
        for name in self._shards.names():
            database = self._shards.named(name)
            now = self._clock.now()
            leased = await database.transact(
                mails.lease_due, now=to_text(now), lease_until=to_text(now + LEASE), limit=BATCH
            )
            if leased:
                tried += len(leased)
                await self._send(database, leased)
        return tried

    async def forget_old(self, tx: Transaction) -> int:
        """Forget what was sent or given up more than 30 days ago."""
        return await mails.forget_old(tx, to_text(self._clock.now() - KEPT))

    async def _send(self, database: Database, leased: Sequence[QueuedMail]) -> None:
        results = await asyncio.gather(
            *(self._send_one(queued.mail) for queued in leased), return_exceptions=True
        )
        if any(isinstance(result, MailQueueBusy) for result in results):
            self._backoff.refused()
        else:
            self._backoff.taken()
        await database.transact(self._settle, list(zip(leased, results, strict=True)))

    async def _send_one(self, mail: Mail) -> None:
        continue_trace(self._traces.of(mail.id))
        await self._transport.send(mail)

    async def _settle(self, tx: Transaction, results: list[tuple[QueuedMail, BaseException | None]]) -> None:
        now = self._clock.now()
        sent = [queued for queued, error in results if error is None]
        await mails.finish(tx, sent, "sent", to_text(now))
        busy = [queued for queued, error in results if isinstance(error, MailQueueBusy)]
        if busy:
            log.warning("mail_queue_busy", mails=len(busy))
            await mails.give_back(tx, busy, to_text(now))
        for queued, error in results:
            if error is None or isinstance(error, MailQueueBusy):
                continue
            reason = error.code if isinstance(error, BanyanError) else type(error).__name__
            log.warning("mail_not_sent", mail_id=queued.mail.id, attempts=queued.attempts, error=reason)
            if isinstance(error, MailRefused) or queued.attempts > len(PAUSES):
                await mails.finish(tx, [queued], "failed", to_text(now), reason)
            else:
                await mails.postpone(tx, queued, to_text(now + PAUSES[queued.attempts - 1]), reason)

    async def _pause(self) -> float:
        """Seconds until the next mail is due, or until it is time to look for mails of other processes."""
        dues = [await self._shards.named(name).read(mails.next_due) for name in self._shards.names()]
        waits = [(from_text(due) - self._clock.now()).total_seconds() for due in dues if due is not None]
        return max(0.0, min([LOOK_SECONDS, *waits]))
