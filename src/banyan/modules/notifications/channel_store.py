"""SQL of the channels that people set up. Each function works inside the caller's transaction."""

from sqlalchemy import bindparam, delete, insert, select, update

from banyan.infra.db.transaction import Row, Transaction
from banyan.modules.notifications.channel_model import OwnChannel
from banyan.modules.notifications.tables import own_channels

_FIELDS = tuple(column.name for column in own_channels.columns)
_CHANGING = ("name", "host", "enabled", "disabled_reason", "sealed", "updated_at", "version")

_is_mine = own_channels.c.user_id == bindparam("of_user")
_is_this = _is_mine & (own_channels.c.id == bindparam("this_id"))

_FIND = select(own_channels).where(_is_this)
_ALL = select(own_channels).where(_is_mine).order_by(own_channels.c.created_at, own_channels.c.id)
_INSERT = insert(own_channels).values({name: bindparam(name) for name in _FIELDS})
_UPDATE = update(own_channels).where(_is_this).values({name: bindparam(f"new_{name}") for name in _CHANGING})
_DELETE = delete(own_channels).where(_is_this)
_ERASE = delete(own_channels).where(_is_mine)


async def find(tx: Transaction, user_id: str, channel_id: str) -> OwnChannel | None:
    row = await tx.one(_FIND, {"of_user": user_id, "this_id": channel_id})
    return None if row is None else _from_row(row)


async def all_of(tx: Transaction, user_id: str) -> list[OwnChannel]:
    """A user's channels, the oldest first."""
    return [_from_row(row) for row in await tx.all(_ALL, {"of_user": user_id})]


async def add(tx: Transaction, new: OwnChannel) -> None:
    await tx.run(_INSERT, {name: getattr(new, name) for name in _FIELDS})


async def replace(tx: Transaction, changed: OwnChannel) -> None:
    values = {f"new_{name}": getattr(changed, name) for name in _CHANGING}
    await tx.run(_UPDATE, {"of_user": changed.user_id, "this_id": changed.id, **values})


async def remove(tx: Transaction, user_id: str, channel_id: str) -> None:
    await tx.run(_DELETE, {"of_user": user_id, "this_id": channel_id})


async def erase(tx: Transaction, user_id: str) -> None:
    await tx.run(_ERASE, {"of_user": user_id})


def _from_row(row: Row) -> OwnChannel:
    return OwnChannel(
        user_id=row["user_id"],
        id=row["id"],
        kind=row["kind"],
        name=row["name"],
        host=row["host"],
        enabled=bool(row["enabled"]),
        disabled_reason=row["disabled_reason"],
        sealed=row["sealed"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        version=row["version"],
    )
