"""A session with the brokers that never connects again: while it is open, the log is the one that it found.

A producer that connects again by itself may find an empty log behind the same address and go on writing into it, and
nobody would know which events are missing below. So the connections here are used until one of them ends; then the
session is over, and whoever opens the next one looks at the log first (log_guard.py).
"""

import asyncio
import ssl
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import KafkaError, NoError, TopicAlreadyExistsError, for_code
from aiokafka.protocol.admin import CreateTopicsRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.offset import OffsetRequest, OffsetResetStrategy
from aiokafka.protocol.produce import ProduceRequest

from banyan.infra.bus.kafka.topics import MOST_REPLICAS, PARTITIONS, RETENTION

Partition = tuple[str, int]
"""(topic, number)"""

CLIENT_ID = "banyan"
REQUEST_TIMEOUT_SECONDS = 5.0
# A new topic has its leaders in milliseconds on one broker, in a second or two on a cluster.
LEADERS_TIMEOUT_SECONDS = 10.0
LEADERS_LOOK_SECONDS = 0.05
ALL_REPLICAS = -1

TROUBLE = (KafkaError, OSError, TimeoutError, EOFError, ValueError)
"""What a broker that is away, stopped, or in the middle of a change makes aiokafka raise."""


class _NotReady(KafkaError):
    """The cluster does not have a leader for every partition yet."""


class BrokerSession:
    """Open connections to the leaders of every partition of some topics. partitions: how many each topic has."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.closed = asyncio.Event()
        self.partitions: dict[str, int] = {}
        self._leaders: dict[Partition, int] = {}
        self._connections: dict[int, AIOKafkaConnection] = {}

    @classmethod
    async def open(
        cls, servers: Sequence[str], topics: Sequence[str], *, tls: ssl.SSLContext | None = None
    ) -> Self:
        """Connect; topics that are not there are created. tls: None speaks in the clear. Raises one of TROUBLE."""
        session = cls(tls)
        try:
            brokers = await session._find_leaders(servers, topics)
            for node in set(session._leaders.values()):
                session._connections[node] = await session._connect(*brokers[node])
        except BaseException:
            session.close()
            raise
        return session

    @property
    def is_open(self) -> bool:
        return not self.closed.is_set()

    def close(self) -> None:
        self.closed.set()
        for connection in self._connections.values():
            connection.close()

    async def produce(self, batches: Mapping[Partition, bytes]) -> dict[Partition, int]:
        """Append one batch to each of these partitions, on all in-sync replicas; returns the batches' first offsets.

        Raises one of TROUBLE; then some of them may be in the log all the same.
        """
        timeout_ms = int(REQUEST_TIMEOUT_SECONDS * 1000)
        requests = {
            node: ProduceRequest(None, ALL_REPLICAS, timeout_ms, topics)
            for node, topics in self._by_leader(batches).items()
        }
        return await self._ask_leaders(requests)

    async def ends(self) -> dict[Partition, int]:
        """Where each partition's log ends: past the first offset of its last batch, and never past its last one."""
        times = dict.fromkeys(self._leaders, OffsetResetStrategy.LATEST)
        return await self._ask_leaders(
            {node: OffsetRequest(-1, 0, topics) for node, topics in self._by_leader(times).items()}
        )

    async def _ask_leaders(self, requests: Mapping[int, Any]) -> dict[Partition, int]:
        answers = await asyncio.gather(
            *(_ask(self._connections[node], ask) for node, ask in requests.items())
        )
        offsets: dict[Partition, int] = {}
        for answer in answers:
            for topic, partitions in answer.topics:
                for partition, error, *facts in partitions:
                    _check(error)
                    # Produce: offset, …; ListOffsets: timestamp, offset.
                    offset = facts[1] if answer.API_KEY == OffsetRequest.API_KEY else facts[0]
                    offsets[topic, partition] = offset
        return offsets

    def _by_leader(self, values: Mapping[Partition, Any]) -> dict[int, list[tuple[str, list[Any]]]]:
        grouped: dict[int, dict[str, list[Any]]] = {}
        for (topic, partition), value in values.items():
            topics = grouped.setdefault(self._leaders[topic, partition], {})
            topics.setdefault(topic, []).append((partition, value))
        return {node: list(topics.items()) for node, topics in grouped.items()}

    async def _connect(self, host: str, port: int) -> AIOKafkaConnection:
        return await create_conn(
            host,
            port,
            client_id=CLIENT_ID,
            request_timeout_ms=int(REQUEST_TIMEOUT_SECONDS * 1000),
            on_close=lambda _connection, _reason: self.closed.set(),
            **security(self._tls),
        )

    async def _find_leaders(
        self, servers: Sequence[str], topics: Sequence[str]
    ) -> dict[int, tuple[str, int]]:
        connection = await _first_that_answers(servers, self._tls)
        try:
            brokers = await _create_missing(connection, topics, self._tls)
            deadline = time.monotonic() + LEADERS_TIMEOUT_SECONDS
            while True:
                found = await _ask(connection, MetadataRequest(list(topics), False))
                leaders = _leaders(found)
                if leaders is not None and set(leaders.values()) <= set(brokers):
                    break
                if time.monotonic() > deadline:
                    raise _NotReady()
                await asyncio.sleep(LEADERS_LOOK_SECONDS)  # no broker tells when it has chosen
        finally:
            connection.close()
        self._leaders = leaders
        for topic, _partition in leaders:
            self.partitions[topic] = self.partitions.get(topic, 0) + 1
        return brokers


def orders_of(topics: Sequence[str], brokers: int) -> list[Any]:
    """What CreateTopics is asked for. brokers: how many the cluster has."""
    replicas = min(MOST_REPLICAS, brokers)
    configuration = [("retention.ms", str(int(RETENTION.total_seconds() * 1000)))]
    if replicas == MOST_REPLICAS:
        # An acknowledged event outlives the loss of a broker.
        configuration.append(("min.insync.replicas", str(replicas - 1)))
    return [(topic, PARTITIONS, replicas, [], configuration) for topic in topics]


def security(tls: ssl.SSLContext | None) -> dict[str, Any]:
    """How brokers are spoken with, as aiokafka's connections and consumers take it."""
    return {"security_protocol": "PLAINTEXT" if tls is None else "SSL", "ssl_context": tls}


async def ensure_topics(
    servers: Sequence[str], topics: Sequence[str], *, tls: ssl.SSLContext | None = None
) -> None:
    """Create those topics that are not there. Raises one of TROUBLE."""
    connection = await _first_that_answers(servers, tls)
    try:
        await _create_missing(connection, topics, tls)
    finally:
        connection.close()


async def _first_that_answers(servers: Sequence[str], tls: ssl.SSLContext | None) -> AIOKafkaConnection:
    last: BaseException | None = None
    for server in servers:
        host, _, port = server.rpartition(":")
        try:
            return await create_conn(
                host,
                int(port),
                client_id=CLIENT_ID,
                request_timeout_ms=int(REQUEST_TIMEOUT_SECONDS * 1000),
                **security(tls),
            )
        except TROUBLE as error:
            last = error
    assert last is not None, "no server is set"
    raise last


async def _create_missing(
    connection: AIOKafkaConnection, topics: Sequence[str], tls: ssl.SSLContext | None
) -> dict[int, tuple[str, int]]:
    """Create what is missing; returns the cluster's brokers. Two processes may do it at the same time."""
    found = await _ask(connection, MetadataRequest(list(topics), False))
    brokers = {node: (host, port) for node, host, port, *_rack in found.brokers}
    missing = [topic for error, topic, *_ in found.topics if for_code(error) is not NoError]
    if missing:
        wanted = orders_of(missing, len(brokers))
        controller = await create_conn(*brokers[found.controller_id], client_id=CLIENT_ID, **security(tls))
        try:
            made = await _ask(
                controller, CreateTopicsRequest(wanted, int(REQUEST_TIMEOUT_SECONDS * 1000), False)
            )
        finally:
            controller.close()
        errors = getattr(made, "topic_errors", None) or made.topic_error_codes
        for _topic, error, *_message in errors:
            if for_code(error) is not TopicAlreadyExistsError:
                _check(error)
    return brokers


async def _ask(connection: AIOKafkaConnection, request: Any) -> Any:
    """The answer, as the structure of the version that both sides speak; aiokafka has no types for it."""
    return await connection.send(request)


def _leaders(found: Any) -> dict[Partition, int] | None:
    """partition → the node that leads it; None while one has no leader."""
    leaders: dict[Partition, int] = {}
    for error, topic, *_is_internal, partitions in found.topics:
        if for_code(error) is not NoError or not partitions:
            return None
        for partition_error, partition, leader, *_replicas in partitions:
            if for_code(partition_error) is not NoError or leader < 0:
                return None
            leaders[topic, partition] = leader
    return leaders


def _check(code: int) -> None:
    error = for_code(code)
    if error is not NoError:
        raise error()
