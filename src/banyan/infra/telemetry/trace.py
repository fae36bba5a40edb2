"""The trace that the present work belongs to, as a W3C `traceparent`."""

import re
from contextvars import ContextVar

_current: ContextVar[str | None] = ContextVar("traceparent", default=None)
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z")


def current_traceparent() -> str | None:
    return _current.get()


def continue_trace(traceparent: str | None) -> None:
    """Let what follows in this task belong to a caller's trace; anything that is no traceparent is ignored.

    Source: W3C Trace Context, section 3.2.
    """
    valid = traceparent is not None and _TRACEPARENT.match(traceparent) is not None
    _current.set(traceparent if valid else None)
