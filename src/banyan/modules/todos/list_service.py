"""Use cases of lists."""

from typing import Any

from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Transaction
from banyan.infra.streams.log import EventLog
from banyan.kernel.clock import Clock, now_text
from banyan.kernel.events import NewEvent
from banyan.kernel.ids import new_id
from banyan.modules.todos import list_store, store
from banyan.modules.todos.contract import LIST_CHANGED, LIST_CREATED, LIST_DELETED, TODO_CHANGED
from banyan.modules.todos.model import ListNotFound, TodoList, VersionMismatch, changes_of


class ListService:
    def __init__(self, shards: Shards, log: EventLog, clock: Clock) -> None:
        self._shards = shards
        self._log = log
        self._clock = clock

    async def all_of(self, user_id: str) -> list[TodoList]:
        """A user's lists, the oldest first."""
        return await self._shards.read(user_id, list_store.all_of, user_id)

    async def get(self, user_id: str, list_id: str) -> TodoList:
        """Raises ListNotFound."""
        found = await self._shards.read(user_id, list_store.find, user_id, list_id)
        if found is None:
            raise ListNotFound(list_id=list_id)
        return found

    async def create(
        self, user_id: str, session_id: str, list_id: str | None, name: str, color: str | None
    ) -> tuple[TodoList, bool]:
        """The list, and whether it is new: a client's id that exists already is that list."""
        return await self._shards.transact(user_id, self._create, user_id, session_id, list_id, name, color)

    async def change(
        self,
        user_id: str,
        session_id: str,
        list_id: str,
        wanted: dict[str, Any],
        expected_version: int | None,
    ) -> TodoList:
        """Raises ListNotFound, VersionMismatch."""
        return await self._shards.transact(
            user_id, self._change, user_id, session_id, list_id, wanted, expected_version
        )

    async def delete(self, user_id: str, session_id: str, list_id: str) -> None:
        """Delete a list; its to-dos stay, in no list. Raises ListNotFound."""
        await self._shards.transact(user_id, self._delete, user_id, session_id, list_id)

    async def _create(
        self,
        tx: Transaction,
        user_id: str,
        session_id: str,
        list_id: str | None,
        name: str,
        color: str | None,
    ) -> tuple[TodoList, bool]:
        if list_id is not None:
            known = await list_store.find(tx, user_id, list_id)
            if known is not None:
                return known, False
        now = now_text(self._clock)
        new: TodoList = {
            "id": list_id or new_id(),
            "name": name,
            "color": color,
            "created_at": now,
            "updated_at": now,
            "version": 1,
        }
        await list_store.add(tx, user_id, new)
        await self._log.append(tx, user_id, [NewEvent(LIST_CREATED, new["id"], new)], actor=session_id)
        return new, True

    async def _change(
        self,
        tx: Transaction,
        user_id: str,
        session_id: str,
        list_id: str,
        wanted: dict[str, Any],
        expected_version: int | None,
    ) -> TodoList:
        before = await list_store.find(tx, user_id, list_id)
        if before is None:
            raise ListNotFound(list_id=list_id)
        if expected_version is not None and expected_version != before["version"]:
            raise VersionMismatch(
                "The list has changed since you read it: read it again, then repeat your change."
            )
        changes = changes_of(before, wanted, now_text(self._clock))
        if not changes:
            return before
        after = {**before, **changes}
        await list_store.replace(tx, user_id, after)
        await self._log.append(tx, user_id, [NewEvent(LIST_CHANGED, list_id, changes)], actor=session_id)
        return after

    async def _delete(self, tx: Transaction, user_id: str, session_id: str, list_id: str) -> None:
        if await list_store.find(tx, user_id, list_id) is None:
            raise ListNotFound(list_id=list_id)
        now = now_text(self._clock)
        events = []
        members = await store.ids_in_list(tx, user_id, list_id)
        for (_, todo_id), todo in (
            await store.find_many(tx, [(user_id, member) for member in members])
        ).items():
            changes = changes_of(todo, {"list_id": None}, now)
            await store.leave_list(tx, user_id, {**todo, **changes})
            events.append(NewEvent(TODO_CHANGED, todo_id, changes))
        await list_store.remove(tx, user_id, list_id)
        await self._log.append(tx, user_id, [*events, NewEvent(LIST_DELETED, list_id)], actor=session_id)
