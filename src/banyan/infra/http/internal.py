"""Internal operations: what services of one installation ask each other.

    POST /internal/{module}/{operation}   JSON in, JSON out; a service token in, a proof out

They are no part of the public API: the gateway does not route them from outside, and without a service token each
answers 401.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.types import Message, Receive

from banyan.infra.auth.service_tokens import PROOF_HEADER, TOKEN_HEADER, ServiceTokens
from banyan.infra.http.access import SERVICE_CALL, Service
from banyan.infra.http.client import header
from banyan.infra.http.problems import ProblemResponse
from banyan.infra.http.route import BanyanRoute
from banyan.infra.resilience import deadline
from banyan.kernel.errors import BanyanError


def internal_router(module: str, tokens: ServiceTokens) -> APIRouter:
    """A router whose operations only services may call, under `/internal/{module}`."""

    class InternalRoute(BanyanRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def handle_call(request: Request) -> Response:
                token, body = request.headers.get(TOKEN_HEADER), await request.body()
                call = tokens.verify(token, module, request.method, request.url.path, body)
                request.scope[SERVICE_CALL] = call
                seconds = deadline.from_header(header(request.scope["headers"], deadline.HEADER))
                try:
                    async with deadline.within(seconds):
                        answer = await handle(Request(request.scope, _again(body)))
                except BanyanError as error:
                    answer = ProblemResponse(error)
                answer.headers[PROOF_HEADER] = tokens.prove(call.id, answer.status_code, bytes(answer.body))
                return answer

            return handle_call

    return APIRouter(
        prefix=f"/internal/{module}",
        route_class=InternalRoute,
        dependencies=[Service],
        include_in_schema=False,
        redirect_slashes=False,
        strict_content_type=False,
    )


def _again(body: bytes) -> Receive:
    """A body that has been read, for whoever reads it next."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
