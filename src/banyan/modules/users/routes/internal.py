"""What other services ask of users: the contract, over HTTP."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from banyan.infra.auth.service_tokens import ServiceTokens
from banyan.infra.http.fields import Body, IdText, InstantText, Text
from banyan.infra.http.internal import internal_router
from banyan.modules.users.contract import Users

MOST_IDS = 1000


class Existing(Body):
    user_ids: Annotated[list[Text], Field(max_length=MOST_IDS)]


class WhoseAddress(Body):
    user_id: IdText


class Address(BaseModel):
    address: dict[str, str] | None


class Ticket(Body):
    ticket: Text


class News(Body):
    since: InstantText | None
    seen: Text | None


class UserIds(BaseModel):
    user_ids: list[str]


class TicketHolder(BaseModel):
    user_id: str
    session_id: str
    scopes: list[str]
    role: str
    expires_at: int


class SessionNewsView(BaseModel):
    keys: dict[str, Any]
    ended: list[dict[str, str]]
    upto: str
    edition: str


def internal_users_router(users: Users, tokens: ServiceTokens) -> APIRouter:
    api = internal_router("users", tokens)

    @api.post("/existing")
    async def existing(asked: Existing) -> UserIds:
        return UserIds(user_ids=sorted(await users.existing(asked.user_ids)))

    @api.post("/mail-address")
    async def mail_address(asked: WhoseAddress) -> Address:
        found = await users.mail_address(asked.user_id)
        return Address(address=None if found is None else asdict(found))

    @api.post("/redeem-ticket")
    async def redeem_ticket(asked: Ticket) -> TicketHolder:
        principal = await users.redeem_ticket(asked.ticket)
        return TicketHolder(**{**asdict(principal), "scopes": sorted(principal.scopes)})

    @api.post("/session-news")
    async def session_news(asked: News) -> SessionNewsView:
        news = await users.session_news(asked.since, seen=asked.seen)
        return SessionNewsView(
            keys=news.keys,
            ended=[asdict(ended) for ended in news.ended],
            upto=news.upto,
            edition=news.edition,
        )

    return api
