"""To-dos over HTTP."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response
from pydantic_core import to_json

from banyan.infra.db.idempotency import idempotent_request
from banyan.infra.http.access import Caller
from banyan.infra.http.conditional import IF_MATCH_PATTERN, expected_version, is_unchanged
from banyan.infra.http.hot import served_by
from banyan.infra.http.route import problems, router
from banyan.kernel.ids import is_id
from banyan.modules.todos import stats
from banyan.modules.todos.creation import Actor, entity_tag, shown
from banyan.modules.todos.hot_routes import HotTodos
from banyan.modules.todos.model import Todo, TodoNotFound
from banyan.modules.todos.service import Operation, TodoService
from banyan.modules.todos.views import (
    Batch,
    BatchAnswer,
    BatchCreate,
    BatchUpdate,
    HistoryEntry,
    Stats,
    TodoCreate,
    TodoDeleteQuery,
    TodoPatch,
    TodoPut,
    TodoQuery,
    TodoView,
)

TodoId = Annotated[
    str, Path(description="The to-do's id.", examples=["01890a5d-ac96-774b-bcce-b302099a8057"])
]
IfMatch = Annotated[
    str | None,
    Header(
        description='The version you read, such as `"3"`: another one answers 412.',
        json_schema_extra={"pattern": IF_MATCH_PATTERN},
    ),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description="A key of your own: sent again, it has one effect and one answer.",
    ),
]
IfNoneMatch = Annotated[
    str | None, Header(description="The `ETag` that you hold: 304 when it is still true.")
]

_ETAG = {"ETag": {"description": "Names this version.", "schema": {"type": "string"}}}
_LIST_HEADERS = {
    **_ETAG,
    "Link": {"description": 'The next page, `rel="next"`.', "schema": {"type": "string"}},
}
_CREATED_HEADERS = {
    **_ETAG,
    "Location": {"description": "Its address.", "schema": {"type": "string", "format": "uri"}},
}
_NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "What you hold is still true"}}


def todo_router(service: TodoService, hot: HotTodos, statistics: stats.Statistics) -> APIRouter:
    api = router("todos")

    @api.get(
        "/todos",
        summary="List to-dos",
        response_model=list[TodoView],
        responses={200: {"headers": _LIST_HEADERS}, **_NOT_MODIFIED, **problems(401)},
    )
    @served_by(hot.list_todos)
    async def list_todos(
        caller: Caller, query: Annotated[TodoQuery, Query()], if_none_match: IfNoneMatch = None
    ) -> None:
        """The caller's to-dos: first those without `order`, the newest first; then by `order`, smaller first.

        A page holds at most `limit`; the `Link` header leads to the next one.
        """

    @api.post(
        "/todos",
        summary="Create a to-do",
        status_code=201,
        response_model=TodoView,
        responses={
            200: {
                "model": TodoView,
                "description": "It exists already, by the id that you sent",
                "headers": _CREATED_HEADERS,
            },
            201: {"headers": _CREATED_HEADERS},
            **problems(401, 413, 415),
        },
    )
    @served_by(hot.create_todo)
    async def create_todo(caller: Caller, todo: TodoCreate, idempotency_key: IdempotencyKey = None) -> None:
        """A title is enough. Send your own `id`, or an `Idempotency-Key`, and a retry makes no second one."""

    @api.delete("/todos", summary="Delete many to-dos", status_code=204, responses=problems(401))
    async def delete_todos(
        caller: Caller,
        request: Request,
        query: Annotated[TodoDeleteQuery, Query()],
    ) -> Response:
        """Deletes all of the caller's to-dos, or all completed ones."""
        await service.delete_all(_actor(request, caller), completed=query.completed)
        return Response(status_code=204)

    @api.post(
        "/todos/batch",
        summary="Do many operations",
        response_model=BatchAnswer,
        responses=problems(401, 404, 412, 413, 415),
    )
    async def batch(
        caller: Caller, request: Request, body: Batch, idempotency_key: IdempotencyKey = None
    ) -> Response:
        """Up to 500 operations in order: all are done, or none."""
        idempotent = idempotent_request(
            caller.user_id, idempotency_key, "POST /todos/batch", await request.body()
        )
        answer = await service.batch(
            _actor(request, caller), [_operation(step) for step in body.operations], idempotent
        )
        return Response(answer.body, answer.status, media_type="application/json")

    @api.get("/todos/stats", summary="Count to-dos", responses=problems(401))
    async def todo_stats(caller: Caller) -> Stats:
        """Counted from the events, a moment after them."""
        return Stats.model_validate(await statistics.of(caller.user_id))

    @api.get(
        "/todos/{todo_id}",
        summary="Read a to-do",
        response_model=TodoView,
        responses={200: {"headers": _ETAG}, **_NOT_MODIFIED, **problems(401, 404)},
    )
    async def get_todo(
        caller: Caller, request: Request, todo_id: TodoId, if_none_match: IfNoneMatch = None
    ) -> Response:
        todo = await service.get(caller.user_id, _known(todo_id))
        tag = entity_tag(todo)
        if is_unchanged(if_none_match.encode("latin-1") if if_none_match else None, tag.encode()):
            return Response(status_code=304, headers={"etag": tag, "cache-control": "private, no-cache"})
        return _answer(todo, request)

    @api.patch(
        "/todos/{todo_id}",
        summary="Change some fields",
        response_model=TodoView,
        responses={200: {"headers": _ETAG}, **problems(401, 404, 412, 413, 415)},
    )
    async def patch_todo(
        caller: Caller, request: Request, todo_id: TodoId, changes: TodoPatch, if_match: IfMatch = None
    ) -> Response:
        """Fields that are not sent stay as they are; null clears one that may be empty."""
        wanted, version = changes.wanted(), expected_version(if_match)
        return _answer(
            await service.change(_actor(request, caller), _known(todo_id), wanted, version), request
        )

    @api.put(
        "/todos/{todo_id}",
        summary="Replace all fields",
        response_model=TodoView,
        responses={200: {"headers": _ETAG}, **problems(401, 404, 412, 413, 415)},
    )
    async def put_todo(
        caller: Caller, request: Request, todo_id: TodoId, todo: TodoPut, if_match: IfMatch = None
    ) -> Response:
        """Fields that are not sent get their defaults."""
        fields, version = todo.model_dump(exclude_unset=True), expected_version(if_match)
        return _answer(await service.put(_actor(request, caller), _known(todo_id), fields, version), request)

    @api.delete(
        "/todos/{todo_id}", summary="Delete a to-do", status_code=204, responses=problems(401, 404, 412)
    )
    async def delete_todo(
        caller: Caller, request: Request, todo_id: TodoId, if_match: IfMatch = None
    ) -> Response:
        await service.delete(_actor(request, caller), _known(todo_id), expected_version(if_match))
        return Response(status_code=204)

    @api.get("/todos/{todo_id}/history", summary="What happened to a to-do", responses=problems(401, 404))
    async def todo_history(
        caller: Caller,
        todo_id: TodoId,
        after: Annotated[int, Query(ge=0, le=2**53, description="Continue after this position.")] = 0,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> list[HistoryEntry]:
        """Its events, the oldest first; a deleted to-do keeps its history."""
        events = await service.history(caller.user_id, _known(todo_id), after=after, limit=limit)
        return [
            HistoryEntry(
                position=event.position, type=event.type, at=event.at, actor=event.actor, data=event.data
            )
            for event in events
        ]

    return api


def _actor(request: Request, caller: Caller) -> Actor:
    return Actor(caller.user_id, caller.session_id, request.scope["banyan.base_url"])


def _known(todo_id: str) -> str:
    """What is no id is nobody's id."""
    canonical = todo_id.lower()
    if not is_id(canonical):
        raise TodoNotFound(todo_id=todo_id)
    return canonical


def _answer(todo: Todo, request: Request) -> Response:
    headers = {"etag": entity_tag(todo), "cache-control": "private, no-cache"}
    body = to_json(shown(todo, request.scope["banyan.base_url"]))
    return Response(body, media_type="application/json", headers=headers)


def _operation(step: Any) -> Operation:
    if isinstance(step, BatchCreate):
        fields = step.todo.model_dump(exclude_unset=True)
        return Operation("create", fields.pop("id", None), fields)
    if isinstance(step, BatchUpdate):
        return Operation("update", step.id, step.changes.wanted(), step.version)
    return Operation("delete", step.id, expected_version=step.version)
