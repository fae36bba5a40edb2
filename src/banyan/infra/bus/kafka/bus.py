"""The relay's side of Kafka: publish in order, acknowledged by all replicas, and know when the log was lost.

One batch is under way at a time, and nothing of the next is sent before all of it is acknowledged. When a part of it
fails the whole is published again: a user's events appear for the first time in their order, and repeats are what
consumers' inboxes are for. So the idempotent producer is not needed, which would not know of a relay's restart anyway.

             ┌────────── a connection ends ◀─────────┐
             ▼                                       │
    no session ──open──▶ compared with the marks ──▶ open ◀─▶ publish
                              └─ lost: the bookmark goes back ─┘
"""

import asyncio
import ssl
from collections.abc import Iterable, Sequence

from banyan.infra.bus.kafka.batches import rounds_of
from banyan.infra.bus.kafka.log_guard import LogGuard, lost
from banyan.infra.bus.kafka.session import TROUBLE, BrokerSession, Partition
from banyan.infra.bus.kafka.topics import topics_of
from banyan.infra.db.shards import Shards
from banyan.infra.loops import Loop, wait_for
from banyan.infra.telemetry.log import get_logger
from banyan.kernel.clock import Clock
from banyan.kernel.errors import RetryLater, Unavailable
from banyan.kernel.events import Event

log = get_logger(__name__)

PUBLISH_TIMEOUT_SECONDS = 10.0
# A connection's end is noticed at once. This look is for hosts that vanish without a word, and for truncated logs.
LOOK_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0


class KafkaBus:
    """Publishes the events of one set of shards.

    streams: whose topics it makes sure of. tls: None speaks in the clear. `open`, or its loop, connects it; `prepare` and `publish` only use what is there.
    """

    def __init__(
        self,
        servers: Sequence[str],
        shards: Shards,
        clock: Clock,
        streams: Iterable[str],
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._servers = list(servers)
        self._tls = tls
        self._topics = topics_of(streams)
        self._guard = LogGuard(shards, clock)
        self._session: BrokerSession | None = None
        self._prepared: BrokerSession | None = None
        self._opening = asyncio.Lock()

    async def prepare(self) -> None:
        """What `publish` gets next is read after this, and goes through the session that is open now or not at all:
        a later one may have found the log lost, and moved the bookmark back below what was read before."""
        self._prepared = self._session
        if self._session is None or not self._session.is_open:
            raise Unavailable("Kafka does not answer at the moment.")

    async def publish(self, events: Sequence[Event]) -> None:
        """Returns when all in-sync replicas have every event; see Bus.publish for the promise."""
        session = self._prepared
        if session is None or not session.is_open:
            raise Unavailable("Kafka does not answer at the moment.")
        if not events:
            return
        offsets: dict[Partition, int] = {}
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_SECONDS):
                for batches in rounds_of(events, session.partitions):
                    offsets |= await session.produce(batches)
        except TROUBLE as error:
            session.close()
            raise Unavailable("Kafka did not take the events.") from error
        await self._guard.remember(events[0].user_id, offsets)

    async def open(self) -> BrokerSession:
        """The open session; without one it is opened, and its log compared with what was acknowledged.

        Raises Unavailable when the brokers or the database do not answer.
        """
        async with self._opening:
            if self._session is not None and self._session.is_open:
                return self._session
            try:
                session = await BrokerSession.open(self._servers, self._topics, tls=self._tls)
            except TROUBLE as error:
                raise Unavailable("Kafka does not answer at the moment.") from error
            try:
                await self._compare(session)
            except BaseException:
                session.close()
                raise
            self._session = session
            log.info("kafka_connected", topics=session.partitions)
            return session

    async def close(self) -> None:
        if self._session is not None:
            self._session.close()

    def loop(self) -> Loop:
        return Loop("kafka", self.run)

    async def run(self, stop: asyncio.Event) -> None:
        """Keep a session open. A broker that is away is tried again, at first soon, then every two seconds."""
        pause = FIRST_PAUSE_SECONDS
        try:
            while not stop.is_set():
                try:
                    session = await self.open()
                    pause = FIRST_PAUSE_SECONDS
                    while not await wait_for(session.closed, LOOK_SECONDS, stop=stop):
                        await self._compare(session)
                except RetryLater as error:
                    if pause == FIRST_PAUSE_SECONDS:  # once an outage
                        log.warning("kafka_unavailable", error=type(error.__cause__ or error).__name__)
                    await wait_for(stop, pause)
                    pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        finally:
            await self.close()

    async def _compare(self, session: BrokerSession) -> None:
        # The marks first: meanwhile another relay of these shards may publish, and only the ends grow by that.
        marks = await self._guard.marks()
        try:
            ends = await session.ends()
        except TROUBLE as error:
            session.close()
            raise Unavailable("Kafka does not answer at the moment.") from error
        gone = lost(marks, ends)
        if gone:
            # First, so that no event of the time before goes through it.
            session.close()
            await self._guard.go_back(gone)
            raise Unavailable("Kafka has lost events: they are published again.")
