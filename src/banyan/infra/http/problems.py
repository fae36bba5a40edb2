"""Errors as answers: RFC 9457 `application/problem+json`, and the one table of statuses."""

import math
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response

from banyan.infra.telemetry.log import get_logger
from banyan.kernel import errors
from banyan.kernel.errors import BanyanError, FieldError, InvalidInput

log = get_logger(__name__)

MEDIA_TYPE = "application/problem+json"

STATUS: dict[type[BanyanError], int] = {
    errors.InvalidInput: 422,
    errors.MalformedRequest: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.NotAcceptable: 406,
    errors.Conflict: 409,
    errors.PreconditionFailed: 412,
    errors.TooLarge: 413,
    errors.UnsupportedMediaType: 415,
    errors.RateLimited: 429,
    errors.Unavailable: 503,
    errors.StorageFull: 507,
}

# What the framework itself raises, in our words.
FRAMEWORK_ERRORS: dict[int, type[BanyanError]] = {
    400: errors.MalformedRequest,
    401: errors.Unauthenticated,
    403: errors.Forbidden,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    406: errors.NotAcceptable,
    413: errors.TooLarge,
    415: errors.UnsupportedMediaType,
}


class Failure(BanyanError):
    """A bug of ours. It says nothing about itself to clients."""

    detail = "Something went wrong here; it has been logged under this X-Request-Id."


class FieldProblem(BaseModel):
    pointer: str = Field(
        examples=["/title"], description="JSON pointer into the body, or `query/…`, `header/…`, `path/…`."
    )
    detail: str = Field(examples=["String should have at least 1 character"])


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    code: str = Field(examples=["todo_not_found"], description="Stable; meant for programs.")
    detail: str = Field(examples=["To-do not found"], description="For people; says what to do.")
    errors: list[FieldProblem] | None = Field(None, description="Where the input is at fault.")


def status_of(error: BanyanError) -> int:
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return 500


def problem(error: BanyanError) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers and body of an error."""
    status = status_of(error)
    content: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": error.code,
        "detail": error.detail,
    }
    if isinstance(error, InvalidInput) and error.errors:
        content["errors"] = [{"pointer": fault.pointer, "detail": fault.detail} for fault in error.errors]
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"cache-control", b"no-store")]
    if isinstance(error, errors.RetryLater):
        headers.append((b"retry-after", str(max(1, math.ceil(error.retry_after_seconds))).encode()))
    if isinstance(error, errors.RateLimited) and "policy" in error.facts:
        # draft-ietf-httpapi-ratelimit-headers-10: what is limited, how many in how many seconds, and what is left.
        name, limit, window_seconds = error.facts["policy"]
        wait = max(1, math.ceil(error.retry_after_seconds))
        headers.append((b"ratelimit-policy", f'"{name}";q={limit};w={window_seconds}'.encode()))
        headers.append((b"ratelimit", f'"{name}";r=0;t={wait}'.encode()))
    if status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="banyan"'))
    if isinstance(error, errors.MethodNotAllowed) and "allow" in error.facts:
        headers.append((b"allow", error.facts["allow"].encode()))
    return status, headers, to_json(content, inf_nan_mode="null")


def from_validation(faults: list[Any], body: object = None) -> InvalidInput:
    """Our error for pydantic's: each fault with a pointer to its place in `body`."""
    return InvalidInput(
        errors=[FieldError(_pointer(_place_of(fault), body), fault["msg"]) for fault in faults[:50]]
    )


def from_pydantic(error: ValidationError, *, place: str = "body") -> InvalidInput:
    faults = error.errors(include_url=False, include_input=False)
    return from_validation([{**fault, "loc": (place, *fault["loc"])} for fault in faults])


def _place_of(fault: Any) -> tuple[int | str, ...]:
    """Where the fault is. Of a union whose member cannot be told pydantic names the whole; we name the field that tells it."""
    if fault["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return (*fault["loc"], fault["ctx"]["discriminator"].strip("'"))
    return fault["loc"]


def _pointer(place: tuple[int | str, ...], body: object = None) -> str:
    where, *path = place or ("body",)
    if where == "body" and body is not None:
        path = _without_tags(path, body)
    steps = "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)
    return steps or "/" if where == "body" else f"{where}{steps}"


def _without_tags(path: list[int | str], body: object) -> list[int | str]:
    """The steps that lead somewhere in `body`, and the last one: pydantic also names the member of a union."""
    steps: list[int | str] = []
    here: Any = body
    for step in path[:-1]:
        known: dict[Any, Any] = (
            here if isinstance(here, dict) else dict(enumerate(here)) if isinstance(here, list) else {}
        )
        if step in known:
            steps.append(step)
            here = known[step]
    return [*steps, *path[-1:]]


class ProblemResponse(Response):
    def __init__(self, error: BanyanError) -> None:
        status, headers, body = problem(error)
        super().__init__(body, status)
        self.raw_headers = [*headers, (b"content-length", str(len(body)).encode())]


def _allowed(app: FastAPI, request: Request) -> str:
    """The methods of all routes at this address; the framework knows those of the first one only.

    An address that is spelled out (`/todos/stats`) is not one of those with a parameter in its place (`/todos/{todo_id}`).
    """
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for route in app.routes:
        pattern = getattr(route, "path_regex", None)
        if pattern is not None and pattern.match(request.url.path):
            spelled_out = not getattr(route, "param_convertors", None)
            # A mounted folder of files names no methods.
            found[spelled_out] |= getattr(route, "methods", None) or {"GET"}
    methods = found[True] or found[False]
    if "GET" in methods:
        methods.add("HEAD")
    return ", ".join(sorted(methods))


def install_problem_handlers(app: FastAPI) -> None:
    """Let every error that reaches `app` leave it as a problem."""

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, BanyanError)
        request.scope["banyan.error"] = error  # the edge counts it
        return ProblemResponse(error)

    async def failed(_request: Request, _error: Exception) -> Response:
        # Starlette sends this and raises the error again, so that the edge logs it.
        return ProblemResponse(Failure())

    async def invalid(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return ProblemResponse(from_validation(list(error.errors()), error.body))

    async def framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if isinstance(error.__cause__, BanyanError):
            return ProblemResponse(error.__cause__)
        kind = FRAMEWORK_ERRORS.get(error.status_code, errors.MalformedRequest)
        facts = {"allow": _allowed(app, request)} if kind is errors.MethodNotAllowed else {}
        return ProblemResponse(kind(**facts))

    app.add_exception_handler(BanyanError, ours)
    app.add_exception_handler(Exception, failed)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, framework)
