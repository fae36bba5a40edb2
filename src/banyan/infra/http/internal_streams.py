"""A module's streams between services: what the live hub of another process reads."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from banyan.infra.auth.service_tokens import ServiceTokens
from banyan.infra.http.fields import Body, IdText, Whole
from banyan.infra.http.internal import internal_router
from banyan.infra.streams.sources import StreamSource
from banyan.kernel.events import Event

if TYPE_CHECKING:
    from banyan.infra.services.client import ServiceClient

MOST_EVENTS = 1000


class PositionOf(Body):
    user_id: IdText


class ReadPast(Body):
    user_id: IdText
    after: Annotated[Whole, Field(ge=0)]
    limit: Annotated[Whole, Field(ge=1, le=MOST_EVENTS)]


class StreamPosition(BaseModel):
    position: int


class StreamEvents(BaseModel):
    events: list[dict[str, Any]]


def stream_router(module: str, stream: StreamSource, tokens: ServiceTokens) -> APIRouter:
    api = internal_router(module, tokens)

    @api.post("/stream/position")
    async def position(asked: PositionOf) -> StreamPosition:
        return StreamPosition(position=await stream.position(asked.user_id))

    @api.post("/stream/read")
    async def read(asked: ReadPast) -> StreamEvents:
        events = await stream.read(asked.user_id, after=asked.after, limit=asked.limit)
        return StreamEvents(events=[asdict(event) for event in events])

    return api


class RemoteStream:
    """StreamSource of a module that another service serves."""

    def __init__(self, client: "ServiceClient") -> None:
        self._client = client

    async def position(self, user_id: str) -> int:
        return (await self._client.ask("stream/position", {"user_id": user_id}))["position"]

    async def read(self, user_id: str, *, after: int, limit: int) -> Sequence[Event]:
        asked = {"user_id": user_id, "after": after, "limit": min(limit, MOST_EVENTS)}
        return [Event(**event) for event in (await self._client.ask("stream/read", asked))["events"]]
