"""Traces: which trace the present work belongs to (a W3C `traceparent`), and the spans that are recorded of it.

Whether a trace is recorded is decided once, where it begins, and travels in the `traceparent`. Of what is not recorded nothing
is made: `span` then costs a look at a context variable. Who writes spans is installed once in a process (otlp.py); without that
a `traceparent` is only passed along.
"""

import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Literal, Protocol

_current: ContextVar[str | None] = ContextVar("traceparent", default=None)
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z")

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Value = str | int | bool


class Span(Protocol):
    """Something that takes time, and is being recorded.

    traceparent: its own, for what belongs to it elsewhere.
    """

    @property
    def traceparent(self) -> str: ...

    def name(self, name: str) -> None: ...

    def note(self, attributes: Mapping[str, Value]) -> None: ...

    def failed(self, error_type: str) -> None:
        """It did not do what it should. error_type: a word for the reason, never a text that may quote what people wrote."""
        ...

    def end(self) -> None:
        """It is over. Called again it does nothing."""
        ...


class Tracer(Protocol):
    def start(
        self,
        name: str,
        kind: Kind,
        attributes: Mapping[str, Value],
        parent: str | None,
        *,
        seconds_ago: float = 0.0,
    ) -> Span:
        """Begin a span, or say that it began so long ago. parent: a valid `traceparent`, or None for the beginning of a trace.
        Any thread may call it."""
        ...


_tracer: Tracer | None = None
UNRECORDED: AbstractContextManager[None] = nullcontext()
"""In place of a span."""


@contextmanager
def installed(tracer: Tracer) -> Iterator[None]:
    """Spans are recorded inside, in the whole process."""
    global _tracer
    before, _tracer = _tracer, tracer
    try:
        yield
    finally:
        _tracer = before


def is_tracing() -> bool:
    """Whether this process records spans at all."""
    return _tracer is not None


def is_recording() -> bool:
    """Whether the present trace is recorded: to be asked where describing a span would cost something."""
    return _tracer is not None and is_recorded(_current.get())


def current_traceparent() -> str | None:
    return _current.get()


def outgoing_traceparent() -> str | None:
    """What another service is told. Where traces are recorded it is told so of work that belongs to none, too: otherwise it
    would decide anew, and record the half of a trace."""
    current = _current.get()
    if current is None and _tracer is not None:
        return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"
    return current


def continue_trace(traceparent: str | None) -> None:
    """Let what follows in this task belong to a caller's trace; anything that is no traceparent is ignored.

    Source: W3C Trace Context, section 3.2.
    """
    _current.set(valid_traceparent(traceparent))


def valid_traceparent(traceparent: str | None) -> str | None:
    """The same one; None when it is none."""
    is_valid = traceparent is not None and _TRACEPARENT.match(traceparent) is not None
    return traceparent if is_valid else None


def is_recorded(traceparent: str | None) -> bool:
    """traceparent: a valid one. Source: W3C Trace Context, section 3.2.2.5.1 (the flag `sampled`)."""
    return traceparent is not None and int(traceparent[-2:], 16) & 1 == 1


def span(
    name: str, kind: Kind = "internal", attributes: Mapping[str, Value] | None = None
) -> AbstractContextManager[Span | None]:
    """A span of the present trace for what happens inside; None inside when the trace is not recorded.

    What is raised inside marks it as failed, by the type of the error alone.
    """
    if _tracer is None or not is_recorded(_current.get()):
        return UNRECORDED
    return _recorded(_tracer, name, kind, attributes or {}, _current.get())


@contextmanager
def span_of(
    traceparent: str | None, name: str, kind: Kind, attributes: Mapping[str, Value] | None = None
) -> Iterator[Span | None]:
    """As `span`, for work that a message brought about: it belongs to the message's trace, recorded or not.

    What comes after it does not: whoever reads messages goes on in the same task.
    """
    before = _current.set(valid_traceparent(traceparent))
    try:
        with span(name, kind, attributes) as made:
            yield made
    finally:
        _current.reset(before)


def begin(
    name: str, kind: Kind, attributes: Mapping[str, Value], *, parent: str | None
) -> AbstractContextManager[Span | None]:
    """A span whose trace has been decided to be recorded. parent: None where the trace begins."""
    return UNRECORDED if _tracer is None else _recorded(_tracer, name, kind, attributes, parent)


def record_whole(name: str, kind: Kind, attributes: Mapping[str, Value], seconds: float) -> None:
    """A trace of one span that is over, and has taken so long; for work that was decided to be recorded."""
    if _tracer is not None:
        _tracer.start(name, kind, attributes, None, seconds_ago=seconds).end()


def started(traceparent: str | None, name: str, kind: Kind, attributes: Mapping[str, Value]) -> Span | None:
    """A span that whoever asks for it ends; None when `traceparent` is none that is recorded. The present trace stays."""
    if _tracer is None or not is_recorded(valid_traceparent(traceparent)):
        return None
    return _tracer.start(name, kind, attributes, traceparent)


@contextmanager
def _recorded(
    tracer: Tracer, name: str, kind: Kind, attributes: Mapping[str, Value], parent: str | None
) -> Iterator[Span]:
    made = tracer.start(name, kind, attributes, parent)
    before = _current.set(made.traceparent)
    try:
        yield made
    except BaseException as error:
        made.failed(type(error).__name__)
        raise
    finally:
        _current.reset(before)
        made.end()
