"""Notifications over HTTP."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response
from pydantic import BeforeValidator

from banyan.infra.db.idempotency import idempotent_request
from banyan.infra.http.access import Caller
from banyan.infra.http.hot import served_by
from banyan.infra.http.query import true_or_false
from banyan.infra.http.route import problems, router
from banyan.modules.notifications.contract import NewNotification
from banyan.modules.notifications.headers import IdempotencyKey
from banyan.modules.notifications.hot_routes import HotNotifications
from banyan.modules.notifications.model import Delivery
from banyan.modules.notifications.service import NotificationService
from banyan.modules.notifications.views import (
    DeliveryView,
    InboxQuery,
    NotificationPatch,
    NotificationView,
    Sent,
    UnreadCount,
    Updated,
    notify_body,
)
from banyan.modules.users.contract import UserNotFound

UserId = Annotated[str, Path(description="Whom to tell.", examples=["01890a5d-ac96-774b-bcce-b302099a8057"])]
NotificationId = Annotated[
    str, Path(description="The notification's id.", examples=["01890a5d-ac96-774b-bcce-b302099a8057"])
]
IfNoneMatch = Annotated[
    str | None, Header(description="The `ETag` that you hold: 304 when it is still true.")
]
OnlyRead = Annotated[
    bool | None,
    BeforeValidator(true_or_false),
    Query(description="`true`: only those that are read; `false`: only those that are not."),
]

_ETAG = {"ETag": {"description": "Names this state.", "schema": {"type": "string"}}}
_LIST_HEADERS = {
    **_ETAG,
    "Link": {"description": 'The next page, `rel="next"`.', "schema": {"type": "string"}},
}
_NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "What you hold is still true"}}


def notification_router(service: NotificationService, hot: HotNotifications) -> APIRouter:
    api = router("notifications")
    NotifyBody = notify_body(service.channel_names)  # noqa: N806 - a class

    @api.post(
        "/notify/{user_id}",
        summary="Notify a user",
        status_code=202,
        response_model=Sent,
        responses=problems(401, 404, 413, 415),
    )
    async def notify(
        request: Request,
        user_id: UserId,
        caller: Caller,
        new: NotifyBody,  # type: ignore[valid-type]
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Put a notification into an inbox: your own, or anybody's with the scope `notify`. Answered once it is durable."""
        user_id = user_id.lower()
        if user_id != caller.user_id:
            # Whoever may not tell others learns nothing of who exists either.
            if not caller.has_scope("notify"):
                raise UserNotFound(user_id=user_id)
            await service.require_user(user_id)
        body = await request.body()
        idempotency = idempotent_request(caller.user_id, idempotency_key, f"POST /notify/{user_id}", body)
        notification = NewNotification("message", new.message, new.title, new.data, tuple(new.channels))
        answer = await service.send(user_id, notification, actor=caller.session_id, idempotency=idempotency)
        return Response(answer.body, answer.status, media_type="application/json")

    @api.get(
        "/notifications",
        summary="List notifications",
        response_model=list[NotificationView],
        responses={200: {"headers": _LIST_HEADERS}, **_NOT_MODIFIED, **problems(401)},
    )
    @served_by(hot.list_notifications)
    async def list_notifications(
        caller: Caller, query: Annotated[InboxQuery, Query()], if_none_match: IfNoneMatch = None
    ) -> None:
        """The caller's inbox, newest first. A page holds at most `limit`; the `Link` header leads to the next one."""

    @api.get(
        "/notifications/unread_count",
        summary="Count what is unread",
        response_model=UnreadCount,
        responses={200: {"headers": _ETAG}, **_NOT_MODIFIED, **problems(401)},
    )
    @served_by(hot.unread_count)
    async def unread_count(caller: Caller, if_none_match: IfNoneMatch = None) -> None:
        """How many notifications the caller has not read."""

    @api.post("/notifications/read-all", summary="Mark all as read", responses=problems(401))
    async def read_all(caller: Caller) -> Updated:
        """Marks everything as read that is in the inbox now."""
        return Updated(updated=await service.read_all(caller.user_id, actor=caller.session_id))

    @api.delete("/notifications", summary="Empty the inbox", status_code=204, responses=problems(401))
    async def delete_all(caller: Caller, read: OnlyRead = None) -> Response:
        """Deletes everything that is in the inbox now, or what is read of it."""
        await service.delete_all(caller.user_id, read=read, actor=caller.session_id)
        return Response(status_code=204)

    @api.get(
        "/notifications/{notification_id}",
        summary="One notification",
        response_model=NotificationView,
        responses=problems(401, 404),
    )
    async def get_notification(notification_id: NotificationId, caller: Caller) -> dict[str, Any]:
        return (await service.get(caller.user_id, notification_id.lower())).as_view()

    @api.patch(
        "/notifications/{notification_id}",
        summary="Mark as read or unread",
        response_model=NotificationView,
        responses=problems(401, 404, 413, 415),
    )
    async def patch_notification(
        notification_id: NotificationId, caller: Caller, patch: NotificationPatch
    ) -> dict[str, Any]:
        """Repeating it changes nothing: the first `read_at` stays."""
        changed = await service.set_read(
            caller.user_id, notification_id.lower(), read=patch.read, actor=caller.session_id
        )
        return changed.as_view()

    @api.delete(
        "/notifications/{notification_id}",
        summary="Delete a notification",
        status_code=204,
        responses=problems(401, 404),
    )
    async def delete_notification(notification_id: NotificationId, caller: Caller) -> Response:
        await service.delete(caller.user_id, notification_id.lower(), actor=caller.session_id)
        return Response(status_code=204)

    @api.get(
        "/notifications/{notification_id}/deliveries",
        summary="The delivery ledger of a notification",
        responses=problems(401, 404),
    )
    async def list_deliveries(notification_id: NotificationId, caller: Caller) -> list[DeliveryView]:
        """Each channel that it goes through: how far it is, how often it was tried, and what went wrong."""
        return [
            _shown(delivery) for delivery in await service.deliveries(caller.user_id, notification_id.lower())
        ]

    return api


def _shown(delivery: Delivery) -> DeliveryView:
    return DeliveryView(
        id=delivery.id,
        channel=delivery.channel,
        status=delivery.status.value,
        attempt=delivery.attempt,
        at=delivery.at,
        error=delivery.error,
        channel_id=delivery.channel_id,
    )
