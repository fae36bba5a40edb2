"""Notifications over HTTP: what is sent and what is answered."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from pydantic.config import JsonDict
from pydantic_core import to_json

from banyan.infra.http.fields import Body, Flag, Line, Text, View
from banyan.infra.http.query import true_or_false
from banyan.modules.notifications.contract import Kind

EXAMPLE_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
EXAMPLE_TIME = "2030-01-31T09:00:00.000000Z"
UUID: JsonDict = {"format": "uuid"}
TIME: JsonDict = {"format": "date-time"}

MAX_DATA_BYTES = 16 * 1024


def _small(data: dict[str, Any]) -> dict[str, Any]:
    if len(to_json(data)) > MAX_DATA_BYTES:
        raise ValueError(f"must not be larger than {MAX_DATA_BYTES} bytes as JSON")
    return data


def notify_body(channels: Sequence[str]) -> type["NotifyRequest"]:
    """The body of POST /notify where these channels are available, so that its documentation names them."""
    names = tuple(channels)

    def available(channel: str) -> str:
        if channel not in names:
            raise ValueError(f"is not available; available: {', '.join(names)}")
        return channel

    channel = Annotated[
        str, AfterValidator(available), Field(strict=True, json_schema_extra={"enum": list(names)})
    ]

    class WithChannels(NotifyRequest):
        channels: list[channel] = Field(  # type: ignore[valid-type]
            default_factory=list,
            min_length=1,
            max_length=10,
            description="Kinds of channels besides the inbox: all of that kind that the person has enabled."
            " Without it: all that the person has enabled.",
        )

    WithChannels.__name__ = WithChannels.__qualname__ = "NotifyRequest"
    return WithChannels


class NotifyRequest(Body):
    """A notification to send."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"message": "The banyan has been watered.", "title": "Garden", "data": {"plant": "banyan"}}
            ]
        }
    )

    message: Annotated[Line, Field(min_length=1, max_length=2000)] = Field(
        description="Plain text, no mark-up."
    )
    title: Annotated[Line, Field(min_length=1, max_length=200)] | None = None
    data: Annotated[dict[Text, Any], AfterValidator(_small)] = Field(
        default_factory=dict, description=f"Anything for the client; at most {MAX_DATA_BYTES} bytes."
    )
    channels: list[str] = Field(default_factory=list)


class Sent(View):
    id: str = Field(json_schema_extra=UUID, examples=[EXAMPLE_ID])
    status: Literal["sent"] = Field(description="It is stored durably; see its deliveries for the rest.")


class NotificationView(View):
    id: str = Field(json_schema_extra=UUID, examples=[EXAMPLE_ID])
    kind: Kind
    title: str | None = Field(examples=["Garden"])
    message: str = Field(examples=["The banyan has been watered."])
    data: dict[str, Any] = Field(examples=[{"plant": "banyan"}])
    read: bool
    read_at: str | None = Field(json_schema_extra=TIME)
    created_at: str = Field(json_schema_extra=TIME, examples=[EXAMPLE_TIME])


class NotificationPatch(Body):
    """What can be changed of a notification."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"read": True}]})

    read: Flag


class InboxQuery(Body):
    """Which notifications to show."""

    unread: Annotated[bool | None, BeforeValidator(true_or_false)] = Field(
        None, description="`true`: only those that are not read yet."
    )
    limit: int = Field(50, ge=1, le=200, description="Most notifications in one answer.")
    cursor: Annotated[str, Field(max_length=2048)] | None = Field(
        None, description="Continue a list: taken from the `next` link of its last page."
    )


class UnreadCount(View):
    unread: int = Field(ge=0, examples=[3])


class Updated(View):
    updated: int = Field(ge=0, examples=[3], description="How many were unread before.")


class DeliveryView(View):
    id: str = Field(json_schema_extra=UUID, examples=[EXAMPLE_ID])
    channel: str = Field(examples=["in_app"])
    status: Literal["queued", "sending", "retrying", "delivered", "failed"] = Field(examples=["delivered"])
    attempt: int = Field(ge=0, examples=[1], description="How often it was tried; 0 while it is queued.")
    at: str = Field(
        json_schema_extra=TIME, examples=[EXAMPLE_TIME], description="When it came into this state."
    )
    error: str | None = Field(description="Why the last try failed.")
    channel_id: str | None = Field(
        json_schema_extra=UUID, description="Which of the person's own channels; null for the inbox."
    )
