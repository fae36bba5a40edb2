"""The HTTP function: an event of API Gateway or of a function URL becomes a request, and the answer one result."""

from collections.abc import Callable
from typing import Any

from mangum import Mangum
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from banyan.aws_lambda.environment import MARGIN_SECONDS, Environment, seconds_left
from banyan.infra.http.client import base_url_of
from banyan.infra.http.every_answer import completed
from banyan.infra.http.problems import MEDIA_TYPE, Failure, problem
from banyan.infra.resilience.deadline import within
from banyan.infra.telemetry.log import get_logger
from banyan.kernel.errors import BanyanError, NotFound

log = get_logger(__name__)

# The others are sent as base64, which Lambda's callers turn back.
TEXTS = ["text/", "application/json", MEDIA_TYPE, "application/manifest+json"]
# Of the time in which to settle, for the way of the answer out of here.
ANSWER_SECONDS = 0.2


class NoLiveUpdates(NotFound):
    code = "live_updates_not_served"
    detail = (
        "This address serves no event streams or sockets: ask again for what you show, with `If-None-Match`."
    )


def http_function(environment: Environment) -> Callable[[Any, Any], dict[str, Any]]:
    """The handler. Opened by the environment, not by Mangum, whose lifespan would be one invocation long."""
    return Mangum(Invocations(environment, environment.asgi()), lifespan="off", text_mime_types=TEXTS)


class Invocations:
    """ASGI, one request in each invocation. Whatever goes wrong is answered as the API answers it.

    The deadline of the invocation is the request's: what is not answered in time is given up, with 503, while there is
    still time to say so.
    """

    def __init__(self, environment: Environment, app: ASGIApp) -> None:
        self._environment = environment
        self._app = app
        self._public_url = environment.application.infra.settings.public_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = scope["aws.context"]
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        try:
            async with within(seconds_left(context) - MARGIN_SECONDS):
                await self._environment.ready()
                _refuse_what_stays_open(scope)
                await self._app(scope, receive, keep)
        except BanyanError as error:
            log.warning("invocation_refused", error=error.code, path=scope["path"], method=scope["method"])
            answer = self._problem(scope, error)
        except Exception as error:
            log.error("invocation_failed", path=scope["path"], method=scope["method"], exc_info=error)
            answer = self._problem(scope, Failure())
        finally:
            await self._environment.settle(seconds_left(context) - ANSWER_SECONDS)
        for message in answer:
            await send(message)

    def _problem(self, scope: Scope, error: BanyanError) -> list[Message]:
        scope.setdefault("banyan.base_url", self._public_url or base_url_of(scope))
        status, headers, body = problem(error)
        return [
            {"type": "http.response.start", "status": status, "headers": completed(headers, scope)},
            {"type": "http.response.body", "body": body},
        ]


def _refuse_what_stays_open(scope: Scope) -> None:
    """An invocation has one answer, when all of it is there: a stream would be paid for until the time-out, and tell
    nothing. Services ask each other elsewhere."""
    path = scope["path"].rstrip("/")
    if path in ("/events", "/ws"):
        raise NoLiveUpdates()
    if path.startswith("/internal/"):
        raise NotFound()
