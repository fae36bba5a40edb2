"""Dead letters: messages of a broker that no handler can be given, kept as they came.

They are not set aside like events that failed: there is no event yet. They lie in the consumer's database, where the
topic's retention and the broker's memory cannot take them.

    read ──▶ parked ──redrive──▶ retrying ──▶ applied
                ▲                    └─ still no event, or it fails ─┐
                └────────────────────────────────────────────────────┘
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, select, update

from banyan.infra.db.tables import upsert
from banyan.infra.db.transaction import Row, Transaction
from banyan.infra.streams.tables import dead_letters
from banyan.kernel.clock import Clock, now_text

_park = upsert(dead_letters).values(
    {column.name: bindparam(column.name) for column in dead_letters.columns},
)
# The same message read again, after a crash or from a log that was filled again, is the same letter.
_PARK = _park.on_conflict_do_nothing(index_elements=["consumer", "id"])
_ALL = select(dead_letters).order_by(dead_letters.c.at, dead_letters.c.id).limit(1000)
_RETRYING = (
    select(dead_letters)
    .where(dead_letters.c.consumer == bindparam("consumer"), dead_letters.c.state == "retrying")
    .order_by(dead_letters.c.at, dead_letters.c.id)
    .limit(100)
)
_this = (dead_letters.c.consumer == bindparam("of_consumer")) & (dead_letters.c.id == bindparam("of_id"))
_FORGET = delete(dead_letters).where(_this)
_PARK_AGAIN = update(dead_letters).where(_this).values(state="parked", error=bindparam("why"))
_REDRIVE = update(dead_letters).where(dead_letters.c.state == "parked").values(state="retrying")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """error: a constant word, never what the message says."""

    consumer: str
    topic: str
    partition: int
    offset: int
    value: bytes
    error: str
    state: str = "parked"

    @property
    def id(self) -> str:
        return hashlib.sha256(self.topic.encode() + b"\0" + self.value).hexdigest()


async def park(tx: Transaction, letter: DeadLetter, clock: Clock) -> None:
    await tx.run(
        _PARK,
        {
            "consumer": letter.consumer,
            "id": letter.id,
            "topic": letter.topic,
            "partition": letter.partition,
            "offset": letter.offset,
            "message": base64.b64encode(letter.value).decode(),
            "state": letter.state,
            "error": letter.error,
            "at": now_text(clock),
        },
    )


async def parked_letters(tx: Transaction) -> list[DeadLetter]:
    """All of this shard, the oldest first; at most 1,000."""
    return [_letter(row) for row in await tx.all(_ALL)]


async def redrive_letters(tx: Transaction) -> int:
    """Let every one of this shard be read again; returns how many."""
    return await tx.run(_REDRIVE)


async def letters_to_retry(tx: Transaction, consumer: str) -> Sequence[DeadLetter]:
    return [_letter(row) for row in await tx.all(_RETRYING, {"consumer": consumer})]


async def take(tx: Transaction, letter: DeadLetter) -> bool:
    """Remove it: who gets True may apply what it says, in this transaction, and nobody else does."""
    return await tx.run(_FORGET, {"of_consumer": letter.consumer, "of_id": letter.id}) == 1


async def park_again(tx: Transaction, letter: DeadLetter, error: str) -> None:
    await tx.run(_PARK_AGAIN, {"of_consumer": letter.consumer, "of_id": letter.id, "why": error})


def _letter(row: Row) -> DeadLetter:
    return DeadLetter(
        consumer=row["consumer"],
        topic=row["topic"],
        partition=row["partition"],
        offset=row["offset"],
        value=base64.b64decode(row["message"]),
        error=row["error"],
        state=row["state"],
    )
