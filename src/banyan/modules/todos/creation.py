"""Creating to-dos: those that are wanted at the same moment, by whomever, are created together.

Where statements fold (PostgreSQL), one statement does it all, as if nothing stood in its way: most ids and idempotency keys
are new. When one is not, nothing is done, and the batch goes the longer way, which looks first.

    one statement ──(a row is there already)──▶ look up keys, ids and lists ─▶ events ─▶ rows ─▶ answers
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pydantic_core import to_json

from banyan.infra.db.coalescer import Coalescer
from banyan.infra.db.errors import UniqueViolation
from banyan.infra.db.idempotency import (
    IdempotencyKeyReused,
    IdempotentRequest,
    StoredAnswer,
    as_batch,
    find_answers,
    store_answers,
)
from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Database, Transaction, in_one_statement
from banyan.infra.streams.folded import commit_folded, prepared
from banyan.infra.streams.log import Append, EventLog
from banyan.infra.telemetry.trace import current_traceparent
from banyan.kernel.clock import Clock, now_text
from banyan.kernel.errors import FieldError
from banyan.kernel.events import Event, NewEvent
from banyan.kernel.ids import new_id
from banyan.modules.todos import list_store, store
from banyan.modules.todos.contract import TODO_CREATED
from banyan.modules.todos.model import ListUnknown, Todo, first_reminder, new_todo


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a user, in one of their sessions. base_url: where they see us, for the `url` of a to-do.

    trace: the request's, which a batch of many creations does not know.
    """

    user_id: str
    session_id: str
    base_url: str
    trace: str | None = field(default_factory=current_traceparent)


@dataclass(frozen=True, slots=True)
class CreateTodo:
    """todo_id: the client's own, or None. fields: writable fields, validated."""

    actor: Actor
    todo_id: str | None
    fields: dict[str, Any]
    idempotent: IdempotentRequest | None = None


Answer = StoredAnswer | ListUnknown | IdempotencyKeyReused
"""What one command is answered; an error is its own, and no other's of its batch."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Creations that share one statement: all that it stores, made before it, so that it may be repeated.

    ids: of the to-dos, whichever way they are created.
    """

    commands: Sequence[CreateTodo]
    ids: Sequence[str]
    events: Sequence[Event]
    rows: Sequence[store.NewRow]
    kept: str
    answers: Sequence[Answer]


class TodoCreation:
    def __init__(self, shards: Shards, log: EventLog, clock: Clock) -> None:
        self._shards = shards
        self._log = log
        self._clock = clock
        self._batches = {
            name: Coalescer[CreateTodo, StoredAnswer](
                self._creator_on(name), ahead=partial(_has_one_writer, shards.named(name))
            )
            for name in shards.names()
        }

    async def create(self, command: CreateTodo) -> StoredAnswer:
        """201 with the new to-do, or 200 when the client's id is a to-do already.

        Creations that arrive together share statements and a commit. Raises ListUnknown, IdempotencyKeyReused.
        """
        return await self._batches[self._shards.of(command.actor.user_id).name].submit(command)

    async def add(self, tx: Transaction, new: Sequence[tuple[Actor, Todo]], now: str) -> None:
        """Store new to-dos with their events. Raises UniqueViolation when one id comes twice: then each goes alone."""
        if not new:
            return
        positions = await self._log.append_many(tx, _created(new))
        rows = [
            (actor.user_id, position, first_reminder(todo, now), todo)
            for (actor, todo), position in zip(new, positions, strict=True)
        ]
        await store.insert_many(tx, rows)

    def _creator_on(self, shard: str) -> Callable[[Sequence[CreateTodo]], Awaitable[Sequence[Answer]]]:
        async def create_batch(commands: Sequence[CreateTodo]) -> Sequence[Answer]:
            database = self._shards.named(shard)
            if not database.folds:
                # Who is in the batch is settled when the writer takes it up: nobody looks at it before.
                return await database.transact(self._create_many, commands)
            ids = _ids_of(commands)
            if not any(command.fields.get("list_id") for command in commands):
                with suppress(UniqueViolation):
                    return await self._in_one_go(database, commands, ids)
            return await database.transact(self._create_many, commands, ids)

        return create_batch

    async def _in_one_go(
        self, database: Database, commands: Sequence[CreateTodo], ids: Sequence[str]
    ) -> Sequence[Answer]:
        """Create all. Raises UniqueViolation when an id or a key is there already; nothing is done then."""
        now = now_text(self._clock)
        new = [
            (command.actor, new_todo(todo_id, command.fields, now))
            for command, todo_id in zip(commands, ids, strict=True)
        ]
        events = prepared(self._log, _created(new))
        rows = [
            (actor.user_id, event.position, first_reminder(todo, now), todo)
            for (actor, todo), event in zip(new, events, strict=True)
        ]
        answers = [_answer(actor, todo, 201) for actor, todo in new]
        kept = [
            (command.idempotent, answer)
            for command, answer in zip(commands, answers, strict=True)
            if command.idempotent is not None
        ]
        batch = _Batch(commands, ids, events, rows, as_batch(kept, self._clock), answers)
        return await commit_folded(database, self._create_folded, batch, events) or answers

    @in_one_statement
    async def _create_folded(self, tx: Transaction, batch: _Batch) -> Sequence[Answer]:
        if not tx.folds:  # the database was exchanged a moment ago
            return await self._create_many(tx, batch.commands, batch.ids)
        await store.append_and_insert(tx, batch.events, batch.rows, batch.kept)
        return batch.answers

    async def _create_many(
        self, tx: Transaction, commands: Sequence[CreateTodo], ids: Sequence[str] | None = None
    ) -> Sequence[Answer]:
        ids = _ids_of(commands) if ids is None else ids
        answers: dict[int, Answer] = {}
        keyed = [
            (index, command.idempotent)
            for index, command in enumerate(commands)
            if command.idempotent is not None
        ]
        earlier = await find_answers(tx, [request for _, request in keyed])
        for (index, _), answer in zip(keyed, earlier, strict=True):
            if answer is not None:
                answers[index] = answer
        own = [
            (command.actor.user_id, command.todo_id) for command in commands if command.todo_id is not None
        ]
        existing = await store.find_many(tx, own) if own else {}
        now = now_text(self._clock)
        kept: list[tuple[IdempotentRequest, StoredAnswer]] = []
        new: list[tuple[Actor, Todo]] = []
        for index, (command, todo_id) in enumerate(zip(commands, ids, strict=True)):
            if index in answers:
                continue
            actor = command.actor
            known = existing.get((actor.user_id, todo_id))
            if known is None:
                try:
                    await check_list(tx, actor.user_id, command.fields)
                except ListUnknown as error:
                    answers[index] = error
                    continue
                todo = new_todo(todo_id, command.fields, now)
                new.append((actor, todo))
                answers[index] = answer = _answer(actor, todo, 201)
            else:
                answers[index] = answer = _answer(actor, known, 200)
            if command.idempotent is not None:
                kept.append((command.idempotent, answer))
        await self.add(tx, new, now)
        await store_answers(tx, kept, self._clock)
        return [answers[index] for index in range(len(commands))]


def _has_one_writer(database: Database) -> bool:
    return database.commits_in_order


def _ids_of(commands: Sequence[CreateTodo]) -> list[str]:
    return [command.todo_id or new_id() for command in commands]


async def check_list(tx: Transaction, user_id: str, fields: dict[str, Any]) -> None:
    """Raises ListUnknown when a to-do is to be in a list that its user does not have."""
    list_id = fields.get("list_id")
    if list_id is not None and await list_store.find(tx, user_id, list_id) is None:
        raise ListUnknown(errors=[FieldError("/list_id", "is not a list of yours")])


def entity_tag(todo: Todo) -> str:
    return f'"{todo["version"]}"'


def shown(todo: Todo, base_url: str) -> Todo:
    """A to-do as clients see it."""
    return {"id": todo["id"], "url": f"{base_url}/todos/{todo['id']}", **todo}


def _created(new: Sequence[tuple[Actor, Todo]]) -> list[Append]:
    return [
        Append(actor.user_id, [NewEvent(TODO_CREATED, todo["id"], todo)], actor.session_id, actor.trace)
        for actor, todo in new
    ]


def _answer(actor: Actor, todo: Todo, status: int) -> StoredAnswer:
    seen = shown(todo, actor.base_url)
    return StoredAnswer(status, to_json(seen), seen["url"], entity_tag(todo))
