"""Logs: one JSON object a line (or coloured lines on a terminal); a constant event name, facts as fields, no personal data.

JSON has the field names of the Elastic Common Schema, so that Elasticsearch, and whatever else knows them, needs no mapping.
"""

import logging
import os
import sys
import traceback
from typing import Any

import structlog

from banyan import __version__
from banyan.infra.telemetry.trace import current_traceparent
from banyan.kernel.errors import BanyanError

ECS_VERSION = "8.17.0"
# The facts that ECS has a field for; all others go below `banyan`, where they are in nobody's way.
ECS_FIELDS = {
    "error": "error.type",
    "level": "log.level",
    "logger_name": "log.logger",
    "method": "http.request.method",
    "path": "url.path",
    "pid": "process.pid",
    "request_id": "http.request.id",
    "url": "url.full",
    "user_id": "user.id",
}
MOST_FRAMES = 20


def get_logger(name: str) -> Any:
    return structlog.get_logger(logger_name=name)


def configure_logging(level: str, *, as_json: bool, service: str = "banyan") -> None:
    """Send everything to standard error, one event a line. level: a name such as `INFO`. service: who says it, in JSON."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="@timestamp"),
        _add_trace,
    ]
    if as_json:
        final: list[Any] = [_Ecs(service), structlog.processors.JSONRenderer(default=str)]
    else:
        plain = structlog.dev.plain_traceback
        final = [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), timestamp_key="@timestamp", exception_formatter=plain
            )
        ]
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, *final],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Libraries speak through the standard library: their warnings come out in the same form.
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[_ToStructlog()], force=True)
    # It says ten times a second that a broker is away; those who use it say it once.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


class _Ecs:
    """Gives an event the field names of ECS. Its own name is `event.action`; `message` says the same in words."""

    def __init__(self, service: str) -> None:
        self._service = service

    def __call__(self, _logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        name = event.pop("event")
        line = {
            "@timestamp": event.pop("@timestamp"),
            "log.level": event.pop("level"),
            # What a library says is a text of its own.
            "message": event.pop("message", None) or name.replace("_", " "),
            "event.action": name,
            "ecs.version": ECS_VERSION,
            "service.name": self._service,
            "service.version": __version__,
            "process.pid": os.getpid(),
        }
        error = _error_of(event.pop("exc_info", None))
        for fact, value in event.items():
            is_ecs = "." in fact
            line[fact if is_ecs else ECS_FIELDS.get(fact, f"banyan.{fact}")] = value
        return line if error is None else line | _told(error)


def _error_of(exc_info: Any) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1]
    return sys.exc_info()[1] if exc_info else None


def _told(error: BaseException) -> dict[str, Any]:
    """What may be said of an error. Its text often quotes what it stumbled over (an address, a title), so that of most errors
    only the type and the places are told, and never the values of local variables."""
    told: dict[str, Any] = {"error.type": type(error).__name__, "error.stack_trace": _stack_trace(error)}
    if isinstance(error, BanyanError):
        told["error.message"] = type(error).detail
    elif isinstance(error, OSError) and error.errno is not None:
        told["error.message"] = os.strerror(error.errno)
    return told


def _stack_trace(error: BaseException) -> str:
    """As Python prints it, the innermost frames of each error, without the errors' texts."""
    parts: list[str] = []
    told: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in told:
        told.add(id(at))
        frames = traceback.extract_tb(at.__traceback__)[-MOST_FRAMES:]
        parts.append("".join([*traceback.format_list(frames), type(at).__name__]))
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
    return "\ncaused by:\n".join(parts)


class _ToStructlog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        log = get_logger(record.name)
        log.log(record.levelno, "library_message", message=record.getMessage(), exc_info=record.exc_info)


def _add_trace(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    traceparent = current_traceparent()
    if traceparent is not None:
        event["trace.id"] = traceparent[3:35]
        event["span.id"] = traceparent[36:52]
    return event
