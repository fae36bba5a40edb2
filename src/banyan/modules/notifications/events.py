"""The data of the events of notifications."""

from collections.abc import Mapping
from typing import Any, NotRequired

from typing_extensions import TypedDict


class NotificationCreated(TypedDict):
    """data: what the sender gave, such as `todo_id`."""

    id: str
    kind: str
    title: str | None
    message: str
    data: dict[str, Any]
    read: bool
    read_at: str | None
    created_at: str


class NotificationRead(TypedDict):
    read: bool
    read_at: str


class NotificationUnread(TypedDict):
    read: bool
    read_at: None


class NotificationDeleted(TypedDict):
    pass


class ChannelCreated(TypedDict):
    """host: of a webhook's URL. What is secret of a channel is in no event."""

    id: str
    kind: str
    name: str | None
    host: str | None
    enabled: bool
    disabled_reason: str | None
    created_at: str
    updated_at: str
    version: int


class ChannelChanged(TypedDict):
    """The fields that have a new value. Another URL or secret is seen by the version alone."""

    name: NotRequired[str | None]
    host: NotRequired[str | None]
    enabled: NotRequired[bool]
    disabled_reason: NotRequired[str | None]
    updated_at: str
    version: int


class ChannelDeleted(TypedDict):
    pass


EVENTS: Mapping[str, Any] = {
    one.__name__: one
    for one in (
        NotificationCreated,
        NotificationRead,
        NotificationUnread,
        NotificationDeleted,
        ChannelCreated,
        ChannelChanged,
        ChannelDeleted,
    )
}
