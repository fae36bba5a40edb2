"""Notifications in SQL. Each function works inside the caller's transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json
from sqlalchemy import bindparam, delete, func, insert, null, select, union_all, update

from banyan.infra.db.tables import batch, batch_of_keys, upsert
from banyan.infra.db.transaction import Row, Transaction
from banyan.infra.streams.log import as_json
from banyan.modules.notifications import channel_store
from banyan.modules.notifications.model import Delivery, Notification
from banyan.modules.notifications.tables import closed_inboxes, deliveries, notifications, own_channels

_INSERT = insert(notifications).from_select(
    list(notifications.columns), batch("rows", *notifications.columns)
)

_DELIVERY_FIELDS = tuple(column.name for column in deliveries.columns)
_INSERT_DELIVERIES = insert(deliveries).from_select(
    list(deliveries.columns), batch("rows", *deliveries.columns)
)

_wanted = batch_of_keys("wanted", closed_inboxes.c.user_id)
_CLOSED = select(closed_inboxes.c.user_id, null().label("channel_id"), null().label("kind")).join(
    _wanted, closed_inboxes.c.user_id == _wanted.c.user_id
)
_ENABLED = (
    select(own_channels.c.user_id, own_channels.c.id.label("channel_id"), own_channels.c.kind)
    .join(_wanted, own_channels.c.user_id == _wanted.c.user_id)
    .where(own_channels.c.enabled)
)
# One statement, because every notification pays for it.
_DOORS = union_all(_CLOSED, _ENABLED)
_CLOSE = upsert(closed_inboxes).values(user_id=bindparam("user_id")).on_conflict_do_nothing()

_is_mine = notifications.c.user_id == bindparam("of_user")
_is_this = _is_mine & (notifications.c.id == bindparam("this_id"))
_is_unread = notifications.c.read_at.is_(None)
_before = notifications.c.created_position < bindparam("before")
_newest_first = notifications.c.created_position.desc()

_FIND = select(notifications).where(_is_this)
_PAGE = select(notifications).where(_is_mine, _before).order_by(_newest_first).limit(bindparam("limit"))
_PAGE_UNREAD = _PAGE.where(_is_unread)
_UNREAD_COUNT = select(func.count()).select_from(notifications).where(_is_mine, _is_unread)
_ALL = select(notifications).where(_is_mine).order_by(notifications.c.created_position)

# What a change of many rows begins with: the next rows to change, newest first, below where the last one ended.
_ids_before = select(notifications.c.id, notifications.c.created_position).where(_is_mine, _before)
_SOME = _ids_before.order_by(_newest_first).limit(bindparam("limit"))
_SOME_UNREAD = _SOME.where(_is_unread)
_SOME_READ = _SOME.where(notifications.c.read_at.is_not(None))

_ids = batch_of_keys("ids", notifications.c.id)
_are_these = _is_mine & notifications.c.id.in_(select(_ids.c.id))
_MARK = update(notifications).where(_are_these).values(read_at=bindparam("moment"))
_DELETE = delete(notifications).where(_are_these)
_DELETE_DELIVERIES = delete(deliveries).where(
    deliveries.c.user_id == bindparam("of_user"), deliveries.c.notification_id.in_(select(_ids.c.id))
)
_ERASE = delete(notifications).where(_is_mine)
_ERASE_DELIVERIES = delete(deliveries).where(deliveries.c.user_id == bindparam("of_user"))

PAST_ALL = 2**62
"""A position that comes after every other."""


async def insert_all(
    tx: Transaction, new: Sequence[Notification], their_deliveries: Sequence[Delivery]
) -> None:
    """Store notifications and the first entries of their ledgers. Raises UniqueViolation for an id that is taken."""
    await tx.run(_INSERT, {"rows": as_json([_values(notification) for notification in new])})
    rows = [[getattr(delivery, column) for column in _DELIVERY_FIELDS] for delivery in their_deliveries]
    await tx.run(_INSERT_DELIVERIES, {"rows": as_json(rows)})


async def find(tx: Transaction, user_id: str, notification_id: str) -> Notification | None:
    row = await tx.one(_FIND, {"of_user": user_id, "this_id": notification_id})
    return None if row is None else _from_row(row)


async def page(
    tx: Transaction, user_id: str, *, unread_only: bool, before: int, limit: int
) -> list[Notification]:
    """At most `limit`, newest first, created below a position."""
    statement = _PAGE_UNREAD if unread_only else _PAGE
    rows = await tx.all(statement, {"of_user": user_id, "before": before, "limit": limit})
    return [_from_row(row) for row in rows]


async def unread_count(tx: Transaction, user_id: str) -> int:
    return await tx.value(_UNREAD_COUNT, {"of_user": user_id})


async def some_ids(
    tx: Transaction, user_id: str, *, read: bool | None, before: int, limit: int
) -> tuple[list[str], int]:
    """Ids of the next rows below a position, and the position of the last of them. read: None for both kinds."""
    statement = {None: _SOME, True: _SOME_READ, False: _SOME_UNREAD}[read]
    rows = await tx.all(statement, {"of_user": user_id, "before": before, "limit": limit})
    return [row["id"] for row in rows], rows[-1]["created_position"] if rows else 0


async def mark(tx: Transaction, user_id: str, ids: Sequence[str], read_at: str | None) -> None:
    await tx.run(_MARK, {"of_user": user_id, "ids": _as_rows(ids), "moment": read_at})


async def delete_all(tx: Transaction, user_id: str, ids: Sequence[str]) -> None:
    """Delete notifications together with their ledgers."""
    values = {"of_user": user_id, "ids": _as_rows(ids)}
    await tx.run(_DELETE_DELIVERIES, values)
    await tx.run(_DELETE, values)


@dataclass(frozen=True, slots=True)
class Doors:
    """Where notifications for some users can go. closed: users whose inbox is closed for good. enabled: of each user the
    channels that they have set up and enabled, as kind and id."""

    closed: set[str]
    enabled: Mapping[str, Sequence[tuple[str, str]]]


async def doors(tx: Transaction, user_ids: set[str]) -> Doors:
    closed: set[str] = set()
    enabled: dict[str, list[tuple[str, str]]] = {}
    for row in await tx.all(_DOORS, {"wanted": _as_rows(sorted(user_ids))}):
        if row["channel_id"] is None:
            closed.add(row["user_id"])
        else:
            enabled.setdefault(row["user_id"], []).append((row["kind"], row["channel_id"]))
    return Doors(closed, enabled)


async def close_and_erase(tx: Transaction, user_id: str) -> None:
    """Forget everything in a user's inbox, and let nothing come into it again."""
    await tx.run(_CLOSE, {"user_id": user_id})
    await tx.run(_ERASE_DELIVERIES, {"of_user": user_id})
    await tx.run(_ERASE, {"of_user": user_id})
    await channel_store.erase(tx, user_id)


async def everything(tx: Transaction, user_id: str) -> list[Notification]:
    return [_from_row(row) for row in await tx.all(_ALL, {"of_user": user_id})]


def _as_rows(ids: Sequence[str]) -> str:
    return as_json([[one] for one in ids])


def _values(notification: Notification) -> list[Any]:
    return [
        notification.user_id,
        notification.id,
        notification.created_position,
        notification.kind,
        notification.title,
        notification.message,
        as_json(notification.data),
        notification.read_at,
        notification.created_at,
    ]


def _from_row(row: Row) -> Notification:
    return Notification(
        user_id=row["user_id"],
        id=row["id"],
        kind=row["kind"],
        title=row["title"],
        message=row["message"],
        data=from_json(row["data"]),
        created_at=row["created_at"],
        read_at=row["read_at"],
        created_position=row["created_position"],
    )
