"""Topics: their names, and which partition a user's events go to."""

from collections.abc import Iterable
from datetime import timedelta
from functools import lru_cache

from aiokafka.partitioner import murmur2

PARTITIONS = 6
"""Of each topic: at most so many processes share a consumer's work. More partitions later would move users to other
partitions while their events are under way, out of order: so there are enough from the beginning."""

RETENTION = timedelta(days=7)
"""How long a topic keeps its messages. A consumer that is away for longer misses what happened; a log that was lost is
filled again with what happened within this time (log_guard.py)."""

MOST_REPLICAS = 3


def topic_of(stream: str) -> str:
    """`todos` → `todo-events`."""
    return f"{stream.removesuffix('s')}-events"


def topics_of(streams: Iterable[str]) -> list[str]:
    return sorted({topic_of(stream) for stream in streams})


@lru_cache(maxsize=100_000)
def partition_of(user_id: str, partitions: int) -> int:
    """Kafka's own choice for a key, so that other producers with the same key meet in the same partition.

    Source: org.apache.kafka.clients.producer.internals.BuiltInPartitioner.
    """
    return (murmur2(user_id.encode()) & 0x7FFFFFFF) % partitions
