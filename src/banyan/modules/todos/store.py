"""SQL of to-dos. Every function takes the transaction it works in."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic_core import from_json
from sqlalchemy import (
    Column,
    ColumnElement,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    true,
    update,
)

from banyan.infra.db.idempotency import STORE_MANY
from banyan.infra.db.json_sql import json_nested, json_object, json_texts
from banyan.infra.db.tables import batch, batch_of_keys, lower
from banyan.infra.db.transaction import Row, Transaction
from banyan.infra.streams.folded import append_folded, at_positions, folded
from banyan.infra.streams.log import AT_POSITION, as_json
from banyan.infra.streams.tables import streams
from banyan.kernel.events import Event
from banyan.modules.todos.contract import STREAM
from banyan.modules.todos.model import Todo
from banyan.modules.todos.tables import todos

t = todos.c
_COLUMNS = tuple(column.name for column in todos.columns)
_FIELDS = tuple(name for name in _COLUMNS if name not in ("user_id", "created_position", "next_reminder_at"))

_wanted = batch_of_keys("wanted", t.user_id, t.id)
_mine = and_(t.user_id == bindparam("user_id"), t.id == bindparam("todo_id"))

_FIND = select(todos).where(_mine)
_FIND_MANY = select(todos).join(_wanted, and_(t.user_id == _wanted.c.user_id, t.id == _wanted.c.id))
_INSERT_MANY = insert(todos).from_select(list(_COLUMNS), batch("rows", *todos.columns))
_APPEND_AND_INSERT = folded(
    lambda ends: at_positions(todos, "todos", t.created_position, ends, list(todos.columns)),
    lambda _ends: STORE_MANY,
)
_UPDATE = (
    update(todos)
    .where(t.user_id == bindparam("of_user"), t.id == bindparam("todo_id"))
    .values({name: bindparam(f"new_{name}") for name in (*_FIELDS[1:], "next_reminder_at")})
)
_LEAVE_LIST = (
    update(todos)
    .where(t.user_id == bindparam("of_user"), t.id == bindparam("todo_id"))
    .values(list_id=None, updated_at=bindparam("new_updated_at"), version=bindparam("new_version"))
)
_SET_REMINDER = (
    update(todos)
    .where(t.user_id == bindparam("of_user"), t.id == bindparam("todo_id"))
    .values(next_reminder_at=bindparam("new_next_reminder_at"))
)
_DELETE_MANY = delete(todos).where(
    t.user_id == bindparam("user_id"),
    t.id.in_(select(json_texts(bindparam("ids", type_=Text()), "these").c.value)),
)
_IDS = select(t.id).where(t.user_id == bindparam("user_id")).order_by(t.created_position)
_IDS_BY_COMPLETION = _IDS.where(t.completed == bindparam("completed"))
_IDS_IN_LIST = _IDS.where(t.list_id == bindparam("list_id"))
_ALL = select(todos).where(t.user_id == bindparam("user_id"))
_DUE = (
    select(t.user_id, t.id)
    .where(t.next_reminder_at <= bindparam("now"))
    .order_by(t.next_reminder_at)
    .limit(bindparam("limit"))
)
_DUE_AFTER = (
    select(t.next_reminder_at, t.user_id, t.id)
    .where(
        t.next_reminder_at <= bindparam("now"),
        # As pairs, and not as a tuple, which SQLite would not look up in the index.
        (t.next_reminder_at > bindparam("at"))
        | ((t.next_reminder_at == bindparam("at")) & (t.user_id > bindparam("of_user")))
        | (
            (t.next_reminder_at == bindparam("at"))
            & (t.user_id == bindparam("of_user"))
            & (t.id > bindparam("todo_id"))
        ),
    )
    .order_by(t.next_reminder_at, t.user_id, t.id)
    .limit(bindparam("limit"))
)
_NEXT_REMINDER_AFTER = select(func.min(t.next_reminder_at)).where(t.next_reminder_at > bindparam("now"))
_NEXT_REMINDER = select(func.min(t.next_reminder_at)).where(t.next_reminder_at.is_not(None))
_ERASE = delete(todos).where(t.user_id == bindparam("user_id"))


def _json(base: ColumnElement[str]) -> ColumnElement[str]:
    """One to-do as the JSON that clients read, made by the database."""
    return json_object(
        id=t.id,
        url=base + literal_column("'/todos/'") + t.id,
        **{name: json_nested(t[name]) if name == "labels" else t[name] for name in _FIELDS[1:]},
    ).label("json")


_JSON = _json(bindparam("base", type_=Text()))


@dataclass(frozen=True, slots=True)
class Filters:
    """Which to-dos a page shows; None filters nothing. q: a text in title or notes, whatever the case."""

    completed: bool | None = None
    q: str | None = None
    list_id: str | None = None
    label: str | None = None
    due_before: str | None = None
    due_after: str | None = None

    def shape(self) -> tuple[str, ...]:
        """Which of the filters are used: each combination is one statement."""
        return tuple(name for name in self.__slots__ if getattr(self, name) is not None)


Place = tuple[int | None, int]
"""Where a page ended: the last to-do's `order` and creation position."""


async def find(tx: Transaction, user_id: str, todo_id: str) -> Row | None:
    return await tx.one(_FIND, {"user_id": user_id, "todo_id": todo_id})


async def find_many(tx: Transaction, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Todo]:
    """The to-dos of these (user_id, id) that exist."""
    rows = await tx.all(_FIND_MANY, {"wanted": as_json(keys)})
    return {(row["user_id"], row["id"]): todo_of(row) for row in rows}


NewRow = tuple[str, int, str | None, Todo]
"""user_id, created_position, next_reminder_at, to-do"""


async def insert_many(tx: Transaction, rows: Sequence[NewRow]) -> None:
    """Insert to-dos, in one statement."""
    await tx.run(_INSERT_MANY, {"rows": as_json(_values(rows))})


async def append_and_insert(
    tx: Transaction, new: Sequence[Event], rows: Sequence[NewRow], answers: str
) -> None:
    """Append `prepared` events, insert the to-dos of which they tell and store answers, all by one statement.

    rows: with an event's `position` as the to-do's. Where statements fold. Raises UniqueViolation when one is there
    already; nothing is done then.
    """
    await append_folded(tx, _APPEND_AND_INSERT, new, todos=as_json(_values(rows)), answers=answers)


def _values(rows: Sequence[NewRow]) -> list[list[Any]]:
    values = []
    for user_id, created_position, next_reminder_at, todo in rows:
        extra = {
            "user_id": user_id,
            "created_position": created_position,
            "next_reminder_at": next_reminder_at,
        }
        row = {**todo, **extra, "labels": as_json(todo["labels"])}
        values.append([row[name] for name in _COLUMNS])
    return values


async def replace(tx: Transaction, user_id: str, todo: Todo, next_reminder_at: str | None) -> None:
    """Write all fields of a to-do that exists."""
    values = {f"new_{name}": todo[name] for name in _FIELDS[1:]}
    values["new_labels"] = as_json(todo["labels"])
    key = {"of_user": user_id, "todo_id": todo["id"], "new_next_reminder_at": next_reminder_at}
    await tx.run(_UPDATE, {**values, **key})


async def leave_list(tx: Transaction, user_id: str, todo: Todo) -> None:
    """Write that a to-do is in no list any more."""
    key = {"of_user": user_id, "todo_id": todo["id"]}
    await tx.run(_LEAVE_LIST, {**key, "new_updated_at": todo["updated_at"], "new_version": todo["version"]})


async def set_reminder(tx: Transaction, user_id: str, todo_id: str, next_reminder_at: str | None) -> None:
    await tx.run(
        _SET_REMINDER, {"of_user": user_id, "todo_id": todo_id, "new_next_reminder_at": next_reminder_at}
    )


async def delete_many(tx: Transaction, user_id: str, ids: Sequence[str]) -> None:
    await tx.run(_DELETE_MANY, {"user_id": user_id, "ids": as_json(ids)})


async def ids(tx: Transaction, user_id: str, *, completed: bool | None = None) -> list[str]:
    """The ids of all to-dos, or of the completed or the open ones, in the order of their creation."""
    if completed is None:
        rows = await tx.all(_IDS, {"user_id": user_id})
    else:
        rows = await tx.all(_IDS_BY_COMPLETION, {"user_id": user_id, "completed": completed})
    return [row["id"] for row in rows]


async def ids_in_list(tx: Transaction, user_id: str, list_id: str) -> list[str]:
    return [row["id"] for row in await tx.all(_IDS_IN_LIST, {"user_id": user_id, "list_id": list_id})]


class FoundPage(NamedTuple):
    """todos: ready JSON, with commas between them. next_place: where to continue from; None at the end. position: None when
    nothing was found."""

    todos: str
    next_place: Place | None
    position: int | None


async def page(
    tx: Transaction, user_id: str, base_url: str, filters: Filters, after: Place | None, limit: int
) -> FoundPage:
    """A page in the order of GET /todos and the stream's position, by one statement: they belong together without a snapshot."""
    values: dict[str, Any] = {"user_id": user_id, "stream": STREAM, "base": base_url, "limit": limit + 1}
    for name in filters.shape():
        values[name] = getattr(filters, name)
    if filters.q is not None:
        # Not casefold(): the databases' lower() must do the same to the other side.
        values["q"] = (
            "%" + filters.q.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        )
    if after is not None:
        values["after_position"] = after[1]
        if after[0] is not None:
            values["after_order"] = after[0]
    statement = _page_statement(filters.shape(), None if after is None else after[0] is not None)
    rows = await tx.all(statement, values)
    more = len(rows) > limit
    rows = rows[:limit]
    return FoundPage(
        ",".join([row["json"] for row in rows]),
        (rows[-1]["order"], rows[-1]["created_position"]) if more else None,
        rows[0]["at_position"] if rows else None,
    )


class FirstPage(NamedTuple):
    """A question for the first page of all to-dos of a user."""

    user_id: str
    base_url: str
    limit: int


async def first_pages(tx: Transaction, wanted: Sequence[FirstPage]) -> list[FoundPage]:
    """The answers in order, each as `page` gives it and its position always; one statement where such fold."""
    if not tx.folds:
        return [await page(tx, user_id, base, Filters(), None, limit) for user_id, base, limit in wanted]
    rows = await tx.all(_FIRST_PAGES, {"wanted": as_json([(n, *one) for n, one in enumerate(wanted)])})
    pages: list[FoundPage | None] = [None] * len(wanted)
    for row in rows:
        more = row["count"] > wanted[row["number"]].limit
        place = (row["last_order"], row["last_position"]) if more else None
        pages[row["number"]] = FoundPage(row["json"] or "", place, row["at_position"])
    return [found for found in pages if found is not None]


def _first_pages() -> Select:
    asked = batch(
        "wanted", Column("number", Integer), t.user_id, Column("base", Text), Column("most", Integer)
    ).subquery()
    order = (t.order.asc().nulls_first(), t.created_position.desc())
    number = func.row_number().over(order_by=order).label("number")
    # One more than is shown, which tells that there is a next page.
    rows = (
        select(_json(asked.c.base), t.order, t.created_position, number)
        .where(t.user_id == asked.c.user_id)
        .order_by(*order)
        .limit(asked.c.most + 1)
        .correlate(asked)
        .lateral("rows")
    )
    shown, last = rows.c.number <= asked.c.most, rows.c.number == asked.c.most
    found = (
        select(
            func.string_agg(cast(rows.c.json, Text), literal_column("','")).filter(shown).label("json"),
            func.count().label("count"),
            func.min(rows.c.order).filter(last).label("last_order"),
            func.min(rows.c.created_position).filter(last).label("last_position"),
        )
        .select_from(rows)
        .correlate(asked)
        .lateral("found")
    )
    position = select(streams.c.position).where(
        streams.c.user_id == asked.c.user_id, streams.c.stream == bindparam("stream", STREAM)
    )
    at_position = func.coalesce(position.correlate(asked).scalar_subquery(), 0).label("at_position")
    return select(asked.c.number, found, at_position).select_from(asked.join(found, true()))


_FIRST_PAGES = _first_pages()


@lru_cache(maxsize=256)
def _page_statement(shape: tuple[str, ...], after_ordered: bool | None) -> Select:
    """The statement of one combination of filters; kept, so that it is compiled once."""
    conditions = {
        "completed": lambda: t.completed == bindparam("completed"),
        "q": lambda: or_(
            lower(t.title).like(bindparam("q"), escape="\\"),
            lower(t.notes).like(bindparam("q"), escape="\\"),
        ),
        "list_id": lambda: t.list_id == bindparam("list_id"),
        "label": lambda: _has_label(),
        "due_before": lambda: t.due_at < bindparam("due_before"),
        "due_after": lambda: t.due_at >= bindparam("due_after"),
    }
    statement = select(_JSON, t.order, t.created_position, AT_POSITION).where(
        t.user_id == bindparam("user_id")
    )
    statement = statement.where(*(conditions[name]() for name in shape))
    if after_ordered is True:
        statement = statement.where(
            t.order >= bindparam("after_order"),
            or_(t.order > bindparam("after_order"), t.created_position < bindparam("after_position")),
        )
    elif after_ordered is False:
        statement = statement.where(
            or_(t.order.is_not(None), t.created_position < bindparam("after_position"))
        )
    return statement.order_by(t.order.asc().nulls_first(), t.created_position.desc()).limit(
        bindparam("limit")
    )


def _has_label() -> ColumnElement[bool]:
    labels = json_texts(t.labels, "label_values")
    return exists(select(literal(1)).select_from(labels).where(labels.c.value == bindparam("label")))


async def due_reminders(tx: Transaction, now: str, limit: int) -> list[tuple[str, str]]:
    """(user_id, todo_id) of what asks for attention by `now`, the longest waiting first."""
    return [(row["user_id"], row["id"]) for row in await tx.all(_DUE, {"now": now, "limit": limit})]


class DueReminder(NamedTuple):
    """A reminder that is to be told, and since when. In the order of `due_reminders_after`."""

    at: str
    user_id: str
    todo_id: str


async def due_reminders_after(
    tx: Transaction, now: str, after: DueReminder | None, limit: int
) -> list[DueReminder]:
    """What asks for attention by `now`, the longest waiting first, from past `after` on."""
    last = after or DueReminder("", "", "")
    place = {"at": last.at, "of_user": last.user_id, "todo_id": last.todo_id}
    rows = await tx.all(_DUE_AFTER, {"now": now, "limit": limit, **place})
    return [DueReminder(row["next_reminder_at"], row["user_id"], row["id"]) for row in rows]


async def next_reminder_after(tx: Transaction, now: str) -> str | None:
    """When the first reminder is due that is not due by `now`."""
    return await tx.value(_NEXT_REMINDER_AFTER, {"now": now})


async def next_reminder_at(tx: Transaction) -> str | None:
    return await tx.value(_NEXT_REMINDER)


async def all_of(tx: Transaction, user_id: str) -> dict[str, dict[str, Any]]:
    """Every to-do of a user by id, with its creation position: what the events must fold to."""
    rows = await tx.all(_ALL, {"user_id": user_id})
    return {row["id"]: {**todo_of(row), "created_position": row["created_position"]} for row in rows}


async def erase(tx: Transaction, user_id: str) -> None:
    await tx.run(_ERASE, {"user_id": user_id})


def todo_of(row: Row) -> Todo:
    todo = {name: row[name] for name in _FIELDS}
    todo["completed"] = bool(todo["completed"])
    todo["labels"] = from_json(todo["labels"])
    return todo
