"""The log guard: notices that the brokers have lost what they had acknowledged, and lets the relay publish it again.

A broker that keeps its log in memory loses it with its process; a cluster loses the end of a partition when an
out-of-date replica becomes its leader; an operator deletes a topic. So beside the relay's bookmark there is, for every
partition, the first offset of the last batch that was acknowledged there. It only grows. When a partition ends at or
below it, that batch is gone, and others may be.

Then the bookmark goes back as far as a log that had lost nothing would reach: by the topics' retention time. Consumers
skip what they have applied already. They must not be given a later event before those that are published again, so
nothing is published through a session that was not compared with these marks first.
"""

from collections.abc import Mapping

from sqlalchemy import bindparam, delete, func, select, update

from banyan.infra.bus.kafka.session import Partition
from banyan.infra.bus.kafka.topics import RETENTION
from banyan.infra.db.shards import Shards
from banyan.infra.db.tables import upsert
from banyan.infra.db.transaction import Transaction
from banyan.infra.streams.tables import bookmarks, events
from banyan.infra.telemetry.log import get_logger
from banyan.kernel.clock import Clock, to_text

log = get_logger(__name__)

_PREFIX = "kafka:"

_MARKS = select(bookmarks.c.reader, bookmarks.c.sequence).where(bookmarks.c.reader.startswith(_PREFIX))
_mark = upsert(bookmarks).values(reader=bindparam("reader"), sequence=bindparam("sequence"))
_MARK = _mark.on_conflict_do_update(
    index_elements=["reader"],
    set_={"sequence": _mark.excluded.sequence},
    where=bookmarks.c.sequence < _mark.excluded.sequence,
)
_FORGET = delete(bookmarks).where(bookmarks.c.reader.startswith(_PREFIX))
_HORIZON = select(func.coalesce(func.max(events.c.sequence), 0)).where(events.c.at < bindparam("before"))
_BACK = (
    update(bookmarks)
    .where(bookmarks.c.reader == bindparam("of_reader"), bookmarks.c.sequence > bindparam("to"))
    .values(sequence=bindparam("to"))
)


class LogGuard:
    """reader: whose bookmark goes back."""

    def __init__(self, shards: Shards, clock: Clock, *, reader: str = "relay") -> None:
        self._shards = shards
        self._clock = clock
        self._reader = reader

    async def marks(self) -> dict[Partition, int]:
        """The first offset of the last acknowledged batch of each partition, on whichever shard its events lie."""
        marks: dict[Partition, int] = {}
        for name in self._shards.names():
            for partition, offset in await self._shards.named(name).read(_read_marks):
                marks[partition] = max(offset, marks.get(partition, -1))
        return marks

    async def remember(self, key: str, offsets: Mapping[Partition, int]) -> None:
        """Keep the first offsets of batches that were acknowledged, on the shard of `key`."""
        await self._shards.transact(key, _write_marks, offsets)

    async def go_back(self, lost: Mapping[Partition, int]) -> None:
        """Let everything that the topics should still hold be published again. Doing it twice does no harm."""
        before = to_text(self._clock.now() - RETENTION)
        for name in self._shards.names():
            to = await self._shards.named(name).transact(_go_back, self._reader, before)
            log.warning(
                "kafka_log_lost", shard=name, published_again_past=to, partitions=[_name(one) for one in lost]
            )


def lost(marks: Mapping[Partition, int], ends: Mapping[Partition, int]) -> dict[Partition, int]:
    """The partitions that have lost their last acknowledged batch, with its first offset."""
    return {one: offset for one, offset in marks.items() if one in ends and ends[one] <= offset}


async def _read_marks(tx: Transaction) -> list[tuple[Partition, int]]:
    return [(_partition(row["reader"]), row["sequence"]) for row in await tx.all(_MARKS)]


async def _write_marks(tx: Transaction, offsets: Mapping[Partition, int]) -> None:
    rows = [{"reader": _name(one), "sequence": offsets[one]} for one in sorted(offsets)]
    await tx.run_many(_MARK, rows)


async def _go_back(tx: Transaction, reader: str, before: str) -> int:
    to = await tx.value(_HORIZON, {"before": before})
    await tx.run(_BACK, {"of_reader": reader, "to": to})
    await tx.run(_FORGET)
    return to


def _name(partition: Partition) -> str:
    return f"{_PREFIX}{partition[0]}/{partition[1]}"


def _partition(name: str) -> Partition:
    topic, _, number = name.removeprefix(_PREFIX).rpartition("/")
    return topic, int(number)
