"""A look at one broker from outside: what it speaks, where it sends clients on to, and whether our topics are there."""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import NoError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.admin import ApiVersionRequest, CreateTopicsRequest
from aiokafka.protocol.metadata import MetadataRequest

from banyan.infra.bus.kafka.session import CLIENT_ID, REQUEST_TIMEOUT_SECONDS, TROUBLE, orders_of, security

CONNECT_SECONDS = 3.0
# The lowest version of each request that Banyan sends; record batches with headers came with Kafka 0.11.
NEEDED = {
    0: ("Produce", 3),
    1: ("Fetch", 4),
    2: ("ListOffsets", 1),
    3: ("Metadata", 1),
    10: ("FindCoordinator", 0),
    11: ("JoinGroup", 0),
    19: ("CreateTopics", 1),
}
SHOWN = ("Produce", "Fetch", "Metadata")


@dataclass(frozen=True, slots=True)
class Seen:
    """versions: request → the versions that the broker takes, such as `0–11`, of the telling ones. too_old: requests that
    it does not know well enough. brokers: of its cluster; unreachable: those that do not answer where it says they are.
    partitions: of each topic that is there. can_be_made: the topics that it would make. refused: topic → why not."""

    versions: dict[str, str]
    too_old: tuple[str, ...]
    brokers: int
    unreachable: tuple[str, ...]
    partitions: dict[str, int]
    can_be_made: tuple[str, ...]
    refused: dict[str, str]


async def ask(server: str, topics: Sequence[str], *, tls: ssl.SSLContext | None = None) -> Seen:
    """Raises one of TROUBLE.

    Missing topics are asked for in a dry run. A broker that has no dry runs, as the one for one machine, makes them, as the
    first start would.
    """
    host, _, port = server.rpartition(":")
    connection = await _connect(host, int(port), tls)
    try:
        spoken = await _versions(connection)
        too_old = tuple(
            f"{name} {least}" for key, (name, least) in NEEDED.items() if spoken.get(key, (0, -1))[1] < least
        )
        shown = {
            name: f"{spoken[key][0]}–{spoken[key][1]}"
            for key, (name, _) in NEEDED.items()
            if name in SHOWN and key in spoken
        }
        if too_old:
            return Seen(shown, too_old, 0, (), {}, (), {})
        found: Any = await connection.send(MetadataRequest(list(topics), False))
        addresses = {node: (host, port) for node, host, port, *_rack in found.brokers}
        unreachable = [
            f"{host}:{port}" for host, port in addresses.values() if not await _is_there(host, port, tls)
        ]
        partitions, missing, refused = _sorted(found)
        if missing and not unreachable:
            controller = await _connect(*addresses[found.controller_id], tls)
            try:
                refused |= await _dry_run(controller, orders_of(missing, len(addresses)))
            finally:
                controller.close()
    finally:
        connection.close()
    made = tuple(topic for topic in missing if topic not in refused)
    return Seen(shown, (), len(addresses), tuple(unreachable), partitions, made, refused)


async def _connect(host: str, port: int, tls: ssl.SSLContext | None) -> AIOKafkaConnection:
    patience_ms = int(CONNECT_SECONDS * 1000)
    return await create_conn(host, port, client_id=CLIENT_ID, request_timeout_ms=patience_ms, **security(tls))


async def _versions(connection: AIOKafkaConnection) -> dict[int, tuple[int, int]]:
    answer: Any = await connection.send(ApiVersionRequest())
    return {key: (least, most) for key, least, most in answer.api_versions}


async def _is_there(host: str, port: int, tls: ssl.SSLContext | None) -> bool:
    try:
        (await _connect(host, port, tls)).close()
    except TROUBLE:
        return False
    return True


def _sorted(found: Any) -> tuple[dict[str, int], list[str], dict[str, str]]:
    """The partitions of the topics that are there, those that are missing, and why others cannot be seen."""
    partitions: dict[str, int] = {}
    missing: list[str] = []
    refused: dict[str, str] = {}
    for code, topic, *_is_internal, listed in found.topics:
        error = for_code(code)
        if error is NoError:
            partitions[topic] = len(listed)
        elif error is UnknownTopicOrPartitionError:
            missing.append(topic)
        else:
            refused[topic] = error.__name__
    return partitions, missing, refused


async def _dry_run(controller: AIOKafkaConnection, orders: list[Any]) -> dict[str, str]:
    made: Any = await controller.send(CreateTopicsRequest(orders, int(REQUEST_TIMEOUT_SECONDS * 1000), True))
    errors = getattr(made, "topic_errors", None) or made.topic_error_codes
    return {
        topic: for_code(code).__name__
        for topic, code, *_message in errors
        if for_code(code) not in (NoError, TopicAlreadyExistsError)
    }
