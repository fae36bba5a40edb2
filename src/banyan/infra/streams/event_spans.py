"""The spans of events on their way: published by the relay, processed by a consumer.

An event carries the trace of the request that brought it about. The relay hands it on with its own span in place of the
request's, so that a trace shows the way in its order: request, published, processed, and what came of it.

Source of names: OpenTelemetry semantic conventions, messaging spans.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

from banyan.infra.telemetry.trace import Kind, Span, Value, is_tracing, span_of, started
from banyan.kernel.events import Event


@contextmanager
def publishing(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    """The events as they are to be published; those whose trace is recorded get a span until the end."""
    if not is_tracing():
        yield events
        return
    told, spans = _begun(events, "send", "producer")
    with _ending(spans):
        yield told


def processing(event: Event, consumer: str) -> AbstractContextManager[Span | None]:
    """What happens inside belongs to the event's trace."""
    return span_of(event.trace, f"process {event.stream}", "consumer", _facts(event, "process", consumer))


@contextmanager
def processing_many(events: Sequence[Event], consumer: str) -> Iterator[None]:
    """As `processing`, for events that are applied together: what happens inside belongs to none of them."""
    if not is_tracing():
        yield
        return
    _, spans = _begun(events, "process", "consumer", consumer)
    with _ending(spans):
        yield


def _begun(
    events: Sequence[Event], operation: str, kind: Kind, consumer: str | None = None
) -> tuple[list[Event], list[Span]]:
    told: list[Event] = []
    spans: list[Span] = []
    for event in events:
        made = started(event.trace, f"{operation} {event.stream}", kind, _facts(event, operation, consumer))
        if made is not None:
            spans.append(made)
        told.append(event if made is None else replace(event, trace=made.traceparent))
    return told, spans


@contextmanager
def _ending(spans: Sequence[Span]) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        for one in spans:
            one.failed(type(error).__name__)
        raise
    finally:
        for one in spans:
            one.end()


def _facts(event: Event, operation: str, consumer: str | None) -> dict[str, Value]:
    facts: dict[str, Value] = {
        "messaging.system": "banyan",
        "messaging.operation.type": operation,
        "messaging.operation.name": operation,
        "messaging.destination.name": event.stream,
        "messaging.message.id": event.id,
        "banyan.event.type": event.type,
    }
    if consumer is not None:
        facts["messaging.consumer.group.name"] = consumer
    return facts
