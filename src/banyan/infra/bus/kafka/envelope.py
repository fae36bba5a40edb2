"""The envelope: an event as a CloudEvent 1.0 in JSON, and back.

Structured mode: the value of the message is the whole CloudEvent, and one header says so. A message that is looked at,
copied or parked is complete by itself, and making and reading it is one step each.

Source: CloudEvents 1.0.2 (spec, JSON event format, Kafka protocol binding), the extensions `sequence` and `traceparent`.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json

from banyan.kernel.events import Event

CONTENT_TYPE = "application/cloudevents+json; charset=UTF-8"
HEADERS: list[tuple[str, bytes | None]] = [("content-type", CONTENT_TYPE.encode())]
SCHEMA_VERSION = 1
"""Of every event type's data. Data changes compatibly only (modules/schemas.py); what cannot gets a new event type."""

_TYPE = re.compile(r"org\.banyan\.(?P<type>[^\x00-\x1f\x7f]{1,64})\.v(?P<version>[0-9]{1,9})\Z")

# No control characters: a database may refuse them, and then not even the failure could be stored.
_Key = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$")]
_Id = Annotated[_Key, Field(max_length=36)]


class NotAnEvent(Exception):
    """A message that no handler can be given. reason: a constant word, and the attribute that is wrong.

    event: what it tells of, when only its data cannot be understood, being of a version that is not known here.
    """

    def __init__(self, reason: str, event: Event | None = None) -> None:
        self.reason = reason
        self.event = event
        super().__init__(reason)


class _CloudEvent(BaseModel):
    # Attributes that are not ours are allowed: CloudEvents lets whoever passes a message on add some.
    model_config = ConfigDict(strict=True, extra="ignore")

    specversion: Literal["1.0"]
    id: _Id
    type: Annotated[_Key, Field(max_length=128)]
    subject: _Id
    time: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")]
    dataschema: str
    userid: _Id
    stream: Annotated[_Key, Field(max_length=32)]
    position: Annotated[int, Field(ge=1, lt=2**63)]
    sequence: Annotated[str, Field(pattern=r"^\d{1,18}$")]
    actor: _Id | None = None
    traceparent: Annotated[str, Field(max_length=55, pattern=r"^[ -~]+$")] | None = None
    data: dict[str, Any]


def schema_uri(event_type: str) -> str:
    """Names the schema of an event type's data, its version included."""
    return f"urn:banyan:event:{event_type}:{SCHEMA_VERSION}"


def cloud_event_type(event_type: str) -> str:
    return f"org.banyan.{event_type}.v{SCHEMA_VERSION}"


def encode(event: Event) -> bytes:
    """The message's value. `position` and `sequence` of the envelope are the event's own."""
    envelope: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.id,
        "source": f"banyan/{event.stream}",
        "type": cloud_event_type(event.type),
        "subject": event.subject,
        "time": event.at,
        "datacontenttype": "application/json",
        "dataschema": schema_uri(event.type),
        "userid": event.user_id,
        "stream": event.stream,
        "position": event.position,
        # A string, as the extension wants it: CloudEvents integers have 32 bits.
        "sequence": str(event.sequence),
    }
    if event.actor is not None:
        envelope["actor"] = event.actor
    if event.trace is not None:
        envelope["traceparent"] = event.trace
    envelope["data"] = event.data
    return to_json(envelope)


def decode(value: bytes | None) -> Event:
    """Raises NotAnEvent."""
    try:
        found = _CloudEvent.model_validate_json(value or b"")
    except ValidationError as error:
        raise NotAnEvent(_reason(error)) from None
    parts = _TYPE.match(found.type)
    if parts is None:
        raise NotAnEvent("malformed type")
    event = Event(
        id=found.id,
        user_id=found.userid,
        stream=found.stream,
        position=found.position,
        type=parts["type"],
        subject=found.subject,
        data=found.data,
        actor=found.actor,
        at=found.time,
        sequence=int(found.sequence),
        trace=found.traceparent,
    )
    if int(parts["version"]) != SCHEMA_VERSION:
        raise NotAnEvent("unknown_version type", event)
    if found.dataschema != schema_uri(event.type):
        raise NotAnEvent("unknown_version dataschema", event)
    return event


def _reason(error: ValidationError) -> str:
    """Where it is wrong, without what it says: that may be somebody's words."""
    place = error.errors(include_input=False, include_url=False, include_context=False)[0]["loc"]
    return f"malformed {place[0]}" if place and isinstance(place[0], str) else "malformed"
