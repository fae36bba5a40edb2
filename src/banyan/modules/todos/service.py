"""Use cases of to-dos. Each opens its transaction, in which the change and its event are saved together."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic_core import to_json

from banyan.infra.db.coalescer import Coalescer
from banyan.infra.db.idempotency import IdempotentRequest, StoredAnswer, find_answer, store_answer
from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Transaction
from banyan.infra.streams.log import EventLog
from banyan.kernel.clock import Clock, now_text
from banyan.kernel.errors import FieldError
from banyan.kernel.events import Event, NewEvent
from banyan.kernel.ids import new_id
from banyan.modules.todos import store
from banyan.modules.todos.contract import TODO_CHANGED, TODO_DELETED
from banyan.modules.todos.creation import Actor, CreateTodo, TodoCreation, check_list, shown
from banyan.modules.todos.model import (
    DEFAULTS,
    WRITABLE,
    ListUnknown,
    Todo,
    TodoNotFound,
    VersionMismatch,
    changes_of,
    new_todo,
    reminder_after_change,
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One step of a batch. expected_version: what the client read, or None."""

    op: Literal["create", "update", "delete"]
    todo_id: str | None
    fields: dict[str, Any] = field(default_factory=dict)
    expected_version: int | None = None


_ALL = store.Filters()


@dataclass(frozen=True, slots=True)
class Page:
    """todos: ready JSON, with commas between them. position: how far the stream was when the page was read."""

    todos: str
    next_place: store.Place | None
    position: int


class TodoService:
    def __init__(self, shards: Shards, log: EventLog, clock: Clock) -> None:
        self._shards = shards
        self._log = log
        self._clock = clock
        self._creation = TodoCreation(shards, log, clock)
        self._first_pages = {
            name: Coalescer[store.FirstPage, store.FoundPage](self._first_pages_on(name))
            for name in shards.names()
        }

    async def create(self, command: CreateTodo) -> StoredAnswer:
        """The answer to a creation: 201 with the new to-do, or 200 when the client's id is a to-do already.

        Raises ListUnknown, IdempotencyKeyReused.
        """
        return await self._creation.create(command)

    async def page(self, actor: Actor, filters: store.Filters, after: store.Place | None, limit: int) -> Page:
        """A page of the caller's to-dos. First pages that are asked for together are found by one statement."""
        asked = (actor.user_id, actor.base_url, filters, after, limit)
        shard = self._shards.of(actor.user_id)
        if shard.folds and after is None and filters == _ALL:
            first = store.FirstPage(actor.user_id, actor.base_url, limit)
            found = await self._first_pages[shard.name].submit(first)
        else:
            found = await shard.read(store.page, *asked)
        if found.position is None:
            return await self._shards.read(actor.user_id, self._page_with_position, *asked)
        return Page(found.todos, found.next_place, found.position)

    async def get(self, user_id: str, todo_id: str) -> Todo:
        """Raises TodoNotFound."""
        row = await self._shards.read(user_id, store.find, user_id, todo_id)
        if row is None:
            raise TodoNotFound(todo_id=todo_id)
        return store.todo_of(row)

    async def change(
        self, actor: Actor, todo_id: str, wanted: dict[str, Any], expected_version: int | None
    ) -> Todo:
        """Give some fields new values. Raises TodoNotFound, VersionMismatch, ListUnknown; nothing is changed then."""
        return await self._shards.transact(
            actor.user_id, self._change, actor, todo_id, wanted, expected_version
        )

    async def put(
        self, actor: Actor, todo_id: str, fields: dict[str, Any], expected_version: int | None
    ) -> Todo:
        """Give all fields new values; what is left out gets its default."""
        wanted = {name: fields.get(name, DEFAULTS.get(name)) for name in WRITABLE}
        return await self.change(actor, todo_id, wanted, expected_version)

    async def delete(self, actor: Actor, todo_id: str, expected_version: int | None) -> None:
        """Raises TodoNotFound, VersionMismatch."""
        await self._shards.transact(actor.user_id, self._delete, actor, todo_id, expected_version)

    async def delete_all(self, actor: Actor, *, completed: bool | None) -> int:
        """Delete all, or all that are completed, or all that are open; returns how many."""
        return await self._shards.transact(actor.user_id, self._delete_all, actor, completed)

    async def batch(
        self, actor: Actor, operations: Sequence[Operation], idempotent: IdempotentRequest | None
    ) -> StoredAnswer:
        """All operations in order, or none: the first that cannot be done raises, with its place in the batch."""
        return await self._shards.transact(actor.user_id, self._batch, actor, operations, idempotent)

    async def history(self, user_id: str, todo_id: str, *, after: int, limit: int) -> list[Event]:
        """What happened to a to-do, oldest first, deleted ones included. Raises TodoNotFound."""
        events = await self._shards.read(
            user_id, self._log.of_subject, user_id, todo_id, after=after, limit=limit
        )
        if not events and after == 0:
            raise TodoNotFound(todo_id=todo_id)
        return events

    def _first_pages_on(
        self, shard: str
    ) -> Callable[[Sequence[store.FirstPage]], Awaitable[list[store.FoundPage]]]:
        async def find(wanted: Sequence[store.FirstPage]) -> list[store.FoundPage]:
            return await self._shards.named(shard).read(store.first_pages, wanted)

        return find

    async def _page_with_position(self, tx: Transaction, user_id: str, *asked: Any) -> Page:
        """A page that was empty a moment ago, which tells no position: in one snapshot with a question for it."""
        position = await self._log.position(tx, user_id)
        found = await store.page(tx, user_id, *asked)
        return Page(found.todos, found.next_place, position)

    async def _change(
        self,
        tx: Transaction,
        actor: Actor,
        todo_id: str,
        wanted: dict[str, Any],
        expected_version: int | None,
    ) -> Todo:
        row = await store.find(tx, actor.user_id, todo_id)
        if row is None:
            raise TodoNotFound(todo_id=todo_id)
        before = store.todo_of(row)
        if expected_version is not None and expected_version != before["version"]:
            raise VersionMismatch(todo_id=todo_id)
        now = now_text(self._clock)
        changes = changes_of(before, wanted, now)
        if not changes:
            return before
        await check_list(tx, actor.user_id, changes)
        after = {**before, **changes}
        reminder = reminder_after_change(before, after, row["next_reminder_at"], now)
        await store.replace(tx, actor.user_id, after, reminder)
        await self._log.append(
            tx, actor.user_id, [NewEvent(TODO_CHANGED, todo_id, changes)], actor=actor.session_id
        )
        return after

    async def _delete(
        self, tx: Transaction, actor: Actor, todo_id: str, expected_version: int | None
    ) -> None:
        row = await store.find(tx, actor.user_id, todo_id)
        if row is None:
            raise TodoNotFound(todo_id=todo_id)
        if expected_version is not None and expected_version != row["version"]:
            raise VersionMismatch(todo_id=todo_id)
        await self._remove(tx, actor, [todo_id])

    async def _delete_all(self, tx: Transaction, actor: Actor, completed: bool | None) -> int:
        ids = await store.ids(tx, actor.user_id, completed=completed)
        if ids:
            await self._remove(tx, actor, ids)
        return len(ids)

    async def _remove(self, tx: Transaction, actor: Actor, ids: Sequence[str]) -> None:
        events = [NewEvent(TODO_DELETED, todo_id) for todo_id in ids]
        await self._log.append(tx, actor.user_id, events, actor=actor.session_id)
        await store.delete_many(tx, actor.user_id, ids)

    async def _batch(
        self,
        tx: Transaction,
        actor: Actor,
        operations: Sequence[Operation],
        idempotent: IdempotentRequest | None,
    ) -> StoredAnswer:
        if idempotent is not None:
            found = await find_answer(tx, idempotent)
            if found is not None:
                return found
        results = []
        for number, operation in enumerate(operations):
            try:
                todo = await self._operate(tx, actor, operation)
            except (TodoNotFound, VersionMismatch, ListUnknown) as error:
                error.detail = f"Operation {number}: {error.detail} Nothing of the batch was done."
                if isinstance(error, ListUnknown):
                    place = f"/operations/{number}/{'todo' if operation.op == 'create' else 'changes'}"
                    error.errors = [FieldError(place + fault.pointer, fault.detail) for fault in error.errors]
                raise
            todo_id = operation.todo_id if todo is None else todo["id"]
            view = None if todo is None else shown(todo, actor.base_url)
            results.append({"op": operation.op, "id": todo_id, "todo": view})
        answer = StoredAnswer(200, to_json({"results": results}))
        if idempotent is not None:
            await store_answer(tx, idempotent, answer, self._clock)
        return answer

    async def _operate(self, tx: Transaction, actor: Actor, operation: Operation) -> Todo | None:
        if operation.op == "create":
            return await self._create_one(tx, actor, operation)
        assert operation.todo_id is not None
        if operation.op == "update":
            return await self._change(
                tx, actor, operation.todo_id, operation.fields, operation.expected_version
            )
        await self._delete(tx, actor, operation.todo_id, operation.expected_version)
        return None

    async def _create_one(self, tx: Transaction, actor: Actor, operation: Operation) -> Todo:
        if operation.todo_id is not None:
            row = await store.find(tx, actor.user_id, operation.todo_id)
            if row is not None:
                return store.todo_of(row)
        await check_list(tx, actor.user_id, operation.fields)
        now = now_text(self._clock)
        todo = new_todo(operation.todo_id or new_id(), operation.fields, now)
        await self._creation.add(tx, [(actor, todo)], now)
        return todo
