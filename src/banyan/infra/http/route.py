"""Banyan's routes: strict JSON, no redirect for a slash, lean where a lean handler exists."""

import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request
from fastapi.params import Form
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from banyan.infra.http.hot import Answer, HotRequest, Stream, lean_handler_of
from banyan.infra.http.json_body import read_json, require_json
from banyan.infra.http.problems import Problem


class StrictRequest(Request):
    async def json(self) -> Any:
        return read_json(await self.body())


class BanyanRoute(APIRoute):
    """A path operation that answers with and without its trailing slash, and reads JSON strictly."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        pattern = self.path_regex.pattern.removesuffix("$").removesuffix("/")
        self.path_regex = re.compile(pattern + "/?$")

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        lean = lean_handler_of(self.endpoint)
        if lean is not None:

            async def handle_lean(request: Request) -> Response:
                principal = await request.scope["banyan.gate"].admit(request.headers.get("authorization"))
                answer = await lean(HotRequest(request.scope, request.receive, principal))
                if answer.stream is not None:
                    return _Streamed(answer, answer.stream)
                response = Response(answer.body, answer.status)
                response.raw_headers = list(answer.headers)
                if answer.status != 304:
                    response.raw_headers.append((b"content-length", b"%d" % len(answer.body)))
                return response

            return handle_lean
        ordinary = super().get_route_handler()
        takes_json = self.body_field is not None and not isinstance(self.body_field.field_info, Form)

        async def handle(request: Request) -> Response:
            strict = StrictRequest(request.scope, request.receive)
            if takes_json:
                content_type = request.headers.get("content-type")
                require_json(content_type.encode("latin-1") if content_type else None)
            return await ordinary(strict)

        return handle


class _Streamed(Response):
    """A stream, as a response of the framework."""

    def __init__(self, answer: Answer, stream: Stream) -> None:
        super().__init__(status_code=answer.status)
        self.raw_headers = list(answer.headers)
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        await self._stream.serve(head, receive, send)


def router(tag: str) -> APIRouter:
    """A router of Banyan's routes."""
    # Not FastAPI's strict content type: a body that says nothing is JSON to us (json_body.py), one that lies is refused.
    return APIRouter(route_class=BanyanRoute, tags=[tag], redirect_slashes=False, strict_content_type=False)


_DESCRIPTIONS = {
    400: "The request could not be read",
    401: "No valid access token",
    403: "Not allowed",
    404: "Not found, or not yours",
    405: "The address does not answer this method",
    409: "It contradicts what is stored",
    412: "It has changed since you read it",
    413: "The body is too large",
    415: "The body is of another type than JSON",
    422: "Some fields cannot be accepted; `errors` says which",
    429: "Too many requests; `Retry-After` says when to come again",
    503: "A part does not answer; `Retry-After` says when to come again",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of an operation, for its documentation."""
    return {
        status: {
            "description": _DESCRIPTIONS[status],
            "model": Problem,
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in sorted({*statuses, 400, 422, 429, 503})
    }
