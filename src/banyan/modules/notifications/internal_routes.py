"""What workers ask of notifications: the contract's deliveries, over HTTP."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from banyan.infra.auth.service_tokens import ServiceTokens
from banyan.infra.http.fields import Body, IdText, Text, Whole
from banyan.infra.http.internal import internal_router
from banyan.modules.notifications.contract import Deliveries, Outcome


class Attempt(Body):
    user_id: IdText
    notification_id: IdText
    delivery_id: IdText
    attempt: Annotated[Whole, Field(ge=0)]


class Settlement(Attempt):
    outcome: Outcome
    error: Annotated[Text, Field(max_length=200)] | None = None


class Begun(BaseModel):
    begun: dict[str, Any] | None


class Settled(BaseModel):
    settled: bool


def internal_deliveries_router(deliveries: Deliveries, tokens: ServiceTokens) -> APIRouter:
    api = internal_router("notifications", tokens)

    @api.post("/begin-delivery")
    async def begin_delivery(asked: Attempt) -> Begun:
        begun = await deliveries.begin_delivery(
            asked.user_id, asked.notification_id, asked.delivery_id, attempt=asked.attempt
        )
        return Begun(begun=None if begun is None else asdict(begun))

    @api.post("/settle-delivery")
    async def settle_delivery(asked: Settlement) -> Settled:
        return Settled(
            settled=await deliveries.settle_delivery(
                asked.user_id,
                asked.notification_id,
                asked.delivery_id,
                attempt=asked.attempt,
                outcome=asked.outcome,
                error=asked.error,
            )
        )

    return api
