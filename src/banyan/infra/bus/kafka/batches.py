"""Batches: events as Kafka's record batches, each partition's in order."""

import time
from collections.abc import Mapping, Sequence

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from banyan.infra.bus.kafka.envelope import HEADERS, encode
from banyan.infra.bus.kafka.session import Partition
from banyan.infra.bus.kafka.topics import partition_of, topic_of
from banyan.kernel.events import Event

# Half of what a broker accepts by default (message.max.bytes, 1 MiB); an event that is larger goes alone.
MAX_BATCH_BYTES = 512 * 1024
NO_PRODUCER = -1


def rounds_of(events: Sequence[Event], partitions: Mapping[str, int]) -> list[dict[Partition, bytes]]:
    """The events as rounds of at most one batch a partition; a round is sent when the one before is acknowledged.

    partitions: how many each topic has.
    """
    batches: dict[Partition, list[_Batch]] = {}
    # Not the event's time: what is published again would be older than the topic's retention, and dropped at once.
    now_ms = int(time.time() * 1000)
    for event in events:
        topic = topic_of(event.stream)
        place = (topic, partition_of(event.user_id, partitions[topic]))
        of_place = batches.setdefault(place, [_Batch()])
        key, value = event.user_id.encode(), encode(event)
        if not of_place[-1].append(now_ms, key, value):
            of_place.append(_Batch())
            of_place[-1].append(now_ms, key, value)
    return [
        {place: of_place[number].build() for place, of_place in batches.items() if number < len(of_place)}
        for number in range(max(len(of_place) for of_place in batches.values()))
    ]


class _Batch:
    def __init__(self) -> None:
        self._count = 0
        self._builder = DefaultRecordBatchBuilder(
            magic=2,
            compression_type=0,
            is_transactional=False,
            producer_id=NO_PRODUCER,
            producer_epoch=NO_PRODUCER,
            base_sequence=NO_PRODUCER,
            batch_size=MAX_BATCH_BYTES,
        )

    def append(self, timestamp_ms: int, key: bytes, value: bytes) -> bool:
        """False when there is no room; the first always has."""
        if self._builder.append(self._count, timestamp_ms, key, value, HEADERS) is None:
            return False
        self._count += 1
        return True

    def build(self) -> bytes:
        return bytes(self._builder.build())
