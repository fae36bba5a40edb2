"""Channels that people set up, over HTTP."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Request, Response
from pydantic_core import to_json

from banyan.infra.db.idempotency import IdempotentRequest, StoredAnswer, idempotent_request
from banyan.infra.http.access import Caller
from banyan.infra.http.conditional import expected_version
from banyan.infra.http.route import problems, router
from banyan.kernel.ids import is_id
from banyan.modules.notifications.channel_model import ChannelNotFound
from banyan.modules.notifications.channel_service import ChannelService, Shown
from banyan.modules.notifications.channel_views import (
    NEW_CHANNEL_EXAMPLES,
    ChannelPatch,
    ChannelView,
    ChannelWithSecret,
    NewChannel,
)
from banyan.modules.notifications.headers import IdempotencyKey, IfMatch
from banyan.modules.notifications.views import Sent

ChannelId = Annotated[
    str, Path(description="The channel's id.", examples=["01890a5d-ac96-774b-bcce-b302099a8057"])
]
_ETAG = {"ETag": {"description": "Names this version.", "schema": {"type": "string"}}}
_CREATED_HEADERS = {
    **_ETAG,
    "Location": {"description": "Its address.", "schema": {"type": "string", "format": "uri"}},
}
_ONE: dict[int | str, dict[str, Any]] = {200: {"headers": _ETAG}}


def channel_router(service: ChannelService) -> APIRouter:
    api = router("notification channels")

    @api.get("/notifications/channels", summary="List your channels", responses=problems(401))
    async def list_channels(caller: Caller) -> list[ChannelView]:
        """Where your notifications go besides the inbox, the oldest first."""
        return [ChannelView.model_validate(shown.as_view()) for shown in await service.all_of(caller.user_id)]

    @api.post(
        "/notifications/channels",
        summary="Add a channel",
        status_code=201,
        response_model=ChannelWithSecret,
        responses={201: {"headers": _CREATED_HEADERS}, **problems(401, 409, 413, 415)},
    )
    async def create_channel(
        caller: Caller,
        request: Request,
        new: Annotated[NewChannel, Body(openapi_examples=NEW_CHANNEL_EXAMPLES)],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """A webhook's secret is in this answer and in no other. At most 10 channels, one of them by e-mail."""
        answer = await service.create(
            caller.user_id,
            caller.session_id,
            kind=new.kind,
            name=new.name,
            url=getattr(new, "url", None),
            idempotency=await _idempotent(request, caller.user_id, idempotency_key),
        )
        response = _answer(answer)
        made = ChannelWithSecret.model_validate_json(answer.body)
        response.headers["location"] = f"{request.scope['banyan.base_url']}/notifications/channels/{made.id}"
        return response

    @api.get(
        "/notifications/channels/{channel_id}",
        summary="Read a channel",
        response_model=ChannelView,
        responses={**_ONE, **problems(401, 404)},
    )
    async def get_channel(caller: Caller, channel_id: ChannelId) -> Response:
        return _shown(await service.get(caller.user_id, _known(channel_id)))

    @api.patch(
        "/notifications/channels/{channel_id}",
        summary="Change a channel",
        response_model=ChannelView,
        responses={**_ONE, **problems(401, 404, 412, 413, 415)},
    )
    async def patch_channel(
        caller: Caller, channel_id: ChannelId, changes: ChannelPatch, if_match: IfMatch = None
    ) -> Response:
        """Another URL keeps the secret."""
        version = expected_version(if_match)
        changed = await service.change(
            caller.user_id, caller.session_id, _known(channel_id), changes.wanted(), version
        )
        return _shown(changed)

    @api.delete(
        "/notifications/channels/{channel_id}",
        summary="Delete a channel",
        status_code=204,
        responses=problems(401, 404),
    )
    async def delete_channel(caller: Caller, channel_id: ChannelId) -> Response:
        """What still waits to go through it is not sent."""
        await service.delete(caller.user_id, caller.session_id, _known(channel_id))
        return Response(status_code=204)

    @api.post(
        "/notifications/channels/{channel_id}/secret",
        summary="Give a webhook another secret",
        response_model=ChannelWithSecret,
        responses={**_ONE, **problems(401, 404, 409)},
    )
    async def rotate_secret(
        caller: Caller, request: Request, channel_id: ChannelId, idempotency_key: IdempotencyKey = None
    ) -> Response:
        """For 24 hours messages are signed with the former secret as well, so that none is lost while you change over."""
        known = _known(channel_id)
        idempotency = await _idempotent(request, caller.user_id, idempotency_key)
        return _answer(await service.rotate_secret(caller.user_id, caller.session_id, known, idempotency))

    @api.post(
        "/notifications/channels/{channel_id}/test",
        summary="Send a test message",
        status_code=202,
        response_model=Sent,
        responses=problems(401, 404, 409),
    )
    async def test_channel(
        caller: Caller, request: Request, channel_id: ChannelId, idempotency_key: IdempotencyKey = None
    ) -> Response:
        """A real notification, through this channel alone; what becomes of it is told by its deliveries."""
        known = _known(channel_id)
        idempotency = await _idempotent(request, caller.user_id, idempotency_key)
        return _answer(await service.test(caller.user_id, caller.session_id, known, idempotency))

    return api


async def _idempotent(request: Request, user_id: str, key: str | None) -> IdempotentRequest | None:
    operation = f"{request.method} {request.url.path.rstrip('/').lower()}"
    return idempotent_request(user_id, key, operation, await request.body())


def _known(channel_id: str) -> str:
    canonical = channel_id.lower()
    if not is_id(canonical):
        raise ChannelNotFound(channel_id=channel_id)
    return canonical


def _shown(shown: Shown) -> Response:
    return _answer(StoredAnswer(200, to_json(shown.as_view()), etag=shown.etag))


def _answer(answer: StoredAnswer) -> Response:
    headers = {} if answer.etag is None else {"etag": answer.etag}
    return Response(answer.body, answer.status, media_type="application/json", headers=headers)
