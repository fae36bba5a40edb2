"""SQL of lists."""

from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update

from banyan.infra.db.transaction import Row, Transaction
from banyan.modules.todos.model import TodoList
from banyan.modules.todos.tables import lists

_FIELDS = tuple(column.name for column in lists.columns if column.name != "user_id")

_FIND = select(lists).where(lists.c.user_id == bindparam("user_id"), lists.c.id == bindparam("list_id"))
_ALL = select(lists).where(lists.c.user_id == bindparam("user_id")).order_by(lists.c.created_at, lists.c.id)
_INSERT = insert(lists).values({column.name: bindparam(column.name) for column in lists.columns})
_UPDATE = (
    update(lists)
    .where(lists.c.user_id == bindparam("of_user"), lists.c.id == bindparam("list_id"))
    .values({name: bindparam(f"new_{name}") for name in ("name", "color", "updated_at", "version")})
)
_DELETE = delete(lists).where(lists.c.user_id == bindparam("user_id"), lists.c.id == bindparam("list_id"))
_ERASE = delete(lists).where(lists.c.user_id == bindparam("user_id"))


async def find(tx: Transaction, user_id: str, list_id: str) -> TodoList | None:
    row = await tx.one(_FIND, {"user_id": user_id, "list_id": list_id})
    return None if row is None else _list_of(row)


async def all_of(tx: Transaction, user_id: str) -> list[TodoList]:
    """A user's lists, the oldest first."""
    return [_list_of(row) for row in await tx.all(_ALL, {"user_id": user_id})]


async def add(tx: Transaction, user_id: str, new: TodoList) -> None:
    await tx.run(_INSERT, {"user_id": user_id, **new})


async def replace(tx: Transaction, user_id: str, changed: TodoList) -> None:
    values: dict[str, Any] = {
        f"new_{name}": changed[name] for name in ("name", "color", "updated_at", "version")
    }
    await tx.run(_UPDATE, {"of_user": user_id, "list_id": changed["id"], **values})


async def remove(tx: Transaction, user_id: str, list_id: str) -> None:
    await tx.run(_DELETE, {"user_id": user_id, "list_id": list_id})


async def erase(tx: Transaction, user_id: str) -> None:
    await tx.run(_ERASE, {"user_id": user_id})


def _list_of(row: Row) -> TodoList:
    return {name: row[name] for name in _FIELDS}
