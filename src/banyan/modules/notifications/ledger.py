"""The delivery ledger in SQL: what was sent where, and what is due. Works inside the caller's transaction."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, func, select, update

from banyan.infra.db.transaction import Row, Transaction
from banyan.infra.streams.log import EventLog
from banyan.infra.telemetry.trace import is_tracing
from banyan.kernel.clock import to_text
from banyan.modules.notifications.model import Delivery, Notification, Status
from banyan.modules.notifications.store import find
from banyan.modules.notifications.tables import deliveries

_OF_NOTIFICATION = (
    select(deliveries)
    .where(
        deliveries.c.user_id == bindparam("of_user"),
        deliveries.c.notification_id == bindparam("of_notification"),
    )
    .order_by(deliveries.c.id)
)
_THIS = select(deliveries).where(
    deliveries.c.user_id == bindparam("of_user"),
    deliveries.c.notification_id == bindparam("of_notification"),
    deliveries.c.id == bindparam("this_id"),
)
_DUE = (
    select(deliveries)
    .where(deliveries.c.due_at <= bindparam("now"))
    .order_by(deliveries.c.due_at)
    .limit(bindparam("limit"))
)
_NEXT_DUE = select(func.min(deliveries.c.due_at)).where(deliveries.c.due_at.is_not(None))
_FAILED = select(deliveries).where(deliveries.c.status == Status.FAILED.value)
_MOVE = (
    update(deliveries)
    .where(
        deliveries.c.user_id == bindparam("of_user"),
        deliveries.c.notification_id == bindparam("of_notification"),
        deliveries.c.id == bindparam("this_id"),
        deliveries.c.status == bindparam("from_status"),
        # The fence: a sender whose lease ran out, and whose delivery was claimed again, moves nothing.
        deliveries.c.attempt == bindparam("from_attempt"),
    )
    .values(
        status=bindparam("to_status"),
        attempt=bindparam("to_attempt"),
        at=bindparam("now"),
        due_at=bindparam("due"),
        error=bindparam("why"),
    )
)


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that is leased to this process, and what it delivers. trace: see `trace_of`."""

    delivery: Delivery
    notification: Notification
    trace: str | None = None


async def of_notification(tx: Transaction, user_id: str, notification_id: str) -> list[Delivery]:
    """The ledger of one notification, in the order in which its entries were made."""
    rows = await tx.all(_OF_NOTIFICATION, {"of_user": user_id, "of_notification": notification_id})
    return [_from_row(row) for row in rows]


async def find_delivery(
    tx: Transaction, user_id: str, notification_id: str, delivery_id: str
) -> Delivery | None:
    key = {"of_user": user_id, "of_notification": notification_id, "this_id": delivery_id}
    row = await tx.one(_THIS, key)
    return None if row is None else _from_row(row)


async def due(tx: Transaction, now: datetime, limit: int) -> list[Delivery]:
    """What is due on this shard, the longest waiting first; nothing is leased."""
    return [_from_row(row) for row in await tx.all(_DUE, {"now": to_text(now), "limit": limit})]


async def claim_due(tx: Transaction, now: datetime, limit: int) -> list[Claim]:
    """Lease what is due on this shard, the longest waiting first.

    Deliveries leased by a living sender are left alone; those whose lease ran out come back with `attempt` one higher,
    and fail once their attempts are used up.
    """
    claims: list[Claim] = []
    for before in await due(tx, now, limit):
        after = before.claimed(now)
        notification = await find(tx, before.user_id, before.notification_id)
        if await move(tx, before, after) and after.status is Status.SENDING and notification is not None:
            claims.append(Claim(after, notification))
    return claims


async def trace_of(tx: Transaction, log: EventLog, delivery: Delivery) -> str | None:
    """The `traceparent` of what brought the notification about; None where no traces are recorded, and nothing is read."""
    if not is_tracing():
        return None
    created = await log.of_subject(tx, delivery.user_id, delivery.notification_id, limit=1)
    return created[0].trace if created else None


async def move(tx: Transaction, before: Delivery, after: Delivery) -> bool:
    """Write a delivery's next state. False, and nothing is changed, when somebody else has moved it in the meantime."""
    values = {
        "of_user": before.user_id,
        "of_notification": before.notification_id,
        "this_id": before.id,
        "from_status": before.status.value,
        "from_attempt": before.attempt,
        "to_status": after.status.value,
        "to_attempt": after.attempt,
        "now": after.at,
        "due": after.due_at,
        "why": after.error,
    }
    return await tx.run(_MOVE, values) == 1


async def next_due(tx: Transaction) -> str | None:
    """When the next delivery of this shard is due; None when nothing waits."""
    return await tx.value(_NEXT_DUE)


async def redrive(tx: Transaction, now: datetime) -> int:
    """Queue every failed delivery of this shard again; returns how many."""
    failed = [_from_row(row) for row in await tx.all(_FAILED)]
    for delivery in failed:
        await move(tx, delivery, delivery.redriven(now))
    return len(failed)


def _from_row(row: Row) -> Delivery:
    return Delivery(
        user_id=row["user_id"],
        notification_id=row["notification_id"],
        id=row["id"],
        channel=row["channel"],
        status=Status(row["status"]),
        attempt=row["attempt"],
        at=row["at"],
        due_at=row["due_at"],
        error=row["error"],
        channel_id=row["channel_id"],
    )
