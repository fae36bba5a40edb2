"""Logs: one JSON object a line (or coloured lines on a terminal); a constant event name, facts as fields, no personal data."""

import logging
import sys
from typing import Any

import structlog

from banyan.infra.telemetry.trace import current_traceparent

# Without the values of local variables: they hold passwords, tokens and what people wrote.
_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False, max_frames=20)
)


def get_logger(name: str) -> Any:
    return structlog.get_logger(logger_name=name)


def configure_logging(level: str, *, as_json: bool) -> None:
    """Send everything to standard error, one event a line. level: a name such as `INFO`."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="@timestamp"),
        _add_trace,
    ]
    if as_json:
        final: list[Any] = [_TRACEBACKS, structlog.processors.JSONRenderer()]
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


class _ToStructlog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        log = get_logger(record.name)
        log.log(record.levelno, "library_message", message=record.getMessage(), exc_info=record.exc_info)


def _add_trace(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    traceparent = current_traceparent()
    if traceparent is not None:
        event["trace.id"] = traceparent[3:35]
    return event
