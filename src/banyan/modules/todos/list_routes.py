"""Lists over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Header, Path, Request, Response
from pydantic_core import to_json

from banyan.infra.http.access import Caller
from banyan.infra.http.conditional import IF_MATCH_PATTERN, expected_version
from banyan.infra.http.route import problems, router
from banyan.kernel.ids import is_id
from banyan.modules.todos.list_service import ListService
from banyan.modules.todos.model import ListNotFound, TodoList
from banyan.modules.todos.views import ListCreate, ListPatch, ListView

ListId = Annotated[str, Path(description="The list's id.", examples=["01890a5d-ac96-774b-bcce-b302099a8057"])]
IfMatch = Annotated[
    str | None,
    Header(
        description='The version you read, such as `"3"`: another one answers 412.',
        json_schema_extra={"pattern": IF_MATCH_PATTERN},
    ),
]


def list_router(service: ListService) -> APIRouter:
    api = router("lists")

    @api.get("/lists", summary="List lists", responses=problems(401))
    async def all_lists(caller: Caller) -> list[ListView]:
        """The caller's lists, the oldest first."""
        return [ListView.model_validate(found) for found in await service.all_of(caller.user_id)]

    @api.post(
        "/lists",
        summary="Create a list",
        status_code=201,
        response_model=ListView,
        responses={
            200: {"model": ListView, "description": "It exists already, by the id that you sent"},
            **problems(401, 413, 415),
        },
    )
    async def create_list(caller: Caller, request: Request, body: ListCreate) -> Response:
        created, is_new = await service.create(
            caller.user_id, caller.session_id, body.id, body.name, body.color
        )
        response = _answer(created, 201 if is_new else 200)
        response.headers["location"] = f"{request.scope['banyan.base_url']}/lists/{created['id']}"
        return response

    @api.get("/lists/{list_id}", summary="Read a list", response_model=ListView, responses=problems(401, 404))
    async def get_list(caller: Caller, list_id: ListId) -> Response:
        return _answer(await service.get(caller.user_id, _known(list_id)))

    @api.patch(
        "/lists/{list_id}",
        summary="Change a list",
        response_model=ListView,
        responses=problems(401, 404, 412, 413, 415),
    )
    async def patch_list(
        caller: Caller, list_id: ListId, changes: ListPatch, if_match: IfMatch = None
    ) -> Response:
        version = expected_version(if_match)
        changed = await service.change(
            caller.user_id, caller.session_id, _known(list_id), changes.wanted(), version
        )
        return _answer(changed)

    @api.delete("/lists/{list_id}", summary="Delete a list", status_code=204, responses=problems(401, 404))
    async def delete_list(caller: Caller, list_id: ListId) -> Response:
        """Its to-dos stay, in no list."""
        await service.delete(caller.user_id, caller.session_id, _known(list_id))
        return Response(status_code=204)

    return api


def _known(list_id: str) -> str:
    canonical = list_id.lower()
    if not is_id(canonical):
        raise ListNotFound(list_id=list_id)
    return canonical


def _answer(found: TodoList, status: int = 200) -> Response:
    return Response(
        to_json(found), status, media_type="application/json", headers={"etag": f'"{found["version"]}"'}
    )
